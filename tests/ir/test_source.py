"""Which variable takes the value of an operation."""

from __future__ import annotations

from typing import Any

import pytest

from graphnas.ir.source import Place, current_place

SEEN: list[Place] = []


def call(*_: Any) -> Any:
    """Note the place of the call, as the tracer does for an operation."""
    SEEN.append(current_place())
    return Chained()


class Chained:
    def view(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return iter((1, 2))


def plain() -> Any:
    x = call()
    return x


def pair() -> Any:
    a, b = call(), call()
    return a, b


def triple(x: Any = None) -> Any:
    a, b, c = call(x), call(x, 1), call(x)
    return a, b, c


def four(x: Any = None) -> Any:
    a, b, c, d = call(x), call(x), call(x), call(x)
    return a, b, c, d


def unpacked() -> Any:
    a, b = call()
    return a, b


def chosen(flag: bool = True) -> Any:
    x = call() if flag else None
    return x


def used_first() -> Any:
    x = call().view()
    return x


def nested() -> Any:
    x = len([call(call())])
    return x


def appended() -> Any:
    results, others = [], [1]
    for flag in (True, False):
        results.append(call())
        results.append(call().view())
        others.append(call(call(), len(others)))
        results.append(call() if flag else None)
        x = call()
        others.append(x)
    return results


def help_whole() -> Any:
    return call()


def help_further() -> Any:
    return help_whole()


def help_pair(x: Any = None) -> Any:
    return call(x), call().view()


def help_some(x: Any = None) -> Any:
    y = call(x)
    return y


def returned() -> Any:
    x = help_whole()
    y = help_further()
    z = help_some()
    return x, y, z


def returned_pair() -> Any:
    x, y = help_pair()
    pair = help_pair()
    return x, y, pair


def returned_and_used() -> Any:
    x = help_whole().view()
    return x


def test_list_that_a_value_is_appended_to() -> None:
    SEEN.clear()
    appended()
    lists = ["results", "", "", "others"]
    assert [place.appended for place in SEEN] == [*lists, "", "", *lists, ""]
    assert [place.targets for place in SEEN[4:6]] == [(), ("x",)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (plain, [("x",)]),
        (pair, [("a",), ("b",)]),
        (triple, [("a",), ("b",), ("c",)]),
        (four, [("a",), ("b",), ("c",), ("d",)]),
        (unpacked, [("a", "b")]),
        (chosen, [("x",)]),
        (used_first, [()]),
        (nested, [(), ()]),
        (returned, [("x",), ("y",), ("y",)]),
        (returned_pair, [("x",), (), (), ()]),
        (returned_and_used, [()]),
    ],
)
def test_variable_that_takes_a_value(function: Any, expected: list[tuple[str, ...]]) -> None:
    SEEN.clear()
    function()
    assert [place.targets for place in SEEN] == expected
