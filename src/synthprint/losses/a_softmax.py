"""Angular softmax: the own source's angle has to win by a factor."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthprint.layers.similarity import SourceDirections, full_precision, require

__all__ = ["ASoftmax"]


class ASoftmax(nn.Module):
    """Mean of -log softmax(z)[y], with z_y = ‖x‖·ψ(θ_y) and z_j = ‖x‖·cos θ_j for the others.

    ψ(θ) = (-1)^k·cos(m·θ) - 2k for θ in [kπ/m, (k + 1)π/m]: cos(m·θ) continued so that it falls from 0 to π.
    Liu et al., "SphereFace: deep hypersphere embedding for face recognition", CVPR 2017, equation 7.

    The paper's own training blends ψ in: (λ·cos θ + ψ(θ)) / (1 + λ), where λ falls with the training steps t
    as max(λ_min, λ_0 / (1 + 0.12·t)); its code has λ_0 = 1500, λ_min = 5. Off by default.

    Args:
        dim: D, size of an embedding.
        sources: C, number of training sources.
        margin: m, a whole factor, 1 or more.
        lambda_start: λ_0; 0 is the plain equation.
        lambda_min: λ_min, at most λ_0.
    """

    utterances_per_source = 1
    steps: Tensor

    def __init__(
        self, dim: int, sources: int, margin: int = 4, lambda_start: float = 0.0, lambda_min: float = 0.0
    ) -> None:
        super().__init__()
        require(margin >= 1 and margin == int(margin), "margin", margin, "a whole number, 1 or more")
        require(0 <= lambda_start < math.inf, "lambda_start", lambda_start, "0 or more")
        require(0 <= lambda_min <= lambda_start, "lambda_min", lambda_min, "from 0 to lambda_start")
        self.margin = int(margin)
        self.lambda_start = lambda_start
        self.lambda_min = lambda_min
        self.directions = SourceDirections(dim, sources)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Embeddings [B, D], labels [B] int64 in 0 … C - 1: scalar. In training mode it counts a step."""
        with full_precision(embeddings) as x:
            cosines = self.directions(x)  # [B, C]
            target = labels[:, None]
            cosine = cosines.gather(1, target)
            blend = (self.lambda_start / (1 + 0.12 * self.steps)).clamp(min=self.lambda_min)
            narrowed = (blend * cosine + self._psi(cosine)) / (1 + blend)
            if self.training:
                self.steps += 1
            logits = x.norm(dim=1, keepdim=True) * cosines.scatter(1, target, narrowed)
            return F.cross_entropy(logits, labels)

    def _psi(self, cosine: Tensor) -> Tensor:
        """cos θ -> ψ(θ). cos(m·θ) is the Chebyshev polynomial of cos θ, whose gradient is finite everywhere."""
        angle = cosine.detach().clamp(-1, 1).acos()
        k = (angle * self.margin / math.pi).floor().clamp(max=self.margin - 1)
        before, multiple = torch.ones_like(cosine), cosine
        for _ in range(self.margin - 1):
            before, multiple = multiple, 2 * cosine * multiple - before
        return (1 - 2 * (k % 2)) * multiple - 2 * k

    def predict(self, embeddings: Tensor) -> Tensor:
        """Index of the most likely source, [B] int64; no margin."""
        return self.directions.predict(embeddings)
