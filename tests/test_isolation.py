"""Decoding in child processes: the same bits as in this process; whatever a file does, the next one is decoded."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_files import noise, save
from synthprint.errors import AudioError
from synthprint.sound import audio, confinement, conversation, decoding, decoding_child, decoding_worker
from synthprint.sound.isolation import DecodingPool, isolated
from synthprint.sound.waves import StoredWave

LINUX = sys.platform == "linux"
FOREIGN = (".m4a", ".webm")  # what libsndfile does not read
CALM_S = 60.0  # for what takes a second, on a machine that is busy

# The real child, with hands tied to the names of files: it does what a decoder does that a stranger has taken over.
PLANTED = """
import ctypes, json, os, resource, signal, socket, subprocess, sys, threading, time
sys.path[:] = {packages!r}
from synthprint.errors import AudioError
from synthprint.sound import decoding, decoding_child
decode = decoding.decode

def attempt(act):
    try:
        return repr(act())
    except BaseException as error:
        return type(error).__name__ + ": " + str(error)

def speak(data):
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("pipe:"):
                os.write(int(name), data)
        except OSError:
            pass

def planted(path, *rest):
    act = path.name.partition(".")[0].partition("-")[0]
    if act == "hang":
        time.sleep(1000)
    if act == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "once" and os.path.exists(os.path.dirname(str(path)) + "/first"):
        time.sleep(1000)
    if act == "crash":
        ctypes.string_at(0)
    if act == "exit":
        os._exit(3)
    if act == "memory":
        bytearray(8 << 30)
    if act == "mistake":
        raise ValueError("no \\udcff such thing")
    if act == "noise":
        speak(b"\\x05\\0\\0\\0hello")
    if act == "endless":
        speak(b"\\xff\\xff\\xff\\xff")
    if act == "slow":
        speak(b"\\x05\\0")
        time.sleep(1000)
    if act == "sleeper":
        subprocess.Popen(["sleep", "1234.5"])
        time.sleep(1000)
    if act == "many":
        decoding_child._written = lambda wave, samples, path: 10**8
    if act == "odd":
        decoding_child._written = lambda wave, samples, path: -1
    if act == "numbers":
        import numpy as np
        write = decoding_child._written
        decoding_child._written = lambda wave, samples, path: write(np.asarray(wave) * np.nan, samples, path)
    if act == "tells":
        where = os.path.dirname(str(path))
        raise AudioError(path, json.dumps({{
            "environment": sorted(os.environ),
            "open": [attempt(lambda: os.readlink("/proc/self/fd/" + n)) for n in os.listdir("/proc/self/fd")],
            "group": os.getpgid(0) == os.getpid() == os.getsid(0),
            "limits": {{k: resource.getrlimit(getattr(resource, "RLIMIT_" + k)) for k in
                ("AS", "CORE", "FSIZE", "NOFILE", "NPROC")}},
            "status": open("/proc/self/status").read(),
            "socket": attempt(lambda: socket.create_connection(("127.0.0.1", {port}), 5)),
            "local": attempt(lambda: socket.socket(socket.AF_UNIX)),
            "write": attempt(lambda: open(where + "/planted", "w")),
            "append": attempt(lambda: open(str(path), "ab")),
            "truncate": attempt(lambda: os.truncate(str(path), 0)),
            "remove": attempt(lambda: os.remove(str(path))),
            "own": attempt(lambda: open(os.environ["HOME"] + "/x", "w").close()),
            "read": attempt(lambda: len(open(str(path), "rb").read())),
            "kill": attempt(lambda: os.kill(os.getppid(), signal.SIGTERM)),
            "ask": attempt(lambda: os.kill(os.getppid(), 0)),
            "group_kill": attempt(lambda: os.kill(-1, 0)),
            "memory_of_parent": attempt(lambda: open("/proc/%d/mem" % os.getppid(), "rb").close()),
            "limit_parent": attempt(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))),
            "session": attempt(os.setsid),
            "namespace": attempt(lambda: os.unshare(os.CLONE_NEWUSER) if hasattr(os, "unshare") else
                ctypes.CDLL(None, use_errno=True).unshare(0x10000000)),
            "mount": attempt(lambda: ctypes.CDLL(None).mount(b"none", b"/mnt", b"tmpfs", 0, None)),
            "program": attempt(lambda: subprocess.run(["true"], check=True).returncode),
        }}))
    return decode(path, *rest)

