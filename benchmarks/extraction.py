"""Embedding a corpus, against the way of the trainer that the paper used: both from audio files, in one process.

The reference is `voxceleb_trainer`'s evaluation: ten evenly spaced crops of 300 frames of each file, as one batch
through the eager float32 Thin-ResNet, one file after another. Ours is `embed_manifest` with the graph of the same
network at the paper's 2 s, and with the model that comes with synthprint. Weights are random where the network is the
same: they change no time. Clips: examples/clips, under as many names as are wanted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile
import torch
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions
from onnxscript.function_libs.torch_lib.ops.core import aten_stft

from benchmarks.measuring import Figure, Topic, cores, in_fresh_process, paired
from benchmarks.streaming import CLIPS, corpus, streamed
from synthprint.backbones.spectral_statistics import SpectralStatistics
from synthprint.backbones.thin_resnet import ThinResNet
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.recipe import Recipe
from synthprint.extractor.runtime import Extractor, load_backbone, load_extractor
from synthprint.extractor.windows import audible_windows
from synthprint.model.shipped import model_folder
from synthprint.sound import audio
from synthprint.training.export import write_checkpoint, write_graph
from synthprint.types import Manifest

ROOT = Path(__file__).parents[1]
CROPS, CROP_SAMPLES = 10, 48_240  # 300 frames of 10 ms, and what a frame of 25 ms needs beyond its hop
SHARE_OF_TIME = "x the time of embedding them"


def run(tiny: bool) -> Topic:
    """Measure."""
    runs, few, many, stream = (1, 4, 8, 40) if tiny else (7, 20, 300, 100_000)
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as work:
        recipe = Recipe.load(ROOT / "recipes" / "paper" / "thin_resnet_ge2e_balanced.toml")
        recipe = recipe.changed(["backbone.blocks=[1, 1, 1, 1]"] if tiny else [])
        network = ThinResNet(recipe.backbone.dim, **recipe.backbone.options).eval()
        fast = Recipe.load(ROOT / "recipes" / "fast.toml")
        light = SpectralStatistics(fast.backbone.dim, **fast.backbone.options).eval()
        shipped = Checkpoint.load(model_folder())
        checkpoints = {
            "Thin-ResNet, 2 s": write_checkpoint(network, recipe, {}, Path(work) / "thin_resnet"),
            "fast, 2 s": write_checkpoint(light, fast, {}, Path(work) / "fast"),
            f"the shipped model, {shipped.window_samples / audio.SAMPLE_RATE:g} s": shipped,
        }
        extractors = {name: load_extractor(checkpoint.folder) for name, checkpoint in checkpoints.items()}
        figures = lighter(*list(extractors.values())[:2], few, runs)
        for name, checkpoint in checkpoints.items():
            extractor = extractors[name]
            figures += against_the_reference(name, network, extractor, corpus(few), runs)
            figures += whole(name, extractor, corpus(many), runs)
            figures += variants(name, checkpoint, extractor, Path(work), few, runs)
        figures += decoding(Path(work), few, runs)
        (rows, samples), peak_mb = in_fresh_process(streamed, stream)
    figures += memory(rows, samples, peak_mb)
    settings = {"runs": runs, "files a paired run": few, "files a whole run": many, "files streamed": stream}
    return Topic(figures, {**settings, "threads": cores()}, {"memory, MB after so many files": [rows, samples]})


def against_the_reference(
    name: str, network: torch.nn.Module, extractor: Extractor, manifest: Manifest, runs: int
) -> list[Figure]:
    """Utterances a second, and how many times the reference's."""
    found = paired(lambda: reference(network, manifest), lambda: embed_manifest(extractor, manifest), runs)
    rate = len(manifest) / found.b_s
    against = f"x the reference, {1000 * found.a_s / len(manifest):.0f} ms an utterance"
    return [Figure(f"{name}: files embedded", rate, "utterances/s", found.ratio, against, found.spread)]


def reference(network: torch.nn.Module, manifest: Manifest) -> np.ndarray:
    """[N, 10, D], file after file."""
    embeddings = []
    for utterance in manifest:
        wave, _ = soundfile.read(manifest.audio_path(utterance), dtype="float32")
        if len(wave) < CROP_SAMPLES:
            wave = np.pad(wave, (0, CROP_SAMPLES - len(wave)), "wrap")
        starts = np.linspace(0, len(wave) - CROP_SAMPLES, CROPS).astype(int)
        with torch.no_grad():
            embeddings.append(network(torch.from_numpy(np.stack([wave[s : s + CROP_SAMPLES] for s in starts]))))
    return torch.stack(embeddings).numpy()


def lighter(thin_resnet: Extractor, fast: Extractor, clips: int, runs: int) -> list[Figure]:
    """The recipe `fast` against the paper's network, on the same windows of 2 s, decoded already."""
    manifest = corpus(clips)
    waves = [audio.load(manifest.audio_path(utterance)) for utterance in manifest]
    windows = [view for wave in waves for view in audible_windows(wave, fast.window_samples, "clip")]
    found = paired(lambda: thin_resnet.embed_windows(windows), lambda: fast.embed_windows(windows), runs)
    rate = len(windows) / found.b_s
    return [Figure("fast: windows of 2 s embedded", rate, "windows/s", found.ratio, "x Thin-ResNet", found.spread)]


