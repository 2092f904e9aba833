"""Every loss on the shelf through the same checks, and each against a slow second route."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from losses_by_hand import SLOW, cos, directions, slow_a_softmax
from synthprint import shelves
from synthprint.errors import RecipeError

NAMES = shelves.names("losses")
DIM, SOURCES = 6, 7
GROUPED = {"angular_prototypical", "ge2e", "prototypical", "supervised_contrastive", "triplet"}
TAKES_UNDECIDED = [name for name in NAMES if getattr(shelves.find("losses", name), "takes_undecided", False)]
QUERY_IS_FIRST = {"angular_prototypical", "prototypical"}


def build(name: str, seed: int = 0, **own: Any) -> nn.Module:
    """A loss in float64 whose parameters are not at a special place."""
    torch.manual_seed(seed)
    loss: nn.Module = shelves.find("losses", name)(DIM, SOURCES, **own)
    return loss.double()


def batch(seed: int, sources: int = 4, each: int = 3, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Embeddings [B, D] float64 and labels [B] in the sampler's layout; the sources are a random choice."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(rng.permutation(SOURCES)[:sources], each)
    centres = rng.standard_normal((SOURCES, DIM))
    x = centres[labels] + spread * rng.standard_normal((len(labels), DIM))
    return torch.from_numpy(x * rng.uniform(0.2, 3, (len(labels), 1))), torch.from_numpy(labels)


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("am_softmax", {"margin": 0.35, "scale": 12.0}),
    ("am_softmax", {"margin": 0.0, "scale": 1.0}),
    ("aam_softmax", {"margin": 0.5, "scale": 20.0}),
    ("aam_softmax", {"margin": 1.5, "scale": 5.0}),
    ("a_softmax", {"margin": 1}),
    ("a_softmax", {"margin": 3}),
    ("ge2e", {"similarity_floor": 1e-6}),
    ("angular_prototypical", {"similarity_floor": 0.3}),
    ("triplet", {"margin": 1.5}),
    ("proxy_anchor", {"margin": 0.3, "scale": 8.0}),
    ("supervised_contrastive", {"temperature": 0.5}),
    ("supervised_contrastive", {"proxies": 0.3}),
]


def test_every_loss_has_a_second_route() -> None:
    assert sorted(SLOW) == NAMES


@pytest.mark.parametrize(("name", "own"), [(name, {}) for name in NAMES] + VARIANTS)
@pytest.mark.parametrize(("sources", "each", "spread"), [(4, 3, 1.0), (2, 2, 3.0), (7, 4, 0.3)])
def test_equals_the_second_route(name: str, own: dict[str, Any], sources: int, each: int, spread: float) -> None:
    for seed in range(3):
        loss = build(name, seed, **own)
        x, y = batch(seed, sources, each, spread)
        expected = SLOW[name](loss, x.numpy(), y.numpy(), **own)
        # The learnt scale starts at the float32 nearest to 10.
        tolerance = 1e-6 if hasattr(loss, "logits") else 1e-9
        assert loss(x, y).item() == pytest.approx(expected, rel=tolerance, abs=tolerance)
        assert loss.float()(x.float(), y).item() == pytest.approx(expected, rel=2e-5, abs=2e-5)


def undecided_pairs(y: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    """[B, B], the clips of two sources of the batch, given by their places, all undecided; or of some of them."""
    sources = list(dict.fromkeys(y.tolist()))
    marked = torch.zeros(len(y), len(y), dtype=torch.bool)
    for a, b in pairs:
        marked |= (y == sources[a])[:, None] & (y == sources[b])
    return marked | marked.T


@pytest.mark.parametrize("name", TAKES_UNDECIDED)
@pytest.mark.parametrize("pairs", [[(0, 1)], [(0, 1), (0, 2), (0, 3)]])
def test_undecided_pairs_are_left_out(name: str, pairs: list[tuple[int, int]]) -> None:
    """Also where a source is left without a negative, and where only some clips of two sources are undecided."""
    for seed in range(3):
        x, y = batch(seed)
        undecided = undecided_pairs(y, pairs)
        for given in (undecided, undecided & ~undecided_pairs(y.roll(1), pairs)):
            loss = build(name, seed)
            expected = SLOW[name](loss, x.numpy(), y.numpy(), undecided=given.numpy())
            leaf = x.clone().requires_grad_()
            found = loss(leaf, y, undecided=given)
            assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
            found.backward()
            assert leaf.grad is not None
            assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("name", TAKES_UNDECIDED)
def test_no_undecided_pairs_change_nothing(name: str) -> None:
    x, y = batch(0)
    loss = build(name)
    none = torch.zeros(len(y), len(y), dtype=torch.bool)
    assert loss(x, y, undecided=none).item() == pytest.approx(loss(x, y).item(), rel=1e-12)
    assert loss(x, y, undecided=None).item() == loss(x, y).item()


@pytest.mark.parametrize("name", ["ge2e", "angular_prototypical"])
def test_learnt_scale_and_bias_enter_as_the_equation_says(name: str) -> None:
    own = {"init_scale": 3.5, "init_bias": 0.7}
    loss = build(name, **own)
    x, y = batch(0)
    assert loss.logits.scale.item() == pytest.approx(3.5, abs=1e-6)
    assert loss.logits.bias.item() == pytest.approx(0.7, abs=1e-6)
    assert loss(x, y).item() == pytest.approx(SLOW[name](loss, x.numpy(), y.numpy(), scale=3.5, bias=0.7), abs=1e-6)


@pytest.mark.parametrize("name", sorted(GROUPED))
def test_groups_may_have_different_sizes(name: str) -> None:
    x, _ = batch(5, 3, 3)
    y = torch.tensor([4, 4, 0, 0, 0, 6, 6, 6, 6])
    loss = build(name)
    assert loss(x, y).item() == pytest.approx(SLOW[name](loss, x.numpy(), y.numpy()), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_batch_does_not_matter(name: str) -> None:
    """Where a source's first utterance is its query, it stays the first; all else is shuffled."""
    rng = np.random.default_rng(1)
    for seed in range(5):
        x, y = batch(seed)
        order = rng.permutation(len(y))
        if name in QUERY_IS_FIRST:
            queries = np.arange(0, len(y), 3)
            order = np.concatenate([rng.permutation(queries), order[~np.isin(order, queries)]])
        loss = build(name)
        assert loss(x[order], y[order]).item() == pytest.approx(loss(x, y).item(), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_loss_and_reaches_every_parameter(name: str) -> None:
    loss = build(name)
    x, y = batch(2)
    assert torch.autograd.gradcheck(lambda e: loss(e, y), x.requires_grad_(), atol=1e-4, rtol=1e-3)
    loss(x, y).backward()
    assert x.grad is not None
    assert (x.grad.norm(dim=1) > 0).any()
    for key, parameter in loss.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert key == "logits.bias" or parameter.grad.abs().sum() > 0, key  # a constant cancels in a softmax


@pytest.mark.parametrize("name", NAMES)
def test_training_separates_the_sources(name: str) -> None:
    """A few steps down the gradient of the embeddings and of the loss's own parameters lower the loss."""
    loss = build(name)
    x, y = batch(3)
    x.requires_grad_()
    optimiser = torch.optim.Adam([x, *loss.parameters()], lr=0.05)
    start = loss(x, y).item()
    for _ in range(100):
        optimiser.zero_grad()
        loss(x, y).backward()
        optimiser.step()
    assert loss(x, y).item() < 0.2 * start


@pytest.mark.parametrize("name", NAMES)
def test_separated_is_lower_than_mixed(name: str) -> None:
    loss = build(name)
    weight = next((p for key, p in loss.named_parameters() if key.endswith("weight")), None)
    centres = torch.eye(SOURCES, DIM, dtype=torch.float64) if weight is None else 5 * weight.detach()
    y = torch.arange(4).repeat_interleave(3)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((len(y), DIM)))
    separated = centres[y] + 0.01 * noise
    assert loss(separated, y) < loss(separated.roll(1, dims=0), y)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_and_autocast_are_finite_and_close(name: str) -> None:
    loss = build(name).float()
    x, y = batch(4)
    half = x.bfloat16().requires_grad_()
    expected = loss(half.detach().float(), y)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, y)
        guess = loss.predict(half)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    value.backward()
    assert half.grad is not None
    assert half.grad.isfinite().all()
    assert guess is None or guess.dtype == torch.int64