decoding.decode = planted
decoding_child.main()
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    with DecodingPool(2) as children:
        yield children


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Children that do what the name of a file says; a port of this machine where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = tmp_path / "planted.py"
        packages = [place for place in sys.path if Path(place).is_absolute()]
        program.write_text(PLANTED.format(packages=packages, port=port), encoding="utf-8")
        monkeypatch.setattr(decoding_worker, "command", lambda: [sys.executable, "-I", "-X", "utf8", str(program)])
        yield port


def clip(folder: Path, name: str) -> Path:
    """A second of noise in a file of that name, whatever it makes of its decoder."""
    path = folder / name
    save(path, noise(np.random.default_rng(len(name)), 1.0))
    return path


def encoded(path: Path, *words: str) -> Path:
    """A sound that ffmpeg encodes; the test is left out where it cannot."""
    source = ["-f", "lavfi", "-i", "sine=440:duration=2", "-f", "lavfi", "-i", "anoisesrc=d=2:a=0.1"]
    command = ["ffmpeg", "-v", "error", "-y", *source, "-filter_complex", "amerge=inputs=2", *words, str(path)]
    with suppress(FileNotFoundError):
        if subprocess.run(command, check=False).returncode == 0:
            return path
    pytest.skip("no ffmpeg with this codec")


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + CALM_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


# --- The same bits ----------------------------------------------------------------------------------------------------


def assert_same(path: Path, pool: DecodingPool, channel: str = "auto") -> audio.Sound:
    here = decoding.decode(path, channel)
    there = pool.decode(path, channel)
    assert there.wave[:].dtype == np.float32
    assert np.array_equal(there.wave[:], here.wave[:])
    assert (there.remarks, there.stamp) == (here.remarks, here.stamp)
    assert pool.info(path) == audio.info(path)
    if path.suffix in FOREIGN:  # of which a part is the whole, decoded
        return there
    part = audio.load(path, 0.25, 0.5, channel)
    assert np.array_equal(pool.load(path, 0.25, 0.5, channel), part)
    assert np.array_equal(pool.load(path, 0.5, None, channel), audio.load(path, 0.5, None, channel))
    return there


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 16_000, 1, "PCM_16"),
        ("a.wav", 8_000, 1, "PCM_16"),
        ("a.wav", 44_100, 2, "PCM_24"),
        ("a.wav", 48_000, 1, "FLOAT"),
        ("a.flac", 22_050, 1, "PCM_16"),
        ("a.flac", 96_000, 2, "PCM_24"),
        ("a.ogg", 24_000, 1, "VORBIS"),
        ("a.ogg", 48_000, 2, "OPUS"),
        ("a.mp3", 44_100, 2, "MPEG_LAYER_III"),
        ("a.mp3", 16_000, 1, "MPEG_LAYER_III"),
        ("ä \udcff\n.wav", 16_000, 1, "PCM_16"),
    ],
)
def test_a_file_gives_the_same_bits(
    name: str, rate: int, channels: int, subtype: str, tmp_path: Path, pool: DecodingPool
) -> None:
    samples = 0.2 * np.random.default_rng(1).standard_normal((2 * rate, channels)).astype(np.float32)
    soundfile.write(os.fsencode(tmp_path / name), samples, rate, subtype=subtype, format=Path(name).suffix[1:].upper())
    assert_same(tmp_path / name, pool)
    if channels > 1:
        assert_same(tmp_path / name, pool, "2")


@pytest.mark.parametrize(
    ("name", "words"), [("a.m4a", ["-c:a", "aac"]), ("a.webm", ["-c:a", "libopus"]), ("a.m4a", ["-c:a", "alac"])]
)
@pytest.mark.parametrize("decoder", ["ffmpeg", "PyAV"])
def test_what_ffmpeg_decodes_gives_the_same_bits(
    name: str, words: list[str], decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: DecodingPool
) -> None:
    path = encoded(tmp_path / name, *words)
    if decoder == "ffmpeg":
        assert_same(path, pool)
        return
    pytest.importorskip("av")
    monkeypatch.setenv("PATH", str(tmp_path))  # no ffmpeg there
    with DecodingPool(1) as without:
        assert_same(path, without)


