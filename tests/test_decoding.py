"""What a file may not do: open another, take its time, fill the memory, change while it is looked at."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthprint.errors import AudioError
from synthprint.sound import audio, decoding, foreign, quiet, waves
from synthprint.sound.conditions import conditions

CLIP = Path(__file__).parents[1] / "examples" / "clips" / "flite_slt" / "01.flac"
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg command is not here")


@pytest.fixture(params=["ffmpeg", "PyAV"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both ways to what libsndfile does not read."""
    if request.param == "PyAV":
        pytest.importorskip("av")
        monkeypatch.setenv("PATH", str(tmp_path))
    elif shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg command is not here")
    return str(request.param)


def mp3(path: Path) -> Path:
    soundfile.write(path, soundfile.read(CLIP, dtype="float32")[0], 16000, format="MP3")
    return path


PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "ffconcat, anything goes": "ffconcat version 1.0\nfile {}\noption safe 0\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3.0,\n{}\n#EXT-X-ENDLIST\n",
    "live hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3.0,\n{}\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="audio/mpeg"><Representation id="1" '
    'bandwidth="64000"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 97\n",
    "m3u": "{}\n",
    "image2": "{}%03d.png\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.usefixtures("decoder")
def test_a_list_of_other_files_is_no_audio(kind: str, tmp_path: Path) -> None:
    other = mp3(tmp_path / "other.mp3")
    for path, name in (("clip.wav", other.name), ("clip.m3u8", str(other))):
        (tmp_path / path).write_text(PLAYLISTS[kind].format(name))
        with pytest.raises(AudioError, match="is not audio"):
            audio.load(tmp_path / path)


@pytest.mark.usefixtures("decoder")
def test_a_list_that_names_a_pipe_or_an_endless_device_is_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "endless.mp3").symlink_to("/dev/zero")
    for name in ("pipe.mp3", "endless.mp3"):
        (tmp_path / "clip.wav").write_text(f"ffconcat version 1.0\nfile '{name}'\n")
        with pytest.raises(AudioError, match="is not audio"):
            audio.load(tmp_path / "clip.wav")


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    (tmp_path / "nowhere.wav").symlink_to(tmp_path / "gone.wav")
    (tmp_path / "folder.wav").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.wav"))
        for name, reason in (
            ("pipe.wav", "it is a named pipe, not a regular file"),
            ("device.wav", "it is a device, not a regular file"),
            ("nowhere.wav", "it is a link to '.*, which is not there"), ("folder.wav", "it is a folder"),
            ("s.wav", "it is a socket, not a regular file"),
        ):  # fmt: skip
            for look in (audio.load, audio.info):
                with pytest.raises(AudioError, match=reason):
                    look(tmp_path / name)
    (tmp_path / "link.wav").symlink_to(CLIP)
    assert len(audio.load(tmp_path / "link.wav")) == len(audio.load(CLIP))


@pytest.mark.usefixtures("decoder")
def test_a_decoder_that_gives_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "STALL_S", 0.3)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(AudioError, match="does not decode within the time"), foreign._running(tmp_path, sleeper) as out:
        next(out.blocks(1))
    writer = [
        sys.executable,
        "-c",
        "import sys, time; sys.stdout.buffer.write(bytes(4)); sys.stdout.flush(); time.sleep(60)",
    ]
    with pytest.raises(AudioError, match="does not decode within the time"), foreign._running(tmp_path, writer) as out:
        list(out.blocks(1))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits are set from outside on Linux alone")
def test_a_decoder_has_limits_of_memory_and_processor_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = "import time; time.sleep(0.3); data = bytearray(3 << 30); print('taken')"
    with foreign._running(tmp_path, [sys.executable, "-c", greedy]) as output:
        assert output.read_all() == b""
    monkeypatch.setattr(foreign, "CPU_S", 1)
    with foreign._running(tmp_path, [sys.executable, "-c", "while True: pass"]) as output:
        assert output.read_all() == b""


