"""The contract of domains, over all of them, and what each one promises beyond it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.errors import ConfigError, DecisionError
from graphnas.mutators import Categorical, Domain, IntRange, LogUniform, Subset, Uniform
from graphnas.mutators.serialize import read_domain

DOMAINS: dict[str, Domain] = {
    "categorical": Categorical("c", (16, 32, "auto", None, True, 1.0, [1, 2])),
    "one value": Categorical("c", ("only",)),
    "two of five": Subset("s", tuple("abcde"), 2),
    "any of four": Subset("s", (0, 1, 2, 3)),
    "none to two": Subset("s", (0, 1, 2), (0, 2)),
    "none at all": Subset("s", (0, 1), 0),
    "whole numbers": IntRange("i", -4, 12, 4),
    "one whole number": IntRange("i", 3, 3),
    "uniform": Uniform("u", -0.3, 7),
    "tiny": Uniform("u", 0.0, 1e-9),
    "huge": Uniform("u", -1e15, 1e20),
    "loguniform": LogUniform("l", 1e-7, 0.5),
}


@pytest.fixture(params=DOMAINS)
def domain(request: pytest.FixtureRequest) -> Domain:
    return DOMAINS[request.param]


def drawn(domain: Domain) -> list[Any]:
    return [domain.default, *(domain.sample(random.Random(seed)) for seed in range(40)), *domain.grid(7)]


def exactly(value: Any) -> str:
    return json.dumps(value)


def test_it_meets_the_protocol(domain: Domain) -> None:
    assert isinstance(domain, Domain)


def test_what_it_draws_is_allowed_and_has_one_spelling(domain: Domain) -> None:
    for value in drawn(domain):
        assert domain.contains(value)
        assert exactly(domain.normalize(value)) == exactly(value)
        assert exactly(domain.normalize(json.loads(json.dumps(value)))) == exactly(value)


def test_a_value_comes_back_from_its_encoding(domain: Domain) -> None:
    for value in drawn(domain):
        numbers = domain.encode(value)
        assert len(numbers) == domain.encoded_size
        assert all(0 <= number <= 1 for number in numbers)
        assert exactly(domain.decode(numbers)) == exactly(value)


@given(st.data())
def test_any_numbers_decode_to_an_allowed_value(data: st.DataObject) -> None:
    domain = DOMAINS[data.draw(st.sampled_from(sorted(DOMAINS)))]
    finite = st.floats(allow_nan=False, allow_infinity=False)
    numbers = data.draw(st.lists(finite, min_size=domain.encoded_size, max_size=domain.encoded_size))
    assert domain.contains(domain.decode(numbers))


def test_encodings_of_the_wrong_length_or_not_finite_are_refused(domain: Domain) -> None:
    right = domain.encode(domain.default)
    with pytest.raises(DecisionError, match=f"expected {domain.encoded_size} finite numbers as its encoding"):
        domain.decode((*right, 0.0))
    with pytest.raises(DecisionError, match="finite numbers as its encoding"):
        domain.decode((*right[1:], math.nan))


def test_places_number_the_values(domain: Domain) -> None:
    if domain.size is None:
        with pytest.raises(IndexError, match="cannot be numbered"):
            domain.at(0)
        with pytest.raises(DecisionError, match="cannot be numbered"):
            domain.index(domain.default)
        return
    values = [domain.at(place) for place in range(domain.size)]
    assert [domain.index(value) for value in values] == list(range(domain.size))
    assert len({exactly(value) for value in values}) == domain.size
    assert list(map(exactly, domain.grid(1))) == list(map(exactly, values))
    for place in (-1, domain.size):
        with pytest.raises(IndexError, match=f"has {domain.size} values, none at place {place}"):
            domain.at(place)


def test_neighbours_are_others_and_mutual(domain: Domain) -> None:
    for value in drawn(domain):
        near = domain.neighbours(value)
        assert all(domain.contains(other) for other in near)
        assert exactly(value) not in map(exactly, near)
        assert len(set(map(exactly, near))) == len(near)
        if domain.size is not None:
            assert all(exactly(value) in map(exactly, domain.neighbours(other)) for other in near)
    assert bool(domain.neighbours(domain.default)) is (domain.size != 1)


def test_it_comes_back_from_json(domain: Domain) -> None:
    assert read_domain(json.loads(json.dumps(domain.to_json()))) == domain


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="'normal' is no kind of domain; expected one of categorical"):
        read_domain({"type": "normal"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("categorical", 1),
        ("categorical", "16"),
        ("categorical", [1, True]),
        ("categorical", -1),
        ("categorical", {}),
        ("two of five", ["a"]),
        ("two of five", ["a", "a"]),
        ("two of five", ["a", "z"]),
        ("two of five", ["a", "b", "c"]),
        ("any of four", []),
        ("any of four", [-1]),
        ("any of four", [True]),
        ("whole numbers", 1),
        ("whole numbers", 16),
        ("whole numbers", 4.0),
        ("one whole number", True),
        ("uniform", 7.5),
        ("uniform", math.nan),
        ("uniform", True),
        ("uniform", "1"),
        ("loguniform", 0.0),
    ],
)
def test_values_outside_are_refused(name: str, value: Any) -> None:
    domain = DOMAINS[name]
    assert not domain.contains(value)
    with pytest.raises(DecisionError, match="is not allowed; choose"):
        domain.normalize(value)


def test_spellings_that_mean_the_same_are_accepted() -> None:
    assert Categorical("c", ("0", "1")).normalize(1) == "1"
    assert Subset("s", tuple("abc"), 1).normalize("b") == ["b"]
    assert Subset("s", tuple("abc")).normalize(("c", "a")) == ["a", "c"]
    assert exactly(Uniform("u", 0, 2).normalize(1)) == "1.0"
    assert Uniform("u", 0, 2).normalize(0.1 + 0.2) == 0.3
    assert LogUniform("l", 1e-9, 1).normalize(1.0000000000001e-9) == 1e-9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical("c", ()), "'c': a choice needs at least one candidate"),
        (lambda: Categorical("c", (1, 2, 1)), "'c': candidate 1 is given twice; remove one of them"),
        (lambda: Categorical("c", ([1], [2], [1])), r"'c': candidate \[1\] is given twice"),
        (lambda: Subset("s", ()), "'s': a choice needs at least one candidate"),
        (lambda: Subset("s", ("a", "a")), "'s': candidate 'a' is given twice"),
        (lambda: Subset("s", ("a", "b"), 3), "of 2 candidates, 3 cannot be chosen; give a number from 0 to 2"),
        (lambda: Subset("s", ("a", "b"), -1), "of 2 candidates, -1 cannot be chosen"),
        (lambda: Subset("s", ("a", "b"), (2, 1)), r"of 2 candidates, \(2, 1\) cannot be chosen"),
        (lambda: IntRange("i", 1, 6, 2), "low plus a number of steps, as in 5; got low 1, high 6, step 2"),
        (lambda: IntRange("i", 2, 1), "high must be low plus a number of steps; got low 2, high 1"),
        (lambda: IntRange("i", 0, 4, 0), "high must be low plus a number of steps; got"),
        (lambda: IntRange("i", 0, 4.0), "must be whole numbers, got 0, 4.0, 1"),  # type: ignore[arg-type]
        (lambda: Uniform("u", 1, 1), "low must be less than high, got 1.0 and 1.0"),
        (lambda: Uniform("u", 0, math.inf), "a bound must be a finite number, got inf"),
        (lambda: Uniform("u", 0, True), "a bound must be a finite number, got True"),
        (lambda: LogUniform("l", 0, 1), "on a logarithmic scale low must be greater than 0, got 0.0"),
    ],
)
def test_domains_that_make_no_sense_are_refused(make: Callable[[], Domain], message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        make()


def test_subsets_are_ordered_by_their_number_first() -> None:
    domain = Subset("s", tuple("abc"))
    assert ["".join(value) for value in domain.grid(1)] == ["a", "b", "c", "ab", "ac", "bc", "abc"]
    assert ["".join(value) for value in domain.neighbours(["b"])] == ["a", "c", "ab", "bc"]
    assert ["".join(v) for v in Subset("s", tuple("abcd"), 2).neighbours(["a", "c"])] == ["ab", "ad", "bc", "cd"]


def test_a_subset_decodes_to_what_has_the_greatest_numbers() -> None:
    assert Subset("s", tuple("abcd"), 2).decode((0.1, 0.4, 0.2, 0.3)) == ["b", "d"]
    assert Subset("s", tuple("abcd")).decode((0.1, 0.4, 0.2, 0.3)) == ["b"]
    assert Subset("s", tuple("abcd")).decode((0.1, 0.9, 0.2, 0.7)) == ["b", "d"]


def test_large_domains_cost_nothing() -> None:
    subset = Subset("s", tuple(range(200)))
    assert subset.size == 2**200 - 1
    assert subset.index(subset.at(2**150)) == 2**150
    assert len(subset.sample(random.Random(0))) > 50
    numbers = IntRange("i", 0, 10**15)
    assert numbers.index(numbers.at(10**14)) == 10**14
    assert Categorical("c", tuple(range(20_000))).index(19_999) == 19_999


def test_draws_are_uniform() -> None:
    rng = random.Random(0)
    subset = Subset("s", tuple("abc"))
    places = [subset.index(subset.sample(rng)) for _ in range(700)]
    assert all(70 <= places.count(place) <= 130 for place in range(7))
    rates = [LogUniform("l", 1e-4, 1.0).sample(rng) for _ in range(400)]
    assert 160 <= sum(rate < 1e-2 for rate in rates) <= 240
