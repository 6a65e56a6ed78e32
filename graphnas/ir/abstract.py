"""Abstract values: what inference computes with, and how they become types, fake tensors and keys of its memory.

An abstract value is a `TensorMeta` in the place of a tensor, an `Unknown` in the place of an object of which only the
class is known, and otherwise the Python value itself: scalars, and tuples, lists and dictionaries of abstract values.
Objects of other classes are carried as they are, with fake tensors inside.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from graphnas.ir.literal import SCALAR_TYPES, Argument, FrozenDict, FrozenList, Symbol, Value, freeze, thaw, values_in
from graphnas.ir.resolve import resolve
from graphnas.ir.types import MappingType, ObjectType, ScalarType, SequenceType, TensorType, Type


class TensorMeta(NamedTuple):
    """All that counts of a tensor; `leaf_grad` is True for a parameter that is trained."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: str = "cpu"
    leaf_grad: bool = False

    @classmethod
    def contiguous(cls, type: TensorType, *, leaf_grad: bool = False) -> TensorMeta:
        """Return the metadata of a contiguous tensor."""
        strides: list[int] = []
        step = 1
        for size in reversed(type.shape):
            strides.append(step)
            step *= max(size, 1)
        return cls(type.shape, tuple(reversed(strides)), type.dtype, leaf_grad=leaf_grad)


class Unknown(NamedTuple):
    """Something of which only the type is known; what is computed from it keeps the type that was recorded."""

    type: ObjectType


class _Opaque(enum.Enum):
    OPAQUE = "opaque"


OPAQUE: Final = _Opaque.OPAQUE
"""The key of what has no key, and must therefore be computed each time."""


def type_of(value: object) -> Type:
    """Return the type of a Python value, of a real, fake or meta tensor, or of an abstract value.

    >>> str(type_of((torch.empty(2, 3), [1, 2.5])))
    '(f32[2, 3], [int=1, float=2.5])'
    """
    if isinstance(value, TensorMeta):
        return TensorType(value.shape, value.dtype)
    if isinstance(value, Unknown):
        return value.type
    if isinstance(value, torch.Tensor):
        return TensorType(tuple(value.shape), value.dtype)
    if isinstance(value, torch.Size):
        return SequenceType("size", tuple(ScalarType(int(item)) for item in value))
    if isinstance(value, (tuple, list)):
        return SequenceType("list" if isinstance(value, list) else "tuple", tuple(type_of(item) for item in value))
    kind = type(value)
    if kind in SCALAR_TYPES:
        return ScalarType(value)
    try:
        if isinstance(value, dict):
            return MappingType(tuple((freeze(key), type_of(item)) for key, item in value.items()))
        return ScalarType(freeze(value))
    except TypeError:
        return ObjectType(f"{kind.__module__}:{kind.__qualname__}")


def value_of(type: Type) -> Any:
    """Return the abstract value of a type, tensors taken as contiguous."""
    if isinstance(type, TensorType):
        return TensorMeta.contiguous(type)
    if isinstance(type, ScalarType):
        return thaw(type.value, resolve)
    if isinstance(type, SequenceType):
        items = [value_of(item) for item in type.items]
        return items if type.kind == "list" else torch.Size(items) if type.kind == "size" else tuple(items)
    if isinstance(type, MappingType):
        return {thaw(key, resolve): value_of(item) for key, item in type.items}
    return Unknown(type)


def fake_of(type: Type, mode: FakeTensorMode) -> Any:
    """Return a value of a type, its tensors fake and contiguous."""
    return concrete(value_of(type), mode, {})


def abstract(value: Any) -> Any:
    """Return the abstract value of what torch computed on fake tensors."""
    kind = type(value)
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided:
            return value
        leaf_grad = isinstance(value, torch.nn.Parameter) and value.requires_grad
        return TensorMeta(tuple(value.shape), value.stride(), value.dtype, str(value.device), leaf_grad)
    if kind is tuple or kind is list:
        return kind(abstract(item) for item in value)
    if kind is dict:
        return {key: abstract(item) for key, item in value.items()}
    return value