def test_a_long_file_gives_the_same_bits_and_nobody_can_change_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    save(tmp_path / "long.flac", noise(rng, 130.0, 0.5), subtype="PCM_16")
    save(tmp_path / "other.wav", noise(rng, 125.0))
    with DecodingPool(1) as pool:
        sound = assert_same(tmp_path / "long.flac", pool)
        assert isinstance(sound.wave, StoredWave)
        assert len(pool.decode(tmp_path / "other.wav").wave) == 125 * 16_000  # the same child, into the same file
        with pytest.raises(decoding.LongSound):
            pool.decode(tmp_path / "long.flac", in_memory=True)
        assert pool.replaced == 0
    assert np.array_equal(sound.wave[:], decoding.decode(tmp_path / "long.flac").wave[:])


def test_remarks_are_the_same(tmp_path: Path, pool: DecodingPool) -> None:
    whole = clip(tmp_path, "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:-9000])
    (tmp_path / "twice.wav").write_bytes(whole + whole)
    assert assert_same(tmp_path / "cut.wav", pool).remarks
    assert assert_same(tmp_path / "twice.wav", pool).remarks


# --- In place of this process -----------------------------------------------------------------------------------------


def test_everything_that_asks_for_audio_goes_through_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: DecodingPool
) -> None:
    paths = [clip(tmp_path, f"{i}.wav") for i in range(5)]
    paths.insert(2, tmp_path / "missing.wav")
    waves = [audio.load(path) for path in paths if path.exists()]
    part, header = audio.load(paths[0], 0.5), audio.info(paths[0])
    opened: list[Path] = []

    def refuse(path: Path) -> None:
        opened.append(path)
        raise AssertionError

    with isolated(pool), monkeypatch.context() as patch:
        patch.setattr(decoding, "opened", refuse)
        patch.setattr(audio, "opened", refuse)
        sounds = list(audio.decoded(paths))
        assert np.array_equal(audio.load(paths[0], 0.5), part)
        assert audio.info(str(paths[0])) == header
        assert np.array_equal(audio.decode(paths[1]).wave, waves[1])
        assert np.array_equal(audio.load(str(paths[1])), waves[1])
    missing = sounds.pop(2)
    assert str(missing) == f"{tmp_path / 'missing.wav'}: no such file"
    assert all(np.array_equal(sound.wave, wave) for sound, wave in zip(sounds, waves, strict=True))  # type: ignore[union-attr]
    assert not opened
    assert np.array_equal(audio.load(paths[0], 0.5), part)  # and afterwards as before


def test_a_case_is_the_same_and_no_clip_is_opened_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: DecodingPool
) -> None:
    from synthprint import Tracer
    from synthprint.casework.case import Question, examine

    paths = sorted((Path(__file__).parents[1] / "examples" / "clips" / "flite_slt").glob("*.flac"))[:3]
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    tracer = Tracer.load()

    def answers() -> list[object]:
        case = examine(tracer, [*paths, tmp_path / "bad.wav"], Question(), "")
        return [case.to_dict(), tracer.trace(paths[0]).to_dict(), tracer.compare(paths[0], paths[1:]).to_dict()]

    here = answers()

    def refuse(path: Path) -> None:
        raise AssertionError(path)

    with isolated(pool), monkeypatch.context() as patch:
        patch.setattr(decoding, "opened", refuse)
        patch.setattr(audio, "opened", refuse)
        assert answers() == here


def test_long_files_among_short_ones_come_in_order(tmp_path: Path, pool: DecodingPool) -> None:
    paths = [clip(tmp_path, "a.wav"), tmp_path / "long.wav", clip(tmp_path, "bb.wav")]
    save(paths[1], noise(np.random.default_rng(5), 121.0))
    with isolated(pool):
        lengths = [len(sound.wave) for sound in audio.decoded(paths)]  # type: ignore[union-attr]
    assert lengths == [16_000, 121 * 16_000, 16_000]


