"""SSL-AASIST: its size, its graph layers by a second route, its encoders from files, and a run from end to end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from conftest import TINY_RECIPE, tone
from ssl_models import MODEL_TYPES, SIZE, fitted, tiny_configuration, tiny_folder
from synthprint.backbones.ssl_aasist import Aasist, ResidualBlock, SslAasist
from synthprint.errors import CheckpointError, MissingDependency, RecipeError
from synthprint.extractor.checkpoint import Checkpoint
from synthprint.extractor.recipe import BackboneChoice, Crop, Schedule
from synthprint.extractor.runtime import TorchExtractor, load_backbone, load_extractor
from synthprint.layers import ssl_encoder
from synthprint.layers.graph_attention import GraphAttention, GraphPooling, HeterogeneousGraphAttention
from synthprint.layers.ssl_encoder import SslEncoder
from synthprint.training import loop
from synthprint.types import Manifest

SAMPLES = 32_240


def waves(batch: int = 3, samples: int = 8000) -> Tensor:
    return torch.from_numpy(np.stack([np.resize(tone(i, i), samples) for i in range(batch)]))


def tiny(seed: int = 0, **options: Any) -> SslAasist:
    torch.manual_seed(seed)
    return SslAasist(dim=6, **{"ssl": tiny_configuration(), "pretrained": False} | options)


# The size


@pytest.mark.parametrize(
    ("dim", "count"), [(10, 315_887_250), (50, 315_893_690), (200, 315_917_840), (512, 315_968_072)]
)
def test_parameter_counts(dim: int, count: int) -> None:
    with torch.device("meta"):
        model = SslAasist(dim, pretrained=False)
    assert sum(p.numel() for p in model.parameters()) == count
    assert sum(p.numel() for p in model.encoder.parameters()) == 315_438_720


# The graph layers, node by node in double precision


def numbers(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.double().numpy() for name, tensor in module.state_dict().items()}


def linear(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def softmax(logits: list[float]) -> np.ndarray:
    powers = np.exp(np.array(logits) - max(logits))
    return powers / powers.sum()


def selu(x: np.ndarray) -> np.ndarray:
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return scale * np.where(x > 0, x, alpha * (np.exp(x) - 1))


def normed(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    scale = w["norm.weight"] / np.sqrt(w["norm.running_var"] + 1e-5)
    return (x - w["norm.running_mean"]) * scale + w["norm.bias"]


def attended(
    w: dict[str, np.ndarray], nodes: list[np.ndarray], temperature: float, weight: Callable[[int, int], np.ndarray]
) -> np.ndarray:
    """What every node becomes; `weight(i, j)` is the weight vector of a pair."""
    rows = []
    for i, node in enumerate(nodes):
        logits = [
            float(weight(i, j) @ np.tanh(linear(w, "pair", node * other))) / temperature
            for j, other in enumerate(nodes)
        ]
        mixed = sum(share * other for share, other in zip(softmax(logits), nodes, strict=True))
        rows.append(selu(normed(w, linear(w, "attended", mixed) + linear(w, "own", node))))
    return np.stack(rows)


def used(module: nn.Module) -> Any:
    """As after some training: every statistic and every bias is its own."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in module.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 2.0, generator=generator)
        elif tensor.is_floating_point() and ("norm" in name or "bias" in name):
            tensor.uniform_(-0.5, 1.0, generator=generator)
    return module.eval()


