"""What the user calls what members differ in; and what a second trace would take for that, of a generated class.

A generated constructor takes parameters of its own, so a model that is traced again has other settings than the
first time. Source is a fixed point where a class comes out the same with the settings that it has itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphnas.codegen import names
from graphnas.codegen.literals import Literals
from graphnas.codegen.syntax import Parameter, Tree
from graphnas.codegen.template import Site, plain
from graphnas.errors import GraphNASError
from graphnas.ir.leaves import built_on_meta
from graphnas.ir.literal import Literal, Symbol
from graphnas.ir.module import Definition
from graphnas.ir.resolve import resolve
from graphnas.ir.trace.settings import attributes_of, named_setting


@dataclass(frozen=True)
class Setting:
    """What the user has a name for: its value for each member."""

    name: str
    values: Mapping[int, Tree]

    @property
    def is_telling(self) -> bool:
        """Whether members differ in it."""
        return len(dict.fromkeys(self.values.values())) > 1

    def fits(self, values: Mapping[int, Tree]) -> bool:
        """Tell whether it has these values."""
        return all(self.values[member] == value for member, value in values.items())


def settings_of_group(definitions: Sequence[Definition]) -> list[Setting]:
    """Return what the user has a name for in all of some definitions, each by its number."""
    found: list[Setting] = []
    for name in definitions[0].settings:
        values = {n: item.settings[name] for n, item in enumerate(definitions) if name in item.settings}
        if len(values) == len(definitions):
            found += _settings(name, values)
    return found


def settings_of_class(
    parameters: Sequence[Parameter], columns: Mapping[str, Mapping[int, Tree]], definitions: Mapping[int, Definition]
) -> list[Setting]:
    """Return what a second trace has names for in the members of a generated class.

    Args:
        parameters: What its constructor takes.
        columns: By name of a parameter, what it is given for each member, where that is not the default.
        definitions: The members.
    """
    found: dict[str, dict[int, Literal]] = {item.name: {} for item in parameters}
    for member, definition in definitions.items():
        for item in parameters:
            value = columns[item.name].get(member, item.default)
            found[item.name].update((member, literal) for literal in _literals(item.name, value))
        for name, literal in _inherited(definition).items():  # what methods read, whatever was given
            found.setdefault(name, {})[member] = literal
    complete = [(name, values) for name, values in found.items() if len(values) == len(definitions)]
    return [item for name, values in complete for item in _settings(name, values)]


def _inherited(definition: Definition) -> Mapping[str, Literal]:
    """Return the settings that the base of a definition has."""
    if definition.base is None:
        return {}
    try:
        return attributes_of(built_on_meta(definition.base))
    except GraphNASError:
        return {}


def _settings(name: str, values: Mapping[int, Literal]) -> Iterator[Setting]:
    """Yield a setting, and for pairs such as `(7, 7)` what they are where they are used as 7."""
    if not names.is_usable(name):
        return
    if any(isinstance(value, Symbol) and not value.path.startswith("torch") for value in values.values()):
        return  # the file does not import the user's classes to make no use of them
    literals, site = Literals(), Site(name, "", 2)  # written as in a forward
    yield Setting(name, {number: plain(literals.write(value, site)) for number, value in values.items()})
    if all(isinstance(value, tuple) and len(set(value)) == 1 for value in values.values()):
        yield Setting(name, {n: literals.write(value[0]) for n, value in values.items() if isinstance(value, tuple)})


@lru_cache(maxsize=8192)
def _literals(name: str, tree: Tree | None) -> tuple[Literal, ...]:
    """Return the value of a constant as a trace would find it, nothing where it would find none."""
    try:
        return tuple(named_setting(name, _value(tree)).values())
    except (GraphNASError, ValueError, SyntaxError):
        return ()


def _value(tree: Tree | None) -> Any:
    """Return the Python value of a constant.

    Raises:
        ValueError: It is not one that a setting can have.
        GraphNASError: It names what does not exist.
    """
    if tree is not None and tree.kind in ("tuple", "list"):
        return (tuple if tree.kind == "tuple" else list)(map(_value, tree.parts))
    if tree is not None and tree.kind == "reference" and tree.text.startswith("torch"):
        return resolve(tree.text)
    if tree is None or tree.kind != "literal":
        raise ValueError("no plain value")
    base, power, exponent = tree.text.partition("**")
    return float(base) ** float(exponent) if power else ast.literal_eval(tree.text)
