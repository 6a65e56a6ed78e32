"""Time per node of every step, for models of growing size: nothing may grow faster than linearly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

import graphnas
from graphnas.ir.graph import Operation
from graphnas.ir.json_form import from_json, to_json
from graphnas.ir.model import Model
from graphnas.ir.parser import parse_model
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.verify import verify
from perf.line import Line
from perf.models import Chain, Tower, Wide
from perf.timing import seconds

SHAPES: dict[str, Callable[[int], nn.Module]] = {"chain": Chain, "wide": Wide, "tower": Tower}
SMALL = 1000


def scaling(largest: int = 10_000) -> Iterator[Line]:
    """Time per node at the largest size against that at 1,000 nodes."""
    for name, build in SHAPES.items():
        _steps(build(100))  # what is done once
        small, large = _steps(build(SMALL)), _steps(build(largest))
        for step, before in small.items():
            after = large[step]
            yield Line(
                f"{name} of {largest:,} nodes: {step}",
                f"{1e6 * after / largest:.1f} µs a node",
                f"{1e6 * before / SMALL:.1f} µs at {SMALL:,} nodes",
                f"{after / largest * SMALL / before:.2f}",
            )


def _steps(net: nn.Module) -> dict[str, float]:
    """Return the seconds of each step on the way through the system."""
    done: dict[str, Any] = {}
    times: dict[str, float] = {}

    def step(name: str, function: Callable[[], Any]) -> Any:
        times[name] = seconds(lambda: done.update({name: function()}))
        return done[name]

    model: Model = step("trace", lambda: graphnas.trace(net, (torch.zeros(2, 8),)))
    step("key", lambda: model.key)
    step("fingerprint", lambda: model.fingerprint)
    step("verify", lambda: verify(model))
    child: Model = step("mutate, verify, fingerprint", lambda: _mutated(model))
    assert child.fingerprint
    text = step("text", lambda: str(model))
    step("text, read", lambda: parse_model(text))
    form = step("JSON", lambda: to_json(model))
    step("JSON, read", lambda: from_json(form))
    step("source", lambda: graphnas.to_source(model))
    step("source of the mutant", lambda: graphnas.to_source(child))
    return times


def _mutated(model: Model) -> Model:
    with Rewriter(model) as edit:
        site = edit.sites[len(edit.sites) // 2]
        edit.insert_after(site, Operation("function", "torch:tanh"))
    assert edit.result is not None
    assert edit.result.fingerprint
    return edit.result
