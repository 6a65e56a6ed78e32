"""The algebra of axes: cutting, factoring, unifying, solving."""

from __future__ import annotations

import pytest

from graphnas.mutators.widths.axes import (
    Axis,
    cut,
    factor,
    fresh,
    is_fixed,
    joined,
    number,
    pin,
    product,
    reason,
    resolve,
    size_of,
    unify,
)
from graphnas.mutators.widths.solving import nearest, solve, sources


def resized(axis: Axis, total: int, *others: Axis) -> list[int]:
    """Return the new sizes of axes when one of them is given a new one."""
    sizes = solve(axis, total)
    assert sizes is not None
    return [size_of(item, sizes) for item in (axis, *others)]


def test_what_meets_changes_together() -> None:
    a, b, c = fresh(64), fresh(64), fresh(64)
    unify(a, b, "add")
    assert resized(a, 96, b, c) == [96, 96, 64]


def test_a_list_of_groups_keeps_its_proportions() -> None:
    a, b, whole = fresh(32), fresh(64), fresh(96)
    unify(whole, joined([a, b]), "cat")
    assert resized(whole, 144, a, b) == [144, 48, 96]
    assert resized(a, 40, whole) == [40, 104]


def test_lists_that_are_cut_elsewhere_are_cut_alike() -> None:
    left = joined([fresh(32), fresh(32)])
    right = joined([fresh(16), fresh(48)])
    unify(left, right, "add")
    assert [size_of((term,)) for term in resolve(left)] == [16, 16, 32]
    assert resolve(left) == resolve(right)


def test_whole_heads_come_and_go_before_heads_change_their_size() -> None:
    width = fresh(96)
    heads, inside = factor(width, 32, "view")
    assert resized(width, 128, heads, inside) == [128, 4, 32]
    assert resized(width, 144, heads, inside) == [144, 3, 48]
    assert solve(width, 97) is None
    assert nearest(width, 97) == (96, 99)


def test_a_stiff_factor_changes_last() -> None:
    width = fresh(96)
    groups, inside = factor(width, 3, "group_norm")
    resolve(groups)[0][0].stiff = 1  # type: ignore[union-attr]  # an atom
    assert resized(width, 64 + 64, groups, inside) == [128, 32, 4]


def test_three_projections_in_one_have_the_same_width() -> None:
    whole = fresh(192)
    three, each = factor(whole, 64, "view")
    pin(three, "three of them")
    assert resized(whole, 288, each) == [288, 96]
    assert solve(whole, 290) is None


def test_a_cut_inside_a_group_fixes_the_number_of_groups() -> None:
    width = fresh(12)
    factor(width, 4, "view")
    first, rest = cut(width, 6, "slice")
    assert (size_of(first), size_of(rest)) == (6, 6)
    sizes = solve(width, 24)
    assert sizes is not None
    assert size_of(first, sizes) + size_of(rest, sizes) == 24


def test_groups_of_other_sizes_are_refined() -> None:
    one, other = fresh(24), fresh(24)
    factor(one, 4, "groups")
    factor(other, 2, "heads")
    unify(one, other, "add")
    assert resolve(one) == resolve(other)
    assert resized(one, 48, other) == [48, 48]


def test_groups_without_a_common_refinement_are_fixed() -> None:
    one, other = fresh(24), fresh(24)
    factor(one, 4, "groups")
    factor(other, 3, "heads")
    unify(one, other, "the addition")
    assert is_fixed(one)
    assert is_fixed(other)
    assert "the addition, where groups of 3 channels meet groups of 4" in reason(one)


def test_a_number_fixes_what_it_meets() -> None:
    axis = fresh(8)
    unify(axis, number(8), "the input")
    assert reason(axis) == "the input"
    assert solve(axis, 16) is None


def test_a_sum_inside_a_product_is_repeated() -> None:
    inner = joined([fresh(2), fresh(3)])
    whole = product([number(4), inner])
    assert [size_of((term,)) for term in whole] == [2, 3] * 4
    assert resized(whole, 40, inner) == [40, 10]


@pytest.mark.parametrize(
    ("total", "expected"),
    [(128, ((96, 128),)), (144, ((32, 48), (32, 48), (32, 48)))],
)
def test_sources_say_which_channels_stay(total: int, expected: tuple[tuple[int, int], ...]) -> None:
    width = fresh(96)
    factor(width, 32, "heads")
    sizes = solve(width, total)
    assert sizes is not None
    assert sources(width, sizes) == expected


def test_sources_of_flattened_maps_keep_positions_together() -> None:
    channels = fresh(4)
    flat = product([channels, number(9)])
    assert sources(flat, {resolve(channels)[0][0]: 6}) == ((36, 54),)  # type: ignore[dict-item]  # an atom
    turned = product([number(9), channels])
    assert sources(turned, {resolve(channels)[0][0]: 6}) == ((4, 6),) * 9  # type: ignore[dict-item]  # an atom
