"""Samples of a MobileNetV2 space of 17 `LayerChoice`s: from decisions to a verified, fingerprinted model."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial

import torch

import graphnas
from perf.line import Line, against, within
from perf.spaces import MobileNetV2Space
from perf.timing import seconds

_WARM_UP = 40
_SAMPLES = 200
_RETRACED = 5


def sampling() -> Iterator[Line]:
    """One full sample: decisions, model, verification, fingerprint; with what comes before it left out."""
    image = (torch.zeros(1, 3, 224, 224),)
    space = graphnas.ModelSpace(MobileNetV2Space(), example_inputs=image)

    def sample(seed: int) -> str:
        return space.freeze(space.sample(seed)).fingerprint

    def retrace(seed: int) -> str:
        with graphnas.fixed_arch(space.sample(seed), verbose=False):
            return graphnas.trace(MobileNetV2Space(), image).fingerprint

    for seed in range(_WARM_UP):  # the first ones are checked against a trace of their own
        sample(seed)
    times = [seconds(partial(sample, seed)) for seed in range(_WARM_UP, _WARM_UP + _SAMPLES)]
    traces = [seconds(partial(retrace, seed)) for seed in range(_RETRACED)]
    median = statistics.median(times)
    yield within("sample of 17 layer choices, verified, fingerprinted", 1e3 * median, 5, "ms")
    yield against("the same", median, statistics.median(traces), "construction and trace")
