"""A self-supervised speech encoder of the transformers library: waveform [B, T] -> frames [B, t, size].

wav2vec 2.0 (Baevski et al., 2020; XLS-R: Babu et al., 2021), HuBERT (Hsu et al., 2021) and WavLM (Chen et al., 2021):
convolutions that make a frame every 20 ms, then a Transformer. What these models do to themselves in training is
switched off: no frames are masked (SpecAugment) and no layers dropped. Their dropout stays as it is configured.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synthprint.errors import CheckpointError, MissingDependency, RecipeError

MODEL_TYPES = ("wav2vec2", "hubert", "wavlm")
FREEZE = ("nothing", "features", "encoder")
XLS_R_300M = "facebook/wav2vec2-xls-r-300m"
# The configurations of encoders that can be built, with random weights, where there is no network.
KNOWN: dict[str, dict[str, Any]] = {
    XLS_R_300M: {
        "model_type": "wav2vec2",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": True,
        "activation_dropout": 0.0,
        "attention_dropout": 0.1,
        "hidden_dropout": 0.1,
        "feat_proj_dropout": 0.1,
        "final_dropout": 0.0,
        "mask_time_prob": 0.075,
    }
}
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order of preference
MAX_PARAMETERS = 2**31 // 4  # an ONNX file holds 2 GiB at most
# What a configuration says of the file it came in, not of the architecture.
NOT_ARCHITECTURE = ("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version")
VARIANCE_FLOOR = 1e-7  # as in the models' own preprocessors
# Weights that files may lack: what frames were masked with in pretraining.
NEVER_USED = "masked_spec_embed"


class SslEncoder(nn.Module):
    """Waveform [B, T] at 16 kHz -> frames [B, t, size], t = T // 320 or one less.

    Args:
        ssl: a folder with `config.json` and `model.safetensors` or `pytorch_model.bin`, the name of one on the
            Hugging Face hub, or a configuration (the contents of a `config.json`).
        pretrained: load the weights; false for random ones, for which a configuration is enough.
        freeze: "nothing", "features" (the convolutions) or "encoder" (everything, and no dropout either).
        checkpointing: compute activations again on the way back instead of keeping them.
        normalize: bring each waveform to zero mean and unit variance first.
        layer: whose output is given, from 1, before the final norm where it is not the last; the layers above are
            not built. Default: the last.

    Attributes:
        size: of a frame.
        rebuild: options that build the same architecture without any file.

    Raises:
        RecipeError: an option or configuration that cannot be built.
        CheckpointError: weights that cannot be had, or are not those of such an encoder.
        MissingDependency: transformers is not installed.
    """

    def __init__(
        self,
        ssl: str | Mapping[str, Any],
        pretrained: bool = True,
        *,
        freeze: str = "nothing",
        checkpointing: bool = False,
        normalize: bool = False,
        layer: int | None = None,
    ) -> None:
        super().__init__()
        if freeze not in FREEZE:
            raise RecipeError(f"freeze = {freeze!r} is not one of: {', '.join(FREEZE)}")
        config = configuration(ssl)
        self.size: int = config.hidden_size
        self.rebuild = {"ssl": _plain(config), "pretrained": False}
        self.freeze, self.normalize = freeze, normalize
        cut = _cut(config, layer)
        self.model = _load(ssl, config) if pretrained else _build(config)
        if cut and config.do_stable_layer_norm:
            self.model.encoder.layer_norm = nn.Identity()
        if checkpointing:
            old = self.model.gradient_checkpointing_enable  # its name in earlier releases of transformers 5
            getattr(self.model, "activation_checkpointing_enable", old)({"use_reentrant": False})
        if hasattr(self.model, NEVER_USED):
            getattr(self.model, NEVER_USED).requires_grad_(False)
        if freeze == "features":
            self.model.feature_extractor._freeze_parameters()
        if freeze == "encoder":
            self.requires_grad_(False)
        self.train()

    def forward(self, waveform: Tensor) -> Tensor:
        """[B, T] -> [B, t, size]."""
        if self.normalize:
            variance, mean = torch.var_mean(waveform, dim=1, correction=0, keepdim=True)
            waveform = (waveform - mean) / (variance + VARIANCE_FLOOR).sqrt()
        frames: Tensor = self.model(waveform).last_hidden_state
        return frames

    def train(self, mode: bool = True) -> SslEncoder:
        """As in torch; an encoder that is frozen as a whole stays in evaluation mode."""
        super().train(mode and self.freeze != "encoder")
        return self


def configuration(ssl: str | Mapping[str, Any]) -> Any:
    """The transformers configuration of an encoder, masking and layer drop off; see `SslEncoder` for `ssl`.

    Raises:
        RecipeError: it is of another kind of model, has values that make none, or is too large.
        CheckpointError: its file cannot be had.
        MissingDependency: transformers is not installed.
    """
    try:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig
    except ImportError:
        raise MissingDependency.extra("transformers", "ssl") from None
    named = ssl if isinstance(ssl, str) else "ssl"
    try:
        if isinstance(ssl, str) and (Path(ssl).is_dir() or ssl not in KNOWN):
            config = AutoConfig.from_pretrained(_folder(ssl, "config.json"), local_files_only=True)
            _check_type(config.model_type, named)
        else:
            values = dict(KNOWN[ssl] if isinstance(ssl, str) else ssl)
            config = AutoConfig.for_model(_check_type(values.pop("model_type", None), named), **values)
    except (OSError, TypeError, ValueError, StrictDataclassError) as error:
        raise RecipeError(f"{named}: is not the configuration of an encoder: {error}") from error
    config.apply_spec_augment = config.add_adapter = False
    config.layerdrop = 0.0
    return config


def convert(ssl: str, folder: str | Path) -> None:
    """Write the encoder `ssl` (a folder, a name on the hub) into `folder`: `config.json` and `model.safetensors`."""
    encoder = SslEncoder(ssl)
    with _quiet():
        encoder.model.save_pretrained(folder)


def _check_type(model_type: Any, named: str) -> str:
    if model_type not in MODEL_TYPES:
        raise RecipeError(f"{named}: model_type {model_type!r} is not one of: {', '.join(MODEL_TYPES)}")
    return str(model_type)


def _plain(config: Any) -> dict[str, Any]:
    """A configuration as JSON has it, what belongs to a file or a machine left out."""
    values: dict[str, Any] = config.to_diff_dict()
    return {k: v for k, v in values.items() if k not in NOT_ARCHITECTURE and not k.startswith("_") and v is not None}


def _cut(config: Any, layer: int | None) -> bool:
    """Leave out the layers above `layer`; whether there are any.

    Raises:
        RecipeError: there is no such layer, or what is left is too large.
    """
    layers = config.num_hidden_layers
    if layer is not None and not 1 <= layer <= layers:
        raise RecipeError(f"layer = {layer}: this encoder's layers are 1 to {layers}")
    config.num_hidden_layers = layer or layers
    parameters = config.num_hidden_layers * config.hidden_size * (4 * config.hidden_size + 2 * config.intermediate_size)
    if parameters > MAX_PARAMETERS:
        raise RecipeError(
            f"this encoder has {parameters / 1e6:.0f} million parameters; the ONNX graph of a checkpoint holds at most "
            f"{MAX_PARAMETERS / 1e6:.0f} million: take a smaller one"
        )
    return config.num_hidden_layers < layers


def _kind(config: Any) -> tuple[Any, str]:
    """The model's class, and the attention it can compute: WavLM's position bias has no fused kernel."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    kind = MODEL_MAPPING[type(config)]
    return kind, "sdpa" if kind._supports_sdpa else "eager"


