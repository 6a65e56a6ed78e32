"""How every step grows with the size of a model: nothing may grow faster than linearly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

import graphnas
from graphnas.codegen import clear_cache
from graphnas.ir.graph import Operation
from graphnas.ir.json_form import from_json, to_json
from graphnas.ir.model import Model
from graphnas.ir.parser import parse_model
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.verify import verify
from perf.line import Line
from perf.shapes import Chain, Dense, Flat, Layers, Lists, Named, Stages, Tower, Unrolled, Variants, Wide
from perf.timing import seconds

SHAPES: dict[str, Callable[[int], nn.Module]] = {
    "chain": Chain,
    "wide": Wide,
    "unrolled": Unrolled,
    "dense": Dense,
    "tower": Tower,
    "flat": Flat,
    "lists": Lists,
    "layers": Layers,
    "stages": Stages,
    "variants": Variants,
    "named variants": Named,
}
SMALLEST = 1000


def scaling(largest: int = 10_000) -> Iterator[Line]:
    """Time per node at the largest size, and the exponent of a power of the size that fits all of them best."""
    sizes = [SMALLEST]
    while 2 * sizes[-1] <= largest:
        sizes.append(min(largest, round(sizes[-1] * math.sqrt(10))))
    for name, build in SHAPES.items():
        _steps(build(100))  # what is done once
        measured = [_steps(build(size)) for size in sizes]
        for step in measured[0]:
            times = [found[step] for found in measured]
            yield Line(
                f"{name} of {largest:,} nodes: {step}",
                f"{1e6 * times[-1] / largest:.1f} µs a node",
                f"{1e6 * times[0] / SMALLEST:.1f} µs at {SMALLEST:,} nodes",
                f"n^{exponent(sizes, times):.2f}",
            )


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Return the slope of the line that fits the logarithms best, by least squares."""
    if len(sizes) < 2:
        return math.nan
    xs, ys = [math.log(size) for size in sizes], [math.log(max(time, 1e-9)) for time in times]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


def _steps(net: nn.Module) -> Mapping[str, float]:
    """Return the seconds of each step on the way through the system."""
    done: dict[str, Any] = {}
    times: dict[str, float] = {}

    def step(name: str, function: Callable[[], Any]) -> Any:
        times[name] = seconds(lambda: done.update({name: function()}))
        return done[name]

    clear_cache()
    model: Model = step("trace", lambda: graphnas.trace(net, (torch.zeros(2, 8),)))
    fresh = from_json(to_json(model))
    step("key", lambda: fresh.key)
    step("fingerprint", lambda: fresh.fingerprint)
    step("verify", lambda: verify(model))
    step("find", lambda: model.find(type="relu"))
    child: Model = step("mutate, verify, fingerprint", lambda: _mutated(model))
    text = step("text", lambda: str(model))
    step("text, read", lambda: parse_model(text))
    form = step("JSON", lambda: to_json(model))
    step("JSON, read", lambda: from_json(form))
    step("source", lambda: graphnas.to_source(model))
    step("source of the mutant", lambda: graphnas.to_source(child))
    step("module", lambda: graphnas.to_module(model))
    return times


def _mutated(model: Model) -> Model:
    with Rewriter(model) as edit:
        site = edit.sites[len(edit.sites) // 2]
        edit.insert_after(site, Operation("function", "torch:tanh"))
    assert edit.result is not None
    assert edit.result.fingerprint
    return edit.result
