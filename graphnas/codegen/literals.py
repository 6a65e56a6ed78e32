"""Literals as source. Only what is on the list of `graphnas.ir.literal.Literal` has a form here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import libcst as cst
import torch

from graphnas.codegen import syntax
from graphnas.codegen.imports import Imports
from graphnas.codegen.syntax import Expression
from graphnas.errors import CodegenError
from graphnas.ir.literal import Argument, Construction, FrozenDict, FrozenList, Symbol, Value


@dataclass(frozen=True, slots=True)
class Hole:
    """A constant in which definitions of one class differ: `factor` times the constructor's parameter `name`."""

    name: str
    factor: int = 1


class Literals:
    """Writes arguments.

    Args:
        imports: Where the objects that are spoken of get imported.
        value: What to write for the use of a value.
        hole: What to write for a parameter of the constructor.
    """

    def __init__(
        self,
        imports: Imports,
        value: Callable[[str], Expression] | None = None,
        hole: Callable[[str], Expression] = syntax.identifier,
    ) -> None:
        self.imports = imports
        self.value = value
        self.hole = hole

    def write(self, item: Argument) -> Expression:
        """Return the expression of an argument.

        Raises:
            CodegenError: The argument is no literal that source can hold.
        """
        if isinstance(item, Value):
            if self.value is None:
                raise CodegenError(f"the value {item} stands where only a constant can; this is a fault of the model")
            return self.value(item.name)
        if isinstance(item, Hole):
            node = self.hole(item.name)
            return node if item.factor == 1 else syntax.binary(cst.Multiply(), syntax.integer(item.factor), node)
        if item is None or isinstance(item, bool):
            return cst.Name(str(item))
        if item is Ellipsis:
            return cst.Ellipsis()
        if type(item) is int:
            return syntax.integer(item)
        if type(item) is float:
            return self._float(item)
        if type(item) is str:
            return syntax.string(item)
        if type(item) in (bytes, complex):
            return cst.parse_expression(
                repr(item) if isinstance(item, bytes) else f"({item!r})".replace("((", "(").replace("))", ")")
            )
        return self._composed(item)

    def _composed(self, item: Argument) -> Expression:
        if isinstance(item, torch.Size):
            return syntax.call(self.imports.torch("Size"), [syntax.list_of(map(self.write, item))])
        if isinstance(item, FrozenList):
            return syntax.list_of([self.write(part) for part in item])
        if type(item) is tuple:
            return syntax.tuple_of([self.write(part) for part in item])
        if isinstance(item, FrozenDict):
            return syntax.dictionary([(self.write(key), self.write(part)) for key, part in item.items()])
        if isinstance(item, slice):
            return syntax.call(cst.Name("slice"), [self.write(part) for part in (item.start, item.stop, item.step)])
        if isinstance(item, range):
            parts = [item.start, item.stop, item.step] if item.step != 1 else [item.start, item.stop]
            return syntax.call(cst.Name("range"), [self.write(part) for part in parts])
        if isinstance(item, Symbol):
            return self.imports.reference(item.path)
        if isinstance(item, Construction):
            arguments = [(name, self.write(part)) for name, part in item.kwargs.items()]
            return syntax.call(self.imports.reference(item.path), map(self.write, item.args), arguments)
        if isinstance(item, (torch.dtype, torch.memory_format, torch.layout)):
            return self.imports.torch(str(item).removeprefix("torch."))
        if isinstance(item, torch.device):
            return syntax.call(self.imports.torch("device"), [syntax.string(str(item))])
        raise CodegenError(f"{type(item).__qualname__} has no form in source: {item!r:.100}; use plain Python data")

    @staticmethod
    def _float(item: float) -> Expression:
        if not math.isfinite(item):
            node = syntax.call(cst.Name("float"), [syntax.string("nan" if math.isnan(item) else "inf")])
            return syntax.unary(cst.Minus(), node) if item < 0 else node
        if math.copysign(1.0, item) < 0:
            return cst.UnaryOperation(cst.Minus(), cst.Float(repr(-item)))
        return cst.Float(repr(item))

    def index(self, item: Argument) -> list[Expression | cst.Slice]:
        """Return what stands between the brackets of `x[...]`."""
        if type(item) is tuple and item:
            return [self._index_part(part) for part in item] if len(item) > 1 else [self.write(item)]
        return [self._index_part(item)]

    def _index_part(self, item: Argument) -> Expression | cst.Slice:
        if not isinstance(item, slice):
            return self.write(item)
        lower, upper, step = (None if part is None else self.write(part) for part in (item.start, item.stop, item.step))
        # The formatter sets blanks around the colon of bounds that are more than a name or number.
        bare = (cst.Name, cst.Integer, cst.UnaryOperation)
        plain = all(part is None or (isinstance(part, bare) and not part.lpar) for part in (lower, upper, step))
        before = cst.SimpleWhitespace(" " if not plain and lower is not None else "")
        after = cst.SimpleWhitespace(" " if not plain and upper is not None else "")
        second: cst.Colon | cst.MaybeSentinel = cst.MaybeSentinel.DEFAULT
        if step is not None:
            inner = " " if not plain else ""
            second = cst.Colon(
                whitespace_before=cst.SimpleWhitespace(inner if upper is not None else ""),
                whitespace_after=cst.SimpleWhitespace(inner),
            )
        first = cst.Colon(whitespace_before=before, whitespace_after=after)
        return cst.Slice(lower, upper, step, first_colon=first, second_colon=second)
