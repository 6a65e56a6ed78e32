"""Strategies that model the metric by what was told: Optuna's samplers, asked one candidate at a time.

Optuna is an extra: `pip install 'graphnas[optuna]'`. It is imported when a strategy is bound to its domains.
"""

from __future__ import annotations

import abc
import importlib
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.asked import Distinct, Predicate, digest
from graphnas.experiment.strategies.base import Observation, Proposal
from graphnas.mutators.domain import Decision, Domain
from graphnas.mutators.numeric import IntRange, LogUniform, Uniform

_RETRIES = 10
_CATEGORIES = 1000
"""Beyond so many values, the places of a finite domain are modelled as whole numbers."""

_LARGEST = 2**53
"""Domains of more values than floats can tell apart are drawn from uniformly."""


class _Sampled(Distinct):
    """A study of Optuna, with the points of the space as its trials.

    Whatever a sampler draws comes from a seed of its own for each ask. A trial has exactly the numbers of its
    decisions, so that a study that was built again from decisions is the same.
    """

    arguments: ClassVar[tuple[str, ...]] = ("optimize_mode", "startup_trials", "dedup", "model_filter", "seed")

    def __init__(
        self,
        optimize_mode: str = "maximize",
        startup_trials: int = 10,
        dedup: bool = True,
        model_filter: Predicate | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            optimize_mode=optimize_mode, dedup=dedup, dedup_retries=_RETRIES, model_filter=model_filter, seed=seed
        )
        self.startup_trials = checks.whole("startup_trials", startup_trials)
        self._study: Any = None
        self._open: dict[bytes, list[int]] = {}
        self._distributions: dict[str, Any] = {}

    @property
    def _optuna(self) -> Any:
        return extra("optuna", type(self).__name__)

    @abc.abstractmethod
    def _sampler(self, seed: int) -> Any:
        """Return a new sampler."""

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        optuna = self._optuna
        with _quiet(optuna):
            self._study = optuna.create_study(direction=self.optimize_mode)
        self._open = {}
        self._distributions = {label: _distribution(optuna, domain) for label, domain in self.domains.items()}

    def ask(self) -> dict[str, Any] | None:
        decisions = super().ask()
        if decisions is not None:
            self._add(decisions)
        return decisions

    def tell(self, observation: Observation) -> None:
        numbers = self._open.get(digest(observation.decisions))
        if not numbers:
            return
        number = numbers.pop(0)
        if observation.metric is None:
            self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, observation.metric)

    def recall(self, proposal: Proposal) -> None:
        super().recall(proposal)
        self._add(proposal.decisions)

    def reject(self, proposal: Proposal) -> None:
        super().reject(proposal)
        number = self._open[digest(proposal.decisions)].pop()
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)

    def _propose(self, rng: random.Random) -> dict[str, Any]:
        with _quiet(self._optuna):
            self._study.sampler = self._sampler(rng.getrandbits(32))
            trial = self._study.ask()
            decisions: dict[str, Any] = {}
            for label, domain in self.domains.items():
                if self.domains.comes_up(label, decisions):
                    decisions[label] = self._suggest(trial, domain, rng)
            # What was suggested is not quite what is asked for, as numbers are rounded: that gets a trial of its own.
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return decisions if self.domains.allows(decisions, complete=True) else self.domains.sample(rng)

    def _suggest(self, trial: Any, domain: Domain, rng: random.Random) -> Decision:
        distribution = self._distributions[domain.label]
        if distribution is None:
            return domain.sample(rng)
        value = trial._suggest(domain.label, distribution)
        return domain.normalize(value) if isinstance(domain, IntRange | Uniform) else domain.at(value)

    def _add(self, decisions: Mapping[str, Decision]) -> None:
        params = {
            label: value if isinstance(self.domains[label], IntRange | Uniform) else self.domains[label].index(value)
            for label, value in decisions.items()
            if self._distributions[label] is not None
        }
        self._open.setdefault(digest(decisions), []).append(len(self._study.get_trials(deepcopy=False)))
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=self._optuna.trial.TrialState.RUNNING,
                params=params,
                distributions={label: self._distributions[label] for label in params},
            )
        )


class TPE(_Sampled):
    """Ask for what is likelier among good candidates than among bad ones, by Optuna's `TPESampler`.

    Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", section 4: a tree-structured Parzen estimator.
    Choices with conditions are modelled by the candidates in which they came up. Running trials count as bad ones, so
    that those that run at the same time differ.

    Args:
        optimize_mode: `'maximize'` or `'minimize'`.
        startup_trials: Number of random candidates before the first that is modelled.
        dedup: Whether to ask for nothing twice; once a finite space is exhausted `ask` returns None.
        model_filter: A further constraint: function of the decisions that says whether to ask for them; None takes all.
        seed: Seed of all random choices; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range, or Optuna is not installed.
    """

    def _sampler(self, seed: int) -> Any:
        return self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup_trials, constant_liar=True)


TPEStrategy = TPE
"""The predecessor's other name of `TPE`."""


class GP(_Sampled):
    """Ask for what promises most under a Gaussian process, by Optuna's `GPSampler`.

    Needs `scipy` as well. Each ask fits the process anew, which takes longer the more was told: it is made for some
    hundred trials that are expensive. Choices with conditions are drawn at random.

    Args:
        optimize_mode: `'maximize'` or `'minimize'`.
        startup_trials: Number of random candidates before the first that is modelled.
        dedup: Whether to ask for nothing twice; once a finite space is exhausted `ask` returns None.
        model_filter: A further constraint: function of the decisions that says whether to ask for them; None takes all.
        seed: Seed of all random choices; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range, or Optuna or scipy is not installed.
    """

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        extra("scipy", "GP")
        super().bind(domains, seed)

    def _sampler(self, seed: int) -> Any:
        return self._optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=self.startup_trials, warn_independent_sampling=False
        )


def extra(package: str, strategy: str) -> Any:
    """Import and return a package that comes with the extra `optuna`.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"strategy {strategy}: needs the package {package}, which cannot be imported ({error}); install it with "
            "pip install 'graphnas[optuna]'",
            field="strategy",
        ) from error


def _distribution(optuna: Any, domain: Domain) -> Any:
    """Return what Optuna is to draw from, or None where it cannot."""
    found = optuna.distributions
    if isinstance(domain, Uniform):
        return found.FloatDistribution(domain.low, domain.high, log=isinstance(domain, LogUniform))
    if isinstance(domain, IntRange):
        return found.IntDistribution(domain.low, domain.high, step=domain.step)
    if domain.size is None or domain.size > _LARGEST:
        return None
    if domain.size > _CATEGORIES:
        return found.IntDistribution(0, domain.size - 1)
    return found.CategoricalDistribution(tuple(range(domain.size)))


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep back what Optuna says to those who call it themselves."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
