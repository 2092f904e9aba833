"""Any file in, 16 kHz mono float32 out; and the windows that cover it.

*Conventions.* A wave is a one-dimensional float32 array at `SAMPLE_RATE`, full scale at ±1. Channels are
averaged. Lengths in samples are `n_samples`, in seconds `duration_s`.

libsndfile decodes what it can (wav, flac, ogg, opus, mp3, aiff, …); everything else (m4a, aac, mp4, webm,
amr, …) goes to the `ffmpeg` command where it is on the path, else to PyAV (`synthprint[media]`).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthprint.errors import AudioError

SAMPLE_RATE = 16_000  # Hz
MAX_DURATION_S = 4 * 3600.0  # a longer file is refused: its samples alone would take 920 MB
MIN_DURATION_S = 0.05  # below this there is not one pitch period to look at
SILENCE = 1e-5  # a wave whose peak is below this (-100 dBFS) holds nothing
BLOCK_S = 10.0  # decoded and resampled in blocks of this length
RESAMPLER_MARGIN_S = 0.1  # context decoded around a crop, so that the resampler's edges fall outside it


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: native `sample_rate` in Hz, `channels`, `duration_s`, container and coding."""

    sample_rate: int
    channels: int
    duration_s: float
    format: str
    subtype: str


def info(path: str | Path) -> AudioInfo:
    """Read the header of a file.

    Raises:
        AudioError: it is missing, empty, or not audio.
    """
    path = _existing(path)
    import soundfile

    try:
        header = soundfile.info(str(path))
    except soundfile.LibsndfileError:
        wave = _decode_foreign(path)  # no header to trust: the length is that of what decodes
        return AudioInfo(SAMPLE_RATE, 1, len(wave) / SAMPLE_RATE, path.suffix.lstrip(".").upper(), "")
    return AudioInfo(header.samplerate, header.channels, header.duration, header.format, header.subtype)


def load(path: str | Path, start_s: float = 0.0, duration_s: float | None = None) -> np.ndarray:
    """Decode a file, or the part of it from `start_s` on, to 16 kHz mono.

    Where libsndfile can seek, only the part asked for is decoded.

    Returns:
        float32 [T], finite.

    Raises:
        AudioError: missing, empty, truncated to nothing, not audio, not finite, longer than MAX_DURATION_S,
            or shorter than MIN_DURATION_S.
    """
    path = _existing(path)
    import soundfile

    try:
        file = soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError:
        wave = _decode_foreign(path)
        start = round(start_s * SAMPLE_RATE)
        return checked(wave[start : None if duration_s is None else start + round(duration_s * SAMPLE_RATE)], path)
    with file:
        try:
            return checked(_decode(file, path, start_s, duration_s), path)
        except soundfile.LibsndfileError as error:
            raise AudioError(path, f"cannot be decoded ({error}); is it damaged?") from error


def checked(wave: np.ndarray, path: str | Path) -> np.ndarray:
    """`wave` as it is, if it can be used at all; `path` names it in errors.

    Raises:
        AudioError: not finite, or shorter than MIN_DURATION_S.
    """
    if not np.isfinite(wave).all():
        raise AudioError(path, "has samples that are not numbers (NaN or infinite); export it again")
    if len(wave) < MIN_DURATION_S * SAMPLE_RATE:
        seconds = len(wave) / SAMPLE_RATE
        raise AudioError(path, f"holds {seconds:.3f} s of audio; at least {MIN_DURATION_S} s are needed")
    return wave


def is_silent(wave: np.ndarray) -> bool:
    """Whether nothing in `wave` [T] rises above SILENCE."""
    return bool(np.abs(wave).max(initial=0.0) < SILENCE)


