"""What the user calls the numbers, switches and classes that instances of a class were built with.

A graph holds constants only. Where generated source makes a parameter of one, because instances differ in it, it had
better have the name that the user knows it by: that of an argument of the constructor, of a field of an object which
was one, or of an attribute. Names are all that comes of it; nothing is computed from what is found here.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from types import FunctionType
from typing import Any

from torch import nn

from graphnas.errors import GraphNASError
from graphnas.ir.literal import FrozenDict, FrozenList, Literal, Symbol, freeze
from graphnas.ir.module import Child, Definition
from graphnas.ir.record import OF_TORCH, record_of
from graphnas.ir.resolve import path_of

_PLAIN = (type(None), bool, int, float, str)
_MOST_ITEMS = 4
_LONGEST_TEXT = 32


def with_settings(root: Definition, definitions: Mapping[str, Child], modules: Mapping[str, nn.Module]) -> Definition:
    """Return the definition of a model with the settings that tell the definitions of a class apart.

    Kept is what follows from the content of a definition, so that blocks that are built alike stay alike, whatever
    number or drop rate each was given. What all definitions of a class have in common needs no name.

    Args:
        root: The definition without settings.
        definitions: All definitions of the model, by the path of their module.
        modules: The modules, by path.
    """
    by_class: dict[str, list[tuple[str, Definition]]] = {}
    for path, definition in definitions.items():
        if isinstance(definition, Definition):
            by_class.setdefault(definition.class_name, []).append((path, definition))
    found: dict[str, FrozenDict[Literal]] = {}  # by key of the definition
    for members in by_class.values():
        if len({definition.key for _, definition in members}) > 1:
            found |= _telling([(definition.key, settings_of(modules[path])) for path, definition in members])
    done: dict[int, Definition] = {}
    for definition in root.bottom_up(lambda item: id(item) in done):
        children = [(name, done.get(id(child), child)) for name, child in definition.children.items()]
        settings = found.get(definition.key, definition.settings)
        if settings or any(
            new is not old for (_, new), old in zip(children, definition.children.values(), strict=True)
        ):
            done[id(definition)] = replace(definition, children=FrozenDict(children), settings=settings)
        else:
            done[id(definition)] = definition
    return done[id(root)]


def _telling(members: list[tuple[str, FrozenDict[Literal]]]) -> dict[str, FrozenDict[Literal]]:
    """Return, by key, the settings that have one value for each key, and not the same for all."""
    names = [name for name in members[0][1] if all(name in settings for _, settings in members)]
    kept: list[str] = []
    for name in names:
        values: dict[str, dict[str, None]] = {}
        for key, settings in members:
            values.setdefault(key, {})[repr(settings[name])] = None
        if all(len(own) == 1 for own in values.values()) and len({next(iter(own)) for own in values.values()}) > 1:
            kept.append(name)
    return {key: FrozenDict((name, settings[name]) for name in kept) for key, settings in members if kept}


def settings_of(module: nn.Module) -> FrozenDict[Literal]:
    """Return the settings of a module by name: arguments of its constructor as far as recorded, then its attributes.

    An attribute counts for more than the argument of its name: it is what methods read. One that is None says nothing,
    since it may be the place of a child that others have.
    """
    found: dict[str, Literal] = {}
    for name, value in _arguments(module):
        own = named_setting(name, value)
        for field, part in () if own else _fields(value):
            own |= named_setting(field, part)
        found |= own
    return FrozenDict(found | attributes_of(module))


def attributes_of(module: nn.Module) -> dict[str, Literal]:
    """Return the attributes of a module that are settings."""
    found: dict[str, Literal] = {}
    for name, value in vars(module).items():
        if name not in OF_TORCH and value is not None:
            found |= named_setting(name, value)
    return found


def _arguments(module: nn.Module) -> Iterator[tuple[str, Any]]:
    record = record_of(module)
    signature = None if record is None else _signature(type(module).__init__)
    if record is None or signature is None:
        return
    try:
        bound = signature.bind(module, *record.args, **record.kwargs)
    except TypeError:
        return  # the class decorated its constructor, or was called by a class that derives from it
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            yield from value.items()
        elif signature.parameters[name].kind is not inspect.Parameter.VAR_POSITIONAL:
            yield name, value


@lru_cache(maxsize=1024)
def _signature(construct: Callable[..., None]) -> inspect.Signature | None:
    try:
        return inspect.signature(construct)
    except (TypeError, ValueError):
        return None


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an object with a handful of settings, such as a row of a table or a configuration."""
    if isinstance(value, (nn.Module, type)) or callable(value):
        return
    fields = vars(value) if hasattr(value, "__dict__") else {}
    yield from fields.items()


def named_setting(name: str, value: Any) -> dict[str, Literal]:
    """Return a setting under its name, nothing if it is no plain value or has no name that a parameter can have."""
    name = name.strip("_")
    if not name.isidentifier() or keyword.iskeyword(name):
        return {}
    try:
        literal = Symbol(path_of(value)) if isinstance(value, (type, FunctionType)) else freeze(value)
    except (TypeError, GraphNASError):
        return {}
    return {name: literal} if _is_setting(literal) else {}


def _is_setting(literal: Literal) -> bool:
    if type(literal) in _PLAIN:
        return not isinstance(literal, str) or len(literal) <= _LONGEST_TEXT
    if type(literal) in (tuple, FrozenList):
        return 0 < len(literal) <= _MOST_ITEMS and all(type(item) is int for item in literal)
    return isinstance(literal, Symbol)
