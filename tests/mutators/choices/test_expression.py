"""Expressions of value choices: what they compute, print and refuse, open and decided."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.record import model_wrapper, recording
from graphnas.mutators import ValueChoice, fixed_arch, int_range, loguniform, uniform
from graphnas.mutators.choices.expression import Computed, Expression

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")},
    **{name: getattr(operator, name) for name in ("lshift", "rshift", "xor", "eq", "ne", "lt", "le", "gt", "ge")},
    **{"and": operator.and_, "or": operator.or_, "divmod": divmod, "max": ValueChoice.max, "min": ValueChoice.min},
}
UNARY: dict[str, Callable[[Any], Any]] = {
    **{"neg": operator.neg, "pos": operator.pos, "invert": operator.invert, "abs": abs, "round": round},
    **{"trunc": math.trunc, "floor": math.floor, "ceil": math.ceil},
    **{"to_int": ValueChoice.to_int, "to_float": ValueChoice.to_float},
}


def choice(label: str, *candidates: Any) -> Any:
    return ValueChoice(list(candidates), label=label)


@pytest.mark.parametrize("name", BINARY)
def test_binary_operations_in_either_order_open_and_decided(name: str) -> None:
    function = BINARY[name]
    for first, second in ((choice("a", 7, 3), 2), (7, choice("b", 2, 5)), (choice("a", 7, 3), choice("b", 2, 5))):
        expression = function(first, second)
        assert isinstance(expression, Expression)
        assert expression.dry_run() == function(7, 2)
    assert function(choice("a", 7, 3), choice("b", 2, 5)).evaluate([3, 5]) == function(3, 5)
    with fixed_arch({"a": 3, "b": 5}):
        decided = function(choice("a", 7, 3), choice("b", 2, 5))
    assert decided == function(3, 5)
    assert decided() == function(3, 5)
    assert type(decided()) is type(function(3, 5))


@pytest.mark.parametrize("name", UNARY)
def test_unary_operations(name: str) -> None:
    function = UNARY[name]
    assert function(choice("a", -7, 3)).all_options() == (function(-7), function(3))
    with fixed_arch({"a": 3}):
        assert function(choice("a", -7, 3))() == function(3)
    assert ValueChoice.to_int(2.7) == 2  # plain values fall through
    assert round(choice("r", 2.345), 1).dry_run() == 2.3


def test_conditions_items_and_texts() -> None:
    width, flag = choice("width", 16, 32), choice("flag", True, False)
    picked = ValueChoice.condition(flag, width, 8)
    assert [item.label for item in picked.inner_choices()] == ["width", "flag"]
    assert picked.all_options() == (16, 8, 32)
    assert picked.evaluate([32, True]) == 32
    assert choice("pair", (1, 2), (3, 4))[1].all_options() == (2, 4)
    assert (choice("name", "conv", "pool") + "_x").all_options() == ("conv_x", "pool_x")
    assert ValueChoice.max([width, 24]).all_options() == (24, 32)
    assert (~(width > 16)).all_options() == (True, False)
    assert ((width > 16) & ~flag).describe() == "(width > 16) & ~flag"
    assert width.is_(16, 8).describe() == "width.is_(16, 8)"
    assert repr(ValueChoice.max(width, 24, 3)) == "max(ValueChoice([16, 32], label='width'), 24, 3)"
    assert repr(2 * width) == "(2 * ValueChoice([16, 32], label='width'))"


def test_one_label_is_one_choice_within_an_expression() -> None:
    a = choice("a", 1, 2)
    assert (a + choice("a", 1, 2)).all_options() == (2, 4)
    assert (a * 10 + choice("b", 1, 2)).all_options() == (11, 12, 21, 22)
    assert len(sum((choice(f"n{index}", 0, 1) for index in range(40)), start=choice("s", 0)).all_options()) == 41
    with pytest.raises(DecisionError, match="'a' stands for two different choices, one of 1, 2 and one of 1, 3"):
        (a + choice("a", 1, 3)).all_options()
    with pytest.raises(DecisionError, match="'a' is given two values, 1 and 2"):
        (a + a).evaluate([1, 2])


def test_evaluate_refuses_what_does_not_fit() -> None:
    both = choice("a", 1, 2) + choice("b", 3, 4)
    assert both.evaluate({"b": 4, "a": 1}) == 5
    for values, message in (
        ([1], r"one value for each of its 2 choices \(a, b\), got 1"),
        ([1, 3, 4], "got 3"),
        ([1, 5], "decision 'b': 5 is not allowed"),
        ([True, 3], "True is not allowed"),
        ({"a": 1}, "the value of 'b' is missing"),
        ({"a": 1, "b": 3, "c": 1}, "has no choice 'c'"),
    ):
        with pytest.raises(DecisionError, match=message):
            both.evaluate(values)
        assert issubclass(DecisionError, ValueError)


def test_operations_are_tried_when_they_are_written() -> None:
    with pytest.raises(TypeError, match=r"'x'.* \+ 1.*cannot be computed of 'x', 1"):
        choice("name", "x", "y") + 1
    with pytest.raises(DecisionError, match=r"1 / .*cannot be computed of 1, 0: division by zero; leave out"):
        1 / choice("zero", 0, 1)
    later = 1 / choice("zero", 1, 0)
    with pytest.raises(DecisionError, match="division by zero"):
        later.evaluate([0])
    with pytest.raises(TypeError, match="holds choices, so it cannot be an operand"):
        operator.add(choice("t", (1,)), (choice("a", 1),))


def test_ranges_of_numbers() -> None:
    width: Any = ValueChoice(int_range(8, 32, 8), label="width")
    rate: Any = ValueChoice(uniform(0.0, 0.5), label="rate")
    assert (width * 2).all_options() == (16, 32, 48, 64)
    assert width.candidates == (8, 16, 24, 32)
    assert (rate * 2).evaluate([0.25]) == 0.5
    assert (rate.dry_run(), ValueChoice(loguniform(1e-4, 1e-1), label="lr").dry_run()) == (0.0, 1e-4)
    uses: tuple[Callable[[], Any], ...] = (rate.all_options, (rate + width).all_options, lambda: rate.candidates)
    for use in uses:
        with pytest.raises(DecisionError, match=r"a number from 0.0 to 0.5.*cannot be listed; use int_range"):
            use()
    with pytest.raises(DecisionError, match="12 is not allowed"):
        width.evaluate([12])
    with fixed_arch({"width": 24, "rate": 0.3}):
        assert ValueChoice(int_range(8, 32, 8), label="width") * 2 == 48
        assert ValueChoice(uniform(0.0, 0.5), label="rate")() == 0.3
    with pytest.raises(DecisionError, match="prior has 1 entries for infinitely many candidates"):
        ValueChoice(uniform(0.0, 0.5), prior=[1.0], label="rate")
    for wrong in ("relu", {"a": 1}, 3):
        with pytest.raises(DecisionError, match="candidates must be a list of values"):
            ValueChoice(wrong, label="x")  # type: ignore[arg-type]  # what is refused


def test_layers_take_expressions_and_forward_calls_them() -> None:
    width = choice("width", 4, 8)
    with recording():
        layer = nn.Conv2d(3, width * 2, (choice("k", 3, 5), 1), groups=1)
    assert (layer.out_channels, layer.kernel_size) == (8, (3, 1))
    assert (1 - choice("keep", 0.75, 0.5))() == 0.25
    with pytest.raises(DecisionError, match="None among its candidates"):
        ValueChoice([None, 1], label="n")()


def test_decided_values_are_ordinary_values() -> None:
    with fixed_arch({"width": 32, "flag": True, "name": "ab", "pair": [1, 2]}):
        width, flag = choice("width", 16, 32), choice("flag", False, True)
        name, pair = choice("name", "ab", "c"), choice("pair", (1, 2), (3, 4))
    assert {width: 1}[32] == 1
    assert [1, 2, 32].index(width) == 2
    assert (list(range(width // 16)), f"{width:04d}", width > 16 and flag) == ([0, 1], "0032", flag)
    assert (width * torch.ones(1)).tolist() == [32.0]
    assert not isinstance(width, list)
    with pytest.raises(TypeError, match="not iterable"):
        iter(width)
    assert (name + "c", operator.mod("<%s>", name), pair[0], (0, *pair)) == ("abc", "<ab>", 1, (0, 1, 2))
    assert repr(width > 16) == "True"
    for value in (width // 8, flag, pair, name, width > 16):
        for again in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
            assert (again(), type(again)) == (value(), type(value))


@given(st.data())
def test_options_are_what_every_combination_evaluates_to(data: st.DataObject) -> None:
    leaves = st.sampled_from(["a", "b", "c"]).map(lambda label: choice(label, *range(1, 2 + "abc".index(label) + 1)))
    names = st.sampled_from(["add", "sub", "mul", "max", "min", "lt"])
    trees = st.recursive(
        st.one_of(leaves, st.integers(0, 3)), lambda inner: st.tuples(names, inner, inner).map(_combined), max_leaves=6
    )
    tree = data.draw(trees)
    if not isinstance(tree, Expression):
        return
    values: list[dict[str, int]] = [{}]
    for label in tree.labels:
        values = [{**known, label: value} for known in values for value in range(1, 2 + "abc".index(label) + 1)]
    expected = {(type(value), value) for value in map(tree.evaluate, values)}
    options = tree.all_options()
    assert {(type(value), value) for value in options} == expected
    assert len(options) == len(expected)
    assert options[0] == tree.dry_run()
    assert pickle.loads(pickle.dumps(tree)).all_options() == options
    chosen = data.draw(st.sampled_from(values))
    assert _again(tree, chosen) == tree.evaluate(chosen)


def _combined(parts: tuple[str, Any, Any]) -> Any:
    return BINARY[parts[0]](parts[1], parts[2])


def _again(tree: Any, chosen: dict[str, int]) -> Any:
    """Return the value of a tree that is written again where its choices are decided."""
    with fixed_arch(chosen, verbose=False):
        return _written(tree)


def _written(tree: Any) -> Any:
    if isinstance(tree, ValueChoice):
        return ValueChoice(tree.candidates, label=tree.label)
    return BINARY[tree.name](*map(_written, tree.operands)) if isinstance(tree, Computed) else tree


def test_choices_where_none_can_stand() -> None:
    @model_wrapper
    class Own(nn.Module):
        def __init__(self, build: Callable[[Any], Any]) -> None:
            super().__init__()
            self.width = choice("width", 4, 8)
            self.weight = build(self.width)

    builds: tuple[Any, ...] = (torch.zeros, lambda width: nn.Parameter(torch.ones(3, width)), lambda v: len("ab"[v:]))
    for build in builds:
        with pytest.raises(DecisionError, match=r"\[4, 8\], label='width'\) is not decided yet.*ModelParameterChoice"):
            Own(build)
    with pytest.raises(TypeError, match="'int' object is not subscriptable"):
        Own(lambda _: operator.getitem(cast(Any, 3), 0))
    rate = choice("rate", 0.5, 0.25)
    misuses: tuple[Callable[[], Any], ...] = (lambda: torch.ones(2) * rate, lambda: rate + torch.ones(2))
    for misuse in misuses:
        with pytest.raises(TypeError, match=r"nothing can be computed of it and a Tensor; in forward.*self.rate\(\)"):
            misuse()
    assert (rate == nn.ReLU) is False
    assert rate != object()
