"""SSL-AASIST: a self-supervised encoder, fine-tuned end to end, and the graph back-end of AASIST.

Tak et al., "Automatic speaker verification spoofing and deepfake detection using wav2vec 2.0 and data augmentation",
Odyssey 2022; Jung et al., "AASIST", ICASSP 2022; with an embedding as in Koutsianos et al., Interspeech 2025:
frames of XLS-R-300M -> Linear to 128 -> an image, max-pooled 3×3 -> six residual blocks -> a graph of frequencies and
one of times -> two branches of heterogeneous graph attention -> readout [B, 160] -> Linear to the embedding.

One thing is the papers' and not their published code's: in the residual block the first norm and SELU are used. There
they are computed and the convolution reads the block's input instead, so that 512 parameters never learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint.layers.graph_attention import GraphAttention, GraphPooling, HeterogeneousGraphAttention
from synthprint.layers.ssl_encoder import XLS_R_300M, SslEncoder

__all__ = ["SslAasist"]

BANDS = 128  # what a frame of the encoder is brought to
POOL = 3  # in bands and in frames
SPECTRAL_NODES = BANDS // POOL  # 42
CHANNELS = (1, 32, 32, 64, 64, 64, 64)  # before and after each residual block
NODE, BRANCH_NODE = 64, 32
READOUT = 5 * BRANCH_NODE  # 160
TEMPERATURE, BRANCH_TEMPERATURE = 2.0, 100.0
BRANCH_DROPOUT = 0.2


class SslAasist(nn.Module):
    """Waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised.

    The readout has 160 numbers, so of an embedding with more no more than 160 dimensions are independent.

    Args:
        dim: size D of the embedding.
        ssl: the encoder: a folder or a name of the Hugging Face hub, or its configuration (see `SslEncoder`).
        pretrained: start from the encoder's own weights; false for random ones.
        freeze: "nothing", "features" (the encoder's convolutions) or "encoder" (all of the encoder).
        checkpointing: compute the encoder's activations again on the way back instead of keeping them.
        normalize: bring each waveform to zero mean and unit variance first; the reference does not.
        dropout: of the readout.
    """

    def __init__(
        self,
        dim: int = 50,
        ssl: str | Mapping[str, Any] = XLS_R_300M,
        pretrained: bool = True,
        freeze: str = "nothing",
        checkpointing: bool = False,
        normalize: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.encoder = SslEncoder(ssl, pretrained, freeze=freeze, checkpointing=checkpointing, normalize=normalize)
        self.rebuild = self.encoder.rebuild
        self.aasist = Aasist(self.encoder.size)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(READOUT, dim)

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] -> [B, dim]."""
        frames = self.encoder(waveform)  # [B, t, size]
        # In float32 under autocast too: pooling sorts nodes by score, and bfloat16 would make many of them equal.
        kind = frames.device.type
        off = torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
        with off:  # (entered only where needed: it makes exporting to ONNX twice as slow)
            embedding: Tensor = self.linear(self.dropout(self.aasist(frames.float())))
        return embedding


class Aasist(nn.Module):
    """Frames [B, t, size] -> readout [B, 160]; F = 42 bands and t' = t // 3 times become the nodes of two graphs."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bands = nn.Linear(size, BANDS)
        self.norm_in = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential(
            *(ResidualBlock(CHANNELS[i], CHANNELS[i + 1], first=i == 0) for i in range(len(CHANNELS) - 1))
        )
        self.norm_out = nn.BatchNorm2d(NODE)
        self.attention = nn.Sequential(
            nn.Conv2d(NODE, 2 * NODE, 1), nn.SELU(), nn.BatchNorm2d(2 * NODE), nn.Conv2d(2 * NODE, NODE, 1)
        )
        self.position = nn.Parameter(torch.randn(1, SPECTRAL_NODES, NODE))
        self.spectral = nn.Sequential(GraphAttention(NODE, NODE, TEMPERATURE), GraphPooling(NODE))
        self.temporal = nn.Sequential(GraphAttention(NODE, NODE, TEMPERATURE), GraphPooling(NODE))
        self.branches = nn.ModuleList([Branch(), Branch()])
        self.dropout = nn.Dropout(BRANCH_DROPOUT)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, t, size] -> [B, 160]."""
        image = self.bands(frames).transpose(1, 2)[:, None]  # [B, 1, 128, t]
        image = F.selu(self.norm_in(F.max_pool2d(image, POOL)))  # [B, 1, F, t']
        maps = F.selu(self.norm_out(self.blocks(image)))  # [B, 64, F, t']
        logits = self.attention(maps)  # [B, 64, F, t']
        spectral = (maps * F.softmax(logits, dim=3)).sum(dim=3).transpose(1, 2) + self.position  # [B, F, 64]
        temporal = (maps * F.softmax(logits, dim=2)).sum(dim=2).transpose(1, 2)  # [B, t', 64]
        spectral, temporal = self.spectral(spectral), self.temporal(temporal)  # half the nodes each
        first, second = ([self.dropout(nodes) for nodes in branch(temporal, spectral)] for branch in self.branches)
        temporal, spectral, master = (torch.maximum(a, b) for a, b in zip(first, second, strict=True))
        parts = [temporal.abs().amax(dim=1), temporal.mean(dim=1), spectral.abs().amax(dim=1), spectral.mean(dim=1)]
        return torch.cat([*parts, master[:, 0]], dim=1)  # [B, 5 · 32]


class Branch(nn.Module):
    """Temporal nodes [B, N, 64], spectral nodes [B, M, 64] -> [B, N // 2, 32], [B, M // 2, 32], master [B, 1, 32]."""

    def __init__(self) -> None:
        super().__init__()
        self.master = nn.Parameter(torch.randn(1, 1, NODE))
        self.first = HeterogeneousGraphAttention(NODE, BRANCH_NODE, BRANCH_TEMPERATURE)
        self.second = HeterogeneousGraphAttention(BRANCH_NODE, BRANCH_NODE, BRANCH_TEMPERATURE)
        self.pool_temporal, self.pool_spectral = GraphPooling(BRANCH_NODE), GraphPooling(BRANCH_NODE)

    def forward(self, temporal: Tensor, spectral: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        temporal, spectral, master = self.first(temporal, spectral, self.master)
        temporal, spectral = self.pool_temporal(temporal), self.pool_spectral(spectral)
        more_temporal, more_spectral, more_master = self.second(temporal, spectral, master)
        return temporal + more_temporal, spectral + more_spectral, master + more_master


class ResidualBlock(nn.Module):
    """[B, C, F, T] -> [B, D, F, T]; the first of them has no norm in front: its input has just been normed."""

    def __init__(self, channels_in: int, channels_out: int, first: bool) -> None:
        super().__init__()
        self.before = nn.Sequential() if first else nn.Sequential(nn.BatchNorm2d(channels_in), nn.SELU())
        self.convolve = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, (2, 3), padding=(1, 1)),  # F + 1
            nn.BatchNorm2d(channels_out),
            nn.SELU(),
            nn.Conv2d(channels_out, channels_out, (2, 3), padding=(0, 1)),  # F again
        )
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, T] -> [B, D, F, T]."""
        summed: Tensor = self.convolve(self.before(x)) + self.shortcut(x)
        return summed
