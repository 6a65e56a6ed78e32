"""Import paths: from `module:qualname` to the object, back, and from a `ModuleSpec` to a module.

This is the one place where names of the IR become Python objects; loading, printing, hashing and drawing a model never
come here. What does not belong here: what operations and modules compute (`graphnas.ir.infer`).
"""

from __future__ import annotations

import enum
import math
import operator
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import nn

from graphnas.errors import GraphNASError
from graphnas.ir.literal import format_literal, thaw
from graphnas.ir.module import ModuleSpec

_HOMES: tuple[ModuleType, ...] = (
    torch.nn.functional,
    torch,
    torch.linalg,
    torch.fft,
    torch.special,
    operator,
    math,
)
"""Modules under whose names people know functions that do not know it themselves, such as builtins of `torch._C`.

The first one that holds a function names it: `torch.conv2d` and `torch.nn.functional.conv2d` are one object.
"""


def resolve(path: str) -> Any:
    """Return the object at an import path, importing its module.

    >>> resolve("operator:add")(1, 2)
    3

    Raises:
        GraphNASError: The path is malformed, the module cannot be imported, or it lacks the name.
    """
    try:
        return pkgutil.resolve_name(path)
    except ImportError as error:
        reason = f"its module cannot be imported: {error}"
    except AttributeError as error:
        reason = f"its module does not have it: {error}"
    except ValueError:
        reason = "it is not of the form 'module:qualname', such as 'torch.nn:Conv2d'"
    raise GraphNASError(
        f"cannot resolve {path!r}: {reason}; install the package it comes from, or correct the path"
    ) from None


def path_of(value: object) -> str:
    """Return the import path by which `value` is best known, checked by resolving it again.

    The shortest public name wins: a class or function that a package exports is named by the package, and a builtin of
    `torch._C` by the module that documents it.

    >>> path_of(torch.nn.modules.conv.Conv2d), path_of(torch.cat), path_of(torch.nn.functional.gelu)
    ('torch.nn:Conv2d', 'torch:cat', 'torch.nn.functional:gelu')

    Raises:
        GraphNASError: No import path leads to the object: a lambda, a partial, or something defined inside a function.
    """
    known = _PATHS.get(id(value))
    if known is not None and known[0] is value and _holds(known[1], value):
        return known[1]
    for path in _candidates(value):
        if _holds(path, value):
            if len(_PATHS) >= _MAX_PATHS:
                _PATHS.pop(next(iter(_PATHS)))
            _PATHS[id(value)] = (value, path)
            return path
    raise GraphNASError(
        f"{_describe(value)} cannot be imported by any name, so no source could refer to it; define it at the top "
        "level of a module"
    )


def instantiate(spec: ModuleSpec, device: torch.device | str | None = None) -> nn.Module:
    """Return the module that a leaf stands for, freshly initialised, its `frozen` parameters without gradient.

    Args:
        spec: The leaf.
        device: Where its tensors are created, `meta` to allocate nothing; None is torch's default device.

    Raises:
        GraphNASError: The class cannot be resolved, is no `nn.Module`, or refuses the arguments.
    """
    kind = resolve(spec.target)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise GraphNASError(f"{spec.target} is {_describe(kind)}, expected a subclass of torch.nn.Module")
    try:
        with nullcontext() if device is None else torch.device(device):
            args = [thaw(item, resolve) for item in spec.args]
            kwargs = {name: thaw(item, resolve) for name, item in spec.kwargs.items()}
            module = kind(*args, **kwargs)
            for wrapper in spec.wrappers:
                wrap = resolve(wrapper.path)
                module = wrap(module, *thaw(wrapper.args, resolve), **thaw(wrapper.kwargs, resolve))
        for name in spec.frozen:
            module.get_parameter(name).requires_grad_(False)
    except Exception as error:
        raise GraphNASError(
            f"{format_spec(spec)} cannot be constructed: {type(error).__name__}: {error}; correct its arguments"
        ) from error
    return module


def format_spec(spec: ModuleSpec) -> str:
    """Return a leaf as its constructor call.

    >>> format_spec(ModuleSpec("torch.nn:Linear", (8, 4)))
    'Linear(8, 4)'
    """
    given = [format_literal(item) for item in spec.args]
    given += [f"{name}={format_literal(item)}" for name, item in spec.kwargs.items()]
    text = f"{spec.type}({', '.join(given)})"
    for wrapper in spec.wrappers:
        rest = [format_literal(item) for item in wrapper.args]
        rest += [f"{name}={format_literal(item)}" for name, item in wrapper.kwargs.items()]
        text = f"{wrapper.path.rpartition(':')[2]}({', '.join([text, *rest])})"
    return text


_MAX_PATHS = 8192
_PATHS: dict[int, tuple[object, str]] = {}
"""Paths found so far, by identity; the objects are kept, so that no identity is given out anew."""


def _holds(path: str, value: object) -> bool:
    module, _, qualname = path.partition(":")
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        # Not getattr on a module: packages answer names that they do not hold by importing, or with a warning.
        found = vars(found).get(name) if isinstance(found, ModuleType) else getattr(found, name, None)
    return found is value


def _candidates(value: object) -> Iterator[str]:
    if isinstance(value, enum.Enum):
        for path in _candidates(type(value)):
            yield f"{path}.{value.name}"
        return
    if isinstance(value, torch._ops.OpOverload):
        yield f"torch:ops.{value.namespace}.{value._schema.name.partition('::')[2]}.{value._overloadname}"
        return
    known = _functions_by_id().get(id(value))
    if known is not None:
        yield known
    name, module = getattr(value, "__name__", None), getattr(value, "__module__", None)
    qualname = getattr(value, "__qualname__", name)
    if isinstance(module, str) and isinstance(qualname, str):
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            prefix = ".".join(parts[:length])
            yield f"{prefix}:{qualname}"
            if name != qualname and isinstance(name, str):
                yield f"{prefix}:{name}"
    if isinstance(name, str):
        yield f"torch:Tensor.{name}"


@cache
def _functions_by_id() -> dict[int, str]:
    found: dict[int, str] = {}
    for home in _HOMES:
        public = [(name, item) for name, item in vars(home).items() if not name.startswith("_")]
        functions = [(name, item) for name, item in public if callable(item) and not isinstance(item, type)]
        # A function that stands there twice, once as an alias, goes by its own name.
        functions.sort(key=lambda pair: (getattr(pair[1], "__name__", "") != pair[0], pair[0]))
        for name, item in functions:
            found.setdefault(id(item), f"{home.__name__}:{name}")
    return found


def _describe(value: object) -> str:
    name = getattr(value, "__qualname__", None)
    module = getattr(value, "__module__", None)
    return f"{module}.{name}" if name and module else f"a {type(value).__module__}.{type(value).__qualname__}"
