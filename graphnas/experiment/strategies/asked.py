"""What was asked for already, and the base of strategies that ask for nothing twice."""

from __future__ import annotations

import abc
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.base import Proposal, Strategy, decisions_key
from graphnas.experiment.strategies.lattice import Lattice
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Domain

Predicate: TypeAlias = Callable[[Mapping[str, Any]], object]
"""What `model_filter=` takes."""

_LOOKED_AT = 50_000
"""So many points are looked at for one that is left, before none is taken to be."""


def digest(decisions: Mapping[str, Any]) -> bytes:
    """Return 16 bytes that stand for decisions: as much memory for a point of any space."""
    return hashlib.blake2b(decisions_key(decisions).encode(), digest_size=16).digest()


class Asked:
    """The points of a space that were asked for, so that none is twice.

    Args:
        space: Where the points come from.
        seed: The order in which `any_left` finds what is left depends on it, if every combination is a point.

    Raises:
        DecisionError: There is no point.
    """

    def __init__(self, space: DecisionSpace, seed: int) -> None:
        self._size = space.size
        if self._size == 0:
            space.default()  # raises, and says what rules everything out
        self._seen: set[bytes] = set()
        # What was passed once is never left, so over a whole run each point is looked at once.
        self._points: Iterator[dict[str, Any]] = iter(())
        if self._size is not None:
            self._points = iter(Lattice(space, seed)) if space.is_product else space.grid()

    @property
    def is_all(self) -> bool:
        """Whether every point was asked for, as far as their number is known."""
        return self._size is not None and len(self._seen) >= self._size

    def __contains__(self, decisions: object) -> bool:
        return isinstance(decisions, Mapping) and digest(decisions) in self._seen

    def add(self, decisions: Mapping[str, Any]) -> None:
        """Take note that a point was asked for."""
        self._seen.add(digest(decisions))

    def remove(self, decisions: Mapping[str, Any]) -> None:
        """Take note that a point is to count as not asked for."""
        self._seen.discard(digest(decisions))

    def any_left(self) -> dict[str, Any] | None:
        """Return a point that was not asked for; None if none is found, or nobody knows how many points there are."""
        return next((point for point in islice(self._points, _LOOKED_AT) if point not in self), None)


class Distinct(Strategy):
    """Base of strategies that draw one point after another and leave out those that they had.

    A subclass says in `_propose` what it would like to ask for. What was asked for before is proposed anew, at most
    `dedup_retries` times; then comes any point that is left, and None if there is none.

    Args:
        optimize_mode: `'maximize'` or `'minimize'`.
        dedup: Whether to ask for nothing twice.
        dedup_retries: How often to propose anew.
        model_filter: A further constraint: function of the decisions that says whether to ask for them; None takes all.
        seed: Seed of all random choices; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    def __init__(
        self,
        *,
        optimize_mode: str,
        dedup: bool,
        dedup_retries: int = 500,
        model_filter: Predicate | None = None,
        seed: int | None,
    ) -> None:
        super().__init__(optimize_mode=optimize_mode, seed=seed)
        self.dedup = checks.flag("dedup", dedup)
        self.dedup_retries = checks.whole("dedup_retries", dedup_retries)
        self.model_filter = checks.predicate("model_filter", model_filter)
        self._asked: Asked | None = None

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        space = DecisionSpace.of(domains)
        super().bind(space if self.model_filter is None else space.restricted(self.model_filter), seed)
        self._asked = Asked(self.domains, self._root_seed) if self.dedup else None

    def ask(self) -> dict[str, Any] | None:
        if self._asked is not None and self._asked.is_all:
            return None
        rng = self.next_rng()
        decisions = self._first_unseen(lambda: self._propose(rng)) or self._any_unseen(rng)
        if decisions is not None and self._asked is not None:
            self._asked.add(decisions)
        return decisions

    def recall(self, proposal: Proposal) -> None:
        if self._asked is not None:
            self._asked.add(proposal.decisions)

    def reject(self, proposal: Proposal) -> None:
        if self._asked is not None:
            self._asked.remove(proposal.decisions)

    @abc.abstractmethod
    def _propose(self, rng: random.Random) -> dict[str, Any]:
        """Return what to ask for next; called again if that was asked for before."""

    def _first_unseen(self, draw: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        drawn = (draw() for _ in range(self.dedup_retries))
        return next((decisions for decisions in drawn if self._asked is None or decisions not in self._asked), None)

    def _any_unseen(self, rng: random.Random) -> dict[str, Any] | None:
        found = self._first_unseen(lambda: self.domains.sample(rng))
        return self._asked.any_left() if found is None and self._asked is not None else found
