"""Points by number, in an order that takes no memory."""

from __future__ import annotations

import pytest

from graphnas.experiment.strategies.base import decisions_key
from graphnas.experiment.strategies.lattice import Lattice
from graphnas.mutators.domain import Categorical
from graphnas.mutators.numeric import Uniform


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("sizes", [(1,), (2,), (3, 5), (7, 11, 13), (1, 1, 2)])
def test_a_lattice_visits_every_point_once(sizes: tuple[int, ...], seed: int | None) -> None:
    domains = {str(i): Categorical(str(i), tuple(range(size))) for i, size in enumerate(sizes)}
    points = [decisions_key(point) for point in Lattice(domains, seed)]
    assert len(points) == len(set(points)) == Lattice(domains, seed).size


def test_without_a_seed_the_last_label_varies_fastest() -> None:
    domains = {label: Categorical(label, (0, 1)) for label in "ab"}
    assert [tuple(point.values()) for point in Lattice(domains, None)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_lattice_of_astronomic_size_costs_nothing() -> None:
    domains = {str(i): Categorical(str(i), tuple(range(50))) for i in range(200)}
    lattice = Lattice(domains, 0)
    assert lattice.size == 50**200
    assert lattice[0] != lattice[1]
    with pytest.raises(IndexError, match=str(lattice.size)):
        lattice[lattice.size]


def test_infinite_domains_need_a_granularity() -> None:
    domains = {"rate": Uniform("rate", 0, 1)}
    assert sorted(point["rate"] for point in Lattice(domains, 0, granularity=3)) == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="finite size, or a granularity"):
        Lattice(domains, 0)
