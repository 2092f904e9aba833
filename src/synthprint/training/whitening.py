"""A map that a training fits last: it makes light of the directions in which clips of one source differ.

It multiplies L2-normalised embeddings, so that what the publishers of one system have not in common weighs less in
every cosine afterwards (Hatch et al., "Within-class covariance normalization for SVM-based speaker recognition", 2006).
Of a backbone whose embedding is smaller than what is mapped, it leaves the directions that tell sources apart best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from synthprint.types import Embeddings, Provenance, Utterance
from synthprint.vectors.directions import unit
from synthprint.vectors.scatter import discriminants, whitening


def whitens(backbone: nn.Module) -> bool:
    """Whether a backbone has such a map to fit."""
    return isinstance(getattr(backbone, "whitening", None), Tensor)


def reset_whitening(backbone: nn.Module) -> None:
    """Make the map of a backbone that has one the identity, which leaves all directions."""
    map_ = cast(Tensor, backbone.whitening)
    backbone.whitening = torch.eye(len(map_), dtype=map_.dtype, device=map_.device)


def fit_whitening(backbone: nn.Module, embeddings: Embeddings, utterances: Sequence[Utterance]) -> None:
    """Fit the map of a backbone that has one.

    Args:
        embeddings: of training clips, with the identity as map.
        utterances: those clips, with others or without; human speech, which is no system, is left out.
    """
    by_id = {u.id: u for u in utterances}
    clips = [(i, by_id[key]) for i, key in enumerate(embeddings.ids) if not by_id[key].human]
    provenance = Provenance.of([u for _, u in clips])
    directions, dim = unit(embeddings.vectors[[i for i, _ in clips]]), cast(int, backbone.dim)
    map_ = whitening(directions, provenance.sources, provenance.publishers).T
    if dim < len(map_):
        map_ = map_ @ discriminants(directions @ map_, provenance.sources, dim)
    before = cast(Tensor, backbone.whitening)
    backbone.whitening = torch.from_numpy(np.ascontiguousarray(map_)).to(before)
