"""Grid search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.base import Strategy
from graphnas.experiment.strategies.lattice import Lattice
from graphnas.mutators.domain import Domain


class GridSearch(Strategy):
    """Ask for every point once; `ask` returns None after the last.

    Nothing is listed or remembered, however large the space is. Where every combination of values is a point, `shuffle`
    goes through them in a random order. With conditions or constraints the allowed points are searched depth first;
    then `shuffle` puts the values of each label into a random order, so that points that follow one another are alike.

    Args:
        shuffle: Whether the order is random; otherwise it is that of the values, the last label varying fastest.
        granularity: So many values, evenly spread, stand for a continuous domain.
        optimize_mode: `'maximize'` or `'minimize'`; says which results are the best.
        seed: Seed of the order; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = ("shuffle", "granularity", "optimize_mode", "seed")

    def __init__(
        self,
        shuffle: bool = True,
        granularity: int = 5,
        *,
        optimize_mode: str = "maximize",
        seed: int | None = None,
    ) -> None:
        super().__init__(optimize_mode=optimize_mode, seed=seed)
        self.shuffle = checks.flag("shuffle", shuffle)
        self.granularity = checks.whole("granularity", granularity)
        self._points: Iterator[dict[str, Any]] = iter(())

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._points = self._from(0)

    def ask(self) -> dict[str, Any] | None:
        decisions = next(self._points, None)
        if decisions is None and self._cursor == 0:
            self.domains.default()  # raises, and says what rules everything out
        self._cursor += decisions is not None
        return decisions

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._points = self._from(self._cursor)

    def _from(self, place: int) -> Iterator[dict[str, Any]]:
        seed = self._root_seed if self.shuffle else None
        if self.domains.is_product:
            lattice = Lattice(self.domains, seed, self.granularity)
            return (lattice[index] for index in range(place, lattice.size))
        axes = {
            label: Lattice({label: domain}, None if seed is None else f"{seed}/{label}", self.granularity)
            for label, domain in self.domains.items()
        }
        points = self.domains.combinations(lambda label: (point[label] for point in axes[label]))
        return islice(points, place, None)
