"""A map that a training fits last: it makes light of the directions in which clips of one source differ.

It multiplies L2-normalised embeddings, so that what the publishers of one system have not in common weighs less in
every cosine afterwards (Hatch et al., "Within-class covariance normalization for SVM-based speaker recognition", 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from synthprint.types import Embeddings, Provenance, Utterance
from synthprint.vectors.directions import unit
from synthprint.vectors.scatter import whitening


def whitens(backbone: nn.Module) -> bool:
    """Whether a backbone has such a map to fit."""
    return isinstance(getattr(backbone, "whitening", None), Tensor)


def reset_whitening(backbone: nn.Module) -> None:
    """Make the map of a backbone that has one the identity."""
    map_ = cast(Tensor, backbone.whitening)
    map_.copy_(torch.eye(len(map_)))


def fit_whitening(backbone: nn.Module, embeddings: Embeddings, utterances: Sequence[Utterance]) -> None:
    """Fit the map of a backbone that has one.

    Args:
        embeddings: of training clips, with the identity as map.
        utterances: those clips, with others or without; human speech, which is no system, is left out.
    """
    by_id = {u.id: u for u in utterances}
    clips = [(i, by_id[key]) for i, key in enumerate(embeddings.ids) if not by_id[key].human]
    provenance = Provenance.of([u for _, u in clips])
    directions = unit(embeddings.vectors[[i for i, _ in clips]])
    fitted = whitening(directions, provenance.sources, provenance.publishers)
    map_ = cast(Tensor, backbone.whitening)
    map_.copy_(torch.from_numpy(np.ascontiguousarray(fitted.T)).to(map_.dtype))
