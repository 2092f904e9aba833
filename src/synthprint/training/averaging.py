"""Weights averaged over a training's last steps: they make a better extractor than those of any one of these.

After each step the average moves towards the backbone by 1 - a, with a = `[schedule] average`; so it reaches back over
about 1 / (1 - a) steps (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", SIAM 1992, with
weights that fall exponentially). Statistics of batch normalisation are averaged with them. What is averaged is
evaluated and kept; what learns is the backbone itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

AVERAGE = "average"  # of a training's modules, beside "backbone" and "loss"


def add_average(modules: nn.ModuleDict) -> None:
    """Put a copy of "backbone" beside it, which does not learn."""
    modules[AVERAGE] = copy.deepcopy(modules["backbone"]).requires_grad_(False)


def evaluated(modules: nn.ModuleDict) -> nn.Module:
    """What of a training is evaluated and kept: the average, where there is one, or the backbone."""
    return modules[AVERAGE] if AVERAGE in modules else modules["backbone"]


def follower(modules: nn.ModuleDict, share: float) -> Callable[[], None]:
    """What moves the average, where there is one, by 1 - `share` towards the backbone as it is when it is called."""
    if AVERAGE not in modules:
        return lambda: None
    means, now = modules[AVERAGE].state_dict(), modules["backbone"].state_dict()
    pairs = [(means[name], now[name]) for name in now]

    @torch.no_grad()
    def follow() -> None:
        for mean, tensor in pairs:
            if tensor.is_floating_point():
                mean.lerp_(tensor, 1.0 - share)
            else:  # a count
                mean.copy_(tensor)

    return follow
