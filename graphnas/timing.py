"""Measured times of models. They need built modules, so this stands above `graphnas.codegen`; counts do not."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from graphnas.codegen import to_module
from graphnas.errors import ConfigError
from graphnas.ir.abstract import TensorMeta, mapped, value_of
from graphnas.ir.model import Model


@dataclass(frozen=True)
class Latency:
    """Times of single forward passes, in the order in which they were measured.

    Attributes:
        times_ms: Wall-clock time of each run, the warm-up left out.
        device: Where it ran.
    """

    times_ms: tuple[float, ...]
    device: str

    @property
    def median_ms(self) -> float:
        """The median run: what to compare, since a mean hangs on the slowest runs."""
        return statistics.median(self.times_ms)

    @property
    def fastest_ms(self) -> float:
        """The fastest run: what the machine can do undisturbed."""
        return min(self.times_ms)

    def __str__(self) -> str:
        runs = f"median of {len(self.times_ms)}, {self.fastest_ms:.3f} at best"
        return f"{self.median_ms:.3f} ms on {self.device} ({runs})"


def latency(
    model: Model | nn.Module,
    device: str | torch.device = "cpu",
    *,
    inputs: Sequence[Any] | None = None,
    runs: int = 30,
    warmup: int = 5,
) -> Latency:
    """Return how long a forward pass takes on a device, in eval mode and without gradients.

    Args:
        model: A traced model, of which a module is built, or a module, which is moved to the device.
        device: Where to run.
        inputs: Arguments of `forward`; by default random ones of the types that a traced model records, whole batch
            included, integers all zero.
        runs: How many passes are measured.
        warmup: How many passes go before, unmeasured.

    Raises:
        ConfigError: A number is too small, the device is not there, or a module is given without inputs.
        CodegenError: No module can be built of the model.
    """
    for name, value, least in (("runs", runs, 1), ("warmup", warmup, 0)):
        if value < least:
            raise ConfigError(f"{name}: expected at least {least}, got {value}", field=name)
    place = _device(device)
    if inputs is None:
        if not isinstance(model, Model):
            raise ConfigError("inputs: a module does not record its inputs; give inputs=(tensor, ...)", field="inputs")
        types = [item.type for item in model.root.forwards[0].eval.inputs] if model.root.forwards else []
        generator = torch.Generator().manual_seed(0)
        inputs = [mapped(value_of(type), lambda item: _tensor(item, generator)) for type in types]
    module = to_module(model) if isinstance(model, Model) else model
    given = [mapped(value, lambda item: item.to(place) if isinstance(item, torch.Tensor) else item) for value in inputs]
    was_training = module.training
    module.to(place).eval()
    try:
        with torch.no_grad():
            for _ in range(warmup):
                module(*given)
            times = tuple(_timed(module, given, place) for _ in range(runs))
    finally:
        module.train(was_training)
    return Latency(times, str(place))


def _timed(module: nn.Module, inputs: Sequence[Any], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    module(*inputs)
    _wait(device)
    return (time.perf_counter() - start) * 1000


def _wait(device: torch.device) -> None:
    """Wait until the device has done what it was given: launching a kernel returns at once."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _device(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"device: {device} is not there: {reason}", field="device") from None
    return place


def _tensor(value: Any, generator: torch.Generator) -> Any:
    if not isinstance(value, TensorMeta):
        return value
    if value.dtype.is_floating_point or value.dtype.is_complex:
        return torch.randn(value.shape, dtype=value.dtype, generator=generator)
    return torch.zeros(value.shape, dtype=value.dtype)
