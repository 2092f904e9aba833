"""What a training runs on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from synthprint.errors import RecipeError

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Hardware:
    """How the arithmetic is done; the recipe says what is computed.

    Attributes:
        device: a torch device.
        precision: "float32", or "bfloat16" for autocast.
        compile: run the backbone through torch.compile.
        resident: keep the decoded corpus on the device and cut the crops there; None: on a GPU, where it fits and
            nothing is augmented. The crops are the same.
        capture: run each step as one CUDA graph; on another device this has no effect but to fix the tensors.
    """

    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False
    resident: bool | None = None
    capture: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision {self.precision!r} is not one of: {', '.join(PRECISIONS)}")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise RecipeError(f"device {self.device!r} cannot be used here: {reason}") from None


def every_device() -> list[str]:
    """The GPUs that torch sees, or the CPU."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]
