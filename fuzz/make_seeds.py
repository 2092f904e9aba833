"""Makes tests/fuzz_seeds again, with soundfile, the ffmpeg command, onnx and pyarrow: `python -m fuzz.make_seeds`.

The files lie in the repository, because encoders of other versions write other bytes: a case is named by its number.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

Operator = tuple[str, list[str], str, dict[str, Any]]  # name, inputs, output, attributes
SEEDS = Path(__file__).resolve().parents[1] / "tests" / "fuzz_seeds"
RATE, DURATION_S = 16_000, 0.2
WRITTEN = {  # name -> (format, subtype, channels) of libsndfile
    "pcm16.wav": ("WAV", "PCM_16", 1), "pcm24.wav": ("WAV", "PCM_24", 1), "float.wav": ("WAV", "FLOAT", 1),
    "stereo.wav": ("WAVEX", "PCM_16", 2), "adpcm.wav": ("WAV", "IMA_ADPCM", 1), "ulaw.wav": ("WAV", "ULAW", 1),
    "rf64.wav": ("RF64", "PCM_16", 1), "pcm16.flac": ("FLAC", "PCM_16", 1), "stereo.flac": ("FLAC", "PCM_16", 2),
    "vorbis.ogg": ("OGG", "VORBIS", 1), "opus.opus": ("OGG", "OPUS", 1), "layer3.mp3": ("MP3", "MPEG_LAYER_III", 1),
    "pcm16.aiff": ("AIFF", "PCM_16", 1), "ulaw.aiff": ("AIFF", "ULAW", 1), "pcm16.au": ("AU", "PCM_16", 1),
    "alaw.au": ("AU", "ALAW", 1), "pcm16.caf": ("CAF", "PCM_16", 1),
}  # fmt: skip
ENCODED = {  # name -> options of ffmpeg
    "aac.m4a": ("-c:a", "aac", "-b:a", "32k"), "aac.mp4": ("-c:a", "aac", "-b:a", "24k", "-movflags", "faststart"),
    "alac.m4a": ("-c:a", "alac"), "opus.webm": ("-c:a", "libopus", "-b:a", "24k"), "adts.aac": ("-c:a", "aac",),
    "vorbis.mka": ("-c:a", "libvorbis",), "xing.mp3": ("-c:a", "libmp3lame", "-q:a", "7"),
}  # fmt: skip
PLAYLISTS = {
    "ffconcat.wav": "ffconcat version 1.0\nfile canary.wav\n",
    "hls.wav": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ncanary.wav\n#EXT-X-ENDLIST\n",
    "dash.wav": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="'
    'urn:mpeg:dash:profile:isoff-main:2011" mediaPresentationDuration="PT1S"><Period>'
    '<AdaptationSet mimeType="audio/wav"><Representation id="1" bandwidth="1"><BaseURL>canary.wav</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>\n",
    "sdp.wav": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


def speech() -> np.ndarray:
    """A pulse train through a resonance, [T]: something for the encoders to keep."""
    rng = np.random.default_rng(1)
    excitation = 0.02 * rng.standard_normal(round(RATE * DURATION_S))
    excitation[::120] += 1.0
    time_s = np.arange(320) / RATE
    wave = np.convolve(excitation, np.exp(-300 * time_s) * np.cos(2 * np.pi * 900 * time_s))[: len(excitation)]
    return np.asarray(0.5 * wave / np.abs(wave).max(), np.float32)


def audio() -> None:
    """Every container and coding."""
    wave = speech()
    for name, (container, subtype, channels) in WRITTEN.items():
        samples = wave if channels == 1 else np.stack([wave, wave[::-1]], axis=1)
        soundfile.write(SEEDS / name, samples, RATE, subtype, format=container)
    for name, options in ENCODED.items():
        exact = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact")
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(SEEDS / "pcm16.wav"), *options, *exact, str(SEEDS / name)]
        subprocess.run(command, check=True)
    for name, text in PLAYLISTS.items():
        (SEEDS / name).write_text(text, encoding="utf-8")


def parquet() -> None:
    """A manifest as Parquet."""
    import pyarrow
    import pyarrow.parquet

    columns = {
        "path": ["a/1.wav", "a/2.wav", "b/1.wav"], "source": ["a", "a", "b"], "duration_s": [1.0, 2.5, None],
        "split": ["train", "dev", "test"], "source_seen": [True, True, False], "speaker": [1, 2, 3],
    }  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.table(columns), SEEDS / "manifest.parquet", compression="none")


def graphs() -> None:
    """ONNX graphs: a sound one (waveform [1, 1600] -> embedding [1, 8]), and others that must be refused.

    Two are sound where they are asked for: one that gives features [1, 8] too, and a head, which takes some [1, 1600].
    """
    from onnx import TensorProto, helper, save_model

    def graph(name: str, nodes: Sequence[Operator], *constants: object,
              source: str = "waveform", shape: tuple[object, ...] = ("batch", 1600), kind: int = TensorProto.FLOAT,
              out: tuple[object, ...] = ("batch", 8), domain: str = "", given: Sequence[str] = ("embedding",),
              ) -> None:  # fmt: skip
        operators = [
            helper.make_node(op, ins, [to], domain=domain if op == "Custom" else "", **own)
            for op, ins, to, own in nodes
        ]
        inputs = [helper.make_tensor_value_info(source, kind, shape)]
        outputs = [helper.make_tensor_value_info(value, TensorProto.FLOAT, out) for value in given]
        model = helper.make_model(
            helper.make_graph(operators, "extractor", inputs, outputs, list(constants)),
            opset_imports=[helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])],
            ir_version=8,
        )
        save_model(model, SEEDS / f"{name}.onnx")

    rows = helper.make_tensor("rows", TensorProto.INT64, [3], [-1, 8, 200])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [2])
    parts: Operator = ("Reshape", ["waveform", "rows"], "parts", {})
    total: Operator = ("ReduceL2", ["parts", "axes"], "embedding", {"keepdims": 0})
    graph("sound", [parts, total], rows, axes)
    graph("features", [parts, ("ReduceL2", ["parts", "axes"], "features", {"keepdims": 0}),
                       ("Neg", ["features"], "embedding", {})],
          rows, axes, given=("embedding", "features"))  # fmt: skip
    graph("head", [("Reshape", ["features", "rows"], "parts", {}), total], rows, axes, source="features")
    graph("other_input", [("Reshape", ["x", "rows"], "parts", {}), total], rows, axes, source="x")
    graph("other_size", [("ReduceL2", ["parts", "one"], "embedding", {"keepdims": 0}), parts][::-1], rows,
          helper.make_tensor("one", TensorProto.INT64, [1], [1]), out=("batch", 200))  # fmt: skip
    graph("other_window", [("Reshape", ["waveform", "rows"], "parts", {}), total],
          helper.make_tensor("rows", TensorProto.INT64, [3], [-1, 8, 100]), axes, shape=("batch", 800))  # fmt: skip
    graph("double", [("Cast", ["waveform"], "single", {"to": TensorProto.FLOAT}),
                     ("Reshape", ["single", "rows"], "parts", {}), total],
          rows, axes, kind=TensorProto.DOUBLE)  # fmt: skip
    graph("custom", [parts, ("Custom", ["parts"], "embedding", {})], rows, domain="a.stranger")
    graph("not_a_number", [parts, ("ReduceL2", ["parts", "axes"], "sums", {"keepdims": 0}),
                           ("Sub", ["sums", "sums"], "zeros", {}), ("Div", ["zeros", "zeros"], "embedding", {})],
          rows, axes)  # fmt: skip
    graph("large", [parts, ("ReduceL2", ["parts", "axes"], "sums", {"keepdims": 0}),
                    ("Expand", ["sums", "shape"], "wide", {}),
                    ("ReduceMax", ["wide", "first"], "embedding", {"keepdims": 0})],
          rows, axes, helper.make_tensor("shape", TensorProto.INT64, [3], [1 << 28, 1, 8]),
          helper.make_tensor("first", TensorProto.INT64, [1], [0]))  # fmt: skip
    outside = TensorProto(name="rows", data_type=TensorProto.INT64, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "canary.wav"), ("offset", "0"), ("length", "24")):
        outside.external_data.add(key=key, value=value)
    graph("external", [parts, total], outside, axes)


if __name__ == "__main__":
    SEEDS.mkdir(parents=True, exist_ok=True)
    audio()
    parquet()
    graphs()
