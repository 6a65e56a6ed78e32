"""One call of an operation, as the tables of operations see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from graphnas.ir.types import SequenceType, TensorType, Type
from graphnas.mutators.widths.axes import (
    Atom,
    Axis,
    factor,
    joined,
    number,
    pin,
    resolve,
    same_size,
    size_of,
    unify,
    without,
)
from graphnas.mutators.widths.values import Abstract, Number, Place, Tensor, axes_in, tensors_in, unchanging


class UnknownCall(Exception):  # noqa: N818  # a signal inside this package, no error
    """An operation, or the way in which it is called, is none that the tables know."""


@dataclass(frozen=True, slots=True)
class Division:
    """An axis whose channels are taken in groups of equal size, wherever its parts come from.

    Attributes:
        axis: The axis.
        groups: How many groups there are.
        place: Where their number is written: where it does not divide a new size, it changes, and the groups keep
            theirs. None if it is not written.
        why: The edge.
    """

    axis: Axis
    groups: int
    place: Place | None
    why: str

    def groups_of(self, size: int) -> int | None:
        """Return how many groups there are of `size` channels, None if it cannot be divided."""
        inside = size_of(self.axis) // self.groups
        if size % self.groups == 0:
            return self.groups
        return None if self.place is None or size % inside else size // inside


@dataclass(slots=True)
class Call:
    """An operation with the values that it is given.

    Attributes:
        site: The node, `path:name`.
        name: Bare name of the operation.
        args: Positional arguments.
        kwargs: Keyword arguments.
        type: Type of what it gives.
        places: Numbers that are written in the model, and the axis that each is the size of.
        divisions: What has to be divisible.
    """

    site: str
    name: str
    args: tuple[Abstract, ...]
    kwargs: dict[str, Abstract]
    type: Type
    places: dict[Place, Axis] = field(repr=False)
    divisions: list[Division] = field(default_factory=list, repr=False)

    @property
    def why(self) -> str:
        """The edge, for what is pinned by it."""
        return f"{self.name} at {self.site}"

    # Arguments.

    def get(self, index: int, name: str) -> Abstract | None:
        """Return an argument, None if it is not given."""
        if index < len(self.args):
            return self.args[index]
        return self.kwargs.get(name)

    def tensor(self, index: int, name: str = "input") -> Tensor:
        """Return an argument that has to be a tensor."""
        found = self.get(index, name)
        if not isinstance(found, Tensor):
            raise UnknownCall
        return found

    def optional_tensor(self, index: int, name: str) -> Tensor | None:
        """Return an argument that is a tensor or not given."""
        found = self.get(index, name)
        if found is None or (isinstance(found, Number) and found.value is None):
            return None
        if not isinstance(found, Tensor):
            raise UnknownCall
        return found

    def held(self, name: str) -> Tensor:
        """Return a parameter of the leaf that is called."""
        return self.tensor(len(self.args), name)

    def value(self, index: int, name: str, default: object = None) -> object:
        """Return an argument as plain data, `default` if it is not given."""
        found = self.get(index, name)
        return default if found is None else plain(found)

    def integer(self, index: int, name: str, default: int | None = None) -> int:
        """Return an argument that has to be an integer."""
        found = self.value(index, name, default)
        if type(found) is not int:
            raise UnknownCall
        return found

    def rest(self, index: int, name: str) -> tuple[Abstract, ...]:
        """Return a list of arguments that are given one by one, or as one sequence: sizes and dimensions."""
        given = self.args[index:] or ((self.kwargs[name],) if name in self.kwargs else ())
        return given[0] if len(given) == 1 and isinstance(given[0], tuple) else given

    # What it gives.

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result, which has to be a tensor."""
        if not isinstance(self.type, TensorType):
            raise UnknownCall
        return self.type.shape

    def each(self, make: Callable[[Type], Abstract]) -> Abstract:
        """Return what `make` gives for the type of the result, or for each item of a tuple of them."""
        if isinstance(self.type, SequenceType):
            return tuple(make(item) for item in self.type.items)
        return make(self.type)

    # What it demands.

    def same(self, left: Axis, right: Axis) -> None:
        """Let two axes be the same channels."""
        if left is not right:
            if size_of(left) != size_of(right):
                raise UnknownCall
            unify(left, right, self.why)

    def fix(self, axis: Axis, why: str = "") -> None:
        """Let an axis be as it is."""
        pin(axis, why or self.why)

    def axis_of(self, size: Abstract, *, stiff: int = 0) -> Axis:
        """Return the axis that a number is the size of; a number that is written in the model can then be rewritten.

        Args:
            size: The number.
            stiff: How stiff a number is that was not met before.
        """
        if not isinstance(size, Number) or type(size.value) is not int or size.value < 0:
            raise UnknownCall
        if size.axis is not None:
            return size.axis
        if size.quotient is not None:
            return self.quotient(*size.quotient)
        if size.place is None or size.value <= 1:
            return number(size.value)
        return self.places.setdefault(size.place, ((Atom(size.value, stiff=stiff),),))

    def require(self, size: Abstract, axis: Axis) -> None:
        """Let a number be the size of an axis: it is rewritten when that changes, or was computed from it."""
        if isinstance(size, Number) and size.value == -1:
            return
        if isinstance(size, Number) and size.value == 1 and size.axis is None:
            self.fix(axis)
            return
        if isinstance(size, Number) and size.quotient is not None:
            whole, parts = size.quotient
            rest = without(whole, axis)
            if rest is not None:
                self.require(parts, rest)
                return
        known = self.axis_of(size)
        if not same_size(known, axis):
            self.same(known, axis)

    def divide(self, axis: Axis, groups: Abstract) -> None:
        """Let an axis be divisible by a number of groups."""
        if not isinstance(groups, Number) or type(groups.value) is not int:
            raise UnknownCall
        if groups.value > 1:
            self.divisions.append(Division(axis, groups.value, groups.place, self.why))

    def quotient(self, whole: Axis, parts: Abstract) -> Axis:
        """Return one of so many equal parts of an axis: parts are outside, what is in each of them is inside."""
        count = self.axis_of(parts)
        outer, inner = factor(whole, size_of(whole) // size_of(count), self.why)
        self.same(outer, count)
        return resolve(inner)

    def broadcast(self, tensors: Sequence[Tensor]) -> tuple[Axis, ...]:
        """Return the axes of what tensors are broadcast to; those that are not of size 1 are the same."""
        rank = max(len(tensor.axes) for tensor in tensors)
        axes: list[Axis] = [number(1)] * rank
        for tensor in tensors:
            for index, axis in enumerate(tensor.axes, rank - len(tensor.axes)):
                if size_of(axis) == 1:
                    continue
                if size_of(axes[index]) == 1:
                    axes[index] = axis
                else:
                    self.same(axes[index], axis)
        return tuple(axes)

    def unchanging(self, why: str = "") -> Abstract:
        """Return the result as one in which nothing can change, and let nothing change in the arguments."""
        text = why or f"{self.why}, through which widths are not followed"
        for value in (*self.args, *self.kwargs.values()):
            for axis in axes_in(value):
                pin(axis, text)
        return unchanging(self.type, text)


Transfer: TypeAlias = Callable[[Call], Abstract]
TABLE: dict[str, Transfer] = {}
"""What operations do to axes, by the bare name of a function, method or class; in-place forms lose their underscore."""


def transfer(*names: str) -> Callable[[Transfer], Transfer]:
    """Enter a function into the table under some names."""

    def enter(function: Transfer) -> Transfer:
        for name in names:
            assert name not in TABLE, f"{name} is in the table already"
            TABLE[name] = function
        return function

    return enter


def plain(value: Abstract) -> object:
    """Return a value as plain data."""
    if isinstance(value, Number):
        return value.value
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    raise UnknownCall


def dims(value: object, rank: int) -> tuple[int, ...]:
    """Return dimensions that were given as a number or a sequence, counted from the front; all of them for None."""
    if value is None or value == ():
        return tuple(range(rank))
    given = value if isinstance(value, tuple) else (value,)
    if any(type(item) is not int for item in given):
        raise UnknownCall
    return tuple(item % rank if rank else 0 for item in given)


def first_tensor(value: Abstract) -> Tensor:
    """Return the first tensor in a value."""
    for tensor in tensors_in(value):
        return tensor
    raise UnknownCall


def is_constant(axis: Axis) -> bool:
    """Tell whether an axis has no atoms at all, or pinned ones only."""
    return all(isinstance(factor, int) or factor.pin for term in resolve(axis) for factor in term)


def with_numbers(before: int, axis: Axis, after: int) -> Axis:
    """Return an axis with a number of new channels before and after it, as padding makes them."""
    return joined([number(before), axis, number(after)])
