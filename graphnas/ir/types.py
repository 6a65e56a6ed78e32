"""Types of values: what is known of a value before anything runs.

Shapes and scalars are those seen with the example inputs. They describe, they do not restrict: a generated model takes
other batch sizes, and a decision that depends on a size is a `Guard`, not a type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch

from graphnas.ir.literal import Literal, format_literal

_SHORT_NAMES = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint8": "u8",
    "bool": "b8",
    "complex64": "c64",
    "complex128": "c128",
}
_LONG_NAMES = {short: long for long, short in _SHORT_NAMES.items()}


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor of a shape and an element type.

    >>> str(TensorType((2, 3, 32, 32), torch.float32))
    'f32[2, 3, 32, 32]'
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{dtype_name(self.dtype)}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A Python scalar, or a literal such as a dtype, with the value that it had for the example inputs."""

    value: Literal

    def __str__(self) -> str:
        return f"{type(self.value).__name__}={format_literal(self.value)}"


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A tuple or list of typed items; `kind` is `'tuple'`, `'list'` or `'size'`."""

    kind: str
    items: tuple[Type, ...]

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.items))
        return f"[{inner}]" if self.kind == "list" else f"{'size' if self.kind == 'size' else ''}({inner})"


@dataclass(frozen=True, slots=True)
class MappingType:
    """A dictionary with literal keys."""

    items: tuple[tuple[Literal, Type], ...]

    def __str__(self) -> str:
        return "{" + ", ".join(f"{format_literal(key)}: {item}" for key, item in self.items) + "}"


@dataclass(frozen=True, slots=True)
class ObjectType:
    """Anything else that a graph passes on without looking inside; `name` is `module:qualname` of its class."""

    name: str

    def __str__(self) -> str:
        return f"<{self.name}>"


Type: TypeAlias = TensorType | ScalarType | SequenceType | MappingType | ObjectType


def dtype_name(dtype: torch.dtype) -> str:
    """Return the short name of a dtype, `f32` for `torch.float32`."""
    long = str(dtype).removeprefix("torch.")
    return _SHORT_NAMES.get(long, long)


def dtype_from_name(name: str) -> torch.dtype:
    """Return the dtype of a short or long name.

    Raises:
        KeyError: There is no such dtype.
    """
    dtype = getattr(torch, _LONG_NAMES.get(name, name), None)
    if not isinstance(dtype, torch.dtype):
        raise KeyError(name)
    return dtype
