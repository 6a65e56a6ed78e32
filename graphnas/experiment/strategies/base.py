"""What a search strategy is: something that is asked for decisions and told what became of them.

A strategy sees domains, with their conditions and constraints, decisions and metrics. It never sees a model, a module
or torch.
"""

from __future__ import annotations

import abc
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.trial import derive_seed
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Domain

OPTIMIZE_MODES = ("maximize", "minimize")


@dataclass(frozen=True)
class Observation:
    """What became of one asked candidate.

    Attributes:
        number: Number of the trial.
        decisions: What was asked.
        metric: The number to optimise; None where the trial was invalid, failed, crashed or ran out of time.
    """

    number: int
    decisions: dict[str, Any]
    metric: float | None


class Strategy(abc.ABC):
    """Base of every strategy.

    The contract, which `tests/experiment/test_strategies.py` checks for each:

    - Whatever is asked for is allowed by the conditions and constraints of the domains.
    - `ask` never blocks and never spins; None means that there is nothing left to ask, now and ever.
    - What `ask` returns depends on the seed, on `state_dict` and on what was asked and told before; nothing else.
    - `tell` may come in any order, for any number of open candidates.
    - `restore` on a fresh strategy, bound to the same domains and seed, continues as if nothing had happened.

    Attributes:
        optimize_mode: `'maximize'` or `'minimize'`.
        seed: Seed of the strategy; None takes one that derives from the experiment's.
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    """Names of the constructor's arguments, which are attributes too; from them the store builds the strategy again."""

    def __init__(self, *, optimize_mode: str = "maximize", seed: int | None = None) -> None:
        if optimize_mode not in OPTIMIZE_MODES:
            raise ConfigError(
                f"optimize_mode: expected 'maximize' or 'minimize', got {optimize_mode!r}", field="optimize_mode"
            )
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ConfigError(f"seed: expected a whole number or None, got {seed!r}", field="seed")
        self.optimize_mode = optimize_mode
        self.seed = seed
        self.domains = DecisionSpace({})
        self._root_seed = seed or 0
        self._cursor = 0

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        """Start over on `domains`, plain or a `DecisionSpace`; `seed` counts where the strategy has none of its own."""
        self.domains = DecisionSpace.of(domains)
        self._root_seed = derive_seed(seed, "strategy") if self.seed is None else self.seed
        self._cursor = 0

    @abc.abstractmethod
    def ask(self) -> dict[str, Any] | None:
        """Return the decisions of the next candidate, or None when there are none left."""

    def tell(self, observation: Observation) -> None:  # noqa: B027  # a strategy that learns nothing is one
        """Take note of what became of a candidate."""

    def recall(self, decisions: dict[str, Any]) -> None:  # noqa: B027
        """Take note that `decisions` were asked in an earlier life of the strategy."""

    def state_dict(self) -> dict[str, Any]:
        """Return, as JSON, what `restore` cannot learn from the history."""
        return {"cursor": self._cursor}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._cursor = int(state["cursor"])

    def restore(self, state: Mapping[str, Any], asked: Iterable[dict[str, Any]], told: Iterable[Observation]) -> None:
        """Continue an earlier life.

        Args:
            state: The `state_dict` that was kept with the last submission.
            asked: Every candidate, in the order of its number.
            told: Every observation, in the order in which it was told.
        """
        self.load_state_dict(state)
        for decisions in asked:
            self.recall(decisions)
        for observation in told:
            self.tell(observation)

    def _next_rng(self) -> random.Random:
        """Return a generator for this ask alone, so that the state between two asks is one number."""
        self._cursor += 1
        return random.Random(f"{self._root_seed}/{self._cursor}")

    def _sample(self, rng: random.Random) -> dict[str, Any]:
        return self.domains.sample(rng)


def decisions_key(decisions: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal decisions, whatever the order of their labels.

    `True`, `1` and `1.0` stay three values, as they are in JSON.
    """
    return json.dumps(decisions, sort_keys=True, separators=(",", ":"))
