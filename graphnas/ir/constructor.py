"""Changes of a leaf's constructor arguments, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

from graphnas.errors import GraphNASError, MutationError
from graphnas.ir.keyed import digest
from graphnas.ir.literal import Argument, FrozenDict, freeze
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.resolve import instantiate, resolve


def with_arguments(spec: ModuleSpec, arguments: Mapping[str, object], site: str = "") -> ModuleSpec:
    """Return a leaf with other values for the arguments that are named.

    What was positional stays so, and what becomes the default is left out if it was a keyword: the same arguments give
    the same leaf, however they came about. Nothing is constructed.

    Raises:
        MutationError: The constructor has no such argument, or the value is no literal.
    """
    try:
        signature = inspect.signature(resolve(spec.target))
    except (GraphNASError, ValueError) as error:
        raise MutationError(f"the arguments of {spec.target} are not known: {error}", site=site) from error
    parameters = signature.parameters
    positional = [
        name
        for name, item in parameters.items()
        if item.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    args, kwargs = list(spec.args), spec.kwargs
    for name, given in arguments.items():
        _check_name(spec, name, parameters, site)
        try:
            value = freeze(given)
        except TypeError as error:
            raise MutationError(f"{site}: {spec.type}({name}=...): {error}", site=site) from None
        if name in positional and positional.index(name) < len(args):
            args[positional.index(name)] = value
        elif name in parameters and _is_default(value, parameters[name].default):
            kwargs = kwargs.without(name)
        else:
            kwargs = _placed(kwargs, name, value, tuple(parameters))
    return replace(spec, args=tuple(args), kwargs=kwargs)


def with_base_arguments(definition: Definition, arguments: Mapping[str, object], site: str = "") -> ModuleSpec:
    """Return the base of a definition with other values for the arguments that are named.

    Raises:
        MutationError: As `with_arguments`, and where the base creates the same parameters and buffers as before: the
            value then stands as a constant in the forward, which has a graph of its own.
    """
    old = definition.base
    assert old is not None, "the caller edits its arguments"
    new = with_arguments(old, arguments, site)
    before = _created(old)
    for name in arguments:
        alone = with_arguments(old, {name: arguments[name]}, site)
        if alone != old and _created(alone) == before:
            raise MutationError(
                f"{site}: {name!r} of {old.type}, the base of {definition.class_name}, changes none of its parameters; "
                f"{definition.class_name} has a forward of its own, in which the value is a constant: edit the nodes "
                "that use it",
                site=site,
            )
    return new


def _created(spec: ModuleSpec) -> tuple[object, ...]:
    try:
        module = instantiate(spec, "meta")
    except GraphNASError as error:
        return (str(error),)
    return tuple((name, item.shape, item.dtype) for name, item in module.state_dict(keep_vars=True).items())


def _check_name(spec: ModuleSpec, name: str, parameters: Mapping[str, inspect.Parameter], site: str) -> None:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = [key for key, item in parameters.items() if item.kind not in variadic]
    if name in named or any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
        return
    near = get_close_matches(name, named, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise MutationError(
        f"{site}: the constructor of {spec.type} has no argument {name!r}; {hint}It takes {', '.join(named) or 'none'}",
        site=site,
    )


def _is_default(value: Argument, default: object) -> bool:
    if default is inspect.Parameter.empty:
        return False
    try:
        return digest("default", value) == digest("default", freeze(default))
    except TypeError:
        return False


def _placed(kwargs: FrozenDict[Argument], name: str, value: Argument, order: tuple[str, ...]) -> FrozenDict[Argument]:
    """Set a keyword; a new one goes before the first that the signature has after it."""
    if name in kwargs or name not in order:
        return kwargs.set(name, value)
    later = order[order.index(name) + 1 :]
    items = list(kwargs.items())
    index = next((at for at, (key, _) in enumerate(items) if key in later), len(items))
    return FrozenDict([*items[:index], (name, value), *items[index:]])
