"""Mutation and source of a ResNet-50."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator
from functools import partial
from itertools import count

import torch
import torch.fx

import graphnas
from graphnas.codegen import clear_cache
from graphnas.ir.model import Model
from graphnas.ir.rewrite import Rewriter
from perf.line import Line, against, within
from perf.models import ResNet50
from perf.spaces import SwapKernel
from perf.timing import medians, seconds
from perf.tracing import IMAGE, recorded

_MUTANTS = 9


def mutation() -> Iterator[Line]:
    """One sampled mutation, to a verified and fingerprinted model, against a copy of the fx graph alone."""
    net = recorded(ResNet50)
    space = graphnas.ModelSpace(graphnas.trace(net, (IMAGE,)), [SwapKernel(label="kernel")])
    graph = torch.fx.symbolic_trace(net).graph
    seeds = count()

    def mutate() -> str:
        return space.freeze(space.sample(next(seeds))).fingerprint

    ours, peer = medians(mutate, lambda: copy.deepcopy(graph))
    yield against("mutate ResNet-50, verify, fingerprint", ours, peer, "copy.deepcopy of the fx graph")


def source() -> Iterator[Line]:
    """Source of a whole model, of one that was written before, and of mutants of it that never were."""
    net = recorded(ResNet50)
    model = graphnas.trace(net, (IMAGE,))
    module = torch.fx.symbolic_trace(net)

    def cold() -> None:
        clear_cache()
        graphnas.to_source(model)

    first, again, peer = medians(cold, lambda: graphnas.to_source(model), lambda: module.graph.python_code("self"))
    mutants = [_mutant(model, number) for number in range(_MUTANTS)]
    mutant = statistics.median(seconds(partial(graphnas.to_source, item)) for item in mutants)
    yield within("source of ResNet-50, first time", 1e3 * first, 150, "ms")
    yield within("source of a one-node mutant of ResNet-50", 1e3 * mutant, 10, "ms")
    yield against("source of ResNet-50, first time", first, peer, "fx python_code (flat forward only)")
    yield against("source of ResNet-50, again", again, peer, "fx python_code (flat forward only)")


def _mutant(model: Model, number: int) -> Model:
    """Return a mutant as a search has it when it asks for source: with its fingerprint, by which it knows it."""
    with Rewriter(model) as edit:
        edit.update_module(f"layer{1 + number % 4}.1.conv2", kernel_size=5 + 2 * number, padding=2 + number)
    assert edit.result is not None
    assert edit.result.fingerprint != model.fingerprint
    return edit.result