def _build(config: Any) -> Any:
    """The model with random weights."""
    kind, attention = _kind(config)
    try:
        return kind._from_config(config, attn_implementation=attention, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise RecipeError(f"ssl: no encoder can be built with this configuration: {error}") from error


def _load(ssl: str | Mapping[str, Any], config: Any) -> Any:
    """The model with its own weights, in float32."""
    from safetensors import SafetensorError

    if not isinstance(ssl, str):
        raise RecipeError("ssl: a configuration has no weights: name a folder, or write pretrained = false")
    folder = _folder(ssl, *WEIGHTS)
    kind, attention = _kind(config)
    try:
        with _quiet():
            model, report = kind.from_pretrained(
                folder, config=config, attn_implementation=attention, dtype=torch.float32, local_files_only=True,
                output_loading_info=True,
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{folder}: its weights cannot be read; fetch them again: {error}") from error
    missing = sorted(name for name in report["missing_keys"] if NEVER_USED not in name)
    if missing:
        raise CheckpointError(
            f"{folder}: its weights are not those of a {config.model_type} encoder: {len(missing)} are missing, "
            f"the first is {missing[0]!r}"
        )
    return model


def _folder(ssl: str, *wanted: str) -> Path:
    """The folder that holds one of the files `wanted`, fetched from the hub where `ssl` is not a folder."""
    if Path(ssl).is_dir():
        if not any((Path(ssl) / name).is_file() for name in wanted):
            raise CheckpointError(f"{ssl}: holds no {' or '.join(wanted)}; an encoder is config.json and {WEIGHTS[0]}")
        return Path(ssl)
    from huggingface_hub import hf_hub_download

    cause: Exception = OSError("it has none of these files")
    for name in wanted:
        try:
            hf_hub_download(ssl, "config.json")
            return Path(hf_hub_download(ssl, name)).parent
        except (OSError, ValueError) as error:
            cause = error
    raise CheckpointError(
        f"{ssl}: there is no such folder, and it could not be fetched from the Hugging Face hub "
        f"({str(cause).splitlines()[0]}). Where there is a network, fetch config.json and {' or '.join(WEIGHTS)} from "
        f"https://huggingface.co/{ssl}/tree/main, put them into one folder here, and name it in the recipe, "
        'in [backbone]: ssl = "FOLDER"'
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from showing progress, and from telling of weights that an encoder has no use for."""
    from transformers.utils import logging

    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()
