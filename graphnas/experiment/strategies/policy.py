"""Policy gradient: a network that learns which decisions to draw."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.base import Observation, Strategy
from graphnas.mutators.domain import Decision, Domain
from graphnas.mutators.numeric import IntRange, Uniform

Policy: TypeAlias = Any
"""A `torch.nn.Module`, called with the place of a choice and the options taken before (-1: did not come up), that
returns one logit for each option."""

_BINS = 16
"""So many options stand for a domain of many numbers; within one, numbers are drawn uniformly."""

_OPTIONS = 1000
"""Other domains with more values than that are drawn from uniformly, and not learnt."""

_DRAWS = 100
_EPOCHS = 8
_CLIP = 0.2


class PolicyBasedRL(Strategy):
    """Ask for what a policy draws, and train the policy on the metrics: proximal policy optimisation.

    Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv:1707.06347, section 3, over whole candidates
    as in Zoph and Le 2017, "Neural Architecture Search with Reinforcement Learning", arXiv:1611.01578: each decision is
    an action, and the metric the reward of all of them, less a moving average of the metrics before. A batch is made of
    the `trial_per_collect` next results, whichever they are, so nothing waits. A failure counts as the worst of its
    batch.

    By default each choice has logits of its own, independent of the others. `policy_fn` makes a network that takes the
    earlier decisions into account: `policy_fn([5, 5, 3])` returns a `torch.nn.Module` for three choices with so many
    options, and `policy(2, (4, 0))` three logits for the third, after options 4 and 0; -1 stands for a choice that did
    not come up.

    A policy that has become sure asks for the same again; `Chain(PolicyBasedRL(), Deduplication())` makes that cheap.

    Args:
        max_collect: Number of batches after which `ask` returns None.
        trial_per_collect: Number of trials in a batch.
        policy_fn: What makes the policy; None is the independent one.
        learning_rate: Of Adam; 0.1 suits independent logits, a network wants less, such as 0.003.
        optimize_mode: `'maximize'` or `'minimize'`.
        seed: Seed of all draws and of the policy's parameters; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "max_collect",
        "trial_per_collect",
        "policy_fn",
        "learning_rate",
        "optimize_mode",
        "seed",
    )

    def __init__(
        self,
        max_collect: int = 100,
        trial_per_collect: int = 20,
        policy_fn: Callable[[Sequence[int]], Policy] | None = None,
        *,
        learning_rate: float = 0.1,
        optimize_mode: str = "maximize",
        seed: int | None = None,
    ) -> None:
        super().__init__(optimize_mode=optimize_mode, seed=seed)
        self.max_collect = checks.whole("max_collect", max_collect)
        self.trial_per_collect = checks.whole("trial_per_collect", trial_per_collect)
        if policy_fn is not None and not callable(policy_fn):
            raise ConfigError(f"policy_fn: expected a function or None, got {policy_fn!r}", field="policy_fn")
        self.policy_fn = policy_fn
        self.learning_rate = checks.number("learning_rate", learning_rate, above=0)
        self._policy: Policy = None
        self._optimizer: Any = None
        self._options: list[int] = []
        self._begin()

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        import torch  # only this strategy needs it

        super().bind(domains, seed)
        self._options = [_options(domain) for domain in self.domains.values()]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._root_seed)
            self._policy = _independent(self._options) if self.policy_fn is None else self.policy_fn(self._options)
        self._optimizer = torch.optim.Adam(self._policy.parameters(), lr=self.learning_rate)
        self._begin()

    def _begin(self) -> None:
        self._batch: list[tuple[tuple[int, ...], float | None]] = []
        self._baseline: tuple[float, float] | None = None

    def ask(self) -> dict[str, Any] | None:
        if self._cursor >= self.max_collect * self.trial_per_collect:
            return None
        import torch

        rng = self.next_rng()
        with torch.no_grad():
            for _ in range(_DRAWS):
                decisions = self._draw(rng)
                if self.domains.allows(decisions, complete=True):
                    return decisions
        return self.domains.sample(rng)

    def tell(self, observation: Observation) -> None:
        self._batch.append((self._actions(observation.decisions), self.fitness(observation.metric)))
        if len(self._batch) < self.trial_per_collect:
            return
        known = [fitness for _, fitness in self._batch if fitness is not None]
        if known:
            actions = [taken for taken, _ in self._batch]
            self._learn(actions, self._advantages([min(known) if f is None else f for _, f in self._batch]))
        self._batch = []

    def _draw(self, rng: random.Random) -> dict[str, Any]:
        decisions: dict[str, Any] = {}
        taken: list[int] = []
        for step, (label, domain) in enumerate(self.domains.items()):
            if not self.domains.comes_up(label, decisions):
                taken.append(-1)
                continue
            logits = self._policy(step, tuple(taken)).tolist()
            most = max(logits)
            weights = list(itertools.accumulate(math.exp(logit - most) for logit in logits))
            option = min(bisect.bisect(weights, rng.random() * weights[-1]), len(weights) - 1)
            taken.append(option)
            decisions[label] = _value(domain, option, rng)
        return decisions

    def _actions(self, decisions: Mapping[str, Decision]) -> tuple[int, ...]:
        return tuple(
            _option(domain, decisions[label]) if label in decisions else -1 for label, domain in self.domains.items()
        )

    def _advantages(self, rewards: list[float]) -> list[float]:
        """Return the rewards less the moving average, in moving standard deviations."""
        mean = sum(rewards) / len(rewards)
        variance = sum((reward - mean) ** 2 for reward in rewards) / len(rewards)
        old_mean, old_variance = self._baseline or (mean, variance)
        mean, variance = (old_mean + mean) / 2, (old_variance + variance) / 2
        self._baseline = mean, variance
        return [(reward - mean) / (math.sqrt(variance) + 1e-8) for reward in rewards]

    def _learn(self, actions: list[tuple[int, ...]], advantages: list[float]) -> None:
        import torch

        weights = torch.tensor(advantages)
        with torch.no_grad():
            before = self._log_probabilities(actions)
        for _ in range(_EPOCHS):
            ratio = torch.exp(self._log_probabilities(actions) - before)
            gains = torch.minimum(ratio * weights, torch.clamp(ratio, 1 - _CLIP, 1 + _CLIP) * weights)
            self._optimizer.zero_grad()
            (-gains.mean()).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            self._optimizer.step()

    def _log_probabilities(self, actions: list[tuple[int, ...]]) -> Any:
        import torch

        rows = []
        for taken in actions:
            parts = [
                torch.log_softmax(self._policy(step, taken[:step]), dim=-1)[option]
                for step, option in enumerate(taken)
                if option >= 0
            ]
            rows.append(torch.stack(parts).sum())
        return torch.stack(rows)


def _independent(options: Sequence[int]) -> Policy:
    """Return a policy with logits for every choice, all equal at first."""
    import torch

    class Independent(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = torch.nn.ParameterList([torch.zeros(count) for count in options])

        def forward(self, step: int, taken: tuple[int, ...]) -> torch.Tensor:
            found: torch.Tensor = self.logits[step]
            return found

    return Independent()


def _is_binned(domain: Domain) -> bool:
    return isinstance(domain, Uniform) or (isinstance(domain, IntRange) and domain.size > _BINS)


def _options(domain: Domain) -> int:
    if _is_binned(domain):
        return _BINS
    return domain.size if domain.size is not None and domain.size <= _OPTIONS else 1


def _option(domain: Domain, value: Decision) -> int:
    if _is_binned(domain):
        return min(int(domain.encode(value)[0] * _BINS), _BINS - 1)
    return domain.index(value) if _options(domain) > 1 else 0


def _value(domain: Domain, option: int, rng: random.Random) -> Decision:
    if _is_binned(domain):
        return domain.decode([(option + rng.random()) / _BINS])
    return domain.at(option) if _options(domain) == domain.size else domain.sample(rng)
