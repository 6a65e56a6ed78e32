"""Names of variables: the user's own where they are known and free, short ones of the operation where not."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Container, Iterable

from graphnas.codegen.imports import RESERVED
from graphnas.ir.graph import Node

_BUILTINS = frozenset(
    {"bool", "complex", "dict", "float", "getattr", "int", "len", "list", "max", "min", "range", "slice", "tuple"}
)
ALIASES = ("identity", "shortcut", "residual", "kept")
"""Names for an early value that is kept for later: what people call a skip connection."""

_WORDS = {"add": "total", "sub": "difference", "mul": "product", "truediv": "quotient", "matmul": "product"}
_WORDS |= {"getitem": "item", "cat": "joined", "permute": "x", "transpose": "x", "view": "x", "reshape": "x"}


def is_usable(name: str, *reserved: Container[str]) -> bool:
    """Tell whether a variable may go by that name, which stands in none of `reserved`."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith("__")
        and name not in RESERVED
        and name not in _BUILTINS
        and not any(name in names for names in reserved)
    )


def base_name(node: Node) -> str:
    """Return a short name for a value that nobody named: of the child that is called, else of the operation."""
    target = node.operation.target.rpartition(":")[2]
    parts = [part for part in target.split(".") if not part.isdecimal()]
    name = parts[-1] if parts else "x"
    name = _WORDS.get(name, re.sub(r"\W|_$", "", name))
    return name if is_usable(name) else "value"


def item_name(container: str, otherwise: str) -> str:
    """Return the variable of an item of a list: `outputs` has an `output`."""
    name = container.removesuffix("s") if len(container) != 3 and not container.endswith("ss") else ""
    return name if name != container and is_usable(name) else otherwise


def numbered(base: str, number: int) -> str:
    """Return `base` with a number behind it that can be told from its own digits."""
    return f"{base}{'_' if base[-1:].isdigit() else ''}{number}"


def free_name(base: str, *taken: Container[str]) -> str:
    """Return `base`, or `base` with the first number from 2 on that makes it free."""
    name, number = base, 2
    while not is_usable(name, *taken):
        name, number = numbered(base, number), number + 1
    return name


class Taken:
    """Names that are taken, and more and more of them: a free one is found without trying those before it again."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._numbers: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Take a name."""
        self._names.add(name)

    def free_name(self, base: str, others: Container[str] = ()) -> str:
        """Return what `free_name` would, if these names and `others` were taken."""
        number = self._numbers.get(base, 1)
        while self._is_taken(base, number):
            number += 1
        self._numbers[base] = number
        while self._is_taken(base, number) or _candidate(base, number) in others:
            number += 1
        return _candidate(base, number)

    def _is_taken(self, base: str, number: int) -> bool:
        name = _candidate(base, number)
        return name in self._names or not is_usable(name)


def _candidate(base: str, number: int) -> str:
    return base if number == 1 else numbered(base, number)


def loop_name(container: str, taken: Collection[str]) -> str:
    """Return the variable of a loop over a container: `blocks` gives `block`."""
    last = next((part for part in reversed(container.split(".")) if not part.isdecimal()), "module")
    name = last[:-1] if last.endswith("s") and len(last) > 2 and not last.endswith("ss") else "layer"
    return free_name(name if is_usable(name) else "module", taken)
