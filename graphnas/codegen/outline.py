"""What a forward can tell of the definition that it belongs to: all that its text hangs on beside its graphs."""

from __future__ import annotations

from graphnas.ir.effects import assigned_paths
from graphnas.ir.keyed import digest
from graphnas.ir.module import Definition

_MEMO = "_outline"


def outline(definition: Definition) -> str:
    """Return a hash of names, kinds and classes of what stands below a definition, and of what its calls assign.

    Arguments of leaves do not count, nor does how anything is constructed: an edit of a leaf leaves it as it is.
    """
    for item in definition.bottom_up(lambda item: _MEMO in vars(item)):
        below = tuple(_seen(child) if isinstance(child, Definition) else "" for child in item.children.values())
        own = (item.class_name, item.kind, tuple(item.children), below, bool(item.ties))
        vars(item)[_MEMO] = digest("outline", *own, tuple(sorted(assigned_paths(item))))
    return _seen(definition)


def _seen(definition: Definition) -> str:
    return str(vars(definition)[_MEMO])
