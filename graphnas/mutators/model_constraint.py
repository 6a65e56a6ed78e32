"""Constraints on the model that decisions lead to, such as limits on what it costs.

They are asked of a frozen model, so they are dearer than predicates over decisions, and need example inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphnas.errors import ConfigError
from graphnas.ir.costs import Costs, costs
from graphnas.ir.model import Model

COSTS = ("parameters", "trained_parameters", "flops", "macs", "parameter_bytes", "activation_bytes", "peak_bytes")
"""What can be limited: the numbers of `graphnas.costs`."""


class ModelConstraint:
    """A constraint of a space that looks at the model: `ModelConstraint(lambda model: len(model.sites) < 100)`.

    Args:
        predicate: What must be true of the frozen model.
        name: How messages call it.

    Raises:
        ConfigError: The predicate cannot be called.
    """

    def __init__(self, predicate: Callable[[Model], object], name: str = "") -> None:
        if not callable(predicate):
            raise ConfigError(
                f"constraints: expected a function of the model, got {predicate!r:.100}", field="constraints"
            )
        self.predicate = predicate
        self.name = name or getattr(predicate, "__name__", "") or repr(predicate)

    def objection(self, model: Model) -> str | None:
        """Return what is wrong with a model, None if nothing is.

        Raises:
            ConfigError: The predicate failed.
        """
        try:
            return None if self.predicate(model) else f"the model is ruled out by the constraint {self.name}"
        except Exception as error:
            raise ConfigError(
                f"constraints: {self.name} failed on {model.name}: {type(error).__name__}: {error}", field="constraints"
            ) from error

    def __repr__(self) -> str:
        return f"ModelConstraint({self.name})"


class CostLimit(ModelConstraint):
    """The constraint that a model costs at most so much: `CostLimit(flops=600e6, parameters=5e6)`.

    Args:
        **limits: Numbers of `graphnas.costs` by name (`parameters`, `trained_parameters`, `flops`, `macs`,
            `parameter_bytes`, `activation_bytes`, `peak_bytes`), and the most that each may be.

    Raises:
        ConfigError: There is no such number, or a limit is no number that is greater than 0.
    """

    def __init__(self, **limits: float) -> None:
        for name, limit in limits.items():
            if name not in COSTS:
                raise ConfigError(f"constraints: {name!r} is no cost; there are {', '.join(COSTS)}", field=name)
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
                raise ConfigError(f"{name}: expected a number greater than 0, got {limit!r}", field=name)
        if not limits:
            raise ConfigError(f"constraints: a CostLimit needs a limit, on one of {', '.join(COSTS)}", field="limits")
        self.limits = dict(limits)
        text = ", ".join(f"{name} <= {limit:,.15g}" for name, limit in self.limits.items())
        super().__init__(self._is_kept, f"CostLimit({text})")

    def objection(self, model: Model) -> str | None:
        """Return which limits the model is above, None if it is not."""
        found = costs(model)
        above = [f"{name} is {number:,.15g}" for name, number in self._numbers(found) if number > self.limits[name]]
        return f"{self.name}: {', '.join(above)}" if above else None

    def _is_kept(self, model: Model) -> bool:
        return self.objection(model) is None

    def _numbers(self, found: Costs) -> list[tuple[str, Any]]:
        return [(name, getattr(found, name)) for name in self.limits]
