"""Small functions over values and modules, recorded as expressions: the two sides of a declarative mutator.

A function is called with a stand-in for each parameter. A parameter that is annotated with a module class is a module,
any other one a value. Values record what torch functions, operators, methods and modules do to them.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx
from torch import nn
from torch.fx.proxy import GraphAppendingTracer

from graphnas.errors import ConfigError, GraphNASError
from graphnas.ir.calls import canonical_call
from graphnas.ir.graph import Operation
from graphnas.ir.literal import Argument, FrozenDict, FrozenList, Value, freeze
from graphnas.ir.resolve import path_of
from graphnas.ir.trace.patch import ACTIVE, calls_reach_tracers


@dataclass(frozen=True)
class Parameter:
    """A parameter of such a function: classes of the module that it stands for, empty for a value."""

    name: str
    classes: tuple[type[nn.Module], ...]


@dataclass(frozen=True, eq=False)
class Expression:
    """One step that a function takes.

    Attributes:
        name: Name of its value, for use in later steps.
        operation: What it does. For a call of a module, the target is the name of the parameter, or empty for a module
            that the function made itself.
        module: The module that the function made.
        args: Positional arguments; parameters that are values are values of their name.
        kwargs: Keyword arguments.
    """

    name: str
    operation: Operation
    module: nn.Module | None
    args: tuple[Argument, ...]
    kwargs: FrozenDict[Argument]


@dataclass(frozen=True, eq=False)
class Recording:
    """What a function does: its steps in order, and the value that it returns."""

    steps: tuple[Expression, ...]
    output: Value


def parameters_of(function: Callable[..., Any], what: str) -> tuple[Parameter, ...]:
    """Return the parameters of a function.

    Args:
        function: The function.
        what: What it is for, for messages.

    Raises:
        ConfigError: It takes `*args` or `**kwargs`, or an annotation cannot be resolved.
    """
    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{what}: the annotations of {_named(function)} cannot be read: {error}; import the classes that they name "
            "at the top of its file",
            field=what,
        ) from None
    found = []
    for name, item in signature.parameters.items():
        if item.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise ConfigError(f"{what}: {_named(function)} takes {item}, expected parameters by name", field=what)
        found.append(Parameter(name, tuple(_module_classes(hints.get(name)))))
    return tuple(found)


def record(function: Callable[..., Any], parameters: Mapping[str, Any], what: str) -> Recording:
    """Call a function with stand-ins, and return what it does.

    Args:
        function: The function.
        parameters: By name of the parameter, None for a value, and for a module what answers for its attributes.
        what: What it is for, for messages.

    Raises:
        ConfigError: It decides by a value, returns anything but one value, or calls what has no import path.
    """
    graph = torch.fx.Graph()
    tracer = GraphAppendingTracer(graph)
    recorder = _Recorder(tracer)
    values: dict[str, Any] = {}
    names: dict[torch.fx.Node, str] = {}
    for name, module in parameters.items():
        if module is None:
            values[name] = torch.fx.Proxy(graph.placeholder(name), tracer)
            names[values[name].node] = name
        else:
            values[name] = _ModuleHole(name, module, recorder)
    try:
        with _active(recorder):
            result = function(**values)
        if not isinstance(result, torch.fx.Proxy):
            raise ConfigError(f"{what}: {_named(function)} returned {result!r:.100}, expected one value", field=what)
        steps = tuple(_step(node, names, recorder) for node in graph.nodes if node.op != "placeholder")
    except (torch.fx.proxy.TraceError, GraphNASError, AttributeError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{what}: {_named(function)} cannot be recorded: {error}", field=what) from error
    return Recording(steps, Value(names[result.node]))


class _Recorder:
    """Takes the calls of modules that are made while a function is recorded."""

    def __init__(self, tracer: GraphAppendingTracer) -> None:
        self.tracer = tracer
        self.modules: dict[torch.fx.Node, nn.Module] = {}

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not any(isinstance(item, torch.fx.Proxy) for item in (*args, *kwargs.values())):
            return forward(*args, **kwargs)
        proxy = self.tracer.create_proxy("call_module", "made", args, kwargs)
        self.modules[proxy.node] = m
        return proxy

    def call_unseen(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Nothing is run here that could go unseen."""

    def made_constant(self, tensor: torch.Tensor, data: torch.Tensor) -> None:
        """No fake tensors are made here."""


class _ModuleHole:
    """Stands for a module: it can be called, and its attributes read."""

    def __init__(self, name: str, module: Any, recorder: _Recorder) -> None:
        self.__dict__.update(_name=name, _module=module, _recorder=recorder)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._recorder.tracer.create_proxy("call_module", self._name, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if self.__dict__["_module"] is None or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_module"], name)


@contextmanager
def _active(recorder: _Recorder) -> Iterator[None]:
    token = ACTIVE.set(recorder)
    try:
        with calls_reach_tracers():
            yield
    finally:
        ACTIVE.reset(token)


def _step(node: torch.fx.Node, names: dict[torch.fx.Node, str], recorder: _Recorder) -> Expression:
    args, kwargs = node.args, dict(node.kwargs)
    made = recorder.modules.get(node)
    target: Any = node.target
    if node.op == "call_module":
        operation = Operation("module", "" if made is not None else str(target))
    elif target is getattr:
        operation, args = Operation("field", str(args[1])), args[:1]
    else:
        if node.op == "call_method":
            target = getattr(torch.Tensor, str(target), target)
        function = target
        if callable(target):
            _, function, args = canonical_call(target, args, kwargs)
        is_method = isinstance(function, str)
        operation = Operation("method", function) if is_method else Operation("function", path_of(function))
    names[node] = f"_{len(names)}"
    given = tuple(_argument(item, names) for item in args)
    return Expression(
        names[node], operation, made, given, FrozenDict((key, _argument(item, names)) for key, item in kwargs.items())
    )


def _argument(item: Any, names: dict[torch.fx.Node, str]) -> Argument:
    if isinstance(item, torch.fx.Node):
        return Value(names[item])
    if isinstance(item, list):
        return FrozenList(_argument(part, names) for part in item)
    if isinstance(item, tuple) and not isinstance(item, torch.Size):
        return tuple(_argument(part, names) for part in item)
    if isinstance(item, slice):
        return slice(*(_argument(part, names) for part in (item.start, item.stop, item.step)))
    return freeze(item)


def _module_classes(hint: Any) -> Iterator[type[nn.Module]]:
    if isinstance(hint, type) and issubclass(hint, nn.Module):
        yield hint
    elif typing.get_origin(hint) in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from _module_classes(part)


def _named(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
