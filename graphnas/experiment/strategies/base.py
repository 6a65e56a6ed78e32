"""What a search strategy is: something that is asked for decisions and told what became of them.

A strategy sees domains, with their conditions and constraints, decisions and metrics. It never sees a model, nor a
module that is to be trained.
"""

from __future__ import annotations

import abc
import enum
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

from graphnas.errors import ConfigError
from graphnas.experiment.objectives import OPTIMIZE_MODES
from graphnas.experiment.strategies import checks
from graphnas.experiment.trial import Metric, TrialStatus, derive_seed
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Domain


class Wait(enum.Enum):
    """The type of `WAIT`."""

    WAIT = "WAIT"


WAIT: Final = Wait.WAIT
"""What `ask` returns when there is nothing to ask now, but may be once a running trial has ended."""


@dataclass(frozen=True)
class Proposal:
    """A candidate with more to say than its decisions.

    Attributes:
        decisions: Label to value.
        resume_from: Number of an earlier trial whose checkpoint this one continues.
        budget: How much the trial may spend, in a unit that strategy and evaluator agree on, such as epochs.
        on_equal: What to do when an equal candidate was evaluated before: None evaluates it again, `'replay'` takes
            over the result, `'skip'` leaves the candidate out and asks for another.
    """

    decisions: dict[str, Any]
    resume_from: int | None = None
    budget: float | None = None
    on_equal: Literal["replay", "skip"] | None = None

    @classmethod
    def of(cls, asked: dict[str, Any] | Proposal) -> Proposal:
        """Return what `ask` returned as a proposal."""
        return asked if isinstance(asked, Proposal) else cls(asked)


Answer: TypeAlias = dict[str, Any] | Proposal | Wait | None
"""What `ask` returns: a candidate, `WAIT`, or None when nothing is left, now and ever."""


@dataclass(frozen=True)
class Observation:
    """What became of one asked candidate.

    Attributes:
        number: Number of the trial.
        decisions: What was asked.
        metric: The number to optimise; None where the trial was invalid, failed, crashed or ran out of time.
        metrics: All metrics by name, where the evaluator gave several; `'default'` is among them.
        status: How the trial ended.
        resume_from: As in the proposal.
        budget: As in the proposal.
        intermediate: The metrics that the trial reported on its way, by step.
    """

    number: int
    decisions: dict[str, Any]
    metric: float | None
    metrics: dict[str, float] | None = None
    status: TrialStatus = TrialStatus.COMPLETED
    resume_from: int | None = None
    budget: float | None = None
    intermediate: tuple[Metric, ...] = ()


class Strategy(abc.ABC):
    """Base of every strategy.

    The contract, which `graphnas.testing.strategies` checks:

    - Whatever is asked for is allowed by the conditions and constraints of the domains.
    - `ask` never blocks and never spins; None means that there is nothing left to ask, now and ever, and `WAIT` that
      there may be once a running trial has ended. Who waits while nothing runs ends the search with an error.
    - What `ask` returns depends on the seed, on `state_dict` and on what was asked and told before; nothing else.
    - `tell` may come in any order, for any number of open candidates. Some are never told of: they are still running
      when the search ends.
    - `restore` on a fresh strategy, bound to the same domains and seed, continues as if nothing had happened.

    The last is easiest if `tell` only takes note and `ask` decides: then `state_dict` is what changes in `ask`.

    Attributes:
        optimize_mode: `'maximize'` or `'minimize'`.
        seed: Seed of the strategy; None takes one that derives from the experiment's.
        objectives: Name and mode of each metric that is optimised; several are names in the evaluator's dictionary.
        reuse: Ids or folders of earlier experiments whose results may stand in for equal candidates.
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    """Names of the constructor's arguments, which are attributes too; from them the store builds the strategy again."""

    def __init__(self, *, optimize_mode: str = "maximize", seed: int | None = None) -> None:
        self.optimize_mode = checks.one_of("optimize_mode", optimize_mode, OPTIMIZE_MODES)
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ConfigError(f"seed: expected a whole number or None, got {seed!r}", field="seed")
        self.seed = seed
        self.objectives: tuple[tuple[str, str], ...] = (("default", optimize_mode),)
        self.reuse: tuple[str, ...] = ()
        self.domains = DecisionSpace({})
        self._root_seed = seed or 0
        self._cursor = 0

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        """Start over on `domains`, plain or a `DecisionSpace`; `seed` counts where the strategy has none of its own."""
        self.domains = DecisionSpace.of(domains)
        self._root_seed = derive_seed(seed, "strategy") if self.seed is None else self.seed
        self._cursor = 0

    def constructor(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the named arguments that make this strategy again, unbound."""
        return (), {name: getattr(self, name) for name in self.arguments}

    @abc.abstractmethod
    def ask(self) -> Answer:
        """Return the next candidate, `WAIT` when there is none now, or None when there are none left."""

    def tell(self, observation: Observation) -> None:  # noqa: B027  # a strategy that learns nothing is one
        """Take note of what became of a candidate."""

    def report(self, number: int, step: int, metric: Metric) -> bool:
        """Take note of an intermediate metric of a running trial, and return whether the trial should stop.

        Nothing that is asked later may depend on it: `tell` brings the same metrics again, in an order that is kept.
        """
        return False

    def may_resume(self, number: int) -> bool:
        """Tell whether a later proposal may continue the checkpoint of an ended trial, which is kept as long."""
        return False

    def reject(self, proposal: Proposal) -> None:  # noqa: B027
        """Take back the candidate that was asked for last, as it is not going to be run; it counts as never asked."""

    def recall(self, proposal: Proposal) -> None:  # noqa: B027
        """Take note that a candidate was asked for in an earlier life of the strategy."""

    def state_dict(self) -> dict[str, Any]:
        """Return, as JSON, what `restore` cannot learn from the history."""
        return {"cursor": self._cursor}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._cursor = int(state["cursor"])

    def restore(self, state: Mapping[str, Any], asked: Iterable[Proposal], told: Iterable[Observation]) -> None:
        """Continue an earlier life.

        Args:
            state: The `state_dict` that was kept with the last submission.
            asked: Every candidate that was submitted, in the order of its number.
            told: Every observation, in the order in which it was told.
        """
        self.load_state_dict(state)
        for proposal in asked:
            self.recall(proposal)
        for observation in told:
            self.tell(observation)

    def next_rng(self) -> random.Random:
        """Return a generator for this ask alone, so that the state between two asks is one number.

        For subclasses, once in each `ask`.
        """
        self._cursor += 1
        return random.Random(f"{self._root_seed}/{self._cursor}")

    def fitness(self, metric: float | None) -> float | None:
        """Return a number of which more is better, whatever the mode; None for a failure."""
        return metric if metric is None or self.optimize_mode == "maximize" else -metric


def decisions_key(decisions: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal decisions, whatever the order of their labels.

    `True`, `1` and `1.0` stay three values, as they are in JSON.
    """
    return json.dumps(decisions, sort_keys=True, separators=(",", ":"))
