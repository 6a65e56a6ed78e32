"""What settling asks of the statements of a template."""

from __future__ import annotations

from typing import NamedTuple

from graphnas.codegen import syntax
from graphnas.codegen.repeats import may_unfold, unfold
from graphnas.codegen.syntax import Tree
from graphnas.codegen.template import Column

_SELF = syntax.identifier("self")
_REGISTER = ("register_buffer", "register_parameter", "add_module")


class Known(NamedTuple):
    """What is known of a statement.

    Attributes:
        attributes: What it sets on `self`, or reads of it.
        variables: Names that it reads, those of what is imported included.
        columns: Those of its holes, in order, repetitions included.
        has_choices: Whether it has slots or selects: some members lack a part of it, or have another.
        may_unfold: Whether items in it may be written as comprehensions.
        unfolded: It as it is written, without `repeat`s, if it has neither holes nor choices.
    """

    attributes: tuple[str, ...]
    variables: tuple[str, ...]
    columns: tuple[Column, ...]
    has_choices: bool
    may_unfold: bool
    unfolded: Tree | None


@syntax.remembered
def known(statement: Tree) -> Known:
    """Return what is known of a statement."""
    attributes: dict[str, None] = {}
    variables: dict[str, None] = {}
    columns: list[Column] = []
    has_choices = has_items = False
    waiting = [statement]
    while waiting:
        tree = waiting.pop()
        kind, text, parts, note = tree
        if kind == "hole":
            columns.append(note)
        elif kind == "name":
            variables[text] = None
        elif kind == "reference":
            variables[text.rpartition(":")[2].partition(".")[0]] = None
        elif kind == "attribute":
            if parts[0] == _SELF:
                attributes[text] = None
        elif kind == "call":
            if parts[0].kind == "attribute" and parts[0].text in _REGISTER:
                attributes[parts[1].text.strip("'\"")] = None
        elif kind in ("slot", "select"):
            has_choices = True
        has_items = has_items or may_unfold(tree)
        waiting += reversed(parts)
    closed = None if columns or has_choices else statement
    unfolded = unfold(closed) if closed is not None and has_items else closed
    return Known(tuple(attributes), tuple(variables), tuple(columns), has_choices, has_items, unfolded)
