"""The engines shelf, walked: whatever is installed must speak; and running programs that misbehave."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synthprint import shelves
from synthprint.corpus import texts
from synthprint.errors import EngineError
from synthprint.shelves import Recording, System
from synthprint.sound import audio, processes

ENGINES = {name: shelves.find("engines", name)() for name in shelves.names("engines")}
SYSTEMS = [(name, system) for name, engine in ENGINES.items() for system in engine.systems]
SYNTHESIZERS = [pytest.param(n, s, id=s.name) for n, s in SYSTEMS if s.kind == "tts"]
VOCODERS = [pytest.param(n, s, id=s.name) for n, s in SYSTEMS if s.kind in ("copysyn", "codec")]
# One system for each way in which an engine makes a wave is asked twice: alone, and after another sentence.
REPEATED = {system.name for _, system in {(n, s.family, s.languages): (n, s) for n, s in SYSTEMS}.values()}
CATALAN = ["El vaixell surt del port quan s'aixeca la boira.", "A la cuina fa olor de ceba i de pebre."]


def installed(engine: str, name: str) -> System:
    found = next((s for s in ENGINES[engine].installed() if s.name == name), None)
    if found is None:
        system = next(s for _, s in SYSTEMS if s.name == name)
        pytest.skip(f"{name} is not installed (it needs {', '.join(system.packages)})")
    return found


def two_texts(system: System) -> tuple[str, list[str]]:
    language = "en" if "en" in system.languages else system.languages[0]
    return language, CATALAN if language == "ca" else [s.text for s in texts.packaged() if s.language == language][:2]


def vowels(duration_s: float = 1.2) -> np.ndarray:
    """Four syllables of a voiced sound: pulses through three resonances, [T] at 16 kHz."""
    time_s = np.arange(round(duration_s * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    phase = np.cumsum(110.0 + 20.0 * np.sin(2 * np.pi * time_s)) / audio.SAMPLE_RATE
    wave = np.diff(np.floor(phase), prepend=0.0)
    for frequency, bandwidth in ((650.0, 80.0), (1100.0, 90.0), (2500.0, 150.0)):
        radius = np.exp(-np.pi * bandwidth / audio.SAMPLE_RATE)
        ringing = radius ** np.arange(2000) * np.sin(2 * np.pi * frequency * np.arange(1, 2001) / audio.SAMPLE_RATE)
        wave = np.convolve(wave, ringing)[: len(wave)]
    wave *= np.sin(4 * np.pi * time_s / duration_s) ** 2
    return np.float32(0.5 * wave / np.abs(wave).max())


def envelope(wave: np.ndarray) -> np.ndarray:
    """RMS of 20 ms frames."""
    frames = wave[: len(wave) // 320 * 320].reshape(-1, 320)
    return np.sqrt((frames.astype(np.float64) ** 2).mean(axis=1))


def test_every_system_says_what_it_is() -> None:
    names = [system.name for _, system in SYSTEMS]
    assert len(set(names)) == len(names) > 45
    for _, system in SYSTEMS:
        assert system.family
        assert system.licence
        assert system.packages
        assert all(package.partition(":")[0] in ("apt", "pip", "pip-alone", "npm") for package in system.packages)
        assert bool(system.languages) == bool(system.speaker) == (system.kind == "tts")
        assert all(len(language) == 2 for language in system.languages)


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_installed_is_what_is_offered(name: str) -> None:
    offered = {system.name: system for system in ENGINES[name].systems}
    for system in ENGINES[name].installed():
        assert set(system.languages) <= set(offered[system.name].languages)
        assert set(system.packages) <= set(offered[system.name].packages)


@pytest.mark.parametrize(("name", "system"), SYNTHESIZERS)
def test_a_synthesizer_speaks(name: str, system: System) -> None:
    system = installed(name, system.name)
    language, (first, second) = two_texts(system)
    together = ENGINES[name].speak(system, [first, second], language)
    for made in together:
        assert isinstance(made, Recording), made
        assert made.samples.dtype == np.float32
        assert 1.0 < len(made.samples) / made.sample_rate < 12.0
        assert envelope(made.samples).max() > 0.01
    assert not np.array_equal(together[0].samples, together[1].samples)
    if system.deterministic and system.name in REPEATED:
        (alone,) = ENGINES[name].speak(system, [second], language)
        np.testing.assert_array_equal(together[1].samples, alone.samples)


@pytest.mark.parametrize(("name", "system"), VOCODERS)
def test_a_vocoder_remakes_speech(name: str, system: System) -> None:
    system = installed(name, system.name)
    wave = vowels()
    first, second = ENGINES[name].resynthesise(system, [wave, wave])
    assert isinstance(first, Recording), first
    np.testing.assert_array_equal(first.samples, second.samples)
    made = audio.resample(first.samples, first.sample_rate)
    assert abs(len(made) - len(wave)) < 0.1 * audio.SAMPLE_RATE
    # The same syllables, as far as a codec's delay lets one see; but not the same samples.
    ours, theirs = envelope(wave), envelope(np.resize(made, len(wave)))
    delays = [np.corrcoef(ours, np.roll(theirs, -delay))[0, 1] for delay in range(8)]
    assert max(delays) > 0.7
    assert not np.array_equal(made[: len(wave)], wave[: len(made)])


@pytest.mark.parametrize("system", [pytest.param(s, id=s.name) for n, s in SYSTEMS if n == "sptk"])
def test_digital_silence_does_not_stop_a_vocoder(system: System) -> None:
    system = installed("sptk", system.name)
    padded = np.concatenate([np.zeros(4000, np.float32), vowels(0.5), np.zeros(4000, np.float32)])
    (made,) = ENGINES["sptk"].resynthesise(system, [padded])
    assert isinstance(made, Recording), made
    assert envelope(made.samples)[:10].max() < 0.01 < envelope(made.samples).max()


def test_what_one_voice_cannot_read_does_not_stop_the_others() -> None:
    system = installed("festival", "festival/kal")
    good, bad = ENGINES["festival"].speak(system, ['A plain sentence, "quoted" in part.', "Déjà vu."], "en")
    assert isinstance(good, Recording)
    assert isinstance(bad, EngineError)
    assert "'é'" in str(bad)


def test_freetts_mixes_no_sentences_up() -> None:
    system = installed("freetts", "freetts/kevin16")
    lines = ["Drag: slide a finger. Then stop!", "Close the window, please."]
    two, one = (made.samples for made in ENGINES["freetts"].speak(system, lines, "en"))
    assert len(two) > 1.3 * len(one)


def test_flite_is_not_let_speak_with_its_default_voice() -> None:
    installed("flite", "flite/rms")
    stranger = System("flite/nosuch", "x", "tts", "x", ("apt:flite",), ("en",), "x")
    with pytest.raises(EngineError, match="no voice 'nosuch'"):
        ENGINES["flite"].speak(stranger, ["Hello there."], "en")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_run_gives_stdout_and_takes_stdin() -> None:
    code = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    assert processes.run("x", python(code), b"abc") == b"cba"
    assert processes.pipe("x", [python(code), python(code)], b"abc") == b"abc"


def test_an_error_names_engine_command_and_what_was_said() -> None:
    with pytest.raises(EngineError, match=r"talker: .*python.* exited with 3; it said: x*no voice") as caught:
        processes.run("talker", python("import sys; sys.stderr.write('x' * 9999 + 'no voice'); sys.exit(3)"))
    assert len(str(caught.value)) < 1200
    with pytest.raises(EngineError, match="talker: no-such-program cannot be started"):
        processes.run("talker", ["no-such-program"])


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    child = f"import time; time.sleep(2); open({str(tmp_path / 'alive')!r}, 'w')"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.monotonic()
    with pytest.raises(EngineError, match="took longer than 1 s"):
        processes.run("x", python(parent), timeout_s=1.0)
    assert time.monotonic() - start < 2.0
    time.sleep(1.6)
    assert not (tmp_path / "alive").exists()


def test_output_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MAX_OUTPUT_BYTES", 1000)
    assert len(processes.run("x", python("print('x' * 999)"))) == 1000
    with pytest.raises(EngineError, match="wrote more than"):
        processes.run("x", python("print('x' * 1000)"))


def test_a_file_is_looked_at_before_it_counts_as_speech(tmp_path: Path) -> None:
    wav = tmp_path / "o.wav"
    with pytest.raises(EngineError, match=r"e: wrote no audio to o\.wav"):
        processes.read_wave("e", wav)
    wav.write_bytes(b"")
    with pytest.raises(EngineError, match="wrote no audio"):
        processes.read_wave("e", wav)
    wav.write_bytes(b"no audio at all")
    with pytest.raises(EngineError, match="is not audio"):
        processes.read_wave("e", wav)
    soundfile.write(wav, np.zeros(16_000), 16_000)
    with pytest.raises(EngineError, match=r"1\.00 s of silence"):
        processes.read_wave("e", wav)
    soundfile.write(wav, np.ones(1_600), 16_000)
    with pytest.raises(EngineError, match=r"0\.10 s of audio"):
        processes.read_wave("e", wav)
    soundfile.write(wav, np.ones((16_000, 2)) * [0.5, 0.25], 16_000, subtype="FLOAT")
    np.testing.assert_allclose(processes.read_wave("e", wav).samples, 0.375)


def test_samples_are_handed_over_as_they_are() -> None:
    wave = np.float32([0.0, 0.5, -1.0, 2.0])
    assert np.frombuffer(processes.raw16(wave, 16_000), "<i2").tolist() == [0, 16384, -32768, 32767]
    assert len(processes.raw16(np.zeros(1600, np.float32), 8_000)) == 2 * 800
