"""The contract of strategies as tests for anyone's strategy, and searches without trials to try one on.

Derive a class whose name begins with `Test` from `StrategyContract`, say in `make` how the strategy is made, and let
pytest collect it:

    class TestMine(StrategyContract):
        def make(self, optimize_mode="maximize", seed=None):
            return Mine(optimize_mode=optimize_mode, seed=seed)
"""

from __future__ import annotations

import abc
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from graphnas.experiment.strategies.base import Observation, Proposal, Strategy, Wait, decisions_key
from graphnas.experiment.trial import Metric, TrialStatus, default_metric
from graphnas.mutators.condition import Match
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Categorical, Domain
from graphnas.mutators.numeric import IntRange, LogUniform, Uniform
from graphnas.mutators.subset import Subset


class SimulatedSearch:
    """A search whose trials are calls of a function: nothing is built, trained or stored.

    Args:
        strategy: Bound to its domains.
        evaluate: Returns the metric of a candidate, or None for one that fails.
        workers: Number of trials that run at the same time; which one ends first is drawn.
        seed: Of these draws.

    Attributes:
        asked: What was submitted, by number.
        told: What the strategy was told, in order.
        running: Number and proposal of what was submitted and not told.
        is_over: Whether the strategy has said that nothing is left.
    """

    def __init__(
        self,
        strategy: Strategy,
        evaluate: Callable[[Proposal], Metric | None],
        *,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        self.strategy = strategy
        self.asked: list[Proposal] = []
        self.told: list[Observation] = []
        self.running: dict[int, Proposal] = {}
        self.is_over = False
        self._evaluate = evaluate
        self._workers = workers
        self._rng = random.Random(seed)
        self._state = json.dumps(strategy.state_dict())

    def run(self, count: int) -> list[Observation]:
        """Submit `count` more trials, or as many as there are; return what the strategy was told meanwhile.

        With several workers, some may still be running.

        Raises:
            RuntimeError: The strategy waits while nothing runs.
        """
        first, last = len(self.told), len(self.asked) + count
        while True:
            while len(self.running) < self._workers and len(self.asked) < last and not self.is_over:
                answer = self.strategy.ask()
                if isinstance(answer, Wait):
                    if not self.running:
                        raise RuntimeError("ask() returned WAIT although nothing is running")
                    break
                if answer is None:
                    self.is_over = True
                else:
                    self._submit(Proposal.of(answer))
            if not self.running or (self._workers > 1 and len(self.asked) >= last):
                return self.told[first:]
            self._end_one()

    def continued(self, fresh: Strategy) -> SimulatedSearch:
        """Return this search as another process would take it up, with what a store keeps; running trials run again."""
        other = SimulatedSearch(fresh, self._evaluate, workers=self._workers)
        other.asked, other.told, other.running = list(self.asked), list(self.told), dict(self.running)
        other._rng.setstate(self._rng.getstate())
        other._state = self._state
        fresh.restore(json.loads(self._state), iter(self.asked), iter(self.told))
        return other

    def _submit(self, proposal: Proposal) -> None:
        self.running[len(self.asked)] = proposal
        self.asked.append(proposal)
        self._state = json.dumps(self.strategy.state_dict())

    def _end_one(self) -> None:
        number = self._rng.choice(list(self.running))
        proposal = self.running.pop(number)
        metric = self._evaluate(proposal)
        observation = Observation(
            number=number,
            decisions=proposal.decisions,
            metric=default_metric(metric),
            metrics=metric if isinstance(metric, dict) else None,
            status=TrialStatus.FAILED if metric is None else TrialStatus.COMPLETED,
            resume_from=proposal.resume_from,
            budget=proposal.budget,
        )
        self.told.append(observation)
        self.strategy.tell(observation)


_PLAIN: dict[str, Domain] = {
    "width": Categorical("width", (8, 16, 32)),
    "kernel": Categorical("kernel", (1, 3, 5, 7)),
    "norm": Categorical("norm", (True, False)),
}
_NUMBERS: dict[str, Domain] = {
    "inputs": Subset("inputs", (0, 1, 2), (2, 2)),
    "depth": IntRange("depth", 2, 6, 2),
    "rate": Uniform("rate", 0, 1),
    "lr": LogUniform("lr", 1e-4, 1e-1),
}

SPACES: dict[str, DecisionSpace] = {
    "plain": DecisionSpace(_PLAIN),
    "one point": DecisionSpace({"width": Categorical("width", (8,))}),
    "numbers": DecisionSpace({**_PLAIN, **_NUMBERS}),
    "only numbers": DecisionSpace({name: _NUMBERS[name] for name in ("rate", "lr")}),
    "conditions": DecisionSpace(
        {**_PLAIN, "rate": Uniform("rate", 0, 1)},
        {"norm": Match.of({"kernel": [3, 5]}), "rate": Match.of({"norm": True})},
    ),
    "constraint": DecisionSpace(
        _PLAIN, {"norm": Match.of({"kernel": [3, 5]})}, [lambda d: d["width"] * d["kernel"] < 100]
    ),
    "unknown size": DecisionSpace(
        {f"op{i}": Categorical(f"op{i}", tuple(range(5))) for i in range(10)},
        constraints=[lambda d: sum(d.values()) % 3 == 0],
    ),
}
"""Small spaces of every kind, by name; all that a strategy has to cope with."""


class StrategyContract(abc.ABC):
    """What `Strategy` promises, as tests.

    Attributes:
        is_exhaustive: Whether the strategy asks for each point of a finite space once and then ends.
        asks: How many candidates a test asks for; fewer for slow strategies.
    """

    is_exhaustive: ClassVar[bool] = False
    asks: ClassVar[int] = 30

    @abc.abstractmethod
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        """Return a new strategy that is not bound."""

    def evaluate(self, proposal: Proposal) -> Metric | None:
        """Return the metric of a candidate; those with kernel 7 fail. With several objectives, override it."""
        return _score(proposal.decisions)

    def search(
        self, space: str, optimize_mode: str = "maximize", seed: int | None = None, **options: Any
    ) -> SimulatedSearch:
        """Return a simulated search with a new strategy on a space of `SPACES`."""
        strategy = self.make(optimize_mode, seed)
        strategy.bind(SPACES[space], 0)
        return SimulatedSearch(strategy, options.pop("evaluate", self.evaluate), **options)

    def test_asks_are_points_of_the_space(self) -> None:
        for name, space in SPACES.items():
            search = self.search(name)
            search.run(self.asks)
            assert search.asked, f"nothing was asked for in the space {name!r}"
            for proposal in search.asked:
                found = space.normalize(proposal.decisions)
                assert _spelled(found) == _spelled(proposal.decisions), f"{proposal} is not as its domains spell it"

    def test_the_same_seed_asks_the_same_and_another_does_not(self) -> None:
        searches = [self.search("numbers", seed=seed) for seed in (3, 3, 4)]
        first, again, other = ([*map(_spelled_proposal, _run(search, self.asks))] for search in searches)
        assert first == again
        assert first != other

    def test_the_seed_of_the_experiment_counts_where_there_is_none_of_its_own(self) -> None:
        asked = []
        for own, given in ((None, 1), (None, 2), (5, 1), (5, 2)):
            strategy = self.make(seed=own)
            strategy.bind(SPACES["numbers"], given)
            asked.append(_run(SimulatedSearch(strategy, self.evaluate), 5))
        assert asked[0] != asked[1]
        assert asked[2] == asked[3]

    def test_binding_again_starts_over(self) -> None:
        search = self.search("numbers")
        first = _run(search, self.asks)
        search.strategy.bind(SPACES["numbers"], 0)
        assert _run(SimulatedSearch(search.strategy, self.evaluate), self.asks) == first

    def test_a_restored_strategy_asks_what_an_uninterrupted_one_would(self) -> None:
        for name in SPACES:
            whole = _run(self.search(name), self.asks)
            for cut in (1, self.asks - 3):
                before = self.search(name)
                before.run(cut)
                fresh = self.make()
                fresh.bind(SPACES[name], 0)
                after = before.continued(fresh)
                after.run(self.asks - cut)
                assert after.asked == whole, f"space {name!r}, restored after {cut} trials"

    def test_a_strategy_is_restored_while_trials_run(self) -> None:
        for name in SPACES:
            before = self.search(name, workers=4)
            before.run(self.asks // 2)
            fresh = self.make()
            fresh.bind(SPACES[name], 0)
            after = before.continued(fresh)
            before.run(self.asks // 2)
            after.run(self.asks // 2)
            assert after.asked == before.asked, f"space {name!r}"

    def test_results_come_in_any_order(self) -> None:
        for name, space in SPACES.items():
            search = self.search(name, workers=5, seed=7)
            search.run(self.asks)
            assert all(space.contains(proposal.decisions) for proposal in search.asked)
            assert len(search.asked) > len(search.told) or search.is_over

    def test_failures_are_survived(self) -> None:
        for name in SPACES:
            search = self.search(name, evaluate=lambda proposal: None)
            search.run(self.asks)
            assert len(search.asked) == self.asks or search.is_over

    def test_candidates_can_be_rejected(self) -> None:
        for name, space in SPACES.items():
            search = self.search(name)
            for _ in range(self.asks):
                answer = search.strategy.ask()
                if answer is None or isinstance(answer, Wait):
                    break
                proposal = Proposal.of(answer)
                assert space.contains(proposal.decisions)
                search.strategy.reject(proposal)

    def test_minimising_asks_what_maximising_the_opposite_asks(self) -> None:
        for name in SPACES:
            least = self.search(name, "minimize")
            greatest = self.search(name, "maximize", evaluate=lambda proposal: _negated(self.evaluate(proposal)))
            assert _run(least, self.asks) == _run(greatest, self.asks), f"space {name!r}"

    def test_an_exhaustive_strategy_asks_for_each_point_once(self) -> None:
        if not self.is_exhaustive:
            return
        for name in ("plain", "one point", "constraint"):
            for workers in (1, 3):
                search = self.search(name, workers=workers)
                keys = [decisions_key(proposal.decisions) for proposal in _run(search, 1000)]
                assert len(keys) == len(set(keys)) == SPACES[name].size, f"space {name!r}"
                assert search.strategy.ask() is None

    def test_the_state_is_small_and_json(self) -> None:
        search = self.search("numbers")
        search.run(self.asks)
        state = search.strategy.state_dict()
        text = json.dumps(state, allow_nan=False)
        assert json.loads(text) == state
        assert len(text) < 20_000, "it is written with every trial"


def _run(search: SimulatedSearch, count: int) -> list[Proposal]:
    search.run(count)
    return search.asked


def _score(decisions: Mapping[str, Any]) -> float | None:
    if decisions.get("kernel") == 7:
        return None
    numbers = [float(value) for value in decisions.values() if isinstance(value, int | float)]
    return sum(number / (1 + place) for place, number in enumerate(numbers))


def _negated(metric: Metric | None) -> Metric | None:
    if isinstance(metric, dict):
        return {name: -value for name, value in metric.items()}
    return None if metric is None else -metric


def _spelled(decisions: Mapping[str, Any]) -> str:
    return json.dumps(decisions)


def _spelled_proposal(proposal: Proposal) -> str:
    return _spelled(proposal.decisions)