def test_a_pool_within_another_is_asked_and_then_the_first_again(tmp_path: Path, pool: DecodingPool) -> None:
    path = clip(tmp_path, "a.wav")
    closed = DecodingPool(1)
    with isolated(pool), isolated(closed), pytest.raises(AudioError, match="stopped"):
        audio.decode(path)
    with isolated(pool):
        audio.decode(path)


# --- Bad files --------------------------------------------------------------------------------------------------------


def bad_files(folder: Path) -> list[Path]:
    whole = clip(folder, "whole.wav").read_bytes()
    contents = {
        "empty.wav": b"", "text.wav": b"hello " * 999, "head.wav": whole[:40], "zeros.mp3": bytes(9000),
        "list.m3u8": b"#EXTM3U\nwhole.wav\n", "noise.flac": b"fLaC" + os.urandom(5000), "short.wav": whole[:100],
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    paths = [folder / name for name in contents]
    for name, value in (("nan.wav", np.nan), ("huge.wav", 1e9)):
        samples = np.zeros(16_000, np.float32)
        samples[77] = value
        soundfile.write(folder / name, samples, 16_000, subtype="FLOAT")
        paths.append(folder / name)
    os.mkfifo(folder / "pipe.wav")
    (folder / "folder.wav").mkdir()
    (folder / "loop.wav").symlink_to("loop.wav")
    others = ["pipe.wav", "folder.wav", "loop.wav", "missing.wav", "zero\0.wav", "l" * 5000, "l" * 50_000]
    return [*paths, *(folder / name for name in others), Path("/dev/zero")]


def test_bad_files_have_the_same_reasons_and_good_ones_between_are_answered(tmp_path: Path, pool: DecodingPool) -> None:
    good = clip(tmp_path, "good.wav")
    wave, replaced = audio.load(good), pool.replaced
    for path in bad_files(tmp_path):
        with pytest.raises(AudioError) as here:
            audio.decode(path)
        with pytest.raises(AudioError) as there:
            pool.decode(path)
        assert str(there.value) == str(here.value)
        assert np.array_equal(pool.decode(good).wave, wave)
    assert pool.replaced == replaced  # none of these breaks a child


def test_a_relative_name_and_a_channel_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: DecodingPool
) -> None:
    clip(tmp_path, "a.wav")
    monkeypatch.chdir(tmp_path)
    assert len(pool.decode(Path("a.wav")).wave) == 16_000
    with pytest.raises(AudioError, match=r"^a\.wav: .*channel"):
        pool.decode(Path("a.wav"), "3")


def test_a_file_that_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: DecodingPool) -> None:
    path = clip(tmp_path, "a.wav")
    ask = decoding_worker.DecodingWorker.ask

    def changing(worker: decoding_worker.DecodingWorker, *words: object) -> object:
        answer = ask(worker, *words)  # type: ignore[arg-type]
        path.write_bytes(path.read_bytes() + b"more")
        return answer

    monkeypatch.setattr(decoding_worker.DecodingWorker, "ask", changing)
    with pytest.raises(AudioError, match="was changed while"):
        pool.decode(path)


# --- Children that a file breaks, or takes over -----------------------------------------------------------------------

BREAKING = {
    "killed.wav": "made its decoder end (SIGKILL)",
    "crash.wav": "made its decoder end (SIG",
    "exit.wav": "made its decoder end (status 3)",
    "memory.wav": "needs more than 512 MiB of memory",
    "noise.wav": "gives no answer but noise",
    "endless.wav": "gives no answer but noise",
    "many.wav": "gives no answer but noise",
    "odd.wav": "gives no answer but noise",
    "hang.wav": "does not decode within 3 s",
    "slow.wav": "does not decode within 3 s",
    "mistake.wav": r"breaks its decoder (ValueError: no \udcff such thing)",
}


