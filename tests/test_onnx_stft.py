"""The spectrum in an ONNX graph against a Fourier transform in float64, frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from synthprint.training.export import write_graph


class Spectrum(nn.Module):
    """[B, T] -> [B, bins, frames, 2]."""

    def __init__(self, n_fft: int, hop: int, window: int | None, onesided: bool = True) -> None:
        super().__init__()
        self.n_fft, self.hop, self.onesided = n_fft, hop, onesided
        taps = None if window is None else 0.1 + torch.hann_window(window) + torch.linspace(0, 0.3, window)
        self.register_buffer("window", taps)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            waveform, self.n_fft, self.hop, None if self.window is None else len(self.window), self.window,
            center=False, onesided=self.onesided, return_complex=True,
        )  # fmt: skip
        return torch.view_as_real(spectrum)


def by_hand(waves: np.ndarray, module: Spectrum) -> np.ndarray:
    window = np.ones(module.n_fft)
    if module.window is not None:
        short = module.n_fft - len(module.window)
        window = np.pad(module.window.double().numpy(), (short // 2, short - short // 2))
    starts = range(0, waves.shape[1] - module.n_fft + 1, module.hop)
    transform = np.fft.rfft if module.onesided else np.fft.fft
    spectra = [transform(waves[:, s : s + module.n_fft] * window, axis=1) for s in starts]
    stacked = np.stack(spectra, axis=2)
    return np.stack([stacked.real, stacked.imag], axis=3)


def found(module: Spectrum, waves: np.ndarray, path: Path) -> np.ndarray:
    write_graph(module.eval(), torch.from_numpy(waves), path)
    (spectra,) = onnxruntime.InferenceSession(path).run(None, {"waveform": waves})
    return np.asarray(spectra)


@pytest.mark.parametrize(
    ("n_fft", "hop", "window", "samples"),
    [(64, 16, 64, 500), (64, 24, 41, 500), (128, 160, 128, 700), (8, 8, 7, 8)],
    ids=["hops that fit", "a short window, hops that do not fit", "gaps between frames", "one frame"],
)
def test_it_is_the_transform(n_fft: int, hop: int, window: int, samples: int, tmp_path: Path) -> None:
    waves = np.random.default_rng(0).standard_normal((3, samples)).astype(np.float32)
    module = Spectrum(n_fft, hop, window)
    spectra = found(module, waves, tmp_path / "graph.onnx")
    expected = by_hand(waves, module)
    assert spectra.shape == expected.shape
    np.testing.assert_allclose(spectra, expected, atol=3e-6 * np.abs(expected).max())
    assert "STFT" not in {node.op_type for node in onnx.load(tmp_path / "graph.onnx").graph.node}


@pytest.mark.parametrize("module", [Spectrum(32, 8, None), Spectrum(30, 8, 30), Spectrum(32, 8, 32, onesided=False)])
def test_what_it_does_not_do_is_left_to_onnxruntime(module: Spectrum, tmp_path: Path) -> None:
    waves = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    spectra = found(module, waves, tmp_path / "graph.onnx")
    expected = by_hand(waves, module)
    np.testing.assert_allclose(spectra, expected, atol=3e-5 * np.abs(expected).max())
    assert "STFT" in {node.op_type for node in onnx.load(tmp_path / "graph.onnx").graph.node}