def test_graph_attention_equals_a_second_route() -> None:
    torch.manual_seed(0)
    layer, nodes = used(GraphAttention(6, 4, temperature=2.0)), torch.randn(2, 7, 6)
    w = numbers(layer)
    with torch.inference_mode():
        found = layer(nodes)
    for graph, result in zip(nodes.double().numpy(), found, strict=True):
        expected = attended(w, list(graph), 2.0, lambda _i, _j: w["weight"])
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("masters", [1, 2])
def test_heterogeneous_attention_equals_a_second_route(masters: int) -> None:
    torch.manual_seed(0)
    layer = used(HeterogeneousGraphAttention(5, 4, temperature=0.5))
    first, second, master = torch.randn(2, 3, 5), torch.randn(2, 4, 5), torch.randn(masters, 1, 5)
    w = numbers(layer)

    def weight(i: int, j: int) -> np.ndarray:
        return w["weight_first"] if i < 3 and j < 3 else w["weight_second"] if i >= 3 and j >= 3 else w["weight_across"]

    with torch.inference_mode():
        found = layer(first, second, master)
    assert [tuple(part.shape) for part in found] == [(2, 3, 4), (2, 4, 4), (2, 1, 4)]
    for b in range(2):
        own = master.double().numpy()[b % masters, 0]
        nodes = [linear(w, "first", x) for x in first[b].double().numpy()]
        nodes += [linear(w, "second", x) for x in second[b].double().numpy()]
        expected = attended(w, nodes, 0.5, weight)
        np.testing.assert_allclose(torch.cat([found[0][b], found[1][b]]), expected, atol=1e-5)
        shares = softmax([float(w["master_weight"] @ np.tanh(linear(w, "master_pair", x * own))) / 0.5 for x in nodes])
        mixed = sum(share * x for share, x in zip(shares, nodes, strict=True))
        updated = linear(w, "master_attended", mixed) + linear(w, "master_own", own)
        np.testing.assert_allclose(found[2][b, 0], updated, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 5, 42])