def whole(name: str, extractor: Extractor, manifest: Manifest, runs: int) -> list[Figure]:
    """Real-time factor, and how much of the time is decoding."""
    paths = [manifest.audio_path(utterance) for utterance in manifest]
    found = paired(lambda: list(audio.decoded(paths)), lambda: embed_manifest(extractor, manifest), runs)
    seconds = sum(len(audio.load(path)) for path in paths) / audio.SAMPLE_RATE
    decoding_ms = 1000 * found.a_s / len(paths)
    return [
        Figure(f"{name}: real-time factor, {len(paths)} files", found.b_s / seconds, ""),
        Figure(f"{name}: decoding them", decoding_ms, "ms each", found.ratio, SHARE_OF_TIME, found.spread),
    ]


def variants(
    name: str, checkpoint: Checkpoint, extractor: Extractor, work: Path, clips: int, runs: int
) -> list[Figure]:
    """What else may be done with the same windows, each paired with what is done."""
    manifest = corpus(clips)
    waves = [audio.load(manifest.audio_path(utterance)) for utterance in manifest]
    windows = [view for wave in waves for view in audible_windows(wave, extractor.window_samples, "clip")]
    plain = work / "plain.onnx"
    with patch("synthprint.layers.onnx_stft.stft", aten_stft):
        write_graph(load_backbone(checkpoint).eval(), torch.from_numpy(np.stack(windows[:2])), plain)
    whole_batch = len(windows) // cores() // 2
    tried: dict[str, Callable[[], Any]] = {
        "onnxruntime's own Fourier transform": one_by_one(plain, windows, 1, cores()),
        "no optimisation of the graph": one_by_one(checkpoint.graph, windows, 1, cores(), optimised=False),
        "window after window, all cores within": one_by_one(checkpoint.graph, windows, cores(), 1),
        f"batches of {whole_batch}, all cores within": one_by_one(checkpoint.graph, windows, cores(), 1, whole_batch),
    }
    figures = []
    for what, work_done in tried.items():
        found = paired(work_done, lambda: extractor.embed_windows(windows), runs)
        each_ms = 1000 * found.a_s / len(windows)
        figures.append(
            Figure(f"{name}, {what}", each_ms, "ms a window", found.ratio, "x the time as it is done", found.spread)
        )
    return figures


def one_by_one(
    graph: Path, windows: Sequence[np.ndarray], within: int, beside: int, batch: int = 1, optimised: bool = True
) -> Callable[[], Any]:
    """Runs all windows: `beside` at a time, in batches, each with `within` threads."""
    from concurrent.futures import ThreadPoolExecutor

    options = SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = within, 3
    if not optimised:
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    session = InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    batches = [np.stack(windows[start : start + batch]) for start in range(0, len(windows), batch)]
    pool = ThreadPoolExecutor(beside)
    return lambda: list(pool.map(lambda waveforms: session.run(None, {"waveform": waveforms}), batches))


def decoding(work: Path, clips: int, runs: int) -> list[Figure]:
    """What other kinds of file cost, against 16 kHz FLAC."""
    sources = [CLIPS / utterance.path for utterance in corpus(clips)]
    figures = []
    for rate in (audio.SAMPLE_RATE, 44_100):
        for kind in ("flac", "wav", "mp3"):
            paths = [work / f"{i}-{rate}.{kind}" for i in range(clips)]
            for source, path in zip(sources, paths, strict=True):
                soundfile.write(path, at_rate(audio.load(source), rate), rate)
            found = paired(lambda p=paths: list(audio.decoded(p)), lambda: list(audio.decoded(sources)), runs)  # type: ignore[misc]
            what = f"decoding {kind}, {rate / 1000:g} kHz"
            figures.append(
                Figure(what, 1000 * found.a_s / clips, "ms each", found.ratio, "x the examples' FLAC", found.spread)
            )
    return figures


def at_rate(wave: np.ndarray, rate: int) -> np.ndarray:
    """A wave at 16 kHz, brought to `rate`."""
    import soxr

    return np.asarray(soxr.resample(wave, audio.SAMPLE_RATE, rate))


def memory(files_done: Sequence[int], resident_mb: Sequence[float], peak_mb: float) -> list[Figure]:
    """Peak, and the growth over the second half of the stream; an embedding that is kept is 256 bytes of it."""
    late = len(files_done) // 2
    growth_mb = np.polyfit(files_done[late:], resident_mb[late:], 1)[0] if len(files_done) - late > 1 else 0.0
    return [
        Figure(f"memory in use at most, {files_done[-1]} files", peak_mb, "MB"),
        Figure("memory that 100,000 files more would take, embeddings included", 100_000 * growth_mb, "MB"),
    ]
