"""Points of a space as vectors of one length, and back: for surrogates, samplers and users' own algorithms.

The numbers of every label follow one another in the order of the space, and after them stands one number for each label
that may be inactive: 1 where it comes up, 0 where it does not, and its own numbers are then 0 as well.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from graphnas.errors import DecisionError
from graphnas.mutators.condition import is_active
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Decision, Decisions, unknown_label


class Encoding:
    """Where the numbers of each label stand.

    Args:
        space: Labels and conditions.
        optional: Labels that come up only at times, in a way that no condition says.

    Attributes:
        slots: Label to the slice of the vector that holds its numbers.
        mask: Label to the index of the number that tells whether it comes up, of labels that may not.
        size: Length of a vector.
    """

    def __init__(self, space: DecisionSpace, optional: Collection[str] = ()) -> None:
        self._space = space
        self.slots: dict[str, slice] = {}
        self.size = 0
        for label, domain in space.items():
            self.slots[label] = slice(self.size, self.size + domain.encoded_size)
            self.size += domain.encoded_size
        at_times = [label for label in space if label in space.conditions or label in optional]
        self.mask = {label: self.size + index for index, label in enumerate(at_times)}
        self.size += len(self.mask)

    def encode(self, decisions: Mapping[str, Decision]) -> list[float]:
        """Return the vector of decisions, whose missing labels are taken as inactive.

        Raises:
            DecisionError: A label is unknown, or a value lies outside its domain.
        """
        vector = [0.0] * self.size
        for label, value in decisions.items():
            if label not in self.slots:
                raise unknown_label(label, tuple(self.slots))
            vector[self.slots[label]] = self._space[label].encode(value)
            if label in self.mask:
                vector[self.mask[label]] = 1.0
        return vector

    def decode(self, vector: Sequence[float]) -> Decisions:
        """Return the decisions that are nearest to a vector, constraints aside.

        Whether a label with a condition comes up, the condition says; of others, the number in the mask.

        Raises:
            DecisionError: The vector has another length, or a number that is not finite.
        """
        numbers = [float(number) for number in vector]
        if len(numbers) != self.size or not all(map(math.isfinite, numbers)):
            raise DecisionError(
                f"expected a vector of {self.size} finite numbers, got {len(numbers)}"
                f"{'' if len(numbers) != self.size else ', not all of them finite'}"
            )
        decisions: Decisions = {}
        for label, domain in self._space.items():
            condition = self._space.conditions.get(label)
            given = condition is not None or label not in self.mask or numbers[self.mask[label]] > 0.5
            if given and is_active(condition, decisions):
                decisions[label] = domain.decode(numbers[self.slots[label]])
        return decisions