@pytest.mark.parametrize("name", NAMES)
def test_state_round_trips(name: str) -> None:
    loss, other = build(name, seed=0), build(name, seed=1)
    x, y = batch(0)
    loss(x, y)
    other.load_state_dict(loss.state_dict())
    assert other(x, y).item() == loss.train()(x, y).item()
    assert other.state_dict().keys() == loss.state_dict().keys()


@pytest.mark.parametrize("name", NAMES)
def test_predict_is_the_likeliest_source_or_none(name: str) -> None:
    loss = build(name)
    x, y = batch(0, 7, 4)
    guess = loss.predict(x)
    assert loss.utterances_per_source == (2 if name in GROUPED else 1)
    if name in GROUPED:
        assert guess is None
        return
    assert guess.shape == y.shape
    if name == "balanced_logistic":
        assert guess.tolist() == [0 if e[0] > 0 else 1 for e in x.tolist()]
    elif name == "softmax":
        # Of all labels, the predicted one gives the lowest loss.
        losses = torch.tensor([[loss(e[None], torch.tensor([j])).item() for j in range(SOURCES)] for e in x])
        assert guess.tolist() == losses.argmin(dim=1).tolist()
    else:
        nearest = [max(range(SOURCES), key=lambda j: cos(e, directions(loss)[j])) for e in x.numpy()]
        assert guess.tolist() == nearest


