"""Every loss a second time: loops and float64 from the papers' equations, one embedding at a time.

Each `slow_<name>(loss, x [B, D], y [B], **own)` takes what is learnt from `loss` and gives its value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn


def cos(a: np.ndarray, b: np.ndarray) -> float:
    return min(1.0, max(-1.0, float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))))


def cross_entropy(logits: list[float], target: int) -> float:
    top = max(logits)
    return math.log(sum(math.exp(z - top) for z in logits)) - (logits[target] - top)


def classify(logit: Callable[[np.ndarray, np.ndarray, bool], float], w: np.ndarray, x: Any, y: Any) -> float:
    rows = [[logit(e, w[j], j == k) for j in range(len(w))] for e, k in zip(x, y, strict=True)]
    return float(np.mean([cross_entropy(row, k) for row, k in zip(rows, y, strict=True)]))


def directions(loss: nn.Module) -> np.ndarray:
    return loss.state_dict()["directions.weight"].numpy()


def slow_softmax(loss: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    w, b = (loss.state_dict()[f"classifier.{part}"].numpy() for part in ("weight", "bias"))
    logits = [[float(w[j] @ e + b[j]) for j in range(len(w))] for e in x]
    return float(np.mean([cross_entropy(row, k) for row, k in zip(logits, y, strict=True)]))


def slow_am_softmax(loss: nn.Module, x: np.ndarray, y: np.ndarray, margin: float = 0.1, scale: float = 30.0) -> float:
    return classify(lambda e, w, own: scale * (cos(e, w) - margin * own), directions(loss), x, y)


def slow_aam_softmax(loss: nn.Module, x: np.ndarray, y: np.ndarray, margin: float = 0.1, scale: float = 30.0) -> float:
    def logit(e: np.ndarray, w: np.ndarray, own: bool) -> float:
        theta = math.acos(cos(e, w))
        if not own:
            return scale * math.cos(theta)
        if theta + margin > math.pi:
            return scale * (math.cos(theta) - margin * math.sin(margin))
        return scale * math.cos(theta + margin)

    return classify(logit, directions(loss), x, y)


def psi(theta: float, m: int) -> float:
    k = next(k for k in range(m) if theta <= (k + 1) * math.pi / m)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def slow_a_softmax(loss: nn.Module, x: np.ndarray, y: np.ndarray, margin: int = 4, blend: float = 0.0) -> float:
    def logit(e: np.ndarray, w: np.ndarray, own: bool) -> float:
        theta = math.acos(cos(e, w))
        value = (blend * math.cos(theta) + psi(theta, margin)) / (1 + blend) if own else math.cos(theta)
        return float(np.linalg.norm(e)) * value

    return classify(logit, directions(loss), x, y)


def scaled(similarity: float, floor: float | None, scale: float = 10.0, bias: float = -5.0) -> float:
    return scale * (similarity if floor is None else max(similarity, floor)) + bias


def left_out(undecided: np.ndarray | None, y: np.ndarray, i: int, source: int) -> bool:
    """Whether utterance i is undecided with any of another source."""
    return undecided is not None and any(undecided[i, j] for j in range(len(y)) if y[j] == source != y[i])


def slow_ge2e(
    _: nn.Module, x: np.ndarray, y: np.ndarray, similarity_floor: float | None = None,
    undecided: np.ndarray | None = None, **own: float,
) -> float:  # fmt: skip
    losses = []
    for i, (e, k) in enumerate(zip(x, y, strict=True)):
        row = []
        sources = [source for source in sorted(set(y)) if not left_out(undecided, y, i, source)]
        for source in sources:
            members = [x[j] for j in range(len(x)) if y[j] == source and j != i]
            row.append(scaled(cos(e, np.mean(members, axis=0)), similarity_floor, **own))
        losses.append(cross_entropy(row, sources.index(k)))
    return float(np.mean(losses))


def episodes(x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    groups = [[e for e, k in zip(x, y, strict=True) if k == source] for source in dict.fromkeys(y)]
    return [group[0] for group in groups], [np.mean(group[1:], axis=0) for group in groups]


def slow_angular_prototypical(
    _: nn.Module, x: np.ndarray, y: np.ndarray, similarity_floor: float | None = None,
    undecided: np.ndarray | None = None, **own: float,
) -> float:  # fmt: skip
    return by_queries(lambda q, c: scaled(cos(q, c), similarity_floor, **own), x, y, undecided)


def by_queries(
    logit: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, y: np.ndarray, undecided: np.ndarray | None
) -> float:
    sources, losses = list(dict.fromkeys(y)), []
    for source, query in zip(sources, episodes(x, y)[0], strict=True):
        first = list(y).index(source)
        others = {k: c for k, c in zip(sources, episodes(x, y)[1], strict=True) if not left_out(undecided, y, first, k)}
        losses.append(cross_entropy([logit(query, c) for c in others.values()], list(others).index(source)))
    return float(np.mean(losses))


def slow_prototypical(_: nn.Module, x: np.ndarray, y: np.ndarray, undecided: np.ndarray | None = None) -> float:
    return by_queries(lambda q, c: -float(((q - c) ** 2).sum()), x, y, undecided)


def slow_proxy_anchor(
    loss: nn.Module, x: np.ndarray, y: np.ndarray, margin: float = 0.1, scale: float = 32.0,
    undecided: np.ndarray | None = None,
) -> float:  # fmt: skip
    proxies, pulled, pushed = directions(loss), [], []
    for c, proxy in enumerate(proxies):
        near = [cos(x[i], proxy) for i in range(len(x)) if y[i] == c]
        far = [cos(x[i], proxy) for i in range(len(x)) if y[i] != c and not left_out(undecided, y, i, c)]
        if near:
            pulled.append(math.log(1 + sum(math.exp(-scale * (s - margin)) for s in near)))
        pushed.append(math.log(1 + sum(math.exp(scale * (s + margin)) for s in far)))
    return float(np.mean(pulled) + np.mean(pushed))


def slow_supervised_contrastive(
    loss: nn.Module,
    x: np.ndarray,
    y: np.ndarray,
    temperature: float = 0.1,
    undecided: np.ndarray | None = None,
    proxies: float = 0.0,
) -> float:
    losses = []
    for i in range(len(x)):
        others = [a for a in range(len(x)) if a != i and (undecided is None or not undecided[i, a])]
        total = sum(math.exp(cos(x[i], x[a]) / temperature) for a in others)
        own = [a for a in others if y[a] == y[i]]
        losses.append(-np.mean([math.log(math.exp(cos(x[i], x[p]) / temperature) / total) for p in own]))
    if not proxies:
        return float(np.mean(losses))
    of_all = classify(lambda e, w, _: 16.0 * cos(e, w), directions(loss), x, y)
    return float(np.mean(losses)) + proxies * of_all


def slow_triplet(
    _: nn.Module, x: np.ndarray, y: np.ndarray, margin: float = 0.2, undecided: np.ndarray | None = None
) -> float:
    unit = [e / np.linalg.norm(e) for e in x]
    losses = []
    for a in range(len(x)):
        for p in range(len(x)):
            if a == p or y[a] != y[p]:
                continue
            near = float(((unit[a] - unit[p]) ** 2).sum())
            surely = [n for n in range(len(x)) if y[n] != y[a] and (undecided is None or not undecided[a, n])]
            negatives = [float(((unit[a] - unit[n]) ** 2).sum()) for n in surely]
            if not negatives:
                losses.append(0.0)
                continue
            farther = [d for d in negatives if d > near]
            losses.append(max(0.0, near - (min(farther) if farther else max(negatives)) + margin))
    return float(np.mean(losses))


def slow_balanced_logistic(_: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    sides: tuple[list[float], list[float]] = ([], [])
    for e, k in zip(x, y, strict=True):
        odds = math.exp(float(e[0]))
        sides[int(k != 0)].append(-math.log(odds / (1 + odds) if k == 0 else 1 / (1 + odds)))
    return sum(sum(side) / len(side) for side in sides if side) / 2


SLOW: dict[str, Callable[..., float]] = {
    name.removeprefix("slow_"): route for name, route in globals().items() if name.startswith("slow_")
}
