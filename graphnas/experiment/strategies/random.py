"""Random search."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.asked import Distinct, Predicate
from graphnas.experiment.strategies.lattice import Lattice
from graphnas.mutators.domain import Domain


class Random(Distinct):
    """Ask for points drawn uniformly.

    With `dedup`, a finite space is drawn without replacement and `ask` returns None once it is exhausted; without, the
    draws are independent and never end. A space with an infinite domain, with conditions or constraints is drawn
    independently, repeats left out.

    Args:
        variational: Accepted for compatibility: choices that come up only at times are drawn in any case.
        dedup: Whether to leave out what was asked before.
        model_filter: A further constraint: function of the decisions that says whether to ask for them; None takes all.
        optimize_mode: `'maximize'` or `'minimize'`; says which results are the best.
        seed: Seed of the draws; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type.
    """

    arguments: ClassVar[tuple[str, ...]] = ("variational", "dedup", "model_filter", "optimize_mode", "seed")

    def __init__(
        self,
        variational: bool = False,
        dedup: bool = True,
        model_filter: Predicate | None = None,
        *,
        optimize_mode: str = "maximize",
        seed: int | None = None,
    ) -> None:
        super().__init__(optimize_mode=optimize_mode, dedup=dedup, model_filter=model_filter, seed=seed)
        self.variational = checks.flag("variational", variational)
        self._lattice: Lattice | None = None

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._lattice = None
        if self.dedup and self.domains.is_product and self.domains.size is not None:
            # Its order is a permutation, so that nothing has to be remembered but the place.
            self._lattice, self._asked = Lattice(self.domains, self._root_seed), None

    def ask(self) -> dict[str, Any] | None:
        if self._lattice is None:
            return super().ask()
        if self._cursor >= self._lattice.size:
            return None
        self._cursor += 1
        return self._lattice[self._cursor - 1]

    def _propose(self, rng: random.Random) -> dict[str, Any]:
        return self.domains.sample(rng)