@pytest.mark.parametrize("name", NAMES)
def test_unknown_options_fail_by_name(name: str) -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        build(name, no_such_option=1)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_make_no_sense_fail_by_name(name: str) -> None:
    make = shelves.find("losses", name)
    with pytest.raises(RecipeError, match="sources = 1 "):
        make(8, 1)
    with pytest.raises(RecipeError, match="dim = 0 "):
        make(0, 8)


IMPOSSIBLE: dict[str, dict[str, list[Any]]] = {
    "margin": {
        "am_softmax": [-0.1, 2.0],
        "aam_softmax": [-0.1, 5.7],
        "a_softmax": [0, 2.5],
        "triplet": [0.0, 4.0],
        "proxy_anchor": [-0.1, 1.0],
    },
    "scale": {"am_softmax": [-1.0, 0.0, math.inf], "aam_softmax": [-30.0, math.nan], "proxy_anchor": [0.0, math.inf]},
    "temperature": {"supervised_contrastive": [0.0, math.nan, math.inf]},
    "proxies": {"supervised_contrastive": [-0.1, math.nan, math.inf]},
    "init_scale": {"ge2e": [0.0, -10.0], "angular_prototypical": [-1.0]},
    "init_bias": {"ge2e": [math.nan], "angular_prototypical": [math.inf]},
    "similarity_floor": {"ge2e": [1.0, -2.0], "angular_prototypical": [1.5]},
    "lambda_start": {"a_softmax": [-1.0]},
    "lambda_min": {"a_softmax": [5.0]},
}


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [(name, option, v) for option, rows in IMPOSSIBLE.items() for name, values in rows.items() for v in values],
)
def test_impossible_options_fail_by_name(name: str, option: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"^loss: {option} = .* must be "):
        build(name, **{option: value})


def test_every_option_is_tried_with_impossible_values() -> None:
    options = {
        (name, option)
        for name in NAMES
        for option in list(inspect.signature(shelves.find("losses", name)).parameters)[2:]
    }
    assert options == {(name, option) for option, rows in IMPOSSIBLE.items() for name in rows}


