"""Rules that end trials early."""

from __future__ import annotations

import random

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import Chain, HalvingStop, MedianStop, Observation, Random, Strategy
from graphnas.experiment.strategies.chain import Part
from graphnas.experiment.trial import Metric, TrialStatus
from graphnas.testing.strategies import SPACES


def chain_of(part: Part, mode: str = "maximize") -> Strategy:
    chain = Chain(Random(optimize_mode=mode), part)
    chain.bind(SPACES["numbers"], 0)
    return chain


def run(chain: Strategy, number: int, curve: list[float]) -> int:
    """Report a curve until the trial is to stop; return how many steps it ran."""
    done: list[Metric] = []
    for step, metric in enumerate(curve):
        done.append({"default": metric, "loss": 0.0} if number % 2 else metric)
        if chain.report(number, step, done[-1]):
            break
    status = TrialStatus.COMPLETED if len(done) == len(curve) else TrialStatus.PRUNED
    chain.tell(Observation(number, {}, curve[len(done) - 1], status=status, intermediate=tuple(done)))
    return len(done)


@pytest.mark.parametrize("mode", ["maximize", "minimize"])
def test_what_is_worse_than_the_median_stops(mode: str) -> None:
    chain = chain_of(MedianStop(min_trials=3, warmup_steps=2), mode)
    sign = 1 if mode == "maximize" else -1
    for number, level in enumerate((1.0, 2.0, 3.0, 4.0)):
        assert run(chain, number, [sign * level] * 4) == (4 if number < 3 or level > 2 else 3)
    assert run(chain, 4, [sign * 1.5] * 4) == 3
    assert run(chain, 5, [sign * 1.5, sign * 5.0, sign * 1.5, sign * 1.5]) == 4
    assert run(chain, 6, [sign * 3.0] * 9) == 9


def test_at_a_rung_one_of_several_goes_on() -> None:
    chain = chain_of(HalvingStop(min_steps=2, reduction_factor=3))
    draws = random.Random(0)
    steps = [run(chain, number, [draws.random()] * 18) for number in range(200)]
    assert set(steps) == {2, 6, 18}
    assert 90 < steps.count(2) < 150
    assert 3 < steps.count(18) < 60
    assert chain.report(1000, 1, -1.0) is True
    assert chain.report(1001, 0, -1.0) is False
    assert chain.report(1001, 1, 2.0) is False


def test_a_restored_rule_decides_as_before() -> None:
    for part in (MedianStop, HalvingStop):
        whole = chain_of(part())
        draws = random.Random(1)
        told = []
        for number in range(30):
            curve = tuple(draws.random() for _ in range(6))
            for step, metric in enumerate(curve):
                whole.report(number, step, metric)
            told.append(Observation(number, {}, curve[-1], intermediate=curve))
            whole.tell(told[-1])
        again = chain_of(part())
        again.restore(whole.state_dict(), [], told)
        for number in range(30, 60):
            curve = tuple(draws.random() for _ in range(6))
            verdicts = [[chain.report(number, s, m) for s, m in enumerate(curve)] for chain in (whole, again)]
            assert verdicts[0] == verdicts[1]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_trials: expected a whole number of at least 1, got 0"):
        MedianStop(min_trials=0)
    with pytest.raises(ConfigError, match="reduction_factor: expected a whole number of at least 2, got 1"):
        HalvingStop(reduction_factor=1)
