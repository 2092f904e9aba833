"""Extraction: windows and their mean, the same result whatever stands beside a clip, failures, resuming."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from torch import nn

from conftest import tone
from synthprint.errors import AudioError, CheckpointError, EmbeddingsError
from synthprint.extractor import embedding, manifest_embedding
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.embedding import embed, embed_wave
from synthprint.extractor.manifest_embedding import embed_manifest
from synthprint.extractor.runtime import OnnxExtractor, TorchExtractor, load_backbone, load_extractor
from synthprint.manifests.packing import pack
from synthprint.sound.audio import SAMPLE_RATE
from synthprint.types import Embeddings, Manifest, Utterance, Windows

WINDOW = 8000


@pytest.fixture(scope="session")
def extractor(tiny_checkpoint: Checkpoint) -> OnnxExtractor:
    return OnnxExtractor(tiny_checkpoint, threads=2)


def by_hand(checkpoint: Checkpoint, wave: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The embedding of one wave, window after window, and where the windows start in seconds."""
    session = onnxruntime.InferenceSession(str(checkpoint.graph))
    if len(wave) < WINDOW:
        wave = np.tile(wave, WINDOW)[:WINDOW]
    count = -(-len(wave) // WINDOW)
    starts = [0] if count == 1 else [round(i * (len(wave) - WINDOW) / (count - 1)) for i in range(count)]
    total = np.zeros(checkpoint.dim)
    for start in starts:
        vector = session.run(None, {"waveform": wave[None, start : start + WINDOW]})[0][0].astype(np.float64)
        total += vector / np.sqrt(vector @ vector)
    mean = total / count
    return mean / np.sqrt(mean @ mean), [start / SAMPLE_RATE for start in starts]


@pytest.mark.parametrize("duration_s", [0.05, 0.3, 0.5, 0.501, 1.0, 1.7, 6.01])
def test_an_embedding_is_the_mean_over_windows(
    duration_s: float, extractor: OnnxExtractor, tiny_checkpoint: Checkpoint
) -> None:
    wave = tone(2, 2, duration_s)
    vector, windows = embed_wave(extractor, wave)
    expected, starts_s = by_hand(tiny_checkpoint, wave)
    np.testing.assert_allclose(vector, expected, atol=1e-6)
    np.testing.assert_allclose(windows.starts_s, starts_s, atol=1e-9)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(windows.vectors, axis=1), 1.0, atol=1e-6)


def test_silent_windows_are_left_out(extractor: OnnxExtractor) -> None:
    wave = np.concatenate([tone(1, 1, 0.5), np.zeros(WINDOW, np.float32), tone(1, 2, 0.5)])
    vector, windows = embed_wave(extractor, wave)
    assert windows.starts_s.tolist() == [0.0, 1.0]
    one, other = (embed_wave(extractor, tone(1, clip, 0.5))[0] for clip in (1, 2))
    np.testing.assert_allclose(vector, (one + other) / np.linalg.norm(one + other), atol=1e-6)


def test_torch_gives_what_onnx_gives(extractor: OnnxExtractor, tiny_checkpoint: Checkpoint) -> None:
    by_torch = TorchExtractor.load(tiny_checkpoint, "cpu")
    windows = [tone(i, i, 0.5) for i in range(5)]
    np.testing.assert_allclose(by_torch.embed_windows(windows), extractor.embed_windows(windows), atol=1e-5)
    assert by_torch.digest == extractor.digest == tiny_checkpoint.digest
    assert (by_torch.window_samples, by_torch.dim) == (extractor.window_samples, extractor.dim) == (WINDOW, 8)


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_result_depends_on_nothing_beside_it(kind: str, tiny_checkpoint: Checkpoint) -> None:
    extractor = (
        load_extractor(tiny_checkpoint.folder) if kind == "onnx" else TorchExtractor.load(tiny_checkpoint, "cpu")
    )
    waves = [(f"{i}", tone(i % 6, i, 0.2 + 0.3 * i)) for i in range(12)]
    together, _ = embed(extractor, waves)
    backwards, _ = embed(extractor, waves[::-1])
    assert together is not None
    assert backwards is not None
    for i, (_, wave) in enumerate(waves):
        alone, _ = embed_wave(extractor, wave)
        assert (together.vectors[i] == alone).all()  # to the last bit
        assert (backwards.vectors[11 - i] == alone).all()


