"""Two forwards made alike before they are merged: inputs that only one has, and variables that only one uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Expression, Function, Parameter, Statement, Tree
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


def with_fewer_variables(body: Sequence[Statement], merged: Sequence[Statement]) -> Iterator[tuple[Statement, ...]]:
    """Yield the body with a value that shares the variable of what it is computed from.

    Of `y = roll(x); z = f(y)`, where `x` is not read again, that is `x = roll(x); z = f(x)`: the way to write it for
    whoever leaves the first statement out. Only values whose statement has no partner in `merged` are looked at.
    """
    alone = {id(item_of(item)) for item in merged if item.kind == "slot"}
    for position, item in enumerate(body):
        statement = item_of(item)
        if id(statement) not in alone or not is_binding(statement):
            continue
        name = statement.parts[0].text
        end = _end_of_value(body, position, name)
        if end is None:
            continue
        for source in dict.fromkeys(names_in(statement.parts[1])):
            if source != name and _may_share(body, position, end, name, source):
                known = {name: syntax.identifier(source)}
                renamed = (with_names(later, known) for later in body[position:end])
                yield (
                    *body[:position],
                    *renamed,
                    *(_with_reads(later, known) for later in body[end : end + 1]),
                    *body[end + 1 :],
                )
                break


def _with_reads(item: Statement, known: dict[str, Expression]) -> Statement:
    """Return a statement `x = ...`, or one for some members, with other names for what it reads."""
    if item.kind == "slot":
        return item._replace(parts=(_with_reads(item.parts[0], known),))
    target, value = item.parts
    return item._replace(parts=(target, with_names(value, known)))


def _end_of_value(body: Sequence[Statement], position: int, name: str) -> int | None:
    """Return the statement that gives the variable its next value, None where only some may do so, or read another."""
    own = body[position].note if body[position].kind == "slot" else None
    for place in range(position + 1, len(body)):
        item, statement = body[place], item_of(body[place])
        is_same = own is None or (item.kind == "slot" and item.note == own)
        if name in bound_by(statement):
            return place if is_same and is_binding(statement) and (own is not None or item.kind != "slot") else None
        if not is_same and name in names_in(statement):
            return None
    return len(body)


def _may_share(body: Sequence[Statement], position: int, end: int, name: str, source: str) -> bool:
    """Tell whether, from a statement that binds `name` until `end`, and later, nobody needs what `source` was."""
    own = body[position].note if body[position].kind == "slot" else None
    last = max(
        (n for n in range(position, min(end + 1, len(body))) if name in names_in(_reads(body[n]))), default=position
    )
    for place in range(position + 1, len(body)):
        item, statement = body[place], item_of(body[place])
        if source in names_in(_reads(item)):
            return False
        if source in bound_by(statement):
            # All that had the old value have a new one now.
            return _is_plain(statement) and place >= last and (item.kind != "slot" or item.note == own)
    return True


def _reads(item: Statement) -> Tree:
    """Return the part of a statement that reads variables: all of it but the target of a plain assignment."""
    statement = item_of(item)
    return statement.parts[1] if _is_plain(statement) else statement


def _is_plain(statement: Statement) -> bool:
    return statement.kind == "assign" and not statement.text and statement.parts[0].kind != "tuple"
