"""Tracing, both modes together, against `torch.fx` and `torch.export` on models that all of them take."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import torch
import torch.fx
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

import graphnas
from perf.line import Line, against
from perf.models import GPT, DroppingViT, MobileNetV3, ResNet50, ViT
from perf.timing import medians, seconds

IMAGE = torch.zeros(2, 3, 224, 224)
TOKENS = torch.zeros(2, 64, dtype=torch.int64)

MODELS: tuple[tuple[str, Callable[[], nn.Module], Tensor], ...] = (
    ("ResNet-50", ResNet50, IMAGE),
    ("MobileNetV3", MobileNetV3, IMAGE),
    ("ViT-S", ViT, IMAGE),
    ("ViT-S with stochastic depth", DroppingViT, IMAGE),
    ("GPT-2", GPT, TOKENS),
)

NEW: tuple[tuple[str, Callable[[int], nn.Module], Tensor], ...] = (
    ("ResNet-50", lambda number: ResNet50(16 + 2 * number), IMAGE),
    ("ViT-S", lambda number: ViT(6 * (32 + number)), IMAGE),
    ("ViT-S with stochastic depth", lambda number: DroppingViT(6 * (32 + number)), IMAGE),
    ("GPT-2", lambda number: GPT(5000, 12 * (32 + number)), TOKENS),
)
"""Of other widths each time, so that nothing of them was ever seen."""


def recorded(build: Callable[[], nn.Module]) -> nn.Module:
    """Return a recorded model, in the mode that `torch.export` likes best."""
    with graphnas.recording():
        return build().eval()


def trace() -> Iterator[Line]:
    """Models that were traced before, and models of new sizes."""
    for name, build, x in MODELS:
        net = recorded(build)
        runs = [partial(tracer, net, x) for tracer in (_ours, _fx, _export)]
        ours, fx, export = medians(*runs, repeats=7)
        yield against(f"trace {name}, again", ours, fx, "fx + fake shape propagation")
        yield against(f"trace {name}, again", ours, export, "torch.export, not strict")
    for name, build_number, x in NEW:
        numbers = count()
        times: tuple[list[float], ...] = ([], [], [])
        for _ in range(6):
            for tracer, measured in zip((_ours, _fx, _export), times, strict=True):
                net = recorded(partial(build_number, next(numbers)))
                measured.append(seconds(partial(tracer, net, x)))
        ours, fx, export = (statistics.median(measured[1:]) for measured in times)
        yield against(f"trace {name}, never seen", ours, fx, "fx + fake shape propagation")
        yield against(f"trace {name}, never seen", ours, export, "torch.export, not strict")


def _ours(net: nn.Module, x: Tensor) -> None:
    graphnas.trace(net, (x,))


def _fx(net: nn.Module, x: Tensor) -> None:
    module = torch.fx.symbolic_trace(net)
    FakeTensorProp(module, FakeTensorMode(allow_non_fake_inputs=True)).propagate(x)


def _export(net: nn.Module, x: Tensor) -> None:
    torch.export.export(net, (x,), strict=False)
