"""Literals as source. Only what is on the list of `graphnas.ir.literal.Literal` has a form here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Expression
from graphnas.codegen.template import Site
from graphnas.errors import CodegenError
from graphnas.ir.literal import Argument, Construction, FrozenDict, FrozenList, Symbol, Value

_SHORT = 8
"""Most characters of a number that needs no explanation."""


class Literals:
    """Writes arguments.

    Args:
        value: What to write for the use of a value.
    """

    def __init__(self, value: Callable[[str], Expression] | None = None) -> None:
        self.value = value

    def write(self, item: Argument, note: Any = None) -> Expression:
        """Return the expression of an argument; each literal in it carries the note.

        Raises:
            CodegenError: The argument is no literal that source can hold.
        """
        if isinstance(item, Value):
            if self.value is None:
                raise CodegenError(f"the value {item} stands where only a constant can; this is a fault of the model")
            return self.value(item.name)
        if item is None or type(item) in (bool, int):
            return syntax.literal(str(item), note)
        if item is Ellipsis:
            return syntax.literal("...")
        if type(item) is float:
            return syntax.literal(_root(item) if isinstance(note, Site) and note.rank == 2 else _float(item), note)
        if type(item) is str:
            return syntax.string(item)._replace(note=note)
        if type(item) is bytes:
            return syntax.literal(repr(item), note)
        if type(item) is complex:
            return _complex(item, note)
        return self._composed(item, note)

    def _composed(self, item: Argument, note: Any) -> Expression:
        if isinstance(item, torch.Size):
            return syntax.call(syntax.reference("torch:Size"), [syntax.list_of(self._all(item, note))])
        if isinstance(item, FrozenList):
            return syntax.list_of(self._all(item, note))
        if type(item) is tuple:
            return syntax.tuple_of(self._all(item, note))
        if isinstance(item, FrozenDict):
            return syntax.dictionary([(self.write(key), self.write(part, note)) for key, part in item.items()])
        if isinstance(item, slice):
            return syntax.call(syntax.identifier("slice"), self._all((item.start, item.stop, item.step), note))
        if isinstance(item, range):
            parts = [item.start, item.stop, item.step] if item.step != 1 else [item.start, item.stop]
            return syntax.call(syntax.identifier("range"), self._all(parts, note))
        if isinstance(item, Symbol):
            return syntax.reference(item.path)
        if isinstance(item, Construction):
            arguments = [(name, self.write(part, note)) for name, part in item.kwargs.items()]
            return syntax.call(syntax.reference(item.path), self._all(item.args, note), arguments)
        if isinstance(item, (torch.dtype, torch.memory_format, torch.layout)):
            return syntax.reference(f"torch:{str(item).removeprefix('torch.')}")
        if isinstance(item, torch.device):
            return syntax.call(syntax.reference("torch:device"), [syntax.string(str(item))])
        raise CodegenError(f"{type(item).__qualname__} has no form in source: {item!r:.100}; use plain Python data")

    def _all(self, items: Any, note: Any) -> list[Expression]:
        return [self.write(item, note) for item in items]

    def index(self, item: Argument, note: Any = None) -> list[Expression]:
        """Return what stands between the brackets of `x[...]`."""
        if type(item) is tuple and item:
            return [self._index_part(part, note) for part in item] if len(item) > 1 else [self.write(item, note)]
        return [self._index_part(item, note)]

    def _index_part(self, item: Argument, note: Any) -> Expression:
        if not isinstance(item, slice):
            return self.write(item, note)
        parts = (None if part is None else self.write(part, note) for part in (item.start, item.stop, item.step))
        return syntax.slice_of(*parts)


def _root(item: float) -> str:
    """Return a number of a forward, `32**-0.5` for what scales an attention, if it is that to the last digit."""
    text = _float(item)
    if len(text) > _SHORT and math.isfinite(item) and item > 0:
        for exponent in (-0.5, 0.5):
            base = round(item ** (1 / exponent)) if 1e-3 < item < 1e3 else 0
            is_square = math.isqrt(base) ** 2 == base  # then it is the rate 1 / 55, say, or a whole number
            if base > 1 and not is_square and float(base) ** exponent == item:
                return f"{base}**{exponent}"
    return text


def _float(item: float) -> str:
    if math.isfinite(item):
        return repr(item)
    return f'float("{"nan" if math.isnan(item) else "-inf" if item < 0 else "inf"}")'


def _complex(item: complex, note: Any) -> Expression:
    """Return `2j`, `-2j` or `1+2j`: Python reads these as sums and negations, so the signs of zeros may want a call."""
    negative = [math.copysign(1, part) < 0 for part in (item.real, item.imag)]
    if math.isfinite(item.real) and math.isfinite(item.imag):
        if item.real and (item.imag or not negative[1]):
            return syntax.literal(repr(item), note)
        if not item.real and negative[0] == negative[1]:
            return syntax.literal(f"{'-' if negative[0] else ''}{complex(0, abs(item.imag))!r}", note)
    parts = [syntax.literal(_float(part), note) for part in (item.real, item.imag)]
    return syntax.call(syntax.identifier("complex"), parts)
