"""Graphs that torch made: `GraphModule`s of torch.fx and exported programs, as modules that can be traced like others.

They are traced like modules that a person wrote. What is particular to them: their classes, which torch makes up; the
names of variables in their code, which say what is computed and no more; the plain modules that they put where the
original had its own; and operators of `torch.ops`, which go by the names that people use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.fx
from torch import nn
from torch._ops import OpOverload

from graphnas.errors import TraceError

GENERATED = "<eval_with_key>"
"""How torch.fx names the files of code that it generates."""


def module_and_inputs(
    source: nn.Module | torch.export.ExportedProgram,
    args: Sequence[Any] | torch.Tensor | None,
    kwargs: dict[str, Any],
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """Return the module to trace and what to call it on; an exported program has example inputs of its own.

    Raises:
        TraceError: It is no module, or there are no example inputs.
    """
    if isinstance(source, torch.export.ExportedProgram):
        if args is None and source.example_inputs is not None:
            args, kwargs = source.example_inputs[0], {**source.example_inputs[1], **kwargs}
        source = _module_of(source)
    elif not isinstance(source, nn.Module):
        raise TraceError(
            f"trace wants a torch.nn.Module or an exported program, got {type(source).__name__}; "
            "construct the model first"
        )
    elif isinstance(source, torch.fx.GraphModule) and "_guards_fn" in source._modules:
        raise TraceError("this is the module of an exported program; trace the exported program itself")
    if args is None:
        raise TraceError(f"trace wants example inputs for {class_name(source, '')}; pass what its forward takes")
    return source, (args,) if isinstance(args, torch.Tensor) else tuple(args), kwargs


def _module_of(program: torch.export.ExportedProgram) -> nn.Module:
    module = program.module(check_guards=False)
    # They check inputs against those of the export; what the graph itself depends on are guards of the trace.
    module._forward_pre_hooks.clear()
    module._forward_hooks.clear()
    name = next((_root_class(node) for node in program.graph.nodes if _root_class(node)), "")
    if name:
        type(module).__name__ = name  # torch makes a class for each such module
    return module


def _root_class(node: torch.fx.Node) -> str:
    for path, kind in (node.meta.get("nn_module_stack") or {}).values():
        if path == "":
            return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
    return ""


def is_made_up(module: nn.Module) -> bool:
    """Tell whether a class says nothing of a module: a graph's, or a plain `nn.Module` that only holds others."""
    return isinstance(module, torch.fx.GraphModule) or type(module) is nn.Module


def class_name(module: nn.Module, path: str) -> str:
    """Return the name of a module's class, or a name after its place where `nn.Module` itself says nothing."""
    if type(module) is not nn.Module or not path:
        return type(module).__name__
    names = path.split(".")
    first = next((index for index in reversed(range(len(names))) if not names[index].isdigit()), 0)
    words = re.split(r"\W|_", "_".join(names[first:]))
    return "".join(word[:1].upper() + word[1:] for word in words) or "Module"


def is_generated_name(node: torch.fx.Node, base: str) -> bool:
    """Tell whether the variable of a value was named by torch.fx, after what is computed: `getattr_1`, `conv1`."""
    hint = node.meta.get("hint", "")
    if not hint or not str(node.meta.get("location", "")).startswith(GENERATED):
        return False
    names = {base, str(node.target).replace(".", "_"), str(getattr(node.target, "__name__", "")).strip("_")}
    return any(name and re.fullmatch(rf"_?{re.escape(name)}(_default)?(_\d+)?", hint) for name in names)


def public_call(function: OpOverload, args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return the function of torch that people call for an operator, with its arguments; itself if there is none.

    Operators of aten and functions of torch are generated from the same declarations, so they take the same arguments.
    """
    if function.namespace != "aten":
        return function, args
    name = function._schema.name.partition("::")[2]
    if name == "sym_size":
        return torch.Tensor.size, args
    if name == "slice" and len(args) >= 3 and len(args) <= 5 and isinstance(args[1], int) and args[1] >= 0:
        return torch.Tensor.__getitem__, (args[0], _sliced(*args[1:]))
    if name == "index" and all(item is not None for item in args[1]):
        return torch.Tensor.__getitem__, (args[0], tuple(args[1]))
    method = getattr(torch.Tensor, name, None)
    first = function._schema.arguments[:1]
    takes_tensor = bool(first) and first[0].name == "self" and first[0].type.kind() == "TensorType"
    plain = getattr(torch, name, None) or getattr(torch._C._nn, name, None)
    if takes_tensor and callable(method) and (name in _OPERATORS or not callable(plain)):
        return method, args
    return (plain, args) if callable(plain) else (function, args)


_OPERATORS = frozenset(
    {"add", "sub", "mul", "div", "pow", "remainder", "matmul", "neg", "bitwise_not", "floor_divide"}
    | {"eq", "ne", "lt", "le", "gt", "ge", "bitwise_and", "bitwise_or", "bitwise_xor"}
)
"""What an operator of Python says as well; methods become operators further on."""

_LAST = 2**63 - 1


def _sliced(dim: int, start: Any = None, end: Any = None, step: Any = 1) -> tuple[Any, ...]:
    whole = slice(
        None if type(start) is int and start == 0 else start,
        None if type(end) is int and end == _LAST else end,
        None if type(step) is int and step == 1 else step,
    )
    return (*(slice(None) for _ in range(dim)), whole)
