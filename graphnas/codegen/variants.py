"""Two forwards made alike before they are merged: inputs that only one has, and variables that only one uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Function, Parameter, Statement, Tree
from graphnas.codegen.template import item_of
from graphnas.codegen.variables import bound_by, is_binding, names_in, with_names


def common_parameters(left: Function, right: Function, masks: tuple[int, int]) -> tuple[Parameter, ...] | None:
    """Return the parameters of two methods as one list, None if they differ in more than that one has further ones.

    What only some members take is None for the others. Its default has the members that take it as its note.
    """
    found: list[Parameter] = []
    whole = masks[0] | masks[1]
    for index in range(max(len(left.parameters), len(right.parameters))):
        sides = [(item, mask) for item, mask in zip((left, right), masks, strict=True) if index < len(item.parameters)]
        given = [(item.parameters[index], mask) for item, mask in sides]
        name = given[0][0].name
        annotations = [_required(item).annotation for item, _ in given]
        if any(item.name != name for item, _ in given) or any(item != annotations[0] for item in annotations):
            return None
        members = 0
        for item, mask in given:
            members |= mask if item.default is None else item.default.note
        found.append(Parameter(name, annotations[0]) if members == whole else _optional(name, annotations[0], members))
    return tuple(found)


def members_that_take(parameter: Parameter) -> int | None:
    """Return the members that take an optional parameter; None for one that all take."""
    return None if parameter.default is None else int(parameter.default.note)


def _optional(name: str, annotation: Tree | None, members: int) -> Parameter:
    none = syntax.literal("None")
    either = None if annotation is None else syntax.binary("|", annotation, none)
    return Parameter(name, either, syntax.literal("None", members))


def _required(parameter: Parameter) -> Parameter:
    if parameter.default is None or parameter.annotation is None:
        return parameter
    return parameter._replace(annotation=parameter.annotation.parts[0], default=None)


def with_fewer_variables(body: Sequence[Statement], other: Sequence[Statement]) -> Iterator[tuple[Statement, ...]]:
    """Yield the body with one variable less: one that `other` lacks is called like what its value is computed from.

    Of `y = roll(x); z = f(y)`, where `x` is not read again, that is `x = roll(x); z = f(x)`: the way to write it for
    whoever leaves the first statement out.
    """
    theirs = {name for item in other for name in names_in(item_of(item))}
    times = Counter(name for item in body for name in bound_by(item_of(item)))
    for position, item in enumerate(body):
        statement = item_of(item)
        if not is_binding(statement) or times[statement.parts[0].text] != 1 or statement.parts[0].text in theirs:
            continue
        for source in dict.fromkeys(names_in(statement.parts[1])):
            if source in theirs and _may_share(body, position, statement.parts[0].text, source):
                known = {statement.parts[0].text: syntax.identifier(source)}
                yield (*body[:position], *(with_names(later, known) for later in body[position:]))
                break


def _may_share(body: Sequence[Statement], position: int, name: str, source: str) -> bool:
    """Tell whether, from a statement that binds `name` on, nobody needs what `source` was."""
    own = body[position].note if body[position].kind == "slot" else None
    last = max((n for n in range(position, len(body)) if name in names_in(body[n])), default=position)
    for place in range(position + 1, len(body)):
        item, statement = body[place], item_of(body[place])
        is_plain = statement.kind == "assign" and not statement.text and statement.parts[0].kind != "tuple"
        reads = statement.parts[1] if is_plain else statement
        if source in names_in(reads):
            return False
        if source in bound_by(statement):
            # All that had the old value have a new one now.
            return is_plain and place >= last and (item.kind != "slot" or item.note == own)
    return True
