"""The short-time Fourier transform of an ONNX graph, as matrix products.

torch has a fast Fourier transform; onnxruntime's own takes longer than the products that it saves. So a transform is
taken in two steps, as the first of a fast one (Cooley and Tukey, 1965). A frame of N samples is written in P rows of Q.
The first product transforms its columns; since the samples are real, P / 2 + 1 of the P bins will do. The second, one
for each of these, takes every Pth bin of the whole frame out of its row of Q. Over 1024 points that is a tenth of the
products of the plain matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnxscript import ir
from onnxscript import opset18 as op
from onnxscript.function_libs.torch_lib.ops.core import aten_stft


def stft(
    signal: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
) -> Any:
    """The nodes of `torch.ops.aten.stft`: [B, T] -> [B, n_fft // 2 + 1, frames, 2], real and imaginary part.

    What nobody here asks for (no window, two sides, a length that is not known, …) is left to onnxruntime.
    """
    samples = signal.shape[1] if len(signal.shape) == 2 else None
    if not isinstance(samples, int) or window is None or normalized or onesided is False or n_fft % 4:
        return aten_stft(signal, n_fft, hop_length, win_length, window, normalized, onesided, return_complex)
    short = n_fft - window.shape[0]
    framed = _framed(signal, samples, n_fft, hop_length or n_fft // 4)  # [B, n_fft, frames]
    framed = op.Mul(framed, op.Unsqueeze(op.Pad(window, _ints(short // 2, short - short // 2)), _ints(1)))
    rows = min((rows for rows in range(2, n_fft + 1, 2) if n_fft % rows == 0), key=lambda rows: _products(n_fft, rows))
    first, second, order = _steps(n_fft, rows)
    groups, size = second.shape[:2]
    columns = op.MatMul(_floats(first), op.Reshape(framed, _ints(0, rows, -1)))  # [B, rows + 2, size / 2 * frames]
    grouped = op.Reshape(columns, op.Concat(_ints(0, groups, size), op.Shape(framed, start=2), axis=0))
    bins = op.Reshape(op.MatMul(_floats(second), grouped), _ints(0, groups * size, -1))
    return op.Transpose(op.Gather(bins, op.Constant(value=ir.tensor(order)), axis=1), perm=[0, 2, 3, 1])


def _products(n_fft: int, rows: int) -> int:
    """How many products a frame takes."""
    return (rows + 2) * n_fft + (rows // 2 + 1) * (2 * n_fft // rows) ** 2


def _steps(n_fft: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices of the two steps, and where among the results of the second the bins are.

    Returns:
        [rows + 2, rows], real and imaginary part of each bin of a column; [rows // 2 + 1, 2 * columns, 2 * columns],
        from real and imaginary parts of a row to those of every `rows`th bin; [2, n_fft // 2 + 1].
    """
    columns, groups, half = n_fft // rows, rows // 2 + 1, n_fft // 2
    of_column = np.exp(-2j * np.pi / rows * np.outer(np.arange(groups), np.arange(rows)))
    first = np.stack([of_column.real, of_column.imag], axis=1).reshape(2 * groups, rows)
    bins = np.arange(groups)[:, None] + rows * np.arange(columns)
    of_row = np.exp(-2j * np.pi / n_fft * bins[..., None] * np.arange(columns))  # [groups, columns, columns]
    sign = np.where(bins > half, -1.0, 1.0)[..., None]  # bin n_fft - k is the conjugate of bin k
    real = np.concatenate([of_row.real, -of_row.imag], axis=2)
    imaginary = np.concatenate([of_row.imag, of_row.real], axis=2) * sign
    mirrored = np.minimum(bins, n_fft - bins)
    places = 2 * columns * np.arange(groups)[:, None] + np.arange(columns)
    order = np.zeros((2, half + 1), np.int64)
    order[0, mirrored], order[1, mirrored] = places, places + columns
    return first, np.concatenate([real, imaginary], axis=1), order


def _framed(signal: Any, samples: int, n_fft: int, hop: int) -> Any:
    """[B, T] -> [B, n_fft, frames]: columns of one hop, above those that follow them."""
    count, hops = (samples - n_fft) // hop + 1, -(-n_fft // hop)
    needed = (count - 1 + hops) * hop
    if needed > samples:
        signal = op.Pad(signal, _ints(0, 0, 0, needed - samples))
    elif needed < samples:
        signal = _cut(signal, 0, needed, 1)
    columns = op.Transpose(op.Reshape(signal, _ints(-1, needed // hop, hop)), perm=[0, 2, 1])
    framed = op.Concat(*(_cut(columns, first, first + count, 2) for first in range(hops)), axis=1)
    return framed if hops * hop == n_fft else _cut(framed, 0, n_fft, 1)


def _cut(x: Any, start: int, end: int, axis: int) -> Any:
    return op.Slice(x, _ints(start), _ints(end), _ints(axis))


def _ints(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


def _floats(values: Any) -> Any:
    return op.Constant(value=ir.tensor(np.array(values, np.float32)))