def resample(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """A wave [T] at `sample_rate` Hz brought to SAMPLE_RATE; float32."""
    if sample_rate == SAMPLE_RATE:
        return np.ascontiguousarray(wave, dtype=np.float32)
    import soxr

    return np.asarray(soxr.resample(wave.astype(np.float32), sample_rate, SAMPLE_RATE, quality="HQ"), np.float32)


def wrap(wave: np.ndarray, n_samples: int) -> np.ndarray:
    """`wave` [T], repeated from its start until it fills `n_samples` where it is shorter."""
    if len(wave) >= n_samples:
        return wave
    return np.resize(wave, n_samples)


def crop(wave: np.ndarray, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of `wave` [T], `n_samples` long; a shorter wave is wrapped."""
    wave = wrap(wave, n_samples)
    start = int(rng.integers(len(wave) - n_samples + 1))
    return wave[start : start + n_samples]


def window_starts(length: int, window: int) -> np.ndarray:
    """Where the windows that cover `length` samples start: evenly spaced, the last ends at the end.

    As few windows as cover everything; a clip no longer than one window has one, at 0 (see `wrap`).

    Returns:
        int64 [W], in samples.
    """
    count = max(1, -(-length // window))
    return np.linspace(0, max(0, length - window), count).round().astype(np.int64)


def windows(wave: np.ndarray, window: int) -> np.ndarray:
    """The windows [W, window] that cover `wave` [T]; a copy."""
    wave = wrap(wave, window)
    return np.stack([wave[start : start + window] for start in window_starts(len(wave), window)])


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise AudioError(path, "no such file")
    if path.is_dir():
        raise AudioError(path, "is a folder, not an audio file")
    try:
        if path.stat().st_size == 0:
            raise AudioError(path, "is empty (0 bytes)")
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error}") from error
    return path


def _too_long(path: Path, seconds: float) -> AudioError:
    return AudioError(path, f"lasts {seconds / 3600:.1f} h; at most {MAX_DURATION_S / 3600:.0f} h: cut it into parts")


def _decode(file: Any, path: Path, start_s: float, duration_s: float | None) -> np.ndarray:
    rate = file.samplerate
    if file.frames / rate > MAX_DURATION_S and duration_s is None:
        raise _too_long(path, file.frames / rate)
    if start_s == 0.0 and duration_s is None:
        return _gather(_resampled(file.blocks(round(BLOCK_S * rate), dtype="float32", always_2d=True), rate), path)
    first = max(0, round((start_s - RESAMPLER_MARGIN_S) * rate))
    file.seek(min(first, file.frames))
    wanted = -1 if duration_s is None else round((start_s + duration_s + RESAMPLER_MARGIN_S) * rate) - first
    wave = resample(file.read(wanted, dtype="float32", always_2d=True).mean(axis=1), rate)
    skip = round((start_s - first / rate) * SAMPLE_RATE)
    return wave[skip : None if duration_s is None else skip + round(duration_s * SAMPLE_RATE)]


def _resampled(blocks: Iterator[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Blocks [T, channels] at `rate` -> blocks [T'] at SAMPLE_RATE, with no seam."""
    if rate == SAMPLE_RATE:
        yield from (block.mean(axis=1) for block in blocks)
        return
    import soxr

    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.mean(axis=1), np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _gather(blocks: Iterator[np.ndarray], path: Path) -> np.ndarray:
    """All blocks as one wave; stops where a header lied and the audio does not end."""
    gathered: list[np.ndarray] = []
    total = 0
    for block in blocks:
        gathered.append(block)
        total += len(block)
        if total > MAX_DURATION_S * SAMPLE_RATE:
            raise _too_long(path, total / SAMPLE_RATE)
    return np.concatenate(gathered) if gathered else np.zeros(0, np.float32)


def _decode_foreign(path: Path) -> np.ndarray:
    """What libsndfile does not read: through ffmpeg, else PyAV."""
    if shutil.which("ffmpeg"):
        return _decode_ffmpeg(path)
    try:
        import av
    except ImportError:
        remedy = "install ffmpeg, or pip install 'synthprint[media]' for m4a, mp4, webm and amr"
        raise AudioError(path, f"is not audio that libsndfile reads; {remedy}") from None
    try:
        with av.open(str(path)) as container:
            return _gather(_av_blocks(av, container), path)
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise AudioError(path, f"is not audio, or is damaged ({error})") from error


def _av_blocks(av: Any, container: Any) -> Iterator[np.ndarray]:
    stream = container.streams.audio[0]
    mono = av.AudioResampler(format="flt", layout="mono")
    decoded = (frame for source in (container.decode(stream), [None]) for frame in source)
    native = (out.to_ndarray().reshape(-1, 1) for frame in decoded for out in mono.resample(frame))
    yield from _resampled(native, stream.rate)


def _decode_ffmpeg(path: Path) -> np.ndarray:
    probe = ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries", "stream=sample_rate"]
    found = subprocess.run([*probe, "-of", "csv=p=0", f"file:{path}"], capture_output=True, text=True, check=False)
    rate_text = found.stdout.strip().split("\n")[0].strip(",")
    if not rate_text.isdigit() or int(rate_text) == 0:
        raise AudioError(path, "is not audio that libsndfile or ffmpeg reads; is it damaged, or another kind of file?")
    rate = int(rate_text)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", f"file:{path}", "-map", "a:0", "-ac", "1", "-f", "f32le", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            return _gather(_resampled(_pipe_blocks(process.stdout, rate), rate), path)
        finally:
            process.kill()


def _pipe_blocks(pipe: Any, rate: int) -> Iterator[np.ndarray]:
    while data := pipe.read(4 * round(BLOCK_S * rate)):
        yield np.frombuffer(data[: len(data) // 4 * 4], np.float32).reshape(-1, 1)
