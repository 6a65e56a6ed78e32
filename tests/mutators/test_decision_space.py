"""Spaces of decisions: what comes up, what constraints allow, and the search for it, against trying everything."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.errors import ConfigError, DecisionError
from graphnas.mutators import Categorical, Domain, IntRange, LogUniform, Subset, Uniform
from graphnas.mutators.condition import Condition, Match
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.encoding import Encoding

WIDTH = Categorical("width", (8, 16, 32))
DEPTH = IntRange("depth", 1, 4)
OP = Categorical("op", ("conv", "pool"))
KERNEL = Categorical("kernel", (3, 5))
DILATION = Categorical("dilation", (1, 2))


def space(*domains: Domain, when: Mapping[str, Any] | None = None, constraints: Any = ()) -> DecisionSpace:
    conditions: dict[str, Condition] = {label: Match.of(item) for label, item in (when or {}).items()}
    return DecisionSpace({domain.label: domain for domain in domains}, conditions, constraints)


NESTED = space(OP, KERNEL, DILATION, DEPTH, when={"kernel": {"op": "conv"}, "dilation": {"kernel": 5}})


def keys(points: Any) -> list[str]:
    return [json.dumps(point) for point in points]


@st.composite
def spaces(draw: st.DrawFn) -> DecisionSpace:
    """Spaces of up to five small domains, with conditions on earlier labels and random forbidden pairs."""
    domains: list[Domain] = []
    conditions: dict[str, Condition] = {}
    count: int = draw(st.integers(1, 5))
    for index in range(count):
        label = f"l{index}"
        kinds: list[Domain] = [
            Categorical(label, tuple("abc"[: draw(st.integers(1, 3))])),
            IntRange(label, 0, 2),
            Subset(label, (0, 1), None),
        ]
        is_bound: bool = draw(st.booleans())
        if domains and is_bound:
            read = draw(st.sampled_from(domains))
            values = draw(st.lists(st.integers(0, (read.size or 1) - 1), min_size=1, max_size=2, unique=True))
            conditions[label] = Match.of({read.label: [read.at(place) for place in values]})
        domains.append(draw(st.sampled_from(kinds)))
    constraints = []
    for _ in range(draw(st.integers(0, 2))):
        one, other = draw(st.sampled_from(domains)), draw(st.sampled_from(domains))
        first = one.at(draw(st.integers(0, (one.size or 1) - 1)))
        second = other.at(draw(st.integers(0, (other.size or 1) - 1)))
        constraints.append(
            lambda d, a=one.label, b=other.label, x=first, y=second: not (d[a] == x and (a == b or d[b] != y))
        )
    return DecisionSpace({domain.label: domain for domain in domains}, conditions, constraints)


def brute_force(of: DecisionSpace) -> list[dict[str, Any]]:
    """Return the points by going through the whole product."""
    found: dict[str, dict[str, Any]] = {}
    for values in itertools.product(*(domain.grid(1) for domain in of.values())):
        whole = dict(zip(of, values, strict=True))
        point: dict[str, Any] = {}
        for label in of:
            condition = of.conditions.get(label)
            if condition is None or (all(read in point for read in condition.labels) and condition.holds(point)):
                point[label] = whole[label]
        filled = {label: point.get(label, domain.default) for label, domain in of.items()}
        if all(constraint.predicate(filled) for constraint in of.constraints):
            found.setdefault(json.dumps(point), point)
    return list(found.values())


@given(spaces(), st.integers(0, 1000))
def test_everything_agrees_with_going_through_the_product(of: DecisionSpace, seed: int) -> None:
    points = brute_force(of)
    known = set(keys(points))
    assert sorted(keys(of.grid())) == sorted(known)
    assert of.size == len(points)
    rng = random.Random(seed)
    if not points:
        for ask in (of.default, lambda: of.sample(rng)):
            with pytest.raises(
                DecisionError, match=r"no decisions of this space satisfy its constraints .*there is none"
            ):
                ask()
        return
    assert json.dumps(of.default()) in known
    here, there = of.sample(rng), of.sample(rng)
    assert json.dumps(here) in known
    assert of.contains(here)
    assert of.normalize(json.loads(json.dumps(here))) == here
    assert json.dumps(of.crossover(here, there, rng)) in known
    assert set(keys(of.neighbours(here))) <= known
    varied = of.vary(here, [rng.choice(list(here))], rng)
    assert varied is None or json.dumps(varied) in known
    encoding = Encoding(of)
    assert keys(map(encoding.decode, map(encoding.encode, points))) == keys(points)


def test_choices_that_do_not_come_up_are_not_among_the_decisions() -> None:
    assert NESTED.size == (1 + 2 + 1) * 4
    assert keys(space(OP, KERNEL, DILATION, when={"kernel": {"op": "conv"}, "dilation": {"kernel": 5}}).grid()) == keys(
        [
            {"op": "conv", "kernel": 3},
            {"op": "conv", "kernel": 5, "dilation": 1},
            {"op": "conv", "kernel": 5, "dilation": 2},
            {"op": "pool"},
        ]
    )


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({"op": "pool", "kernel": 3, "depth": 1}, "'kernel' is decided, but comes up only when op is 'conv'; leave it"),
        ({"op": "conv", "depth": 1}, "label 'kernel' is missing"),
        ({"op": "conv", "kernel": 4, "depth": 1}, "'kernel': 4 is not allowed; choose one of 3, 5"),
        ({"op": "pool", "dpth": 1}, r"unknown label 'dpth' \(is it 'depth'\?\)"),
    ],
)
def test_points_that_are_none_are_refused(decisions: dict[str, Any], message: str) -> None:
    assert not NESTED.contains(decisions)
    with pytest.raises(DecisionError, match=message):
        NESTED.normalize(decisions)


def test_labels_that_a_condition_reads_come_first() -> None:
    assert list(space(KERNEL, DEPTH, OP, when={"kernel": {"op": "conv"}})) == ["op", "kernel", "depth"]
    with pytest.raises(DecisionError, match="whether it comes up depends on itself: op -> kernel -> op"):
        space(OP, KERNEL, when={"kernel": {"op": "conv"}, "op": {"kernel": 3}})
    with pytest.raises(DecisionError, match="reads a choice that there is not: unknown label 'opp'"):
        space(OP, KERNEL, when={"kernel": {"opp": "conv"}})


def test_a_broken_constraint_is_named() -> None:
    def small_enough(d: Mapping[str, Any]) -> bool:
        return bool(d["width"] * d["depth"] <= 64)

    of = space(WIDTH, DEPTH, constraints=[small_enough])
    assert of.size == 4 + 4 + 2
    with pytest.raises(DecisionError, match=r"ruled out by the constraint small_enough at .*test_decision_space.py:"):
        of.normalize({"width": 32, "depth": 3})
    with pytest.raises(ConfigError, match=r"constraints: expected functions of the decisions.*got 'width < 3'"):
        space(WIDTH, constraints=["width < 3"])
    with pytest.raises(ConfigError, match=r"<lambda> at .* failed on {'width': \d+}: KeyError: 'wdth'"):
        space(WIDTH, constraints=[lambda d: d["wdth"] > 3]).sample(random.Random(0))


def test_inactive_choices_have_their_default_in_constraints() -> None:
    of = space(OP, KERNEL, when={"kernel": {"op": "conv"}}, constraints=[lambda d: d["kernel"] == 3])
    assert list(of.grid()) == [{"op": "conv", "kernel": 3}, {"op": "pool"}]


def test_constraints_may_look_at_decisions_in_any_way() -> None:
    ways: list[Any] = [
        lambda d: sum(value == 8 for value in d.values()) == 0,
        lambda d: json.loads(json.dumps(d))["width"] != 8,
        lambda d: d.copy().get("width") != 8,
        lambda d: "width" in d and "missing" not in d and len(d) == 2 and d.get("missing") is None and d["width"] > 8,
        lambda d: {**d} != {"width": 8, "depth": d["depth"]},
    ]
    for way in ways:
        of = space(WIDTH, DEPTH, constraints=[way])
        assert of.size == 8
        assert all(point["width"] > 8 for point in of.grid())


def test_a_needle_in_a_haystack_is_found_by_what_the_constraint_reads() -> None:
    domains = [Categorical(f"c{i}", tuple(range(50))) for i in range(40)]
    of = space(*domains, constraints=[lambda d: all(d[f"c{i}"] == 7 for i in range(40))])
    assert of.size == 1
    assert set(of.sample(random.Random(0)).values()) == {7}
    two = space(*domains, constraints=[lambda d: d["c39"] == 7 and d["c38"] + d["c37"] == 98])
    assert two.size == 50**37
    assert two.sample(random.Random(0))["c38"] == 49


def test_a_search_that_finds_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphnas.mutators.decision_space._LOOKED_AT", 2_000)
    domains = [IntRange(f"i{i}", 0, 9) for i in range(12)]
    hopeless = space(*domains, constraints=[lambda d: sum(d.values()) > 1000])
    assert hopeless.size is None
    with pytest.raises(DecisionError, match="none was found among 2,000 combinations"):
        hopeless.sample(random.Random(0))


def test_sizes_are_exact_however_large() -> None:
    many = [Categorical(f"op{i}", ("conv", "pool")) for i in range(30)]
    kernels = [Categorical(f"k{i}", (3, 5, 7)) for i in range(30)]
    when = {f"k{i}": {f"op{i}": "conv"} for i in range(30)}
    assert space(*many, *kernels, when=when).size == 4**30
    assert space(WIDTH, Uniform("rate", 0, 1)).size is None
    assert DecisionSpace({}).size == 1
    assert list(DecisionSpace({}).grid()) == [{}]


def test_grids_are_lazy_and_ask_how_fine_they_are() -> None:
    huge = space(*(Categorical(f"c{i}", tuple(range(50))) for i in range(100)))
    points = list(itertools.islice(huge.grid(), 3))
    assert [point["c99"] for point in points] == [0, 1, 2]
    mixed = space(OP, LogUniform("lr", 1e-3, 1e-1))
    with pytest.raises(DecisionError, match=r"'lr': a number from 0.001 to 0.1 on a logarithmic scale.*granularity=5"):
        mixed.grid()
    with pytest.raises(DecisionError, match="granularity must be a whole number of at least 1, got 0"):
        mixed.grid(0)
    assert [point["lr"] for point in mixed.grid(3)] == [0.001, 0.01, 0.1] * 2


def test_draws_are_uniform_over_what_is_allowed() -> None:
    of = space(WIDTH, DEPTH, constraints=[lambda d: d["width"] * d["depth"] <= 64])
    rng = random.Random(1)
    drawn = keys(of.sample(rng) for _ in range(1000))
    assert all(60 <= drawn.count(point) <= 140 for point in keys(of.grid()))


def test_neighbours_bring_up_choices_with_their_defaults() -> None:
    of = space(OP, KERNEL, when={"kernel": {"op": "conv"}})
    assert of.neighbours({"op": "pool"}) == ({"op": "conv", "kernel": 3},)
    assert of.neighbours({"op": "conv", "kernel": 5}) == ({"op": "pool"}, {"op": "conv", "kernel": 3})


def test_a_child_has_every_decision_from_a_parent() -> None:
    of = space(WIDTH, DEPTH, constraints=[lambda d: d["width"] * d["depth"] <= 64])
    one, other = {"width": 32, "depth": 2}, {"width": 16, "depth": 4}
    children = keys(of.crossover(one, other, random.Random(seed)) for seed in range(40))
    assert set(children) == set(keys([one, other, {"width": 16, "depth": 2}]))


def test_varied_points_differ_in_the_given_labels_alone() -> None:
    of = space(WIDTH, DEPTH, OP, constraints=[lambda d: d["width"] * d["depth"] <= 64])
    point = {"width": 32, "depth": 2, "op": "conv"}
    for seed in range(10):
        assert of.vary(point, ["depth"], random.Random(seed)) == {"width": 32, "depth": 1, "op": "conv"}
    tight = space(WIDTH, OP, constraints=[lambda d: d["width"] == 8])
    assert tight.vary({"width": 8, "op": "conv"}, ["width"], random.Random(0)) is None


def test_given_decisions_are_kept_and_the_rest_is_drawn() -> None:
    assert NESTED.sample(random.Random(0), {"op": "conv", "kernel": 5, "depth": 2}).keys() == set(NESTED)
    assert NESTED.sample(random.Random(0), {"op": "pool", "kernel": 5, "depth": 2}) == {"op": "pool", "depth": 2}


def test_vectors_have_a_mask_for_what_may_not_come_up() -> None:
    encoding = Encoding(space(OP, KERNEL, DEPTH, when={"kernel": {"op": "conv"}}))
    assert encoding.encode({"op": "pool", "depth": 4}) == [0, 1, 0, 0, 1, 0]
    assert encoding.encode({"op": "conv", "kernel": 5, "depth": 1}) == [1, 0, 0, 1, 0, 1]
    assert encoding.decode([0.9, 0.1, 0.2, 0.3, 0.4, 0.0]) == {"op": "conv", "kernel": 5, "depth": 2}
    with pytest.raises(DecisionError, match="expected a vector of 6 finite numbers, got 5"):
        encoding.decode([0.0] * 5)
    with pytest.raises(DecisionError, match="finite numbers, got 6, not all of them finite"):
        encoding.decode([math.nan] * 6)
    with pytest.raises(DecisionError, match="unknown label 'opp'"):
        encoding.encode({"opp": 1})
    free = Encoding(space(OP, KERNEL), {"kernel"})
    assert free.decode(free.encode({"op": "conv"})) == {"op": "conv"}


def test_a_point_is_moved_along_one_label() -> None:
    assert NESTED.moved({"op": "pool", "depth": 2}, "op", "conv") == {"op": "conv", "kernel": 3, "depth": 2}
    bounded = space(WIDTH, DEPTH, constraints=[lambda d: d["width"] * d["depth"] <= 32])
    assert bounded.moved({"width": 8, "depth": 2}, "width", 16) == {"width": 16, "depth": 2}
    assert bounded.moved({"width": 8, "depth": 2}, "width", 32) is None


def test_combinations_are_those_points_whose_values_are_given() -> None:
    given: dict[str, list[Any]] = {"op": ["pool", "conv"], "kernel": [5], "dilation": [2, 1], "depth": [4]}
    assert [tuple(point.values()) for point in NESTED.combinations(lambda label: given[label])] == [
        ("pool", 4),
        ("conv", 5, 2, 4),
        ("conv", 5, 1, 4),
    ]
