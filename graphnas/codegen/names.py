"""Names of variables: the user's own where they are known and free, short ones of the operation where not."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from graphnas.codegen.imports import RESERVED
from graphnas.ir.graph import Node

_BUILTINS = frozenset(
    {"bool", "dict", "float", "getattr", "int", "len", "list", "max", "min", "range", "slice", "tuple"}
)
_ALIASES = ("identity", "shortcut", "residual")
_WORDS = {"add": "total", "sub": "difference", "mul": "product", "truediv": "quotient", "matmul": "product"}
_WORDS |= {"getitem": "item", "cat": "joined", "permute": "x", "transpose": "x", "view": "x", "reshape": "x"}


def is_usable(name: str, reserved: Iterable[str] = ()) -> bool:
    """Tell whether a variable may go by that name."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and not name.startswith("__")
        and name not in RESERVED
        and name not in _BUILTINS
        and name not in reserved
    )


def base_name(node: Node) -> str:
    """Return a short name for a value that nobody named: of the child that is called, else of the operation."""
    target = node.operation.target.rpartition(":")[2]
    parts = [part for part in target.split(".") if not part.isdecimal()]
    name = parts[-1] if parts else "x"
    name = _WORDS.get(name, re.sub(r"\W|_$", "", name))
    return name if is_usable(name) else "value"


def free_name(base: str, taken: Iterable[str], reserved: Iterable[str] = ()) -> str:
    """Return `base`, or `base` with the first number from 2 on that makes it free."""
    used = {*taken, *reserved}
    name, number = base, 2
    while name in used or not is_usable(name):
        name, number = f"{base}{'_' if base[-1:].isdigit() else ''}{number}", number + 1
    return name


def numbered_name(base: str, taken: Iterable[str]) -> str:
    """Return `base` with the first number from 1 on that makes it free."""
    used, joint = set(taken), "_" if base[-1:].isdigit() else ""
    return next(name for number in range(1, len(used) + 2) if (name := f"{base}{joint}{number}") not in used)


def alias_name(taken: Iterable[str]) -> str:
    """Return a name for an early value that is kept for later: what people call a skip connection."""
    used = set(taken)
    return next((name for name in _ALIASES if name not in used), "") or free_name("kept", used)


def loop_name(container: str, taken: Iterable[str]) -> str:
    """Return the variable of a loop over a container: `blocks` gives `block`."""
    last = next((part for part in reversed(container.split(".")) if not part.isdecimal()), "module")
    name = last[:-1] if last.endswith("s") and len(last) > 2 and not last.endswith("ss") else "layer"
    return free_name(name if is_usable(name) else "module", taken)