@pytest.mark.usefixtures("planted")
def test_what_breaks_a_child_is_the_files_failure_and_the_next_is_answered(tmp_path: Path) -> None:
    good = clip(tmp_path, "good.wav")
    wave = audio.load(good)
    with DecodingPool(1, memory_bytes=512 << 20, seconds=3.0) as pool:
        for name, reason in BREAKING.items():
            path = clip(tmp_path, name)
            with pytest.raises(AudioError) as caught:
                pool.decode(path)
            assert str(caught.value).startswith(f"{path}: ")
            assert reason in str(caught.value)
            assert np.array_equal(pool.decode(good).wave, wave), name
        assert pool.replaced == len(BREAKING) - 1  # a mistake ends no child


@pytest.mark.usefixtures("planted")
def test_samples_that_are_none_are_refused_here_too(tmp_path: Path) -> None:
    path = clip(tmp_path, "numbers.wav")
    with DecodingPool(1) as pool, pytest.raises(AudioError, match="not numbers"):
        pool.decode(path)


def test_a_real_file_that_takes_too_long(tmp_path: Path) -> None:
    save(tmp_path / "hours.flac", noise(np.random.default_rng(3), 1200.0), subtype="PCM_16")
    good = clip(tmp_path, "good.wav")
    with DecodingPool(1, seconds=0.1) as pool:
        assert pool.filtered in (True, False)  # the child is ready
        with pytest.raises(AudioError, match=r"does not decode within 0\.1 s; .*allow more time"):
            pool.decode(tmp_path / "hours.flac")
    with DecodingPool(1) as pool:
        assert len(pool.decode(good).wave) == 16_000


@pytest.mark.usefixtures("planted")
def test_breaking_files_between_good_ones_in_many_threads_cost_none_of_them(tmp_path: Path) -> None:
    names = [name for i in range(12) for name in (f"good-{i}.wav", f"killed-{i}.wav", f"exit-{i}.wav")]
    paths = [clip(tmp_path, name) for name in names]
    with DecodingPool(2) as pool, isolated(pool):
        sounds = list(audio.decoded(paths))
    assert [isinstance(sound, AudioError) for sound in sounds] == ["good" not in name for name in names]


@pytest.mark.skipif(not LINUX, reason="looks into /proc")
@pytest.mark.usefixtures("planted")
def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    path = clip(tmp_path, "sleeper.wav")

    def sleepers() -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if b"1234.5" in (process / "cmdline").read_bytes() and is_running(int(process.name)):
                    found.append(int(process.name))
        return found

    with DecodingPool(1, seconds=3.0) as pool:
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(pool.decode, path)
            wait_for(lambda: bool(sleepers()))
            assert isinstance(asked.exception(CALM_S), AudioError)
        wait_for(lambda: not sleepers())


