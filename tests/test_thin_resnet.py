"""Thin-ResNet: its size, a second route through the same weights, and what every backbone on the shelf holds to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from ssl_models import fitted, tiny_configuration
from synthprint import shelves
from synthprint.backbones.thin_resnet import ThinResNet
from synthprint.errors import RecipeError

# Options that make a backbone small; what is not named here is built with its defaults.
SSL: dict[str, Any] = {"ssl": tiny_configuration(hidden_size=7, num_attention_heads=1, num_conv_pos_embedding_groups=1),
                       "pretrained": False}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "thin_resnet": {"widths": [8, 8, 16, 16], "blocks": [1, 2, 1, 1]},
    "ssl_aasist": SSL,
    "ssl_pool": SSL,
}


@pytest.mark.parametrize(("dim", "count"), [(10, 1_372_320), (50, 1_377_480), (200, 1_396_830), (512, 1_437_078)])
def test_parameter_counts(dim: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in ThinResNet(dim).parameters()) == count


def used(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """`model` as after some training: every weight and every statistic of a norm is its own."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif tensor.is_floating_point() and ("norm" in name or "bias" in name or "running_mean" in name):
            tensor.uniform_(-0.5, 1.0, generator=generator)
    return model.eval()


def waves(batch: int, n_samples: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    envelope = 0.55 + 0.45 * np.sin(np.arange(n_samples) / rng.uniform(300, 900, (batch, 1)))
    return torch.from_numpy((0.1 * envelope * rng.standard_normal((batch, n_samples))).astype(np.float32))


def by_hand(weights: dict[str, Tensor], energies: Tensor, blocks: list[int], stem_stride: tuple[int, int]) -> Tensor:
    """Energies [B, F, T] -> embedding [B, D], layer after layer from the paper's description, in double precision."""
    w = {name: tensor.double() for name, tensor in weights.items()}

    def batch_norm(x: Tensor, name: str) -> Tensor:
        shape = (1, -1, 1, 1)
        scale = w[f"{name}.weight"] / torch.sqrt(w[f"{name}.running_var"] + 1e-5)
        return (x - w[f"{name}.running_mean"].view(shape)) * scale.view(shape) + w[f"{name}.bias"].view(shape)

    x = F.conv2d(energies.double()[:, None], w["stem.0.weight"], stride=stem_stride, padding=3)
    x = torch.clamp(batch_norm(x, "stem.1"), min=0)
    index = 0
    for stage, depth in enumerate(blocks):
        for position in range(depth):
            name, stride = f"stages.{index}", (1, 2, 2, 1)[stage] if position == 0 else 1
            y = F.conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = batch_norm(torch.clamp(y, min=0), f"{name}.norm1")
            y = batch_norm(F.conv2d(y, w[f"{name}.conv2.weight"], padding=1), f"{name}.norm2")
            squeezed = y.flatten(2).sum(dim=2) / (y.shape[2] * y.shape[3])
            hidden = torch.clamp(squeezed @ w[f"{name}.squeeze.weight"].T + w[f"{name}.squeeze.bias"], min=0)
            gate = 1 / (1 + torch.exp(-(hidden @ w[f"{name}.excite.weight"].T + w[f"{name}.excite.bias"])))
            if f"{name}.shortcut.0.weight" in w:
                x = batch_norm(F.conv2d(x, w[f"{name}.shortcut.0.weight"], stride=stride), f"{name}.shortcut.1")
            x = torch.clamp(y * gate.view(*gate.shape, 1, 1) + x, min=0)
            index += 1
    frames = (x.sum(dim=2) / x.shape[2]).permute(0, 2, 1)  # [B, T, C]
    pooled = []
    for utterance in frames:
        logits = [
            w["pooling.attention"][:, 0] @ torch.tanh(w["pooling.projection.weight"] @ h + w["pooling.projection.bias"])
            for h in utterance
        ]
        shares = torch.exp(torch.stack(logits) - max(logits))
        pooled.append((shares / shares.sum()) @ utterance)
    return torch.stack(pooled) @ w["linear.weight"].T + w["linear.bias"]


@pytest.mark.parametrize(
    ("blocks", "widths", "stem_stride"),
    [([3, 4, 6, 3], [16, 32, 64, 128], (2, 1)), ([1, 2, 1, 1], [8, 16, 16, 24], (2, 2))],
)
def test_equals_a_second_route(blocks: list[int], widths: list[int], stem_stride: tuple[int, int]) -> None:
    model = used(ThinResNet(12, widths, blocks, stem_stride))
    wave = waves(2, 8000)
    with torch.inference_mode():
        found = model(wave)
        expected = by_hand(model.state_dict(), model.frontend(wave), blocks, stem_stride)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("widths", [[16, 16, 32, 32], [8, 12, 12, 24]])
def test_gradients_equal_a_second_route(widths: list[int]) -> None:
    model = used(ThinResNet(5, widths, [1, 2, 1, 1]))
    wave = waves(3, 8000)
    model(wave).square().sum().backward()
    energies = model.frontend(wave)
    weights = {name: parameter.detach().double().requires_grad_() for name, parameter in model.named_parameters()}
    by_hand({**model.state_dict(), **weights}, energies, [1, 2, 1, 1], (2, 1)).square().sum().backward()
    for name, parameter in model.named_parameters():
        expected = weights[name].grad
        assert parameter.grad is not None
        assert expected is not None
        np.testing.assert_allclose(
            parameter.grad, expected, rtol=0, atol=1e-3 * float(expected.abs().max()), err_msg=name
        )


def test_stages_halve_frequency_and_time_as_the_paper_s() -> None:
    model = ThinResNet().eval()
    shapes = []
    for block in (model.stem, *model.stages):
        block.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.inference_mode():
        assert model(waves(1, 32240)).shape == (1, 50)
    # 40 bands and 202 frames; only the stem and the second and third stages have strides.
    stages = [(16, 20, 202)] * 4 + [(32, 10, 101)] * 4 + [(64, 5, 51)] * 6 + [(128, 5, 51)] * 3
    assert shapes == stages


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = ThinResNet()
    weight = model.stages[-1].conv2.weight  # Kaiming normal, fan-out: deviation sqrt(2 / (128 · 9))
    assert float(weight.detach().std()) == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    attention = model.pooling.attention  # Xavier normal: sqrt(2 / (128 + 1))
    assert float(attention.detach().std()) == pytest.approx((2 / 129) ** 0.5, rel=0.2)


def test_statistics_pooling_is_the_weighted_deviation() -> None:
    torch.manual_seed(0)
    model = used(ThinResNet(6, **SMALL["thin_resnet"], statistics=True))
    x = torch.randn(2, 16, 9)
    with torch.inference_mode():
        found = model.pooling(x)
        hidden = torch.tanh(model.pooling.projection(x.transpose(1, 2))) @ model.pooling.attention
    share = torch.softmax(hidden, dim=1).transpose(1, 2)  # [B, 1, T]
    mean = (share * x).sum(dim=2)
    deviation = (share * (x - mean[:, :, None]) ** 2).sum(dim=2).sqrt()
    torch.testing.assert_close(found, torch.cat([mean, deviation], dim=1), atol=1e-5, rtol=1e-4)


def test_refusals() -> None:
    for wrong in ({"widths": [16, 32, 64]}, {"blocks": [3, 4, 6, 0]}, {"stem_stride": [2]}):
        with pytest.raises(RecipeError, match=f"thin_resnet: {next(iter(wrong))} = "):
            ThinResNet(**wrong)


@pytest.mark.parametrize("name", shelves.names("backbones"))
def test_conformance(name: str) -> None:
    own = SMALL.get(name, {})
    torch.manual_seed(0)
    backbone = shelves.find("backbones", name)(dim=7, **own)
    assert backbone.dim == 7
    batch = waves(3, 32240)
    fitted(used(backbone), batch)
    with torch.inference_mode():
        together = backbone(batch)
        alone = torch.cat([backbone(wave[None]) for wave in batch])
        again = backbone(batch)
    assert together.shape == (3, 7)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert torch.equal(together, again)
    assert float(F.cosine_similarity(together[0], together[1], dim=0)) < 0.999999  # it looks at its input

    other = shelves.find("backbones", name)(dim=7, **own)
    other.load_state_dict(load(save({key: value.contiguous() for key, value in backbone.state_dict().items()})))
    with torch.inference_mode():
        assert torch.equal(other.eval()(batch), together)

    learning = {key: parameter for key, parameter in backbone.named_parameters() if parameter.requires_grad}
    if learning:
        backbone.train()
        backbone(batch).square().sum().backward()
    assert not [key for key, parameter in learning.items() if parameter.grad is None]