def concrete(value: Any, mode: FakeTensorMode, seen: dict[int, FakeTensor]) -> Any:
    """Return `value` with a fake tensor for each metadata; the same object becomes the same tensor (`seen`)."""
    kind = type(value)
    if kind is TensorMeta:
        if id(value) not in seen:
            meta = torch.empty_strided(value.shape, value.stride, dtype=value.dtype, device="meta")
            fake = FakeTensor(mode, meta, torch.device(value.device))
            fake.requires_grad_(value.leaf_grad)
            seen[id(value)] = fake
        return seen[id(value)]
    if kind is tuple or kind is list:
        return kind(concrete(item, mode, seen) for item in value)
    if kind is dict:
        return {key: concrete(item, mode, seen) for key, item in value.items()}
    if kind is slice:
        return slice(*(concrete(item, mode, seen) for item in (value.start, value.stop, value.step)))
    return value


def bind(argument: Argument, env: Mapping[str, Any]) -> Any:
    """Return the abstract value of an argument, given those of the values that it uses."""
    if isinstance(argument, Value):
        return env[argument.name]
    if not isinstance(argument, (tuple, FrozenDict, slice, Symbol)) or isinstance(argument, torch.Size):
        return argument
    if not values_in(argument):
        return thaw(argument, resolve)
    if isinstance(argument, FrozenDict):
        return {key: bind(item, env) for key, item in argument.items()}
    if isinstance(argument, slice):
        return slice(*(bind(item, env) for item in (argument.start, argument.stop, argument.step)))
    items = (bind(item, env) for item in argument)  # type: ignore[union-attr]  # values_in is empty for a symbol
    return list(items) if isinstance(argument, FrozenList) else tuple(items)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return an abstract value with everything that its tuples, lists and dictionaries hold changed."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind(mapped(item, change) for item in value)
    if kind is dict:
        return {key: mapped(item, change) for key, item in value.items()}
    if kind is slice:
        return slice(*(mapped(item, change) for item in (value.start, value.stop, value.step)))
    return change(value)


def walk(value: Any) -> Iterator[Any]:
    """Yield what the tuples, lists and dictionaries of an abstract value hold, in order."""
    kind = type(value)
    if kind is tuple or kind is list:
        for item in value:
            yield from walk(item)
    elif kind is dict:
        for item in value.values():
            yield from walk(item)
    elif kind is slice:
        yield from walk((value.start, value.stop, value.step))
    else:
        yield value


def has_unknown(value: Any) -> bool:
    """Tell whether an `Unknown` stands anywhere in an abstract value."""
    kind = type(value)
    if kind is tuple or kind is list:
        return any(has_unknown(item) for item in value)
    if kind is dict:
        return any(has_unknown(item) for item in value.values())
    return kind is Unknown


def key_of(value: Any, keys: Mapping[str, Any] | None = None) -> Any:
    """Return a hashable key that tells abstract values, and arguments, apart; `OPAQUE` where there is none.

    Args:
        value: An abstract value, or an argument.
        keys: Keys of the values that an argument may use.
    """
    kind = type(value)
    if kind is TensorMeta or kind is str or kind is type(None):
        return value
    if kind is Value:
        return OPAQUE if keys is None else keys[value.name]
    if kind in SCALAR_TYPES:
        return (kind, repr(value) if kind is float else value)
    if kind is tuple or kind is list or kind is FrozenList:
        items = tuple(key_of(item, keys) for item in value)
        return OPAQUE if OPAQUE in items else ("l" if kind is not tuple else "t", items)
    if kind is dict or kind is FrozenDict:
        pairs = tuple((key_of(key), key_of(item, keys)) for key, item in value.items())
        return OPAQUE if any(OPAQUE in pair for pair in pairs) else ("d", pairs)
    if kind is slice:
        bounds = tuple(key_of(item, keys) for item in (value.start, value.stop, value.step))
        return OPAQUE if OPAQUE in bounds else ("s", bounds)
    return OPAQUE