# --- Limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not LINUX, reason="looks into /proc")
@pytest.mark.usefixtures("planted")
def test_a_child_can_do_little_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    path = clip(tmp_path, "tells.wav")
    size = path.stat().st_size
    inherited = os.open(path, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    with DecodingPool(1, memory_bytes=512 << 20) as pool:
        with pytest.raises(AudioError) as caught:
            pool.decode(path)
        told = json.loads(caught.value.reason)
        filtered, folder_only = pool.filtered, pool.folder_only
    os.close(inherited)
    assert "SECRET_TOKEN" not in told["environment"]
    assert set(told["environment"]) <= {*decoding_worker.INHERITED, *decoding_worker.VARIABLES, "HOME", "TMPDIR"}
    assert not any(str(path) in place for place in told["open"])
    assert told["group"]
    most = {"AS": 512 << 20, "CORE": 0, "FSIZE": confinement.FILE_BYTES, "NOFILE": confinement.OPEN_FILES}
    assert all(told["limits"][name] == [limit, limit] for name, limit in most.items())
    assert told["limits"]["NPROC"][1] > 0
    assert "NoNewPrivs:\t1" in told["status"]
    assert told["read"] == str(size)
    assert told["own"] == "None"
    assert told["program"] == "0"  # ffmpeg must start
    assert int(told["status"].partition("CapPrm:")[2].split()[0], 16) in (0, 4)  # 4: root's, to read any file
    if filtered:
        assert "Seccomp:\t2" in told["status"]
        refused = ("socket", "local", "kill", "ask", "group_kill", "limit_parent", "session")
        assert {told[name].partition(":")[0] for name in refused} == {"PermissionError"}
        assert told["namespace"] == told["mount"] == "-1"
    if folder_only:
        refused = ("write", "append", "truncate", "remove", "kill", "memory_of_parent")
        assert {told[name].partition(":")[0] for name in refused} == {"PermissionError"}
    assert path.stat().st_size == size


@pytest.mark.skipif(not LINUX, reason="filters are Linux's")
def test_a_filter_holds_where_libseccomp_is(tmp_path: Path) -> None:
    pytest.importorskip("pyseccomp", exc_type=ImportError)
    assert len(confinement.call_filter(executes=True)) > 500
    assert confinement.call_filter(executes=False) != confinement.call_filter(executes=True)
    path = clip(tmp_path, "a.wav")
    with DecodingPool(1) as pool:
        assert pool.filtered
        assert len(pool.decode(path).wave) == 16_000


@pytest.mark.skipif(not LINUX, reason="filters are Linux's")
@pytest.mark.usefixtures("planted")
def test_where_only_libsndfile_decodes_no_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthprint.sound.isolation._starts_programs", lambda: False)
    with DecodingPool(1) as pool:
        if not pool.filtered:
            pytest.skip("no libseccomp")
        assert len(pool.decode(clip(tmp_path, "a.wav")).wave) == 16_000
        with pytest.raises(AudioError) as caught:
            pool.decode(clip(tmp_path, "tells.wav"))
    assert json.loads(caught.value.reason)["program"].startswith("PermissionError")


def test_without_pyseccomp_the_other_limits_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    path = clip(tmp_path, "a.wav")
    with DecodingPool(1) as pool:
        assert not pool.filtered
        assert len(pool.decode(path).wave) == 16_000


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"memory_bytes": 1}, {"seconds": 0.0}, {"seconds": float("nan")}, {"files_per_worker": 0}],
)
def test_limits_that_nothing_fits_into_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        DecodingPool(**{"workers": 1, **options})  # type: ignore[arg-type]


# --- The pool ---------------------------------------------------------------------------------------------------------


def test_many_threads_share_few_children(tmp_path: Path, pool: DecodingPool) -> None:
    paths = [clip(tmp_path, f"{'x' * i}.wav") for i in range(1, 9)]
    waves = [audio.load(path) for path in paths]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            sounds = list(threads.map(pool.decode, paths))
            assert all(np.array_equal(sound.wave, wave) for sound, wave in zip(sounds, waves, strict=True))