@pytest.mark.parametrize("name", sorted(GROUPED))
def test_a_batch_without_pairs_says_so(name: str) -> None:
    loss = build(name)
    x, _ = batch(0, 2, 2)
    with pytest.raises(RecipeError, match=r"label 5 has a single utterance.*balanced sampler"):
        loss(x, torch.tensor([1, 1, 1, 5]))
    with pytest.raises(RecipeError, match=r"one source.*balanced sampler"):
        loss(x, torch.tensor([1, 1, 1, 1]))


@pytest.mark.parametrize("name", ["am_softmax", "aam_softmax", "a_softmax"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_on_and_against_the_own_direction(name: str, dtype: torch.dtype) -> None:
    loss = build(name).to(dtype)
    weight = loss.directions.weight.detach()
    x = torch.cat([weight, -weight]).requires_grad_()
    y = torch.arange(SOURCES).repeat(2)
    loss(x, y).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert loss.directions.weight.grad.isfinite().all()
    expected = SLOW[name](loss.double(), x.detach().double().numpy(), y.numpy())
    assert loss.to(dtype)(x, y).item() == pytest.approx(expected, rel=1e-5)


def test_aam_target_logit_falls_over_the_whole_half_turn() -> None:
    loss = shelves.find("losses", "aam_softmax")(2, 2, margin=0.3, scale=1.0).double()
    with torch.no_grad():
        loss.directions.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    theta = torch.linspace(0, math.pi, 721, dtype=torch.float64)
    # By symmetry of ±θ the other source's logit is known: cos(θ - π/2).
    x = torch.stack([theta.cos(), -theta.sin()], dim=1)
    target = torch.tensor([0])
    values = torch.stack([loss(e[None], target) for e in x])
    own = -theta.sin() - torch.expm1(values).log()  # the loss is log(1 + exp(other - own))
    assert (own.diff() < 0).all()


def test_floored_cosines_give_no_gradient() -> None:
    x = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.2]], requires_grad=True)
    y = torch.tensor([0, 0, 1, 1])
    build("ge2e", similarity_floor=1e-6).float()(x, y).backward()
    floored = x.grad.clone()
    # Only the own cosines are above the floor, so that a query's gradient is along its own source alone.
    own = [(0, 1), (1, 0), (2, 3), (3, 2)]
    again = x.detach().clone().requires_grad_()
    cosine = torch.stack([torch.cosine_similarity(again[i], again[j], dim=0) for i, j in own])
    torch.nn.functional.softplus(10 * (1e-6 - cosine)).mean().backward()
    torch.testing.assert_close(floored, again.grad, rtol=1e-4, atol=1e-7)


def test_learnt_scale_stays_positive() -> None:
    """On labels that are wrong throughout, the gradient pushes w down for as long as it is let."""
    loss = build("ge2e")
    x = torch.from_numpy(np.repeat(np.eye(4, DIM), 2, axis=0)) + 0.01
    y = torch.tensor([0, 1, 1, 2, 2, 3, 3, 0])
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        loss(x, y).backward()
        optimiser.step()
    assert 0 < loss.logits.scale.item() < 0.1


def test_a_softmax_annealing_counts_training_steps_and_is_part_of_the_state() -> None:
    own = {"lambda_start": 1500.0, "lambda_min": 5.0}
    loss = build("a_softmax", **own)
    x, y = batch(0)
    for step in (0, 1, 2):
        expected = slow_a_softmax(loss, x.numpy(), y.numpy(), blend=1500 / (1 + 0.12 * step))
        assert loss.eval()(x, y).item() == pytest.approx(expected, rel=1e-6)
        assert loss.train()(x, y).item() == pytest.approx(expected, rel=1e-6)
    resumed = build("a_softmax", seed=9, **own)
    resumed.load_state_dict(loss.state_dict())
    assert int(resumed.steps) == 3
    assert resumed(x, y).item() == loss(x, y).item()
    loss.steps.fill_(10**6)
    assert loss(x, y).item() == pytest.approx(slow_a_softmax(loss, x.numpy(), y.numpy(), blend=5.0), rel=1e-6)
