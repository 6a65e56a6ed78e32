"""Abstract values: what a graph computes with, tensors as their axes and sizes as the axes that they are read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from graphnas.ir.literal import Literal
from graphnas.ir.types import MappingType, ScalarType, SequenceType, TensorType, Type
from graphnas.mutators.widths.axes import Axis, fresh, size_of

Key: TypeAlias = int | str
"""Where something stands among arguments: a position or a keyword, an index or a key below that."""


@dataclass(frozen=True, slots=True)
class Place:
    """A number that is written in a model.

    Attributes:
        path: The module: that of the definition whose graph has it, or of the leaf.
        part: `argument` of a constructor, or the graph: `forward`, `init`, or `initial` of a parameter.
        which: Number of the graph among those of the definition, or name of the parameter.
        node: Name of the node.
        keys: Where it stands among the arguments.
    """

    path: str
    part: str
    which: Key
    node: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: one axis for each dimension."""

    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The present sizes."""
        return tuple(size_of(axis) for axis in self.axes)


@dataclass(frozen=True, slots=True)
class Number:
    """A scalar, or anything else that is no tensor and no container.

    Attributes:
        value: What it is now.
        axis: The axis that it is the size of, None if it is no size that could change.
        place: Where it is written, None if it is computed.
        quotient: An axis and the number that its size is divided by, where that is how it is computed.
    """

    value: Literal
    axis: Axis | None = None
    place: Place | None = None
    quotient: tuple[Axis, Number] | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """Something that nothing is known of but its type."""

    type: Type


Abstract: TypeAlias = Tensor | Number | Other | tuple["Abstract", ...] | dict[object, "Abstract"]


def unchanging(type: Type, why: str) -> Abstract:
    """Return a value of a type in which nothing can change."""
    if isinstance(type, TensorType):
        return Tensor(tuple(fresh(size, pin=why) for size in type.shape))
    if isinstance(type, ScalarType):
        return Number(type.value)
    if isinstance(type, SequenceType):
        return tuple(unchanging(item, why) for item in type.items)
    if isinstance(type, MappingType):
        return {key: unchanging(item, why) for key, item in type.items}
    return Other(type)


def axes_in(value: Abstract) -> Iterator[Axis]:
    """Yield every axis of a value, in order."""
    if isinstance(value, Tensor):
        yield from value.axes
    elif isinstance(value, Number):
        if value.axis is not None:
            yield value.axis
        if value.quotient is not None:
            yield value.quotient[0]
    elif isinstance(value, tuple):
        for item in value:
            yield from axes_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from axes_in(item)


def tensors_in(value: Abstract) -> Iterator[Tensor]:
    """Yield every tensor of a value, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


def has_type(value: Abstract, type: Type) -> bool:
    """Tell whether a value is what a type says, as far as its tensors have shapes."""
    if isinstance(type, TensorType):
        return isinstance(value, Tensor) and value.shape == type.shape
    if isinstance(type, SequenceType):
        return (
            isinstance(value, tuple)
            and len(value) == len(type.items)
            and all(has_type(item, found) for item, found in zip(value, type.items, strict=True))
        )
    if isinstance(type, ScalarType):
        return isinstance(value, Number) and value.value == type.value
    return True
