"""Frozen self-supervised features, averaged over time: sources told apart without any training.

Stan et al., "TADA: Training-free attribution and out-of-domain detection of audio deepfakes", Interspeech 2025: the
mean over time of one layer's frames, compared with those of known sources by k nearest neighbours (the `knn` backend).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from synthprint.errors import RecipeError
from synthprint.layers.ssl_encoder import XLS_R_300M, SslEncoder

__all__ = ["SslPool"]


class SslPool(nn.Module):
    """Waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised. Nothing in it learns.

    Args:
        dim: the encoder's own size, 1024 for XLS-R-300M.
        ssl: the encoder: a folder or a name of the Hugging Face hub, or its configuration (see `SslEncoder`).
        layer: whose output is averaged, from 1; those above are left out of the model. Default: the last.
        pretrained: the encoder's own weights; false for random ones.
        normalize: bring each waveform to zero mean and unit variance first.

    Raises:
        RecipeError: `dim` is not the encoder's size.
    """

    def __init__(
        self,
        dim: int = 1024,
        ssl: str | Mapping[str, Any] = XLS_R_300M,
        layer: int | None = None,
        pretrained: bool = True,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.encoder = SslEncoder(ssl, pretrained, freeze="encoder", normalize=normalize, layer=layer)
        self.rebuild = self.encoder.rebuild
        if dim != self.encoder.size:
            raise RecipeError(
                f"ssl_pool: dim = {dim}, but this encoder's frames have {self.encoder.size} dimensions, and nothing is "
                f"trained that could change it: write dim = {self.encoder.size}"
            )

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] -> [B, dim]."""
        frames: Tensor = self.encoder(waveform)  # [B, t, dim]
        return frames.float().mean(dim=1)
