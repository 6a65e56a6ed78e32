"""One small instance of every strategy that users are offered, for what must hold for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import graphnas.strategy
from graphnas.experiment.strategies import (
    ASHA,
    NSGA2,
    Chain,
    Deduplication,
    Filter,
    Hyperband,
    MedianStop,
    Part,
    Random,
    RegularizedEvolution,
    Retry,
    Strategy,
)


def _evolution() -> Strategy:
    return RegularizedEvolution(population_size=4, sample_size=2, seed=1)


def _is_not_square(decisions: Mapping[str, Any]) -> bool:
    return len(set(decisions.values())) > 1


_SMALL: dict[str, Callable[[], Strategy]] = {
    "RegularizedEvolution": _evolution,
    "ASHA": lambda: ASHA(max_budget=9, reduction_factor=3),
    "Hyperband": lambda: Hyperband(max_budget=9, reduction_factor=3),
    "NSGA2": lambda: NSGA2({"default": "maximize"}, population_size=4),
    "Chain": lambda: Chain(Random(), Filter(_is_not_square), Retry(1), Deduplication(), MedianStop()),
}
"""Where the default is no strategy for a dozen trials."""


def is_complete(offered: object) -> bool:
    """Whether this is a strategy on its own, which a base class or a part of a chain is not."""
    if not (inspect.isclass(offered) and issubclass(offered, Strategy)) or inspect.isabstract(offered):
        return False
    if issubclass(offered, Part) and offered is not Chain:
        return False
    required = [
        parameter
        for parameter in inspect.signature(offered).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
    ]
    return offered.__name__ in _SMALL or not required


def _maker(kind: type[Strategy]) -> Callable[[], Strategy]:
    return _SMALL.get(kind.__name__, kind)


EVERY_STRATEGY: dict[str, Callable[[], Strategy]] = {
    name: _maker(getattr(graphnas.strategy, name))
    for name in graphnas.strategy.__all__
    if is_complete(getattr(graphnas.strategy, name))
}
