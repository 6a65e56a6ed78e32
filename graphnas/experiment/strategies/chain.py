"""Strategies with something around them: filters, retries, de-duplication."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.base import WAIT, Answer, Observation, Proposal, Strategy, Wait, decisions_key
from graphnas.experiment.trial import Metric, TrialStatus
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Domain


class Part(Strategy):
    """Base of what stands around a strategy in a `Chain`; by itself it passes on everything as it is.

    A part belongs to one chain. What it learns from observations it takes note of in `note`, which is also called when
    a chain is restored.

    Attributes:
        inner: The strategy, or the part nearer to it.
    """

    inner: Strategy
    _own_reuse: tuple[str, ...] = ()

    def put_around(self, inner: Strategy) -> None:
        """Stand around `inner` from now on."""
        self.inner = inner
        self.optimize_mode, self.objectives = inner.optimize_mode, inner.objectives
        self.reuse = (*inner.reuse, *self._own_reuse)

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self.inner.bind(domains, seed)

    def ask(self) -> Answer:
        return self.inner.ask()

    def note(self, observation: Observation) -> None:
        """Take note of what became of a candidate, before `inner` is told."""

    def tell(self, observation: Observation) -> None:
        self.note(observation)
        self.inner.tell(observation)

    def report(self, number: int, step: int, metric: Metric) -> bool:
        return self.inner.report(number, step, metric)

    def may_resume(self, number: int) -> bool:
        return self.inner.may_resume(number)

    def reject(self, proposal: Proposal) -> None:
        self.inner.reject(proposal)

    def recall(self, proposal: Proposal) -> None:
        self.inner.recall(proposal)

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])

    def restore(self, state: Mapping[str, Any], asked: Iterable[Proposal], told: Iterable[Observation]) -> None:
        self.inner.restore(state["inner"], asked, self._noted(told))

    def _noted(self, told: Iterable[Observation]) -> Iterator[Observation]:
        for observation in told:
            self.note(observation)
            yield observation


class Chain(Part):
    """A strategy with parts around it, each of which sees what the ones before it ask for.

    `Chain(strategy, Filter(small), Deduplication())` asks `strategy`, filters what it says, and marks what passes.

    Args:
        strategy: What chooses the candidates.
        *parts: What stands around it, the innermost first.

    Raises:
        ConfigError: An argument is no strategy or no part.
    """

    def __init__(self, strategy: Strategy, *parts: Part) -> None:
        if not isinstance(strategy, Strategy) or (isinstance(strategy, Part) and not isinstance(strategy, Chain)):
            raise ConfigError(f"Chain: expected a strategy first, got {strategy!r}", field="strategy")
        super().__init__(optimize_mode=strategy.optimize_mode, seed=strategy.seed)
        self.strategy = strategy
        self.parts = parts
        outer = strategy
        for part in parts:
            if not isinstance(part, Part) or isinstance(part, Chain):
                raise ConfigError(
                    f"Chain: expected parts such as Filter(...) after the strategy, got {part!r}", field="parts"
                )
            part.put_around(outer)
            outer = part
        self.put_around(outer)

    def constructor(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.strategy, *self.parts), {}


class Deduplication(Part):
    """Train no two candidates that are architecturally equal.

    Candidates are marked, and the search compares the fingerprints of their models, with the choices of the evaluator.
    A candidate that continues an earlier trial is left alone, as it is equal to that.

    Args:
        on_equal: `'replay'` gives an equal candidate the result of the earlier one, in a trial of its own that costs
            nothing; `'skip'` leaves it out.
        reuse: Ids or folders of earlier experiments whose results are taken over as well.

    Raises:
        ConfigError: An argument is of a wrong type or value.
    """

    def __init__(self, on_equal: str = "replay", reuse: Sequence[str] = ()) -> None:
        super().__init__()
        self.on_equal = checks.one_of("on_equal", on_equal, ("replay", "skip"))
        if isinstance(reuse, str) or not all(isinstance(name, str) for name in reuse):
            raise ConfigError(f"reuse: expected a list of ids or folders of experiments, got {reuse!r}", field="reuse")
        self._own_reuse = tuple(reuse)

    def constructor(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), {"on_equal": self.on_equal, "reuse": list(self._own_reuse)}

    def ask(self) -> Answer:
        answer = self.inner.ask()
        if answer is None or isinstance(answer, Wait):
            return answer
        proposal = Proposal.of(answer)
        if proposal.resume_from is not None:
            return proposal
        return replace(proposal, on_equal="replay" if self.on_equal == "replay" else "skip")


class Filter(Part):
    """Leave out candidates that a function does not like, before anything is built.

    The function becomes a constraint of the space that the strategy sees. So it gets a value for every label, where a
    choice that does not come up has its default; and it may be called while labels are open, and is stopped if it reads
    one of them.

    Args:
        function: Returns of decisions, label to value, whether to evaluate them.

    Raises:
        ConfigError: It is no function.
    """

    arguments: ClassVar[tuple[str, ...]] = ("function",)

    def __init__(self, function: Callable[[Mapping[str, Any]], object]) -> None:
        super().__init__()
        if not callable(function):
            raise ConfigError(f"function: expected a function of the decisions, got {function!r}", field="function")
        self.function = function

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(DecisionSpace.of(domains).restricted(self.function), seed)


class Retry(Part):
    """Ask again for a candidate whose trial failed in a way that may be no fault of its own.

    The strategy is told of the last try only.

    Args:
        times: How often a candidate is asked for again.
        statuses: Names of the ends that are tried again.

    Raises:
        ConfigError: An argument is of a wrong type or value.
    """

    arguments: ClassVar[tuple[str, ...]] = ("times", "statuses")

    def __init__(self, times: int = 1, statuses: Sequence[str] = ("CRASHED", "OOM")) -> None:
        super().__init__()
        self.times = checks.whole("times", times)
        failures = tuple(status.value for status in TrialStatus if status.is_failure or status is TrialStatus.LOST)
        if isinstance(statuses, str) or not statuses or not all(status in failures for status in statuses):
            raise ConfigError(
                f"statuses: expected some of {', '.join(map(repr, failures))}, got {statuses!r}", field="statuses"
            )
        self.statuses = tuple(statuses)
        self._begin()

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._begin()

    def _begin(self) -> None:
        self._failures: dict[str, int] = {}
        self._again: deque[Proposal] = deque()
        self._open = 0
        self._is_again = False

    def ask(self) -> Answer:
        self._is_again = bool(self._again)
        answer = self._again.popleft() if self._again else self.inner.ask()
        if answer is None and self._open:
            return WAIT
        self._open += answer is not None and answer is not WAIT
        return answer

    def tell(self, observation: Observation) -> None:
        self._open -= 1
        if not self._withholds(observation):
            self.inner.tell(observation)

    def reject(self, proposal: Proposal) -> None:
        self._open -= 1
        if not self._is_again:
            self.inner.reject(proposal)

    def restore(self, state: Mapping[str, Any], asked: Iterable[Proposal], told: Iterable[Observation]) -> None:
        withheld: dict[str, list[int]] = {}
        passed = []
        self._open = 0
        for observation in told:
            self._open -= 1
            if self._withholds(observation):
                withheld.setdefault(_key(_proposal(observation)), []).append(observation.number)
            else:
                passed.append(observation)
        own = []
        for number, proposal in enumerate(asked):
            self._open += 1
            failed = withheld.get(_key(proposal))
            if failed and failed[0] < number:  # asked for again after this failure
                failed.pop(0)
                self._again.remove(next(item for item in self._again if _key(item) == _key(proposal)))
            else:
                own.append(proposal)
        self.inner.restore(state["inner"], own, passed)

    def _withholds(self, observation: Observation) -> bool:
        """Take note of a trial's end, and return whether its candidate is asked for again."""
        key = _key(_proposal(observation))
        if observation.status.value not in self.statuses:
            self._failures.pop(key, None)
            return False
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] > self.times:
            del self._failures[key]
            return False
        self._again.append(_proposal(observation))
        return True


def _proposal(observation: Observation) -> Proposal:
    return Proposal(observation.decisions, observation.resume_from, observation.budget)


def _key(proposal: Proposal) -> str:
    return f"{decisions_key(proposal.decisions)}/{proposal.resume_from}/{proposal.budget}"
