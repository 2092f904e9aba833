"""The conditions of a clip, on signals of which they are known; and limits, in data and in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import tone
from synthprint.errors import AudioError, CheckpointError
from synthprint.model.limits import Limits, beyond, outside
from synthprint.sound import conditions as module
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.augmentation import band_limit
from synthprint.sound.conditions import Conditions, conditions
from synthprint.sound.degradations import clip, low_pass, mixed, pad

GOOD = Conditions(3.0, 7800.0, -3.0, 0.0, 45.0, 0.1, 0.001, False)
LIMITS = Limits(1.0, 5000.0, 20.0, -40.0, 0.01, 0.5, 0.05)


def noise(duration_s: float = 2.0, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(duration_s * SAMPLE_RATE))).astype(np.float32)


def spoken(duration_s: float = 3.0) -> np.ndarray:
    """Noise in syllables of 150 ms with pauses of 100 ms, for which every figure is known."""
    wave = noise(duration_s)
    at = np.arange(len(wave)) % round(0.25 * SAMPLE_RATE)
    return np.where(at < round(0.15 * SAMPLE_RATE), wave, 0).astype(np.float32)


def chord(duration_s: float = 2.0) -> np.ndarray:
    time_s = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    notes = [np.sin(2 * np.pi * pitch * k * time_s) / k for pitch in (220.0, 277.2, 329.6) for k in (1, 2, 3, 4)]
    return (0.1 * np.sum(notes, axis=0)).astype(np.float32)


@pytest.mark.parametrize("cutoff_hz", [3400, 5500, 7000])
def test_bandwidth(cutoff_hz: int) -> None:
    assert conditions(low_pass(noise(), cutoff_hz)).bandwidth_hz == pytest.approx(cutoff_hz, abs=200)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0, 30.0])
def test_snr_of_speech_with_pauses(snr_db: float) -> None:
    within_db = 3.0 if snr_db == 0.0 else 1.5  # there the estimate is the difference of two powers that are alike
    found = conditions(mixed(spoken(), noise(3.0, seed=1), snr_db)).snr_db
    assert found == pytest.approx(snr_db, abs=within_db)


def test_snr_is_not_raised_by_digital_silence_around_it() -> None:
    wave = mixed(spoken(), noise(3.0, seed=1), 10.0)
    padded = pad(wave, 0.5, np.random.default_rng(0))
    assert conditions(padded).snr_db == pytest.approx(conditions(wave).snr_db, abs=0.5)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_clipping(share: float) -> None:
    wave = band_limit(noise(), 500)  # so that a clipped stretch lasts some samples
    assert conditions(clip(wave, share, np.random.default_rng(0))).clipped_share == pytest.approx(share, rel=0.25)
    assert conditions(0.3 * clip(wave, share, np.random.default_rng(0))).clipped_share > 0.7 * share


@pytest.mark.parametrize(
    "wave", [noise(), spoken(), tone(1, 1, 1.0), chord()], ids=["noise", "speech", "tone", "chord"]
)
def test_what_is_not_clipped_is_not_called_so(wave: np.ndarray) -> None:
    assert conditions(wave).clipped_share < 5e-4


def test_silence_and_duration_and_peak() -> None:
    wave = np.concatenate([noise(1.0), np.zeros(3 * SAMPLE_RATE, np.float32)])
    found = conditions(wave)
    assert found.silence_share == pytest.approx(0.75, abs=0.01)
    assert found.duration_s == 4.0
    assert found.peak_db == pytest.approx(20 * np.log10(np.abs(wave).max()), abs=1e-3)


def test_holes_are_counted_where_the_spectrum_was_emptied() -> None:
    wave = noise(4.0)
    frames = np.arange(len(wave) // 4096)
    emptied = wave.copy()
    for frame in frames[frames % 2 == 0]:  # every other quarter second lacks 2 ... 4 kHz of its 8
        part = slice(frame * 4096, (frame + 1) * 4096)
        spectrum = np.fft.rfft(emptied[part])
        spectrum[512:1024] = 0.0
        emptied[part] = np.fft.irfft(spectrum, 4096)
    assert conditions(wave).hole_share < 1e-3
    # of 1 ... 7.8 kHz, 2 kHz are missing half of the time; cells at an edge hold some of both
    assert conditions(emptied).hole_share == pytest.approx(0.5 * 2 / 6.8, rel=0.25)


def test_music_is_told_from_speech_and_noise() -> None:
    assert conditions(chord()).music
    assert not any(conditions(wave).music for wave in (noise(), spoken(), np.zeros(8000, np.float32)))


def test_a_very_short_clip_and_silence_are_measured() -> None:
    assert conditions(noise(0.01)).duration_s == pytest.approx(0.01)
    silent = conditions(np.zeros(SAMPLE_RATE, np.float32))
    assert silent.silence_share == 1.0
    assert silent.clipped_share == 0.0


def test_of_a_long_clip_some_blocks_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 blocks of 1 s: five of them, evenly spread, say the same of the noise; all count for the silence."""
    wave = np.concatenate([mixed(spoken(12.0), noise(12.0, seed=1), 15.0), np.zeros(4 * SAMPLE_RATE, np.float32)])
    whole = conditions(wave)
    monkeypatch.setattr(module, "BLOCK_S", 1.0)
    monkeypatch.setattr(module, "SPECTRAL_BLOCKS", 5)
    looked_at: list[np.ndarray] = []
    spectrogram = module._spectrogram

    def watched(block: np.ndarray) -> np.ndarray:
        looked_at.append(block)
        return spectrogram(block)

    monkeypatch.setattr(module, "_spectrogram", watched)
    found = conditions(wave)
    starts = [0, 4, 8, 11, 15]  # of 0 ... 15, a fifth of the way apart
    assert all(np.array_equal(b, wave[s * 16000 :][:16000]) for b, s in zip(looked_at, starts, strict=True))
    assert found.snr_db == pytest.approx(whole.snr_db, abs=1.0)
    assert (found.duration_s, found.peak_db) == (whole.duration_s, whole.peak_db)
    assert found.silence_share == whole.silence_share == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("extra", [0, 1, 255, 511, 512])
