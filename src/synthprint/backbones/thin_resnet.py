"""Thin-ResNet-34: the paper's convolutional extractor.

A ResNet-34 with a quarter of the channels and squeeze-excitation in every block, self-attentive pooling
over time, and one linear layer (Koutsianos et al., Interspeech 2025, section 3; Chung et al., Interspeech
2020). With the defaults it has 1,377,480 parameters at dim = 50.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synthprint.errors import RecipeError
from synthprint.layers.frontend import FilterbankFrontend

__all__ = ["ThinResNet"]

STAGE_STRIDES = (1, 2, 2, 1)
SQUEEZE_REDUCTION = 8


class ThinResNet(nn.Module):
    """Waveform [B, T] at 16 kHz -> embedding [B, dim], not normalised.

    Args:
        dim: size D of the embedding.
        widths: channels of the four stages.
        blocks: residual blocks in each stage.
        stem_stride: strides of the first convolution in (frequency, time).
        bands, scale: of the `FilterbankFrontend`.
        statistics: pool the weighted deviation over time beside the weighted mean.

    Raises:
        RecipeError: widths or blocks are not four positive numbers, or the strides not two.
    """

    def __init__(
        self,
        dim: int = 50,
        widths: Sequence[int] = (16, 32, 64, 128),
        blocks: Sequence[int] = (3, 4, 6, 3),
        stem_stride: Sequence[int] = (2, 1),
        bands: int = 40,
        scale: str = "mel",
        statistics: bool = False,
    ) -> None:
        super().__init__()
        for name, values, count in (("widths", widths, 4), ("blocks", blocks, 4), ("stem_stride", stem_stride, 2)):
            if len(values) != count or min(values) < 1:
                raise RecipeError(f"thin_resnet: {name} = {list(values)} must be {count} numbers, 1 or more")
        self.dim = dim
        self.frontend = FilterbankFrontend(bands, scale)
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 7, stride=(stem_stride[0], stem_stride[1]), padding=3, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.Sequential()
        channels = widths[0]
        for width, depth, stride in zip(widths, blocks, STAGE_STRIDES, strict=True):
            for index in range(depth):
                self.stages.append(SqueezeExcitationBlock(channels, width, stride if index == 0 else 1))
                channels = width
        self.pooling = SelfAttentivePooling(channels, statistics)
        self.linear = nn.Linear(channels * (2 if statistics else 1), dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] -> [B, dim]."""
        x = self.frontend(waveform).unsqueeze(1)  # [B, 1, F, frames]
        # Channels innermost: convolutions keep that order, and with 16 channels they are 3 times as fast on a CPU.
        x = x.to(memory_format=torch.channels_last)
        x = self.stages(self.stem(x))  # [B, C, F', frames']
        x = self.pooling(x.mean(dim=2))  # [B, C]
        embedding: Tensor = self.linear(x)
        return embedding


class SqueezeExcitationBlock(nn.Module):
    """[B, inputs, F, T] -> [B, outputs, F / stride, T / stride]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        squeezed = max(1, outputs // SQUEEZE_REDUCTION)
        self.squeeze = nn.Linear(outputs, squeezed)
        self.excite = nn.Linear(squeezed, outputs)
        self.stride = stride
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(F.relu(self.conv1(x), inplace=True))  # ReLU before the norm, as in the reference
        y = self.norm2(self.conv2(y))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean(dim=(2, 3))))))  # [B, C]
        # Strided here and not in the 1 x 1 convolution: with fewer than 16 channels, oneDNN's backward pass of that one
        # writes beyond its memory (torch 2.13).
        shortcut = self.shortcut(x[:, :, :: self.stride, :: self.stride])
        return F.relu(torch.addcmul(shortcut, y, gate[:, :, None, None]), inplace=True)


class SelfAttentivePooling(nn.Module):
    """[B, C, T] -> [B, C]: a mean over time, weighted by softmax(v . tanh(W x + b)) (Cai et al., Odyssey 2018).

    With `statistics`, the weighted deviation stands behind it: [B, 2 C] (Okabe et al., Interspeech 2018).
    """

    def __init__(self, channels: int, statistics: bool) -> None:
        super().__init__()
        self.statistics = statistics
        self.projection = nn.Linear(channels, channels)
        self.attention = nn.Parameter(torch.empty(channels, 1))
        nn.init.xavier_normal_(self.attention)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)  # [B, T, C]
        weights = torch.softmax(torch.tanh(self.projection(x)) @ self.attention, dim=1)  # [B, T, 1]
        mean = (x * weights).sum(dim=1)
        if not self.statistics:
            return mean
        variance = (x.square() * weights).sum(dim=1) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-5).sqrt()], dim=1)
