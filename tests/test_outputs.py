"""Every output of the command line: whole or not at all, one line where it fails, any name on any terminal."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.dom import minidom

import numpy as np
import pytest
import typer

from conftest import TINY_RECIPE, run_cli, toml
from synthprint import cli
from synthprint.cli import DONE, EXIT_STATUSES, FAILED, INTERRUPTED, LEFT_OUT, UNFORESEEN
from synthprint.cli.terminal import PLAIN, STAND_INS
from synthprint.errors import AudioError, EmbeddingsError, GalleryError, OutputError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.gallery.gallery import Gallery
from synthprint.types import Embeddings, Manifest
from synthprint.wording import printable

MAIN = "from synthprint.cli import main; main()"
CLIP = Path(__file__).parents[1] / "examples" / "clips" / "flite_slt" / "01.flac"
ODD = [b"a\xff\xfe.wav", b"\x1b[31mred.wav", "\u202egpj.wav".encode(), "é≥.wav".encode()]


def command(*words: object, code: str = MAIN, **how: object) -> subprocess.CompletedProcess[bytes]:
    """Our command in a process of its own."""
    arguments = [sys.executable, "-c", code, *(w if isinstance(w, bytes) else str(w) for w in words)]
    return subprocess.run(arguments, check=False, **{"stderr": subprocess.PIPE, **how})  # type: ignore[call-overload, no-any-return]


def one_line(stderr: bytes) -> str:
    line = stderr.decode()
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert line.endswith("\n")
    return line.strip()


@pytest.fixture(scope="module")
def corpus(tiny_corpus: Manifest) -> Path:
    tiny_corpus.save(tiny_corpus.root / "outputs.csv")
    return tiny_corpus.root / "outputs.csv"


@pytest.fixture(scope="module")
def embedded(corpus: Path, tiny_checkpoint: Checkpoint) -> Path:
    run_cli("embed", tiny_checkpoint.folder, "--data", corpus, "--out", corpus.with_name("e.safetensors"))
    return corpus.with_name("e.safetensors")


def outputs(corpus: Path, embedded: Path, model: Path, place: Path) -> dict[str, tuple[object, ...]]:
    """Every command that writes, with its output below `place`; and what the error names."""
    clip, own = corpus.parent / "source-0" / "0.wav", ("--model", model)
    labels = (embedded, "--manifest", corpus)
    return {
        "r.html": ("report", clip, *own, "--gallery", corpus.with_name("g"), "-o", place / "r.html"),
        "c": ("cluster", clip, *own, "--no-gallery", "--threshold", 0.5, "--out", place / "c"),
        "t.svg": ("timeline", CLIP, "-o", place / "t.svg"),
        "e.safetensors": ("embed", model, "--data", corpus, "--out", place / "e.safetensors"),
        "ev": ("evaluate", *labels, "--out", place / "ev"),
        "va": ("evaluate", *labels, "--out", place / "va", "--replicates", 0),
        "pr": ("probe", *labels, "--out", place / "pr", "--epochs", 1),
        "g": ("enrol", place / "g", "X", clip, *own),
        "added": ("gallery", "import", place / "added", corpus, "--per-source", 1, *own),
    }


COMMANDS = ["r.html", "c", "t.svg", "e.safetensors", "ev", "va", "pr", "g", "added"]


@pytest.fixture(scope="module")
def gallery(corpus: Path, tiny_checkpoint: Checkpoint) -> Path:
    folder = corpus.with_name("g")
    run_cli("gallery", "import", folder, corpus, "--per-source", 2, "--model", tiny_checkpoint.folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_that_cannot_be_written_is_named(
    name: str, corpus: Path, embedded: Path, gallery: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert gallery.is_dir()
    (tmp_path / "file").touch()
    for place, reason in ((Path("/proc/x"), "No such file or directory"), (tmp_path / "file", f"{tmp_path}/file is a")):
        words = outputs(corpus, embedded, tiny_checkpoint.folder, place)[name]
        with pytest.raises(OutputError) as raised:
            run_cli(*words)
        assert str(raised.value).startswith(f"{place / name}: cannot be written ({reason}")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["c", "ev", "va", "pr"])
def test_the_files_of_an_output_stand_together_or_not_at_all(
    name: str, corpus: Path, embedded: Path, gallery: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert gallery.is_dir()
    words = outputs(corpus, embedded, tiny_checkpoint.folder, tmp_path)[name]
    run_cli(*words)
    written = sorted(path for path in (tmp_path / name).iterdir())
    assert len(written) >= 3
    for path in written[:-1]:
        path.write_text("old")
    written[-1].unlink()
    written[-1].mkdir()
    with pytest.raises(OutputError, match=rf"{written[-1].name}: cannot be written \(it is a folder\)"):
        run_cli(*words)
    assert {path.read_text() for path in written[:-1]} == {"old"}
    assert sorted((tmp_path / name).iterdir()) == written


def test_a_report_stands_with_its_record_or_not_at_all(
    corpus: Path, gallery: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    words = ("report", corpus.parent / "source-0", "--model", tiny_checkpoint.folder, "--gallery", gallery)
    with pytest.raises(OutputError, match=r"/proc/x/r\.json: cannot be written"):
        run_cli(*words, "-o", tmp_path / "r.html", "--record", "/proc/x/r.json")
    assert list(tmp_path.iterdir()) == []


def test_a_training_and_its_tensorboard_end_in_one_line(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(toml(TINY_RECIPE))
    words = ("train", tmp_path / "r.toml", "--data", corpus, "--out")
    with pytest.raises(OutputError, match="/proc/x/run: cannot be written"):
        run_cli(*words, "/proc/x/run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").touch()
    with pytest.raises(OutputError, match=r"/run/tensorboard: cannot be written \(.* is a file\)"):
        run_cli(*words, tmp_path / "run")


def test_standard_output_that_cannot_be_written() -> None:
    words = ("gallery", "list", "--json")
    with open("/dev/full", "wb") as full:
        done = command(*words, stdout=full)
    said = "error: standard output: cannot be written"
    assert (done.returncode, one_line(done.stderr)) == (FAILED, f"{said} (No space left on device); send it elsewhere")
    read, write = os.pipe()
    os.close(read)
    done = command(*words, stdout=write)
    os.close(write)
    assert (done.returncode, one_line(done.stderr)) == (FAILED, f"{said} (Broken pipe); send it elsewhere")
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", MAIN, *words]
    done = subprocess.run(shell, check=False, stderr=subprocess.PIPE)
    assert (done.returncode, one_line(done.stderr)) == (FAILED, f"{said} (it is closed); send it elsewhere")


def test_a_file_does_not_become_standard_output_where_that_is_closed(tmp_path: Path) -> None:
    code = (
        "from synthprint.cli import terminal; terminal.prepare()\n"
        "import os, sys; file = open(sys.argv[1], 'w'); os.write(1, b'from a library'); file.write('own')"
    )
    subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code, tmp_path / "a"], check=True)
    assert (tmp_path / "a").read_text() == "own"


def test_what_cannot_be_said_on_standard_error_changes_nothing(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        assert command("gallery", "list", stderr=full, stdout=subprocess.DEVNULL).returncode == DONE
        assert command("gallery", "list", tmp_path, stderr=full).returncode == FAILED
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", MAIN, "gallery", "list", tmp_path]
    done = subprocess.run(shell, check=False, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (FAILED, b"")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (MemoryError(), FAILED, "error: there is not enough memory for this"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
        (ZeroDivisionError("a bug"), UNFORESEEN, "Traceback (most recent call last)"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), FAILED, "error: the system: Broken pipe\n"),  # to a program
        (OSError(errno.EIO, "Input/output error", "a.wav"), FAILED, "error: a.wav: Input/output error\n"),
        (SystemExit(1), FAILED, ""),  # of a library
        (SystemExit(0), DONE, ""),
        (typer.Exit(1), LEFT_OUT, ""),
        (typer.BadParameter("\x1b[31mx\ny"), FAILED, "error: Invalid value: \ufffd[31mx; y; see '"),
        (GalleryError("a\nb\x1bc\udcff"), FAILED, "error: a\ufffdb\ufffdc\ufffd\n"),
    ],
)
def test_exit_statuses(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("synthprint.cli.gallery._open", fail)
    monkeypatch.setattr(sys, "argv", ["synthprint", "gallery", "list"])
    assert cli._status() == status
    stderr = capsys.readouterr().err
    assert stderr.startswith(said)
    assert bool(said) == bool(stderr)
    assert "\x1b" not in stderr


@pytest.mark.parametrize("words", [["nosuch"], ["trace"], ["trace", "--nosuch", "x"], ["gallery"], []])
def test_usage_exits_with_2(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["synthprint", *words])
    assert cli._status() == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nosuch"], "error: No such command 'nosuch'; see 'NAME --help'\n"),
        (["trace"], "error: Missing argument 'clips'; see 'NAME trace --help'\n"),
        (["trace", "--nosuch", "x"], "error: No such option: --nosuch; see 'NAME trace --help'\n"),
    ],
)
def test_a_command_called_wrongly_is_one_line(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["synthprint", *words])
    assert cli._status() == FAILED
    said = capsys.readouterr()
    assert (said.out, re.sub("see '.*synthprint", "see 'NAME", said.err)) == ("", told)


@pytest.mark.parametrize("words", [[], ["gallery"], ["corpus"]])
def test_a_command_alone_shows_its_help(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["synthprint", *words])
    assert cli._status() == FAILED
    assert "".join(capsys.readouterr()).startswith("Usage: ")


def test_a_message_has_a_bound() -> None:
    long = str(GalleryError(f"{'a' * 5000}: {'b' * 5000} at the end"))
    assert len(long) == 1000
    assert long.startswith("aaa")
    assert " … bbb" in long
    assert long.endswith("b at the end")
    assert str(GalleryError("x" * 1000)) == "x" * 1000
    unread = AudioError("a.wav", "y" * 5000)
    assert (len(unread.reason), len(str(unread))) == (5000, 1000)


def test_a_name_in_utf_8_is_readable_in_any_locale() -> None:
    as_ascii = "é≥.wav".encode().decode("ascii", "surrogateescape")
    assert printable(as_ascii) == "é≥.wav"
    assert printable("a\udcff\udcc3.wav") == "a\ufffd\ufffd.wav"
    assert printable("a\ud800\udcc3\udca9") == "a\ufffd\ufffd\ufffd"
    assert printable("\udce2\udc80\udcaegpj") == "\ufffdgpj"  # text that is turned round, byte by byte


def test_statuses_are_what_the_docs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (DONE, LEFT_OUT, FAILED, UNFORESEEN, INTERRUPTED) == (0, 1, 2, 70, 130) == tuple(EXIT_STATUSES)
    monkeypatch.setattr(sys, "argv", ["synthprint", "--version"])
    assert cli._status() == DONE


def test_a_line_of_the_log_is_one_line() -> None:
    code = (
        "from synthprint.cli import terminal; terminal.prepare()\n"
        "import logging; logging.getLogger('x').warning('a\\nb\\x1b%s', 'c\\udcff')"
    )
    assert command(code=code).stderr.decode() == "a\ufffdb\ufffdc\ufffd\n"


def test_an_interrupt_is_no_traceback(corpus: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    code = (
        "import synthprint.extractor.manifest_embedding as e, time\n"
        "e.embed_manifest = lambda *_: (print('here', flush=True), time.sleep(60))\n"
    )
    words = ["embed", tiny_checkpoint.folder, "--data", corpus, "--out", tmp_path / "e.safetensors"]
    process = subprocess.Popen(
        [sys.executable, "-c", code + MAIN, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate() == (b"", b"")
    assert process.returncode == INTERRUPTED
    assert list(tmp_path.iterdir()) == []


SHOWN = (
    "from synthprint.cli import terminal, tables; terminal.prepare()\n"
    "tables.say('≥ 2 – µ × … 語'); tables.print_json({'é≥': 'a\\udcff'}, None, False)\n"
    "tables.print_table(('LR',), [('≥ 1',), ('20.00',)], ('LR',))"
)


@pytest.mark.parametrize(
    ("encoding", "sentence", "json_text", "cell"),
    [
        ("utf-8", "≥ 2 – µ × … 語", '{"é≥": "a\\udcff"}', "≥ 1"),
        ("latin-1", ">= 2 - µ × ... \\u8a9e", '{"\\u00e9\\u2265": "a\\udcff"}', ">= 1"),
        ("cp1252", ">= 2 – µ × … \\u8a9e", '{"\\u00e9\\u2265": "a\\udcff"}', ">= 1"),
        ("ascii", ">= 2 - u x ... \\u8a9e", '{"\\u00e9\\u2265": "a\\udcff"}', ">= 1"),
    ],
)
def test_a_terminal_that_lacks_a_character_gets_a_stand_in(
    encoding: str, sentence: str, json_text: str, cell: str
) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = command(code=SHOWN, stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode(encoding).splitlines()
    assert lines[:2] == [sentence, json_text]
    assert json.loads(lines[1]) == {"é≥": "a\udcff"}
    (with_cell,) = [line for line in lines if cell in line]
    (with_number,) = [line for line in lines if "20.00" in line]
    assert len(with_cell) == len(with_number)


def test_stand_ins_are_ascii_and_the_rest_is_escaped() -> None:
    assert "".join(STAND_INS.values()).isascii()
    assert "≥…é\udcff😀".encode("ascii", PLAIN) == b">=...\\xe9\\udcff\\U0001f600"
    assert "é\udcff".encode("utf-8", PLAIN) == b"\xc3\xa9\\udcff"


@pytest.fixture
def odd(tiny_corpus: Manifest, tmp_path: Path) -> Path:
    """Two sources whose clips have names of every kind."""
    for source in range(2):
        folder = tmp_path / "odd" / ("plain", os.fsdecode(b"s\xff\x1b[1m"))[source]
        folder.mkdir(parents=True)
        for number, name in enumerate(ODD):
            shutil.copy(tiny_corpus.root / f"source-{source}" / f"{number}.wav", folder / os.fsdecode(name))
    return tmp_path / "odd"


def test_any_file_name_in_every_output(odd: Path, gallery: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    own, paths = ("--model", tiny_checkpoint.folder), {str(path) for path in odd.rglob("*.wav")}
    out, out2 = tmp_path / "c", tmp_path / "ev"
    run_cli("cluster", odd, *own, "--no-gallery", "--threshold", 0.5, "--out", out)
    groups = json.loads((out / "groups.json").read_text(encoding="utf-8"))
    assert {clip["path"] for clip in groups["clips"]} == paths
    with open(out / "linkage.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert {row[0] for row in rows[1:]} == {path.encode(errors="backslashreplace").decode() for path in paths}
    run_cli("embed", tiny_checkpoint.folder, "--data", odd, "--out", tmp_path / "e.safetensors")
    assert {str(odd / key) for key in Embeddings.load(tmp_path / "e.safetensors").ids} == paths
    for what in ("evaluate", "probe"):
        run_cli(
            what, tmp_path / "e.safetensors", "--manifest", odd, "--out", out2, *(["--epochs", 1] * (what == "probe"))
        )
    run_cli("evaluate", tmp_path / "e.safetensors", "--manifest", odd, "--out", out2, "--replicates", 0)
    clip = shutil.copy(CLIP, odd / "plain" / os.fsdecode(ODD[0]))
    run_cli("timeline", clip, "-o", out2 / "t.svg")
    run_cli("report", odd, *own, "--gallery", gallery, "-o", out2 / "r.html")
    for path in (*out.iterdir(), *out2.iterdir()):
        if path.suffix == ".svg":
            minidom.parseString(path.read_bytes())
        if path.suffix in (".svg", ".html"):
            text = path.read_text(encoding="utf-8")
            assert not {"\x1b", "\u202e"} & set(text)
    assert "a\ufffd\ufffd.wav" in (out2 / "r.html").read_text(encoding="utf-8")


def test_any_file_name_on_the_terminal(odd: Path, gallery: Path, tiny_checkpoint: Checkpoint) -> None:
    own = ("--model", tiny_checkpoint.folder)
    (odd / os.fsdecode(b"bad\n\xff\x1b[1m.wav")).write_text("x")
    for words, status in (
        (("trace", odd, "--gallery", gallery, *own), LEFT_OUT),
        (("cluster", odd, "--no-gallery", "--threshold", 0.5, *own), LEFT_OUT),
        (("timeline", odd / os.fsdecode(b"bad\n\xff\x1b[1m.wav"), "--gallery", gallery, *own), FAILED),
    ):
        done = command(*words, stdout=subprocess.PIPE)
        assert done.returncode == status
        text = (done.stdout + done.stderr).decode()
        assert "bad���[1m.wav: " in text
        assert all(character.isprintable() or character == "\n" for character in text)


def test_new_galleries_of_the_same_clips_are_the_same_bytes(
    corpus: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    contents = []
    for number in range(3):
        folder = tmp_path / str(number)
        run_cli("gallery", "import", folder, corpus, "--per-source", 2, "--model", tiny_checkpoint.folder)
        run_cli("gallery", "calibrate", folder)
        contents.append({p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    assert contents[0] == contents[1] == contents[2]
    assert Gallery.load(tmp_path / "0").clip_counts().keys() == {f"source-{n}" for n in range(6)}


def test_the_same_clips_give_the_same_files(
    corpus: Path, embedded: Path, gallery: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert gallery.is_dir()
    contents = []
    for _ in range(2):
        for words in outputs(corpus, embedded, tiny_checkpoint.folder, tmp_path / "out").values():
            run_cli(*words)
        contents.append({p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()})
        shutil.rmtree(tmp_path / "out")
    assert contents[0].keys() == contents[1].keys()
    assert [name for name in contents[0] if contents[0][name] != contents[1][name]] == []


def test_an_encoding_that_takes_no_stand_ins_is_not_used() -> None:
    shown = command(code=SHOWN, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "idna"})
    assert shown.returncode == 0
    assert shown.stdout.decode().splitlines()[0] == "≥ 2 – µ × … 語"


def test_a_folder_that_is_here_becomes_a_gallery(
    tmp_path: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run_cli("enrol", ".", "N", CLIP, "--model", tiny_checkpoint.folder)
    assert Gallery.load(tmp_path / "here").clip_counts() == {"N": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    monkeypatch.chdir(tmp_path / "full")
    for place in (".", "", "..", "/"):
        with pytest.raises(GalleryError, match="is no gallery, and not empty"):
            run_cli("enrol", place, "N", CLIP, "--model", tiny_checkpoint.folder)
    assert not list(tmp_path.glob("**/*.tmp"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cluster", CLIP, "--out", "dangling"], "dangling: .* .it is a link to 'nowhere', which is not there"),
        (["cluster", CLIP, "--out", "dangling/x"], "dangling/x: .*'dangling' is a link to 'nowhere'"),
        (["report", CLIP, "-o", "dangling/x.html"], "dangling/x.html: .*'dangling' is a link to 'nowhere'"),
        (["enrol", "dangling", "N", CLIP], "dangling: .* .it is a link to 'nowhere', which is not there"),
        (["cluster", CLIP, "--out", "none/.."], "none/..: .*No such file or directory"),
        (["cluster", CLIP, "--out", "/proc/x"], "/proc/x: .*(No such file|Permission denied)"),
        (["report", CLIP, "-o", "/proc/x.html"], "/proc/x.html: .*(No such file|Permission denied)"),
    ],
)
def test_a_place_that_is_none_is_refused_before_anything_is_read(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a clip was read")

    monkeypatch.setattr("synthprint.gallery.enrolment.from_files", read)
    monkeypatch.setattr("synthprint.casework.clusters.cluster", read)
    monkeypatch.setattr("synthprint.casework.report.examine", read)
    monkeypatch.chdir(tmp_path)
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(OutputError, match=told):
        run_cli(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["dangling"]


def test_embedding_onto_a_full_disk_names_the_target_and_leaves_nothing(
    corpus: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))

    words = ["embed", tiny_checkpoint.folder, "--data", corpus, "--out", tmp_path / "e.safetensors", "--no-cache"]
    done = command(*words, preexec_fn=limit)
    assert done.returncode == FAILED
    assert re.search(r"e\.safetensors: cannot be written \(File too large\); make room", one_line(done.stderr))
    assert list(tmp_path.iterdir()) == []


def test_embeddings_that_are_none_are_refused_with_their_file(corpus: Path, embedded: Path, tmp_path: Path) -> None:
    good, path = Embeddings.load(embedded), tmp_path / "e.safetensors"
    Embeddings((), np.zeros((0, 8), np.float32)).save(path)
    for words in (["evaluate"], ["evaluate", "--intervals"], ["probe"], ["map", "--out", tmp_path / "m"]):
        with pytest.raises(EmbeddingsError, match=r"e\.safetensors: holds no embeddings"):
            run_cli(words[0], path, "-m", corpus, *words[1:])
    Embeddings(good.ids, np.zeros((len(good), 0), np.float32)).save(path)
    with pytest.raises(EmbeddingsError, match=r"e\.safetensors: tensor 'vectors' has vectors of no dimensions"):
        Embeddings.load(path)
    Embeddings(good.ids, np.concatenate([good.vectors[:-1], 0 * good.vectors[-1:]])).save(path)
    with pytest.raises(EmbeddingsError, match=r"e\.safetensors: the embedding of .* is zero: it has no direction"):
        run_cli("evaluate", path, "-m", corpus)
