"""Round trips through lossy codecs at a given rate: what a clip has been through that was sent, posted or phoned.

libsndfile does MP3, Opus, G.711 and GSM. AAC and AMR need an encoder of PyAV (`synthprint[media]`) or of the `ffmpeg`
command; `lacking` says where there is none. All functions take a wave [T] float32 at 16 kHz and give one of the same
length.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from functools import cache

import numpy as np

from synthprint.errors import MissingDependency
from synthprint.sound import audio, processes
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.sound.augmentation import code

# (lowest, highest) kbit/s of one channel at 16 kHz that libsndfile's compression level 1 ... 0 stands for
MP3_KBIT_S = (8.0, 160.0)
OPUS_KBIT_S = (6.0, 256.0)
MOST_COMPRESSION = 0.9999  # libsndfile refuses an MP3 at exactly 1


def mp3(wave: np.ndarray, kbit_s: float) -> np.ndarray:
    """MPEG-2 layer III by LAME at a constant bitrate, mono at 16 kHz."""
    import soundfile

    low, high = MP3_KBIT_S
    compression = min((high - kbit_s) / (high - low), MOST_COMPRESSION)
    file = io.BytesIO()
    soundfile.write(file, wave, SAMPLE_RATE, format="MP3", compression_level=compression, bitrate_mode="CONSTANT")
    file.seek(0)
    received, sample_rate = soundfile.read(file, dtype="float32")
    return _fitted(audio.resample(received, sample_rate), len(wave))


def opus(wave: np.ndarray, kbit_s: float) -> np.ndarray:
    """Opus by libopus, mono at 16 kHz, at about this bitrate (it varies within a clip)."""
    low, high = OPUS_KBIT_S
    return code(wave, "OGG", "OPUS", SAMPLE_RATE, (high - kbit_s) / (high - low))


def g711(wave: np.ndarray, law: str) -> np.ndarray:
    """ITU-T G.711, "a-law" or "mu-law": 8 bits a sample at 8 kHz, 64 kbit/s."""
    return code(wave, "WAV", {"a-law": "ALAW", "mu-law": "ULAW"}[law], 8_000)


def gsm(wave: np.ndarray) -> np.ndarray:
    """GSM 06.10 full rate, 13 kbit/s at 8 kHz."""
    return code(wave, "WAV", "GSM610", 8_000)


def aac(wave: np.ndarray, kbit_s: float) -> np.ndarray:
    """AAC-LC by ffmpeg's own encoder, mono at 16 kHz, in an .m4a.

    Raises:
        MissingDependency: there is no encoder.
    """
    return _coded(wave, "aac", "ipod", SAMPLE_RATE, kbit_s)


def amr_nb(wave: np.ndarray, kbit_s: float) -> np.ndarray:
    """AMR narrow-band, 4.75 ... 12.2 kbit/s at 8 kHz.

    Raises:
        MissingDependency: there is no encoder.
    """
    return _coded(wave, "libopencore_amrnb", "amr", 8_000, kbit_s)


def amr_wb(wave: np.ndarray, kbit_s: float) -> np.ndarray:
    """AMR wide-band (ITU-T G.722.2), 6.6 ... 23.85 kbit/s at 16 kHz.

    Raises:
        MissingDependency: there is no encoder.
    """
    return _coded(wave, "libvo_amrwbenc", "amr", SAMPLE_RATE, kbit_s)


@cache
def lacking(encoder: str) -> str:
    """Why this machine cannot encode with ffmpeg's `encoder`, in words; "" where it can."""
    if _av_has(encoder) or encoder in _ffmpeg_encoders():
        return ""
    return f"neither PyAV (pip install 'synthprint[media]') nor an ffmpeg command with the encoder {encoder} is here"


def _av_has(encoder: str) -> bool:
    try:
        import av
    except ImportError:
        return False
    return encoder in av.codecs_available and av.codec.Codec(encoder, "w").is_encoder


@cache
def _ffmpeg_encoders() -> frozenset[str]:
    if not shutil.which("ffmpeg"):
        return frozenset()
    command = ["ffmpeg", "-hide_banner", "-v", "error", "-encoders"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return frozenset(words[1] for line in lines if len(words := line.split()) > 1)


def _coded(wave: np.ndarray, encoder: str, container: str, sample_rate: int, kbit_s: float) -> np.ndarray:
    if reason := lacking(encoder):
        raise MissingDependency(reason)
    import soxr

    sent = wave if sample_rate == SAMPLE_RATE else soxr.resample(wave, SAMPLE_RATE, sample_rate)
    through = _through_av if _av_has(encoder) else _through_ffmpeg
    received = audio.resample(through(sent, encoder, container, sample_rate, round(1000 * kbit_s)), sample_rate)
    return _fitted(received, len(wave))


def _through_av(wave: np.ndarray, encoder: str, container: str, sample_rate: int, bit_s: int) -> np.ndarray:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(encoder, rate=sample_rate, layout="mono")
        stream.bit_rate = bit_s
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None], np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = sample_rate, 0
        for packets in (stream.encode(frame), stream.encode(None)):  # None: what is still held back
            output.mux(packets)
    file.seek(0)
    with av.open(file) as received:
        converter = av.AudioResampler("flt", "mono", sample_rate)
        frames = [f for frame in [*received.decode(audio=0), None] for f in converter.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _through_ffmpeg(wave: np.ndarray, encoder: str, container: str, sample_rate: int, bit_s: int) -> np.ndarray:
    raw = ["-f", "f32le", "-ar", str(sample_rate), "-ac", "1"]
    with processes.scratch() as folder:
        path = folder / "clip"
        encode = [*raw, "-i", "pipe:0", "-c:a", encoder, "-b:a", str(bit_s), "-f", container, str(path)]
        _ffmpeg(encode, wave.astype("<f4").tobytes())
        return np.frombuffer(_ffmpeg(["-i", str(path), *raw, "pipe:1"]), "<f4")


def _ffmpeg(arguments: list[str], fed: bytes = b"") -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", *arguments], input=fed, check=True, capture_output=True).stdout


def _fitted(wave: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut, or filled up with silence, to `n_samples`, and within full scale, which a decoder may pass."""
    wave = np.clip(wave[:n_samples], -1.0, 1.0)
    return np.pad(wave, (0, n_samples - len(wave)))