def test_a_last_block_shorter_than_a_frame_is_no_edge(extra: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tone that broke off in the middle of a frame would fill the whole band."""
    monkeypatch.setattr(module, "BLOCK_S", 1.0)
    time_s = np.arange(2 * SAMPLE_RATE + extra) / SAMPLE_RATE
    wave = (0.5 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    assert conditions(wave).bandwidth_hz < 700
    assert conditions(wave).duration_s == pytest.approx(len(wave) / SAMPLE_RATE)


def test_clipping_is_counted_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a loop over samples."""
    wave = clip(band_limit(noise(1.0), 500), 0.1, np.random.default_rng(0))
    expected = 0
    for sign in (1.0, -1.0):
        near, run = (sign * wave) >= (sign * wave).max() * 0.999, 0
        for sample in [*near.tolist(), False]:
            expected += run if not sample and run >= 3 else 0
            run = run + 1 if sample else 0
    assert conditions(wave).clipped_share == expected / len(wave)
    monkeypatch.setattr(module, "BLOCK_S", 0.25)
    assert conditions(wave).clipped_share == pytest.approx(expected / len(wave), abs=3 * 4 / len(wave))


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.array([0.1, np.nan], np.float32)])
def test_what_cannot_be_measured(wave: np.ndarray) -> None:
    with pytest.raises(AudioError, match="not numbers"):
        conditions(wave)


def test_within_the_limits_there_is_nothing_to_say() -> None:
    assert outside(GOOD, LIMITS) == ()
    assert outside(replace(GOOD, duration_s=1.0, clipped_share=0.01), LIMITS) == ()  # at a limit is within
    assert outside(replace(GOOD, duration_s=0.1, snr_db=-5.0), Limits()) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration_s": 0.524}, "the clip lasts 0.524 s (validated: at least 1 s); too little speech"),
        ({"bandwidth_hz": 3400.0}, "reaches up to 3400 Hz (validated: at least 5000 Hz)"),
        ({"snr_db": 8.2}, "signal-to-noise ratio of 8.2 dB (validated: at least 20.0 dB)"),
        ({"peak_db": -50.0}, "peaks at -50.0 dB re full scale (validated: at least -40.0 dB)"),
        ({"clipped_share": 0.034}, "has 3.40% of its samples clipped (validated: at most 1.00%)"),
        ({"silence_share": 0.8}, "is silent for 80.0% of its length (validated: at most 50.0%)"),
        ({"hole_share": 0.1}, "has 10.00% of its spectrum emptied"),
        ({"music": True}, "sounds like music"),
    ],
)
def test_each_limit_that_is_broken_is_told(change: dict[str, float], words: str) -> None:
    (note,) = outside(replace(GOOD, **change), LIMITS)  # type: ignore[arg-type]
    assert words in note


def test_all_broken_limits_are_told() -> None:
    bad = Conditions(0.2, 3000.0, -60.0, 0.1, 3.0, 0.9, 0.2, True)
    assert len(outside(bad, LIMITS)) == 8
    assert len(outside(bad, replace(LIMITS, music=True))) == 7
    assert beyond(bad, LIMITS) == ("min_duration_s", "min_bandwidth_hz", "min_snr_db", "min_peak_db",
                                   "max_clipped_share", "max_silence_share", "max_hole_share", "music")  # fmt: skip
    assert beyond(GOOD, LIMITS) == ()


@pytest.mark.parametrize("limits", [LIMITS, Limits(), Limits(min_snr_db=12, music=True, basis="x")])
def test_limits_round_trip(limits: Limits) -> None:
    assert Limits.from_dict(limits.to_dict()) == limits
    assert None not in limits.to_dict().values()


@pytest.mark.parametrize(
    "values",
    [{"min_pitch": 1.0}, {"min_snr_db": "20"}, {"min_snr_db": float("nan")}, {"min_snr_db": True}, {"music": 1},
     {"min_snr_db": 10**400}, {"basis": None}, {"basis": "a\x1b[2J"}, {"basis": 1001 * "a"}, [1], None],
)  # fmt: skip
def test_limits_that_do_not_hold_together(values: object) -> None:
    with pytest.raises(CheckpointError, match="limits"):
        Limits.from_dict(values)  # type: ignore[arg-type]


def test_limits_are_kept_with_the_checkpoint_that_they_are_of(tmp_path: Path) -> None:
    LIMITS.save(tmp_path, "e" * 64)
    assert Limits.load(tmp_path, "e" * 64) == LIMITS
    assert Limits.load(tmp_path, "f" * 64) is None
    assert Limits.load(tmp_path / "nowhere", "e" * 64) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"limits": {}}', '{"extractor": "e", "limits": {"max_hole_share": "1"}}',
     '{"extractor": "e", "limits": {"x": 1}}', '{"extractor": "e", "limits": {"min_snr_db": 1e999}}', 30_000 * "[",
     70_000 * " ", "\udcff"],
)  # fmt: skip
def test_a_damaged_file_of_limits_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CheckpointError, match=r"limits\.json: .*measure the limits again") as caught:
        Limits.load(tmp_path, "e" * 64)
    assert caught.value.command == "model limits"
    assert len(str(caught.value)) < 600
