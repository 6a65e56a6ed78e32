"""One small instance of every strategy that users are offered, for what must hold for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import graphnas.strategy
from graphnas.experiment.strategies import RegularizedEvolution, Strategy

_SMALL: dict[str, Callable[[], Strategy]] = {
    "RegularizedEvolution": lambda: RegularizedEvolution(population_size=4, sample_size=2, seed=1),
}
"""Where the default is no strategy for a dozen trials."""


def is_complete(offered: object) -> bool:
    """Whether this is a strategy on its own, which a base class or a part of a chain is not."""
    if not (inspect.isclass(offered) and issubclass(offered, Strategy)) or inspect.isabstract(offered):
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