def test_pooling_keeps_the_best_half_best_first(count: int) -> None:
    torch.manual_seed(0)
    layer, nodes = GraphPooling(4).eval(), torch.randn(3, count, 4)
    w = numbers(layer)
    with torch.inference_mode():
        found = layer(nodes)
    for graph, result in zip(nodes.double().numpy(), found, strict=True):
        scored = [(1 / (1 + np.exp(-linear(w, "score", node)[0])), node) for node in graph]
        best = sorted(scored, key=lambda pair: -pair[0])[: max(1, count // 2)]
        np.testing.assert_allclose(result, np.stack([score * node for score, node in best]), atol=1e-6)


def test_the_first_norm_of_a_residual_block_is_used() -> None:
    torch.manual_seed(0)
    block = used(ResidualBlock(3, 5, first=False))
    x = torch.randn(2, 3, 6, 7, requires_grad=True)
    found = block(x)
    assert found.shape == (2, 5, 6, 7)
    found.square().sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in block.parameters())
    norm = block.before[0]
    y = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()
    y = torch.selu(y * norm.weight[:, None, None] + norm.bias[:, None, None])
    torch.testing.assert_close(found, block.convolve(y) + block.shortcut(x))
    same = ResidualBlock(3, 3, first=True)
    assert len(same.before) == 0
    assert isinstance(same.shortcut, nn.Identity)


def test_shapes_on_the_way() -> None:
    model, shapes = Aasist(SIZE).eval(), {}
    for name in ("norm_in", "blocks", "spectral.0", "spectral.1", "temporal.0", "temporal.1"):
        hook = lambda _m, _i, output, name=name: shapes.update({name: tuple(output.shape[1:])})  # noqa: E731
        model.get_submodule(name).register_forward_hook(hook)
    with torch.inference_mode():
        assert model(torch.randn(2, 100, SIZE)).shape == (2, 160)  # 100 frames are 2 s
    assert shapes == {
        "norm_in": (1, 42, 33), "blocks": (64, 42, 33), "spectral.0": (42, 64), "spectral.1": (21, 64),
        "temporal.0": (33, 64), "temporal.1": (16, 64),
    }  # fmt: skip


# The encoder


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_encoder_from_a_folder_learns(model_type: str, stable: bool, tmp_path: Path) -> None:
    norm = "layer" if stable else "group"
    folder = tiny_folder(tmp_path, model_type, do_stable_layer_norm=stable, feat_extract_norm=norm)
    model = SslAasist(6, str(folder))
    from transformers import AutoModel

    library = AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        torch.testing.assert_close(model.eval().encoder(waves()), library(waves()).last_hidden_state)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model(waves()).square().sum().backward()
    optimizer.step()
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert still == ["encoder.model.masked_spec_embed"]  # what frames were masked with in pretraining


def test_each_clip_by_itself_and_twice_the_same() -> None:
    model = fitted(used(tiny()), waves())
    with torch.inference_mode():
        together = model(waves())
        assert float(torch.nn.functional.cosine_similarity(together[0], together[1], dim=0)) < 0.99999
        torch.testing.assert_close(together, torch.cat([model(w[None]) for w in waves()]), atol=1e-5, rtol=1e-4)
        assert torch.equal(together, model(waves()))


def test_nothing_is_masked_and_no_layer_dropped_in_training() -> None:
    still = dict.fromkeys(("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0)
    asked = {"mask_time_prob": 0.9, "mask_time_length": 2, "mask_feature_prob": 0.9, "layerdrop": 0.9} | still
    for model_type in MODEL_TYPES:
        encoder = SslEncoder(tiny_configuration(model_type, apply_spec_augment=True, **asked), pretrained=False)
        assert encoder.training
        found = encoder(waves())
        assert torch.equal(found, encoder(waves()))
        torch.testing.assert_close(found, encoder.eval()(waves()))
    # The dropout that is configured is at work.
    encoder = SslEncoder(tiny_configuration(hidden_dropout=0.5), pretrained=False)
    assert not torch.equal(encoder(waves()), encoder(waves()))


def learning(model: SslAasist) -> set[str]:
    """Which parts of the model a gradient reaches."""
    model.train()(waves()).square().sum().backward()
    parts = {"features": model.encoder.model.feature_extractor, "transformer": model.encoder.model.encoder,
             "aasist": model.aasist}  # fmt: skip
    return {name for name, part in parts.items() if any(p.grad is not None for p in part.parameters())}


def test_what_is_frozen_does_not_learn() -> None:
    assert learning(tiny()) == {"features", "transformer", "aasist"}
    assert learning(tiny(freeze="features")) == {"transformer", "aasist"}
    frozen = tiny(freeze="encoder")
    assert learning(frozen) == {"aasist"}
    assert frozen.training
    assert not any(module.training for module in frozen.encoder.modules())
    with pytest.raises(RecipeError, match="freeze = 'all' is not one of: nothing, features, encoder"):
        tiny(freeze="all")


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_checkpointing_gives_the_same_gradient(model_type: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = tiny(ssl=tiny_configuration(model_type), checkpointing=checkpointing)
        assert any(getattr(m, "gradient_checkpointing", False) for m in model.modules()) == checkpointing
        torch.manual_seed(2)
        model(waves()).square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_a_waveform_is_normalised_where_that_is_asked_for() -> None:
    torch.manual_seed(0)
    plain = SslEncoder(tiny_configuration(), pretrained=False).eval()
    normalising = SslEncoder(plain.rebuild["ssl"], pretrained=False, normalize=True).eval()
    normalising.load_state_dict(plain.state_dict())
    x = waves()
    expected = torch.stack([torch.from_numpy((w - w.mean()) / np.sqrt(w.var() + 1e-7)) for w in x.numpy()])
    with torch.inference_mode():
        torch.testing.assert_close(normalising(x), plain(expected), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(normalising(x), normalising(0.1 * x + 0.01), atol=1e-3, rtol=1e-3)
        assert not torch.allclose(plain(x), plain(expected), atol=1e-3)


def test_bfloat16_under_autocast() -> None:
    model = tiny()
    with torch.autocast("cpu", torch.bfloat16):
        assert model.encoder(waves()).dtype == torch.bfloat16
        found = model(waves())
    assert found.dtype == torch.float32
    found.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


# Files


def test_weights_as_pytorch_bin_with_the_old_names_of_weight_norm(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "new")
    expected = SslEncoder(str(folder)).eval()
    old = {
        "wav2vec2."
        + name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in expected.model.state_dict().items()
        if name != "masked_spec_embed"
    } | {"project_q.weight": torch.zeros(2, 2)}  # as of a model with its pretraining heads
    assert any(name.endswith("conv.weight_g") for name in old)
    (tmp_path / "old").mkdir()
    shutil.copy(folder / "config.json", tmp_path / "old")
    torch.save(old, tmp_path / "old" / "pytorch_model.bin")
    ssl_encoder.convert(str(tmp_path / "old"), tmp_path / "converted")
    assert (tmp_path / "converted" / "model.safetensors").exists()
    for name in ("old", "converted"):
        found = SslEncoder(str(tmp_path / name)).eval()
        with torch.inference_mode():
            assert torch.equal(found(waves()), expected(waves()))


def test_half_precision_files_are_computed_in_float32(tmp_path: Path) -> None:
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny_folder(tmp_path / "a")).half().save_pretrained(tmp_path / "b")
    assert {p.dtype for p in SslEncoder(str(tmp_path / "b")).parameters()} == {torch.float32}


def test_files_that_do_not_do(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "whole")

    def copy(name: str) -> Path:
        shutil.copytree(folder, tmp_path / name)
        return tmp_path / name

    cut = copy("cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="cut: its weights cannot be read; fetch them again"):
        SslEncoder(str(cut.parent))
    (copy("bare") / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"bare: holds no model\.safetensors or pytorch_model\.bin"):
        SslEncoder(str(tmp_path / "bare"))
    (tmp_path / "bare" / "pytorch_model.bin").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        SslEncoder(str(tmp_path / "bare"))
    config = json.loads((copy("other") / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match=r"not those of a wav2vec2 encoder: \d+ are missing, the first is 'encod"):
        SslEncoder(str(tmp_path / "other"))
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        SslEncoder(str(tmp_path / "other"))
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(RecipeError, match="model_type 'bert' is not one of: wav2vec2, hubert, wavlm"):
        SslEncoder(str(tmp_path / "other"))
    (tmp_path / "other" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"other: holds no config\.json"):
        SslEncoder(str(tmp_path / "other"))


def test_configurations_that_do_not_do() -> None:
    for changed, match in (
        ({"model_type": "whisper"}, "'whisper' is not one of"),
        ({"num_attention_heads": 3}, "no encoder can be built"),
        ({"conv_stride": [10, 8]}, "is not the configuration of an encoder"),
        ({"hidden_size": "wide"}, "is not the configuration of an encoder"),
        ({"hidden_size": 8192, "num_hidden_layers": 40}, "at most 537 million: take a smaller one"),
    ):
        with pytest.raises(RecipeError, match=match):
            SslEncoder(tiny_configuration() | changed, pretrained=False)
    with pytest.raises(RecipeError, match="a configuration has no weights"):
        SslEncoder(tiny_configuration())


def test_what_cannot_be_fetched_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(CheckpointError) as caught, torch.device("meta"):
        SslAasist()
    for part in (
        "https://huggingface.co/facebook/wav2vec2-xls-r-300m/tree/main",
        "pytorch_model.bin",
        'ssl = "FOLDER"',
    ):
        assert part in str(caught.value)
    with pytest.raises(CheckpointError, match=r"no/such: there is no such folder"):
        SslEncoder("no/such", pretrained=False)


def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingDependency, match=r"synthprint\[ssl\]"):
        tiny()


# From end to end


@pytest.fixture(scope="module")
def run(tiny_corpus: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, whose encoder's folder is gone."""
    folder = tmp_path_factory.mktemp("ssl")
    own = {"ssl": str(tiny_folder(folder / "ssl")), "freeze": "features"}
    recipe = replace(
        TINY_RECIPE,
        backbone=BackboneChoice("ssl_aasist", 6, own),
        schedule=Schedule(epochs=1, warmup_epochs=0.5, peak_lr=1e-3, eval_every=1),
        crop=Crop(SAMPLES),
    )
    loop.train(recipe, tiny_corpus, folder / "run", pack_folder=folder / "pack")
    shutil.rmtree(folder / "ssl")
    return folder / "run"


def test_a_checkpoint_needs_no_other_file(run: Path) -> None:
    checkpoint = Checkpoint.load(run)
    own = checkpoint.recipe.backbone.options
    assert own["pretrained"] is False
    assert own["freeze"] == "features"
    assert own["ssl"]["hidden_size"] == SIZE
    assert "ssl" not in json.dumps(own["ssl"])  # no path of the machine it was trained on
    windows = [np.resize(tone(i, i), SAMPLES) for i in range(3)]
    by_graph, by_torch = load_extractor(run), TorchExtractor.load(checkpoint, "cpu")
    vectors = by_graph.embed_windows(windows)
    assert vectors[0] @ vectors[1] < 0.9999  # the graph looks at its input
    np.testing.assert_allclose(vectors, by_torch.embed_windows(windows), atol=1e-5)
    assert checkpoint.parity < 1e-5
    (found,) = onnxruntime.InferenceSession(str(checkpoint.graph)).run(None, {"waveform": np.stack(windows)})
    assert found.shape == (3, 6)  # the batch size is free
    assert load_backbone(checkpoint).rebuild["ssl"] == own["ssl"]
