"""The domain of several values out of a finite list, without replacement."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphnas.errors import DecisionError
from graphnas.mutators.domain import Decision, checked_numbers, checked_place, exact, not_allowed, places


@dataclass(frozen=True)
class Subset:
    """Several of a finite list of values, as a list of them in the order of the candidates.

    A single value may stand for the list of it.

    Args:
        label: The label.
        values: The candidates.
        counts: Least and greatest number of values, or the number of them. None is any number but none at all.

    >>> inputs = Subset("ins", (0, 1, 2), 2)
    >>> inputs.size, [inputs.at(place) for place in range(3)]
    (3, [[0, 1], [0, 2], [1, 2]])
    >>> inputs.normalize([2, 0])
    [0, 2]
    >>> inputs.normalize([2, 2])
    Traceback (most recent call last):
    ...
    graphnas.errors.DecisionError: decision 'ins': [2, 2] is not allowed; choose a list of 2 different ones of 0, 1, 2
    """

    label: str
    values: tuple[Decision, ...]
    counts: tuple[int, int] = (1, 1)
    _places: dict[Any, int] = field(init=False, repr=False, compare=False)

    def __init__(self, label: str, values: tuple[Decision, ...], counts: int | tuple[int, int] | None = None) -> None:
        given = (1, len(values)) if counts is None else counts if isinstance(counts, tuple) else (counts, counts)
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "values", tuple(values))
        object.__setattr__(self, "counts", given)
        object.__setattr__(self, "_places", places(label, values))
        if (
            len(given) != 2
            or not all(type(end) is int for end in given)
            or not 0 <= given[0] <= given[1] <= len(values)
        ):
            raise DecisionError(
                f"decision {label!r}: of {len(values)} candidates, {counts!r} cannot be chosen; give a number from 0 "
                f"to {len(values)}, or a pair (least, greatest)",
                label=label,
            )

    @property
    def size(self) -> int:
        return sum(math.comb(len(self.values), count) for count in self._counts())

    @property
    def default(self) -> Decision:
        """The first candidates: as few as may be, but one where that is allowed."""
        return list(self.values[: max(self.counts[0], min(1, self.counts[1]))])

    def contains(self, value: Decision) -> bool:
        try:
            return type(value) is list and exact(self.normalize(value)) == exact(value)
        except DecisionError:
            return False

    def normalize(self, value: Decision) -> Decision:
        return [self.values[place] for place in self._chosen(value)]

    def sample(self, rng: random.Random) -> Decision:
        return self.at(rng.randrange(self.size))

    def at(self, index: int) -> Decision:
        rest = checked_place(self, index)
        total = len(self.values)
        for count in self._counts():
            if rest < math.comb(total, count):
                break
            rest -= math.comb(total, count)
        chosen: list[Decision] = []
        # In lexicographic order, sets that hold this candidate come before those that do not.
        for place in range(total):
            with_this = math.comb(total - place - 1, count - len(chosen) - 1) if count > len(chosen) else 0
            if rest < with_this:
                chosen.append(self.values[place])
            else:
                rest -= with_this
        return chosen

    def index(self, value: Decision) -> int:
        chosen = self._chosen(value)
        total, left = len(self.values), len(chosen)
        found = sum(math.comb(total, count) for count in self._counts() if count < left)
        for place in range(total):
            if place in chosen:
                left -= 1
            elif left:
                found += math.comb(total - place - 1, left - 1)
        return found

    def grid(self, steps: int) -> Sequence[Decision]:
        return _Points(self)

    def neighbours(self, value: Decision) -> tuple[Decision, ...]:
        """Return the sets with one value more, one less, or one exchanged for another."""
        chosen = self._chosen(value)
        others = [place for place in range(len(self.values)) if place not in chosen]
        found = [{*chosen, place} for place in others] + [{*chosen} - {place} for place in chosen]
        found += [{*chosen, new} - {old} for old in chosen for new in others]
        allowed = sorted((len(places), sorted(places)) for places in found if len(places) in self._counts())
        return tuple([self.values[place] for place in places] for _, places in allowed)

    @property
    def encoded_size(self) -> int:
        return len(self.values)

    def encode(self, value: Decision) -> tuple[float, ...]:
        chosen = self._chosen(value)
        return tuple(float(place in chosen) for place in range(len(self.values)))

    def decode(self, numbers: Sequence[float]) -> Decision:
        found = checked_numbers(self, numbers)
        ranked = sorted(range(len(found)), key=lambda place: -found[place])
        least, greatest = self.counts
        count = min(max(sum(number > 0.5 for number in found), least), greatest)
        return [self.values[place] for place in sorted(ranked[:count])]

    def describe(self) -> str:
        least, greatest = self.counts
        count = str(least) if least == greatest else f"{least} to {greatest}"
        return f"a list of {count} different ones of {', '.join(map(repr, self.values))}"

    def to_json(self) -> dict[str, Any]:
        return {"type": "subset", "label": self.label, "values": list(self.values), "counts": list(self.counts)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Subset:
        """Return the domain that `to_json` described."""
        least, greatest = data["counts"]
        return cls(data["label"], tuple(data["values"]), (least, greatest))

    def _counts(self) -> range:
        return range(self.counts[0], self.counts[1] + 1)

    def _chosen(self, value: Decision) -> list[int]:
        """Return the places of what is chosen, in order."""
        items = value if isinstance(value, (list, tuple)) else [value]
        found = [self._places.get(exact(item)) for item in items]
        chosen = sorted(place for place in found if place is not None)
        if len(chosen) != len(found) or len(set(chosen)) != len(chosen) or len(chosen) not in self._counts():
            raise not_allowed(self, value)
        return chosen


class _Points(Sequence[Decision]):
    """All values of a domain, each made when it is looked at."""

    def __init__(self, domain: Subset) -> None:
        self._domain = domain

    def __len__(self) -> int:
        return self._domain.size

    def __getitem__(self, index: Any) -> Any:
        return self._domain.at(index)