def test_windows_are_kept_on_request(extractor: OnnxExtractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK_WINDOWS", 4)  # several chunks
    waves = [(f"{i}", tone(i, i, 0.7 * (i + 1))) for i in range(5)]
    found, _ = embed(extractor, waves, keep_windows=True)
    assert found is not None
    assert found.windows is not None
    for i, (_, wave) in enumerate(waves):
        own = found.windows.owners == i
        vector, windows = embed_wave(extractor, wave)
        assert (found.windows.vectors[own] == windows.vectors).all()
        assert (found.windows.starts_s[own] == windows.starts_s).all()
        assert (found.vectors[i] == vector).all()
    without, _ = embed(extractor, waves)
    assert without is not None
    assert without.windows is None


class Counting:
    """An extractor whose embedding of a window is made of a few of its samples; counts what it is given."""

    digest, window_samples, dim = "counting", WINDOW, 3

    def __init__(self) -> None:
        self.seen = 0

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        assert all(window.shape == (WINDOW,) and window.dtype == np.float32 for window in windows)
        self.seen += len(windows)
        return np.stack([window[:3] + 1 for window in windows])


def test_failures_are_listed_and_end_nothing() -> None:
    nan = tone(0, 0, 0.5)
    nan[:3] = np.nan
    waves = [
        ("a", tone(0, 0, 0.5)), ("b", AudioError("b.wav", "is empty")), ("c", np.zeros(9000, np.float32)), ("d", nan),
        ("e", tone(1, 0, 0.5)),
    ]  # fmt: skip
    found, failures = embed(Counting(), waves, keep_windows=True)
    assert found is not None
    assert found.ids == ("a", "e")
    assert found.windows is not None
    assert found.windows.owners.tolist() == [0, 1]
    assert failures == {
        "b": "is empty",
        "c": "is silent: there is nothing in it to look at",
        "d": "gives an embedding that is not finite",
    }
    assert embed(Counting(), waves[1:3])[0] is None
    with pytest.raises(AudioError, match=r"x\.wav: is silent"):
        embed_wave(Counting(), np.zeros(100, np.float32), "x.wav")
    with pytest.raises(AudioError, match="not finite"):
        embed_wave(Counting(), nan)


def test_hours_of_audio_are_not_copied() -> None:
    class Bounded(Counting):
        def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
            assert all(window.base is not None for window in windows)  # views: the audio is not copied
            return super().embed_windows(windows)

    bounded = Bounded()
    hour = np.tile(tone(1, 1, 1.0), 3600)
    found, _ = embed(bounded, [("hour", hour)])
    assert found is not None
    assert bounded.seen == 7200


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Ten clips, of which the fourth is not audio."""
    rows = []
    for i in range(10):
        path = tmp_path / "clips" / f"{i}.wav"
        path.parent.mkdir(exist_ok=True)
        if i == 3:
            path.write_bytes(b"not audio")
        else:
            soundfile.write(path, tone(i % 6, i, 0.7), SAMPLE_RATE)
        rows.append(Utterance(f"clip-{i}", path.name, "s", split="dev" if i % 2 else "train"))
    return Manifest(tuple(rows), tmp_path / "clips", "ten")


def test_a_manifest_is_embedded_from_files_and_from_a_pack(manifest: Manifest, tmp_path: Path) -> None:
    found, failures = embed_manifest(Counting(), manifest)
    assert found.ids == tuple(f"clip-{i}" for i in range(10) if i != 3)
    assert found.extractor == "counting"
    assert "not audio" in failures["clip-3"]
    packed = pack(manifest, tmp_path / "pack")
    from_pack, failed = embed_manifest(Counting(), manifest, pack=packed)
    assert from_pack.ids == found.ids
    assert failed == failures
    np.testing.assert_allclose(from_pack.vectors, found.vectors, atol=1e-4)
    # A selection, in another order, of what the pack holds.
    dev = manifest.split("dev")
    backwards = replace(dev, utterances=dev.utterances[::-1])
    chosen, _ = embed_manifest(Counting(), backwards, pack=packed)
    assert (chosen.vectors == from_pack.select(chosen.ids).vectors).all()
    _, failed = embed_manifest(Counting(), manifest, pack=packed.split("dev"))
    assert "not in the pack" in failed["clip-0"]


@pytest.mark.parametrize("keep_windows", [False, True])
def test_an_interrupted_job_goes_on(
    keep_windows: bool, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_embedding, "PART_UTTERANCES", 3)
    expected, failures = embed_manifest(Counting(), manifest, keep_windows)

    class Dies(Counting):
        def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
            if self.seen >= 2 * 5:
                raise KeyboardInterrupt
            return super().embed_windows(windows)

    with pytest.raises(KeyboardInterrupt):
        embed_manifest(Dies(), manifest, keep_windows, parts=tmp_path / "parts")
    again = Counting()
    found, failed = embed_manifest(again, manifest, keep_windows, parts=tmp_path / "parts")
    assert again.seen == 2 * 4  # two whole parts, of three and of two clips, were there
    assert found.ids == expected.ids
    assert (found.vectors == expected.vectors).all()
    assert failed == failures
    if keep_windows:
        assert found.windows is not None
        assert expected.windows is not None
        assert found.windows.owners.tolist() == expected.windows.owners.tolist()
    # Another job in the same folder takes nothing over.
    other = Counting()
    embed_manifest(other, manifest, not keep_windows, parts=tmp_path / "parts")
    assert other.seen == 2 * 9


def test_nothing_can_be_embedded(manifest: Manifest, tmp_path: Path) -> None:
    only = manifest.filter(lambda u: u.id == "clip-3")
    with pytest.raises(EmbeddingsError, match=r"ten: none of 1 clips could be embedded; clip-3: .*not audio"):
        embed_manifest(Counting(), only, parts=tmp_path / "parts")
    soundfile.write(tmp_path / "clips" / "3.wav", tone(1, 1), SAMPLE_RATE)  # mended, it is looked at again
    assert len(embed_manifest(Counting(), only, parts=tmp_path / "parts")[0]) == 1


def test_concatenate() -> None:
    def piece(*ids: str, extractor: str = "x") -> Embeddings:
        n = len(ids)
        return Embeddings(ids, np.ones((n, 2)), extractor, Windows(np.ones((n, 2)), np.arange(n), np.zeros(n)))

    joined = embedding.concatenate([piece("a", "b"), piece("c")])
    assert joined.ids == ("a", "b", "c")
    assert joined.windows is not None
    assert joined.windows.owners.tolist() == [0, 1, 2]
    with pytest.raises(EmbeddingsError, match="different extractors"):
        embedding.concatenate([piece("a"), piece("b", extractor="y")])
    with pytest.raises(EmbeddingsError, match="occurs twice"):
        embedding.concatenate([piece("a"), piece("a")])


def test_weights_that_do_not_fit_the_recipe(tiny_checkpoint: Checkpoint) -> None:
    backbone = replace(tiny_checkpoint.recipe.backbone, dim=9)
    wrong = replace(tiny_checkpoint, recipe=replace(tiny_checkpoint.recipe, backbone=backbone))
    with pytest.raises(CheckpointError, match="weights do not fit 'thin_resnet'"):
        load_backbone(wrong)


def test_the_torch_extractor_is_in_evaluation_mode() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(x[:, :4] + 1, 0.5, self.training)

    noisy = TorchExtractor(Noisy().train(), WINDOW, 4, "digest")
    windows = [tone(1, 1, 0.5)]
    assert (noisy.embed_windows(windows) == noisy.embed_windows(windows)).all()


def test_onnx_extraction_brings_no_torch(tiny_checkpoint: Checkpoint) -> None:
    code = (
        "import sys, numpy as np\n"
        "from synthprint.extractor.embedding import embed_wave\n"
        "from synthprint.extractor.runtime import load_extractor\n"
        "vector, _ = embed_wave(load_extractor(sys.argv[1]), np.sin(np.arange(20000) / 9).astype('f4'))\n"
        "assert vector.shape == (8,) and 'torch' not in sys.modules, 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny_checkpoint.folder)], check=True)


def test_a_long_clip_shows_how_far_it_is_and_embeds_the_same(
    extractor: OnnxExtractor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wave = tone(2, 2, 3.0)
    whole, _ = embed(extractor, [("a", wave)])
    monkeypatch.setattr(embedding, "LONG_WINDOWS", 2)
    monkeypatch.setattr(embedding, "CHUNK_WINDOWS", 4)
    monkeypatch.setattr("synthprint.progress.FIRST_LINE_AFTER_S", 0.0)
    parts, _ = embed(extractor, [("a", wave)])
    assert whole is not None
    assert parts is not None
    np.testing.assert_array_equal(parts.vectors, whole.vectors)
    assert "embedding a long clip: 4/6" in capsys.readouterr().err
