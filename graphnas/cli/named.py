"""Code by name: `net.py:Net`, `package.module:Net`, or a plain name out of graphnas; and calling it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from graphnas.errors import ConfigError
from graphnas.experiment.config.checks import check_arguments, wrong
from graphnas.mutators.scripts import load_script


def find(field: str, name: object, base: Path, at_home: Mapping[str, type] | None = None) -> Any:
    """Return what a name stands for. This runs the module or the file.

    Args:
        field: Path of the field that holds the name; begins the error message.
        name: `file.py:Name`, `package.module:Name`, or a plain name.
        base: Folder from which relative paths start, and where modules may lie.
        at_home: Classes that go by a plain name.

    Raises:
        ConfigError: It cannot be loaded, or there is no such name.
    """
    if not isinstance(name, str) or not name.strip():
        raise wrong(field, "a name, as net.py:Net or package.module:Net", name)
    place, colon, attribute = name.rpartition(":")
    if not colon:
        return _plain(field, name, at_home or {})
    try:
        module = _load(place, base)
    except (ImportError, OSError) as error:
        raise ConfigError(f"{field}: {place} cannot be loaded: {error}", field=field) from error
    found: Any = module
    for step in attribute.split("."):
        if not hasattr(found, step):
            public = [known for known in vars(module) if not known.startswith("_")]
            near = get_close_matches(attribute, public, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{field}: {place} has no {attribute!r}{hint}", field=field)
        found = getattr(found, step)
    return found


def call(field: str, function: Any, arguments: Mapping[str, Any]) -> Any:
    """Return what a function or class returns for arguments by name.

    Raises:
        ConfigError: It takes no such argument, or lacks one; the path names which.
    """
    if not callable(function):
        raise wrong(field.removesuffix(".arguments"), "a class or a function", function)
    check_arguments(field, function, arguments)
    return function(**arguments)


def example_inputs(field: str, shapes: Sequence[object]) -> tuple[Any, ...]:
    """Return tensors of zeros of the shapes that a person wrote: `'1,3,32,32'`, `'1,16:int64'` or `[1, 3, 32, 32]`.

    Raises:
        ConfigError: A shape or its dtype is none of these.
    """
    import torch

    found = []
    for shape in shapes:
        dtype: Any = torch.float32
        sizes: Any = shape
        if isinstance(shape, str):
            text, _, kind = shape.partition(":")
            dtype = getattr(torch, kind or "float32", None)
            sizes = [int(size) if size.strip().isdigit() else size for size in text.split(",")]
        good = isinstance(sizes, list) and sizes and all(type(size) is int and size > 0 for size in sizes)
        if not good or not isinstance(dtype, torch.dtype):
            raise wrong(field, "a shape, as 1,3,32,32, with a dtype if it is not float32, as 1,16:int64", shape)
        found.append(torch.zeros(*sizes, dtype=dtype))
    return tuple(found)


def build_model(field: str, target: Any, arguments: Mapping[str, Any]) -> Any:
    """Return a model: a class or function called while constructions are recorded, or the model itself.

    Raises:
        ConfigError: It is no model, or does not take the arguments.
    """
    from torch import nn

    import graphnas

    if isinstance(target, nn.Module | graphnas.Model | graphnas.ModelSpace):
        if arguments:
            raise ConfigError(f"{field}.arguments: {type(target).__name__} is built already", field=field)
        return target
    if not callable(target):
        raise wrong(field, "a class of models, a function that returns a model, or a model", target)
    with graphnas.recording():
        model = call(f"{field}.arguments", target, arguments)
    if not isinstance(model, nn.Module | graphnas.Model | graphnas.ModelSpace):
        raise wrong(field, "something that gives a torch.nn.Module", model)
    return model


def import_from(folder: Path) -> None:
    """Let modules be imported from a folder, as Python lets a script import what lies beside it."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _load(place: str, base: Path) -> ModuleType:
    if place.endswith(".py") or "/" in place:
        return load_script(base / Path(place).expanduser())
    import_from(base)
    return importlib.import_module(place)


def classes_of(home: ModuleType, kind: type) -> dict[str, type]:
    """Return the public classes of a module that are of a kind and can be made."""
    found = {name: getattr(home, name) for name in home.__all__}
    return {
        name: entry
        for name, entry in found.items()
        if isinstance(entry, type) and issubclass(entry, kind) and not inspect.isabstract(entry) and entry is not kind
    }


def _plain(field: str, name: str, known: Mapping[str, type]) -> type:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    names = f"one of {', '.join(known)}, or " if known else ""
    raise ConfigError(
        f"{field}: there is no {name!r}; {hint}expected {names}a name such as net.py:Net or package.module:Net",
        field=field,
    )