def test_a_child_is_replaced_after_so_many_files(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.wav")
    with DecodingPool(1, files_per_worker=3) as pool:
        for _ in range(7):
            assert len(pool.decode(path).wave) == 16_000
        assert pool.replaced == 2


def test_a_child_that_was_killed_while_it_waited_costs_no_file(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.wav")
    with DecodingPool(1) as pool:
        for _ in range(2):
            pool.decode(path)
            (worker,) = pool._all
            process = worker._process
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
            if LINUX:
                wait_for(lambda: not is_running(process.pid))  # noqa: B023 - called at once
            assert len(pool.decode(path).wave) == 16_000


@pytest.mark.usefixtures("planted")
def test_a_child_that_is_killed_at_work_costs_no_file(tmp_path: Path) -> None:
    path, first = clip(tmp_path, "once.wav"), tmp_path / "first"
    first.touch()
    with DecodingPool(1) as pool, ThreadPoolExecutor(1) as threads:
        (worker,) = pool._all
        asked = threads.submit(pool.decode, path)
        wait_for(lambda: worker.files == 1)  # it was told of the file
        process = worker._process
        assert process is not None
        first.unlink()
        os.kill(process.pid, signal.SIGKILL)
        assert len(asked.result(CALM_S).wave) == 16_000


def test_an_interrupted_question_is_not_answered_to_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = clip(tmp_path, "a.wav"), clip(tmp_path, "bb.wav")
    wave = audio.load(second)
    with DecodingPool(1) as pool:
        pool.decode(first)
        with monkeypatch.context() as patch:

            def interrupted(*_: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(conversation.Conversation, "receive", interrupted)
            with pytest.raises(KeyboardInterrupt):
                pool.decode(first)
        assert np.array_equal(pool.decode(second).wave, wave)


@pytest.mark.skipif(not LINUX, reason="looks into /proc")
@pytest.mark.usefixtures("planted")
def test_children_that_are_replaced_leave_nothing_behind(tmp_path: Path) -> None:
    bad, good = clip(tmp_path, "exit.wav"), clip(tmp_path, "good.wav")
    with DecodingPool(1) as pool:
        pool.decode(good)
        descriptors, place = len(os.listdir("/proc/self/fd")), pool._all[0]._place  # noqa: PTH208
        for _ in range(10):
            with pytest.raises(AudioError):
                pool.decode(bad)
        pool.decode(good)
        assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208
        assert len(list(place.iterdir())) == 1


@pytest.mark.usefixtures("planted")
def test_closing_ends_what_is_being_decoded_and_who_waits(tmp_path: Path) -> None:
    paths = [clip(tmp_path, f"hang-{i}.wav") for i in range(4)]
    pool = DecodingPool(1)
    errors: list[str] = []
    with pool:
        (worker,) = pool._all
        folder = worker._place

        def ask(path: Path) -> None:
            with pytest.raises(AudioError) as caught:
                pool.decode(path)
            errors.append(caught.value.reason)

        threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        wait_for(lambda: worker.files == 1)
        process = worker._process
        assert process is not None
        started = time.monotonic()
    assert time.monotonic() - started < 5.0
    for thread in threads:
        thread.join(CALM_S)
    assert errors == [decoding_worker.STOPPED] * 4
    assert process.returncode is not None
    assert not folder.exists()
    with pytest.raises(AudioError, match="stopped"):
        pool.decode(paths[0])


def test_children_that_cannot_start_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path, "a.wav")
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(5)", encoding="utf-8")
    for program, reason in ((sys.executable, "status 5"), (str(tmp_path / "nothing"), "No such file")):
        monkeypatch.setattr(decoding_worker, "command", lambda program=program: [program, str(broken)])
        if program != sys.executable:
            with pytest.raises(FileNotFoundError), DecodingPool(2):
                pass
            continue
        with DecodingPool(1) as pool:
            for _ in range(2):
                with pytest.raises(AudioError, match=reason):
                    pool.decode(path)
            with pytest.raises(AudioError, match="does not start"):
                assert pool.filtered


@pytest.mark.skipif(not LINUX, reason="looks into /proc")
@pytest.mark.usefixtures("planted")
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    path = clip(tmp_path, "a.wav")
    code = (
        "import os, sys\nfrom synthprint.sound.isolation import DecodingPool\n"
        "pool = DecodingPool(2).__enter__(); pool.decode(sys.argv[1])\n"
        "print(*(worker._process.pid for worker in pool._all), flush=True)\nos.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=environment, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    for process in map(int, ended.stdout.split()):
        wait_for(lambda: not is_running(process))  # noqa: B023 - called at once


KEYS = st.sampled_from([*conversation.DecodingAnswer.__struct_fields__, "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_a_child_says_is_an_answer_or_refused(data: bytes) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        talk = conversation.Conversation(child, lambda: True)
        os.write(child.stdin.fileno(), decoding_child.LENGTH.pack(len(data)) + data)  # type: ignore[union-attr]
        with suppress(conversation.LostError):
            answer = talk.receive(CALM_S, "late")
            assert answer.samples is None or 0 <= answer.samples <= 4 * 3600 * 16_000
        talk.close()


def test_a_child_that_does_not_read_is_not_waited_for() -> None:
    with subprocess.Popen(["sleep", "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        talk = conversation.Conversation(child, lambda: True)
        with pytest.raises(conversation.LostError, match="does not listen"):
            talk.send({"path": "x" * (4 << 20)})
        with pytest.raises(conversation.LostError, match="late"):
            talk.receive(0.01, "late")
        child.kill()
        talk.close()


def test_a_message_is_json_behind_its_length() -> None:
    data = decoding_child.framed({"path": "a\udcff"})
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert json.loads(data[4:]) == {"path": "a\udcff"}
