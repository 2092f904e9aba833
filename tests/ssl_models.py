"""Tiny self-supervised encoders with random weights, as the transformers library makes and saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

MODEL_TYPES = ("wav2vec2", "hubert", "wavlm")
SIZE = 16


def tiny_configuration(model_type: str = "wav2vec2", **changed: Any) -> dict[str, Any]:
    """A frame every 320 samples, as in the models of real size, from three convolutions."""
    return {
        "model_type": model_type, "hidden_size": SIZE, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "conv_dim": [8, 8, 8], "conv_kernel": [10, 8, 4], "conv_stride": [10, 8, 4],
        "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
    } | changed  # fmt: skip


def tiny_folder(folder: Path, model_type: str = "wav2vec2", **changed: Any) -> Path:
    """The encoder of `tiny_configuration`, saved by the library itself."""
    values = tiny_configuration(model_type, **changed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        AutoModel.from_config(AutoConfig.for_model(values.pop("model_type"), **values)).save_pretrained(folder)
    return folder


def fitted(model: nn.Module, waveforms: Tensor) -> nn.Module:
    """`model` in evaluation mode, its batch norms with the statistics of these waveforms.

    With those that a norm begins with, what random weights make of two clips differs by less than rounding.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(waveforms)
    return model.eval()
