"""Random search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.strategies.asked import Asked
from graphnas.experiment.strategies.base import Proposal, Strategy
from graphnas.experiment.strategies.lattice import Lattice
from graphnas.mutators.domain import Domain

_RETRIES = 500


class Random(Strategy):
    """Ask for points drawn uniformly.

    With `dedup`, a finite space is drawn without replacement and `ask` returns None once it is exhausted; without, the
    draws are independent and never end. A space with an infinite domain, with conditions or constraints is drawn
    independently, repeats left out.

    Args:
        dedup: Whether to leave out what was asked before.
        seed: Seed of the draws; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type.
    """

    arguments: ClassVar[tuple[str, ...]] = ("dedup", "seed")

    def __init__(self, dedup: bool = True, *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        if not isinstance(dedup, bool):
            raise ConfigError(f"dedup: expected True or False, got {dedup!r}", field="dedup")
        self.dedup = dedup
        self._lattice: Lattice | None = None
        self._asked: Asked | None = None

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._lattice = self._asked = None
        if self.dedup and self.domains.is_product and self.domains.size is not None:
            self._lattice = Lattice(domains, self._root_seed)
        elif self.dedup:
            self._asked = Asked(self.domains, self._root_seed)

    def ask(self) -> dict[str, Any] | None:
        if self._lattice is not None:
            if self._cursor >= self._lattice.size:
                return None
            self._cursor += 1
            return self._lattice[self._cursor - 1]
        if self._asked is not None and self._asked.is_all:
            return None
        rng = self._next_rng()
        for _ in range(_RETRIES):
            decisions: dict[str, Any] | None = self._sample(rng)
            if self._asked is None or decisions not in self._asked:
                break
        else:
            decisions = self._asked.any_left() if self._asked is not None else None
        if decisions is not None:
            self.recall(Proposal(decisions))
        return decisions

    def recall(self, proposal: Proposal) -> None:
        if self._asked is not None:
            self._asked.add(proposal.decisions)

    def reject(self, proposal: Proposal) -> None:
        if self._asked is not None:
            self._asked.remove(proposal.decisions)
