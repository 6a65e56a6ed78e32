"""Random search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.strategies.base import Domain, Strategy, decisions_key
from graphnas.experiment.strategies.lattice import Lattice, space_size

_RETRIES = 500


class Random(Strategy):
    """Ask for points drawn uniformly.

    With `dedup`, a finite space is drawn without replacement and `ask` returns None once it is exhausted; without, the
    draws are independent and never end. A space with an infinite domain is drawn independently, repeats left out.

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
        self._seen: set[str] = set()

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._seen = set()
        self._lattice = Lattice(domains, self._root_seed) if self.dedup and space_size(domains) is not None else None

    def ask(self) -> dict[str, Any] | None:
        if self._lattice is not None:
            if self._cursor >= self._lattice.size:
                return None
            self._cursor += 1
            return self._lattice[self._cursor - 1]
        rng = self._next_rng()
        for _ in range(_RETRIES):
            decisions = self._sample(rng)
            if not self.dedup or decisions_key(decisions) not in self._seen:
                self.recall(decisions)
                return decisions
        return None

    def recall(self, decisions: dict[str, Any]) -> None:
        if self.dedup and self._lattice is None:
            self._seen.add(decisions_key(decisions))
