"""Arguments of calls while tracing: bound to signatures, taken apart, and freed of symbolic numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from graphnas.errors import TraceError
from graphnas.ir.source import Place
from graphnas.ir.trace.symbolic import Symbolic, TracedSize, TracedTraining, plain


def plain_argument(value: Any) -> Any:
    """Return an argument with plain numbers in place of symbolic ones."""
    if isinstance(value, Symbolic):
        return value.tracer.training if isinstance(value, TracedTraining) else value.value  # type: ignore[attr-defined]  # the tracer has the mode
    if isinstance(value, TracedSize):
        return torch.Size(plain(item) for item in value)
    if type(value) is tuple:
        return tuple(plain_argument(item) for item in value)
    if type(value) is list:
        return [plain_argument(item) for item in value]
    if type(value) is dict:
        return {key: plain_argument(item) for key, item in value.items()}
    if type(value) is slice:
        return slice(plain_argument(value.start), plain_argument(value.stop), plain_argument(value.step))
    return value


def bind_arguments(
    forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], module: nn.Module, place: Place
) -> list[tuple[str, Any, bool]]:
    """Return name, value and whether keyword-only of each argument of a call, in the order of the signature."""
    try:
        bound = inspect.signature(forward).bind(*args, **kwargs)
    except TypeError as error:
        raise TraceError(
            f"{place.location or 'example inputs'}: {type(module).__name__}.forward {error}; "
            "pass what its signature asks for",
            location=place.location,
        ) from None
    found: list[tuple[str, Any, bool]] = []
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            single = len(value) == 1
            found += [(name if single else f"{name}_{index}", item, False) for index, item in enumerate(value)]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            found += [(key, item, False) for key, item in value.items()]
        else:
            found.append((name, value, kind is inspect.Parameter.KEYWORD_ONLY))
    return found


def tensor_paths(root: nn.Module, paths: Mapping[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    """Return the paths of every parameter, buffer and plain tensor attribute, by identity."""
    found: dict[int, tuple[str, ...]] = {}
    for module in root.modules():
        for prefix in paths.get(id(module), ()):
            for name, value in own_tensors(module):
                path = f"{prefix}.{name}" if prefix else name
                found[id(value)] = (*found.get(id(value), ()), path)
    return found


def own_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield name and tensor of a module's own parameters, buffers and plain tensor attributes."""
    for name, value in (*module._parameters.items(), *module._buffers.items(), *vars(module).items()):
        if isinstance(value, torch.Tensor):
            yield name, value