def test_decoding_has_an_end_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "DECODING_S", -1.0)
    with pytest.raises(AudioError, match="does not decode within the time"):
        audio.load(CLIP)


# A file that changes.


@pytest.mark.parametrize("change", ["grows", "is cut", "is replaced", "vanishes"])
def test_a_file_that_changes_while_it_is_read(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    shutil.copy(CLIP, path)
    rendered = decoding._rendered

    def changing(*args: object) -> list[str]:
        found = rendered(*args)  # type: ignore[arg-type]
        if change == "grows":
            with open(path, "ab") as file:
                file.write(b"more")
        elif change == "is cut":
            os.truncate(path, path.stat().st_size // 2)
        elif change == "is replaced":
            shutil.copy(path, tmp_path / "b.wav")
            (tmp_path / "b.wav").replace(path)
        else:
            path.unlink()
        return found

    monkeypatch.setattr(decoding, "_rendered", changing)
    with pytest.raises(AudioError, match="vanished while" if change == "vanishes" else "was changed while"):
        audio.decode(path)


# Long files.


def test_a_long_wave_lies_in_a_file_and_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    samples = np.clip(0.4 * rng.standard_normal((44100 * 30, 2)), -0.99, 0.99)
    soundfile.write(tmp_path / "a.wav", samples, 44100, "FLOAT")
    short = audio.decode(tmp_path / "a.wav").wave
    monkeypatch.setattr(decoding, "IN_MEMORY_S", 1.0)
    stored = audio.decode(tmp_path / "a.wav").wave
    assert isinstance(short, np.ndarray)
    assert isinstance(stored, waves.StoredWave)
    assert len(stored) == len(short)
    np.testing.assert_array_equal(stored[:], short)
    np.testing.assert_array_equal(stored[12345:23456], short[12345:23456])
    np.testing.assert_array_equal(stored.part(100, 90000)[10:20], short[110:120])
    np.testing.assert_array_equal(np.concatenate(list(waves.blocks(stored, 7000))), short)
    assert waves.extremes(stored) == waves.extremes(short)
    assert conditions(stored) == conditions(short)


def test_long_waves_are_clipped_and_cancelling_channels_chosen_as_short_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wave = (1.4 * np.sin(np.arange(16000 * 6) / 9)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([wave, -wave], axis=1), 16000, "FLOAT")
    short = audio.decode(tmp_path / "a.wav")
    monkeypatch.setattr(decoding, "IN_MEMORY_S", 1.0)
    stored = audio.decode(tmp_path / "a.wav")
    assert isinstance(stored.wave, waves.StoredWave)
    np.testing.assert_array_equal(stored.wave[:], np.clip(wave, -1, 1))
    assert stored.remarks == short.remarks
    (sound,) = audio.decoded([tmp_path / "a.wav"])
    assert isinstance(sound, audio.Sound)
    np.testing.assert_array_equal(sound.wave[:], short.wave)


def test_a_folder_of_long_files_keeps_two_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcdefgh":
        soundfile.write(tmp_path / f"{name}.wav", np.full(16000 * 3, 0.1), 16000)
    monkeypatch.setattr(decoding, "IN_MEMORY_S", 1.0)
    alive, most = [0], [0]

    class Counted(waves.StoredWave):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # type: ignore[arg-type]
            alive[0] += 1
            most[0] = max(alive[0], most[0])

        def __del__(self) -> None:
            alive[0] -= 1

    monkeypatch.setattr(waves, "StoredWave", Counted)
    lengths = [len(sound.wave) for sound in audio.decoded(sorted(tmp_path.iterdir()))]  # type: ignore[union-attr]
    assert lengths == [16000 * 3] * 8
    assert most[0] <= 2  # the one that is looked at, and the next


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_a_long_file_is_decoded_in_little_memory(tmp_path: Path) -> None:
    minute = (0.3 * np.sin(np.arange(16000 * 60) / 11)).astype(np.float32)
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 16000, 1, "PCM_16") as file:
        for _ in range(50):
            file.write(minute)
    program = (
        "import re, sys; from pathlib import Path; from synthprint.sound import audio\n"
        "from synthprint.sound.conditions import conditions\n"
        "wave = audio.decode(Path(sys.argv[1])).wave; conditions(wave)\n"
        "print(len(wave), re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    command = [sys.executable, "-c", program, tmp_path / "long.flac"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    length, peak_kb = map(int, done.stdout.split())
    assert length == 3000 * 16000  # 192 MB
    assert peak_kb < 180_000


def test_no_room_for_a_long_wave_is_that_clips_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "IN_MEMORY_S", 0.5)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(AudioError, match="cannot be put aside while it is examined"):
        audio.decode(CLIP)


# What decoders print.


def test_what_a_decoder_prints_does_not_reach_the_terminal(tmp_path: Path) -> None:
    data = bytearray(mp3(tmp_path / "a.mp3").read_bytes())
    for place in range(3000, len(data) - 200, 611):
        data[place] ^= 0x55
    (tmp_path / "a.mp3").write_bytes(data)
    program = (
        "import os, sys; from pathlib import Path; from synthprint.sound import audio, quiet\n"
        "if len(sys.argv) > 2: quiet.separate_stderr()\n"
        "audio.decode(Path(sys.argv[1])); os.write(2, b'from below\\n'); print('from us', file=sys.stderr)"
    )

    def stderr(*words: str) -> list[str]:
        command = [sys.executable, "-c", program, str(tmp_path / "a.mp3"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()

    assert len(stderr()) > 2  # libmpg123 says something of this file
    assert stderr("quiet") == ["from below", "from us"]


def test_descriptor_two_comes_back_when_all_threads_have_ended() -> None:
    before = os.fstat(2)
    barrier = threading.Barrier(4)

    def work() -> None:
        for _ in range(20):
            with quiet.decoding():
                barrier.wait()

    quiet._STATE["separate"] = True
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        quiet._STATE["separate"] = False
    after = os.fstat(2)
    assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)


# What a file of several tracks, or with an edit list, hides.


@needs_ffmpeg
@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("name", ["two.mka", "two.m4a"])
def test_a_second_track_is_told_of(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(monkeypatch, "-i", CLIP, "-i", CLIP, "-map", "0", "-map", "1", tmp_path / name)
    sound = audio.decode(tmp_path / name)
    assert sound.remarks == ("has 2 audio tracks: the first was examined, and none of the others",)
    assert len(sound.wave) / 16000 == pytest.approx(3.3, abs=0.1)


@needs_ffmpeg
@pytest.mark.usefixtures("decoder")
def test_an_edit_list_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(monkeypatch, "-i", CLIP, "-movflags", "+faststart", tmp_path / "a.m4a")
    whole = audio.decode(tmp_path / "a.m4a")
    assert whole.remarks == ()
    data = bytearray((tmp_path / "a.m4a").read_bytes())
    place = data.find(b"elst") + 12
    data[place : place + 4] = (1000).to_bytes(4, "big")  # play a second
    (tmp_path / "a.m4a").write_bytes(data)
    sound = audio.decode(tmp_path / "a.m4a")
    assert len(sound.wave) >= len(whole.wave)
    (remark,) = sound.remarks
    assert remark.startswith("has an edit list that leaves out 2.")


@needs_ffmpeg
@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize(("name", "options"), [("a.m4a", ["-movflags", "+faststart"]), ("a.webm", []), ("a.mka", [])])
def test_a_foreign_file_that_is_cut_off_says_so(
    name: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode(monkeypatch, "-i", CLIP, *options, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert audio.decode(tmp_path / name).remarks == ()
    (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
    sound = audio.decode(tmp_path / name)
    assert 0.5 < len(sound.wave) / 16000 < 2.6
    (remark,) = sound.remarks
    assert "it was cut off, or altered" in remark


def encode(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    with monkeypatch.context() as context:
        context.setenv("PATH", os.defpath + ":/usr/local/bin")
        subprocess.run(["ffmpeg", "-v", "error", "-y", *words], check=True)
