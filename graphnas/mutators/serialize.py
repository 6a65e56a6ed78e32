"""Spaces as JSON: classes by reference, arguments as literals, example inputs by shape and dtype. Never a pickle.

Writing looks at names only. Reading imports the classes, which runs their modules, and is called for that purpose only.
"""

from __future__ import annotations

import math
import pkgutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch

from graphnas.errors import ConfigError
from graphnas.ir.types import dtype_from_name, dtype_name
from graphnas.mutators.constraint import Constraint
from graphnas.mutators.domain import Categorical, Domain
from graphnas.mutators.model_constraint import CostLimit, ModelConstraint
from graphnas.mutators.mutator import Mutator
from graphnas.mutators.numeric import IntRange, LogUniform, Uniform
from graphnas.mutators.scripts import load_script, script_of
from graphnas.mutators.subset import Subset

_SMALL = 4096
"""Integer tensors up to this many elements are kept with their content, since it may be an index."""


def code_reference(cls: type[Any] | Callable[..., Any]) -> str | dict[str, str] | None:
    """Return `module:qualname`, or file and name for code of the running script, or None if it has neither."""
    name, module = getattr(cls, "__qualname__", "<nameless>"), sys.modules.get(cls.__module__)
    if "<" in name or module is None or _attribute(module, name) is not cls:
        return None
    script = script_of(module)
    if script is not None:
        return {"file": str(script), "name": name}
    if cls.__module__ in ("__main__", "__mp_main__"):
        spec = getattr(module, "__spec__", None)  # there is one where it was run by `python -m`
        return None if spec is None else f"{spec.name}:{name}"
    return f"{cls.__module__}:{name}"


def resolve_class(reference: str | dict[str, str]) -> type[Any]:
    """Import the class of a reference; this runs its module.

    Raises:
        ConfigError: It is no longer there.
    """
    found = _resolved(reference)
    if not isinstance(found, type):
        raise ConfigError(f"{reference}: expected a class, found {found!r:.100}", field="class")
    return found


def write_arguments(value: Any) -> Any:
    """Return the JSON form of literals, mutators, and functions and classes that can be imported.

    Raises:
        TypeError: Something has no such form.
    """
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is list:
        return [write_arguments(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [write_arguments(item) for item in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: write_arguments(item) for key, item in value.items()}}
    if isinstance(value, Mutator):
        return {"call": write_call(type(value), *value.arguments)}
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return {"code": write_function(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def write_constraint(constraint: Constraint | ModelConstraint) -> Any:
    """Return the JSON form of a constraint.

    Raises:
        TypeError: It is a lambda or a closure, which cannot be imported.
    """
    if isinstance(constraint, CostLimit):
        return {"costs": constraint.limits}
    written = write_function(constraint.predicate)
    return {"model": written} if isinstance(constraint, ModelConstraint) else {"decisions": written}


def read_constraint(data: Mapping[str, Any]) -> Callable[..., Any] | ModelConstraint:
    """Return the constraint that `write_constraint` wrote; this imports its function.

    Raises:
        ConfigError: The function is no longer there.
    """
    if "costs" in data:
        return CostLimit(**data["costs"])
    return ModelConstraint(read_function(data["model"])) if "model" in data else read_function(data["decisions"])


def write_function(function: Callable[..., Any]) -> str | dict[str, str]:
    """Return the JSON form of a function.

    Raises:
        TypeError: It is a lambda or a closure, which cannot be imported.
    """
    reference = code_reference(function)
    if reference is None:
        raise TypeError(f"{function!r} cannot be imported")
    return reference


def read_function(reference: str | dict[str, str]) -> Callable[..., Any]:
    """Import the function of a reference; this runs its module.

    Raises:
        ConfigError: It is no longer there.
    """
    found = _resolved(reference)
    if not callable(found):
        raise ConfigError(f"{reference}: expected a function, found {found!r:.100}", field="constraints")
    return found  # type: ignore[no-any-return]  # what was imported has no type


def _resolved(reference: str | dict[str, str]) -> Any:
    try:
        if isinstance(reference, str):
            return pkgutil.resolve_name(reference)
        return _attribute(load_script(Path(reference["file"])), reference["name"])
    except (ImportError, AttributeError, OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{reference}: it cannot be found again: {error}", field="class") from error


def write_call(kind: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON form of a call of a class.

    Raises:
        TypeError: The class cannot be imported, or an argument has no such form.
    """
    reference = code_reference(kind)
    if reference is None:
        raise TypeError(f"{kind.__qualname__} cannot be imported")
    return {
        "class": reference,
        "args": [write_arguments(item) for item in args],
        "kwargs": {name: write_arguments(item) for name, item in kwargs.items()},
    }


def read_call(data: Mapping[str, Any]) -> tuple[type[Any], tuple[Any, ...], dict[str, Any]]:
    """Return the class and the arguments of a call that `write_call` wrote.

    Raises:
        ConfigError: The class is no longer where it was.
    """
    kwargs = {name: read_arguments(item) for name, item in data["kwargs"].items()}
    return resolve_class(data["class"]), tuple(read_arguments(item) for item in data["args"]), kwargs


def read_arguments(data: Any) -> Any:
    """Return what `write_arguments` wrote; this imports the classes and functions that it names."""
    if isinstance(data, list):
        return [read_arguments(item) for item in data]
    if isinstance(data, dict):
        if "tuple" in data:
            return tuple(read_arguments(item) for item in data["tuple"])
        if "call" in data:
            kind, args, kwargs = read_call(data["call"])
            return kind(*args, **kwargs)
        if "code" in data:
            return read_function(data["code"])
        return {key: read_arguments(item) for key, item in data["dict"].items()}
    return data


def write_tensor(value: Any) -> Any:
    """Return the JSON form of an example input: a tensor by shape and dtype, anything else as a literal.

    Raises:
        TypeError: It has no such form.
    """
    if not isinstance(value, torch.Tensor):
        return {"value": write_arguments(value)}
    form: dict[str, Any] = {"shape": list(value.shape), "dtype": dtype_name(value.dtype)}
    if (
        not value.dtype.is_floating_point
        and not value.dtype.is_complex
        and value.numel() <= _SMALL
        and not value.is_meta
    ):
        form["data"] = value.flatten().tolist()
    return form


def read_tensor(data: dict[str, Any]) -> Any:
    """Return the example input that `write_tensor` wrote; contents that were not kept are zeros."""
    if "value" in data:
        return read_arguments(data["value"])
    dtype = dtype_from_name(data["dtype"])
    if "data" in data:
        return torch.tensor(data["data"], dtype=dtype).reshape(data["shape"])
    return torch.zeros(data["shape"], dtype=dtype)


_DOMAINS: dict[str, type[Categorical | IntRange | Subset | Uniform]] = {
    "categorical": Categorical,
    "subset": Subset,
    "int_range": IntRange,
    "uniform": Uniform,
    "loguniform": LogUniform,
}


def read_domain(data: Mapping[str, Any]) -> Domain:
    """Return the domain that its `to_json` described.

    Raises:
        ConfigError: There is no such kind of domain.
    """
    kind = _DOMAINS.get(data.get("type", ""))
    if kind is None:
        raise ConfigError(
            f"type: {data.get('type')!r} is no kind of domain; expected one of {', '.join(_DOMAINS)}", field="type"
        )
    return kind.from_json(data)


def _attribute(home: Any, name: str) -> Any:
    for part in name.split("."):
        home = getattr(home, part, None)
    return home
