"""Conditions as mappings, and what the construction makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.record import model_wrapper
from graphnas.mutators import Categorical, fixed_arch
from graphnas.mutators.choices.choice import Collector
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.condition import Match, as_condition, checked_condition, is_active

OP = Categorical("op", ("conv", "pool"))
KERNEL = Categorical("kernel", (3, 5))
WHEN_CONV = Match.of({"op": "conv"})


@model_wrapper
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = declare_and_decide(OP, "structure")[1]
        self.kernel = declare_and_decide(KERNEL, "value", WHEN_CONV)[1]


def test_a_collector_keeps_conditions_and_refuses_two_for_one_label() -> None:
    with Collector() as collector:
        Net()
        declare_and_decide(KERNEL, "value", Match.of({"op": ["conv"]}))
    assert collector.conditions == {"kernel": WHEN_CONV}
    with (
        pytest.raises(DecisionError, match="comes up under two different conditions, `op is 'conv'` and always"),
        collector,
    ):
        declare_and_decide(KERNEL, "value")
    with pytest.raises(DecisionError, match="conditions, always and `kernel is 3`"), collector:
        declare_and_decide(OP, "value", Match.of({"kernel": 3}))


def test_an_inactive_choice_takes_its_default_and_must_not_be_decided() -> None:
    with fixed_arch({"op": "pool"}):
        assert Net().kernel == 3
    with fixed_arch({"op": "conv", "kernel": 5}):
        assert Net().kernel == 5
    with pytest.raises(DecisionError, match="'kernel' is missing"), fixed_arch({"op": "conv"}):
        Net()
    message = "'kernel' is decided, but comes up only when op is 'conv'; leave it out"
    with pytest.raises(DecisionError, match=message), fixed_arch({"op": "pool", "kernel": 5}):
        Net()


@model_wrapper
class InsideOut(nn.Module):
    """A choice inside another: it is constructed first, and comes up when the other is decided to be it."""

    def __init__(self, read: str = "op") -> None:
        super().__init__()
        self.kernel = declare_and_decide(KERNEL, "value", Match.of({read: "0"}))[1]
        self.op = declare_and_decide(Categorical("op", ("0", "1")), "structure")[1]


def test_a_condition_may_read_what_is_constructed_later() -> None:
    for first in ("0", 0):
        with fixed_arch({"op": first, "kernel": 5}):
            assert InsideOut().kernel == 5
    with fixed_arch({"op": 1}):
        assert InsideOut().kernel == 3
    with pytest.raises(DecisionError, match="unknown label 'opp'"), fixed_arch({"op": "0"}):
        InsideOut("opp")


def test_what_reads_an_inactive_choice_is_inactive() -> None:
    assert is_active(None, {})
    assert is_active(WHEN_CONV, {"op": "conv"})
    assert not is_active(Match.of({"kernel": 3}), {"op": "pool"})


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (lambda d: True, r"expected an expression of choices, as in `depth > 2`.*a function cannot be shown or stored"),
        ("op", "expected an expression of choices"),
        (True, "expected an expression of choices"),
        ({}, "expected labels of other choices"),
        ({"op": []}, "each with a value or a list of values"),
    ],
)
def test_what_is_no_condition_is_refused(when: Any, message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        as_condition(when)


def test_conditions_are_checked_against_the_choices_before() -> None:
    numbered = Categorical("op", ("0", "1"))
    assert checked_condition("k", Match.of({"op": 1}), {"op": numbered}) == Match.of({"op": "1"})
    assert as_condition({"op": "conv"}) == WHEN_CONV
    with pytest.raises(DecisionError, match=r"reads a choice that there is not: unknown label 'opp'.*'op'"):
        checked_condition("k", Match.of({"opp": 1}), {"op": OP})
    with pytest.raises(DecisionError, match=r"`op is 'konv'` can never hold: .*choose one of 'conv', 'pool'"):
        checked_condition("k", Match.of({"op": "konv"}), {"op": OP})
