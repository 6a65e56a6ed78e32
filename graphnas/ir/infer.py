"""Types of values without running anything: definitions are interpreted over tensors that have no data.

A tensor is carried as its metadata, and what an operation made of the same metadata before is remembered, so that
torch's fake tensors are built only for what was never seen. Whole definitions are remembered too, by key and by the
metadata of their inputs: after an edit only changed definitions, and those whose inputs changed, are interpreted again.

What belongs here: from types of inputs to types of everything. What does not: whether a model is well formed, which
`graphnas.ir.verify` checks before it asks for types.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)

from graphnas.errors import GraphNASError, VerificationError
from graphnas.ir.abstract import (
    OPAQUE,
    TensorMeta,
    Unknown,
    abstract,
    bind,
    concrete,
    fake_of,
    has_unknown,
    key_of,
    type_of,
    value_of,
)
from graphnas.ir.effects import GRAD_SWITCH
from graphnas.ir.graph import Graph, Guard, Input, Node, Operation
from graphnas.ir.invariants import Invariant
from graphnas.ir.leaves import built_on_meta, is_plain, plain_result
from graphnas.ir.literal import Argument, FrozenDict, Value, format_literal
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition, ModuleSpec, join
from graphnas.ir.ones import learnt_from_ones, quiet
from graphnas.ir.resolve import format_spec, instantiate, resolve
from graphnas.ir.types import ScalarType, Type

__all__ = [
    "Executed",
    "Inferred",
    "attribute_type",
    "execute",
    "expression_type",
    "fake_of",
    "infer",
    "leaf_module",
    "node_type",
    "same_type",
    "type_of",
]


@dataclass(frozen=True, eq=False)
class FlippedGuard:
    """A guard whose value is no longer what it was; `path` is that of the definition, `now` the value that it has."""

    path: str
    graph: Graph
    guard: Guard
    now: object


@dataclass(frozen=True, eq=False)
class Executed:
    """One operation that was executed on fake tensors.

    Attributes:
        value: What it gave, fake tensors where there are tensors.
        given: The fake tensor that stood for each metadata among the arguments, by the identity of the metadata.
    """

    value: Any
    given: Mapping[int, FakeTensor]


@dataclass(frozen=True, eq=False)
class Inferred:
    """What one call of a definition gives.

    Attributes:
        graph: The graph that was interpreted: that of the mode.
        inputs: Types of the inputs, in their order.
        nodes: Types of the nodes, in their order.
        output: Type of what is returned.
        result: What is returned, as metadata.
        calls: First calls of definitions below, by path and forward number, in the order of execution.
        agrees: Whether the types that the graphs record, here and below, are these.
        flipped: Guards, here and below, that no longer hold.
    """

    graph: Graph
    inputs: tuple[Type, ...]
    nodes: tuple[Type, ...]
    output: Type
    result: Any
    calls: Mapping[tuple[str, int], Inferred]
    agrees: bool
    flipped: tuple[FlippedGuard, ...]


def infer(
    definition: Definition, forward: int = 0, inputs: Sequence[Type] | None = None, *, training: bool = False
) -> Inferred:
    """Return the types of all values of one call of a definition.

    Args:
        definition: What is called.
        forward: Number of the forward.
        inputs: Types of its inputs, tensors taken as contiguous; by default those that the graph records.
        training: Whether the modules are in train mode.

    Raises:
        VerificationError: An operation cannot be executed on the types that it gets (invariant 14).
    """
    graph = _graph_of(definition, forward, training)
    types = [item.type for item in graph.inputs] if inputs is None else list(inputs)
    with _ENGINE.lock:
        return _ENGINE.call(definition, forward, [value_of(item) for item in types], training, "")


def expression_type(graph: Graph) -> Type:
    """Return the type of what an initial expression, a graph without inputs, yields.

    Raises:
        VerificationError: An operation in it cannot be executed (invariant 14).
    """
    with _ENGINE.lock, torch.no_grad():
        return _ENGINE.call(Definition("expression"), 0, [], False, "", graph).output


def node_type(definition: Definition, node: Node, operands: Mapping[str, Type]) -> Type:
    """Return the type of one node of a definition, from those of its operands by name.

    Raises:
        VerificationError: The operation cannot be executed on them (invariant 14).
    """
    graph = Graph(tuple(Input(name, item) for name, item in operands.items()), (node,), node.value)
    with _ENGINE.lock:
        return _ENGINE.call(definition, 0, [value_of(item) for item in operands.values()], False, "", graph).output


def attribute_type(definition: Definition, path: str) -> Type | None:
    """Return the type of what stands at a path below a definition, other than a module; None if nothing does."""
    with _ENGINE.lock:
        try:
            return type_of(_ENGINE.attribute(definition, path))
        except (AttributeError, KeyError, GraphNASError):
            return None


def leaf_module(spec: ModuleSpec) -> torch.nn.Module:
    """Return the module of a leaf, its tensors without data; it is shared by all who ask, and not to be changed.

    Raises:
        GraphNASError: The leaf cannot be constructed.
    """
    with _ENGINE.lock:
        return _ENGINE._leaf(spec)


def execute(
    operation: Operation,
    leaf: ModuleSpec | None,
    args: Any,
    kwargs: Any,
    *,
    training: bool = False,
    watch: AbstractContextManager[Any] | None = None,
) -> Executed:
    """Execute one operation on tensors without data, anew each time.

    Args:
        operation: A call of a leaf, function or method, or the read of a field.
        leaf: What a `module` operation calls.
        args: Abstract values of the positional arguments.
        kwargs: Those of the keyword arguments.
        training: The mode of a leaf.
        watch: Entered while the operation runs.

    Raises:
        Exception: What torch raises: the operation cannot be executed, or its result hangs on data.
    """
    with _ENGINE.lock:
        return _ENGINE.execute(operation.kind, operation.target, leaf, args, kwargs, training, watch)


def clear_caches() -> None:
    """Forget everything seen so far; only measurements of a cold start need this."""
    with _ENGINE.lock:
        _ENGINE.__init__()  # type: ignore[misc]  # the lock is held by this thread and replaced with the rest


def _graph_of(definition: Definition, forward: int, training: bool) -> Graph:
    found = definition.forwards[forward]
    return found.train if training and found.train is not None else found.eval


class _Engine:
    """The interpreter and what it remembers. One per process, entered by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.calls: LRU[Inferred] = LRU(8192)
        self.results: LRU[Any] = LRU(65536)
        self.leaves: LRU[torch.nn.Module] = LRU(4096)

    def call(
        self,
        definition: Definition,
        forward: int,
        inputs: Sequence[Any],
        training: bool,
        path: str,
        graph: Graph | None = None,
    ) -> Inferred:
        """Return what a call with `inputs` gives, from memory if it was seen before."""
        keys = tuple(key_of(item) for item in inputs)
        what: tuple[object, ...] = (definition.key, forward) if graph is None else (definition.key, graph.key)
        memo = None if OPAQUE in keys else (what, training, keys)
        found = self.calls.get(memo)
        if found is None:
            body = _graph_of(definition, forward, training) if graph is None else graph
            found = self._interpret(definition, body, inputs, training, path)
            self.calls.put(memo, found)
        return found

    def _interpret(
        self, definition: Definition, graph: Graph, inputs: Sequence[Any], training: bool, path: str
    ) -> Inferred:
        env = {item.name: value for item, value in zip(graph.inputs, inputs, strict=True)}
        keys = {name: key_of(value) for name, value in env.items()}
        types: list[Type] = []
        calls: dict[tuple[str, int], Inferred] = {}
        flipped: list[FlippedGuard] = []
        agrees = True
        for node in graph.nodes:
            callee = definition.child(node.operation.target) if node.operation.kind == "module" else None
            if isinstance(callee, Definition):
                called = self._call_child(callee, node, env, training, path)
                first = calls.setdefault((node.operation.target, node.operation.forward), called)
                agrees = agrees and (first is not called or called.agrees)
                below = node.operation.target
                flipped += [
                    FlippedGuard(join(below, item.path), item.graph, item.guard, item.now) for item in called.flipped
                ]
                value = called.result
            else:
                value = self._evaluate(definition, callee, node, env, keys, training, path)
            env[node.name] = value
            keys[node.name] = key_of(value)
            # `self.training` is recorded as in eval mode in both graphs, so that what they have in common is the same.
            found = ScalarType(False) if node.operation.kind == "training" else type_of(value)
            types.append(found)
            agrees = agrees and same_type(found, node.type)
        given = tuple(type_of(env[item.name]) for item in graph.inputs)
        agrees = agrees and all(same_type(a, item.type) for a, item in zip(given, graph.inputs, strict=True))
        for guard in graph.guards:
            now = env[guard.value]
            if not isinstance(now, Unknown) and not same_type(type_of(now), ScalarType(guard.outcome)):
                flipped.append(FlippedGuard("", graph, guard, now))
        result = bind(graph.output, env)
        return Inferred(graph, given, tuple(types), type_of(result), result, calls, agrees, tuple(flipped))

    def _call_child(self, callee: Definition, node: Node, env: dict[str, Any], training: bool, path: str) -> Inferred:
        graph = _graph_of(callee, node.operation.forward, training)
        given = iter(node.args)
        inputs = [
            bind(node.kwargs[item.name] if item.name in node.kwargs else next(given), env) for item in graph.inputs
        ]
        where = join(path, node.operation.target)
        return self.call(callee, node.operation.forward, inputs, training, where)

    def _evaluate(
        self,
        definition: Definition,
        leaf: ModuleSpec | None,
        node: Node,
        env: dict[str, Any],
        keys: dict[str, Any],
        training: bool,
        path: str,
    ) -> Any:
        kind, target = node.operation.kind, node.operation.target
        if kind == "training":
            return training
        if kind == "assign":
            return bind(node.args[0], env)
        if target == GRAD_SWITCH:
            return value_of(node.type)  # types do not depend on it, and what is remembered would not switch it back
        if kind == "attribute":
            with self._located(definition, leaf, node, env, path):
                return self.attribute(definition, target)
        key = (kind, target if leaf is None else leaf.key, training, _argument_key(node.args, node.kwargs, keys))
        memo = None if key[-1] is OPAQUE else key
        found = self.results.get(memo)
        if found is not None:
            return found[0]
        args, kwargs = bind(node.args, env), bind(node.kwargs, env)
        if has_unknown(args) or has_unknown(kwargs):
            return value_of(node.type)
        with self._located(definition, leaf, node, env, path):
            try:
                value = self._execute(kind, target, leaf, args, kwargs, training)
            except (DataDependentOutputException, DynamicOutputShapeException):
                # What hangs on the data of a tensor has no type but the one that was seen.
                return value_of(node.type)
        self.results.put(memo, (value,))
        return value

    def execute(
        self,
        kind: str,
        target: str,
        leaf: ModuleSpec | None,
        args: Any,
        kwargs: Any,
        training: bool,
        watch: AbstractContextManager[Any] | None = None,
    ) -> Executed:
        seen: dict[int, FakeTensor] = {}
        args = concrete(args, self.mode, seen)
        kwargs = {name: concrete(item, self.mode, seen) for name, item in kwargs.items()}
        module = self._leaf(leaf).train(training) if leaf is not None else None
        with self.mode, torch.no_grad(), quiet(), watch or nullcontext():
            if module is not None:
                value = module(*args, **kwargs)
            elif kind == "function":
                value = self._call(resolve(target), args, kwargs)
            elif kind == "method":
                value = getattr(args[0], target)(*args[1:], **kwargs)
            else:
                value = getattr(args[0], target)
        return Executed(value, seen)

    def _execute(self, kind: str, target: str, leaf: ModuleSpec | None, args: Any, kwargs: Any, training: bool) -> Any:
        if target == "operator:getitem" and type(args[0]) in (tuple, list, dict, torch.Size):
            return args[0][args[1]]
        plain = None if leaf is None else self._plain(leaf)
        if plain is not None:
            found = plain_result(plain.train(training), args, kwargs)
            if found is not None:
                return found
        return abstract(self.execute(kind, target, leaf, args, kwargs, training).value)

    def _call(self, function: Any, args: Any, kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            raise
        except (RuntimeError, NotImplementedError):
            learnt = learnt_from_ones(function, args, kwargs, self.mode)
            if learnt is None:
                raise
            return learnt

    def _plain(self, spec: ModuleSpec) -> torch.nn.Module | None:
        """Return a leaf on the meta device if it is a plain layer."""
        if not spec.target.startswith("torch.nn:") or spec.wrappers:
            return None
        module = built_on_meta(spec)
        return module if is_plain(module) else None

    def _leaf(self, spec: ModuleSpec) -> torch.nn.Module:
        module = self.leaves.get(spec.key)
        if module is None:
            module = self._build(spec)
            self.leaves.put(spec.key, module)
        return module

    def _build(self, spec: ModuleSpec) -> torch.nn.Module:
        if not spec.target.startswith("torch.nn:"):
            try:
                with self.mode:
                    return instantiate(spec)
            except GraphNASError:
                # A constructor that computes with numbers out of tensors needs real ones.
                return instantiate(spec)
        module = instantiate(spec, "meta")
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None and not isinstance(parameter, torch.nn.UninitializedParameter):
                    fake = FakeTensor(self.mode, parameter.detach(), torch.device("cpu"))
                    part._parameters[name] = torch.nn.Parameter(fake, parameter.requires_grad)
            for name, buffer in part._buffers.items():
                if buffer is not None and not isinstance(buffer, torch.nn.UninitializedBuffer):
                    part._buffers[name] = FakeTensor(self.mode, buffer, torch.device("cpu"))
        return module

    def attribute(self, definition: Definition, path: str) -> Any:
        """Return a parameter, buffer or constant as an abstract value, `KeyError` or `AttributeError` if missing."""
        found: Definition | ModuleSpec = definition
        names = path.split(".")
        while names and isinstance(found, Definition) and names[0] in found.children:
            found = found.children[names.pop(0)]
        name = ".".join(names)
        if isinstance(found, Definition):
            if name in found.parameters:
                parameter = found.parameters[name]
                return TensorMeta.contiguous(parameter.type, leaf_grad=parameter.requires_grad)
            if name in found.buffers:
                return TensorMeta.contiguous(found.buffers[name].type)
            if found.base is None:
                raise KeyError(path)
            found = found.base
        plain = self._plain(found)
        value: Any = self._leaf(found) if plain is None else plain
        for part in names:
            value = getattr(value, part)
        meta = abstract(value)
        return meta._replace(device="cpu") if plain is not None and type(meta) is TensorMeta else meta

    @contextmanager
    def _located(
        self, definition: Definition, leaf: ModuleSpec | None, node: Node, env: dict[str, Any], path: str
    ) -> Iterator[None]:
        """Turn whatever an operation raises into an error that names the node and what it got."""
        try:
            yield
        except (DataDependentOutputException, DynamicOutputShapeException, VerificationError):
            raise
        except Exception as error:
            what = format_spec(leaf) if leaf is not None else str(node.operation)
            got = ", ".join(
                [_described(item, env) for item in node.args]
                + [f"{name}={_described(item, env)}" for name, item in node.kwargs.items()]
            )
            site = f"{path}:{node.name}"
            at = f" ({node.location})" if node.location else ""
            raise VerificationError(
                f"invariant {Invariant.EXECUTABLE:d}: {site}{at}: {what} cannot be applied to ({got}): "
                f"{str(error).strip() or type(error).__name__}",
                invariant=Invariant.EXECUTABLE,
                site=site,
            ) from error


def same_type(a: Type, b: Type) -> bool:
    """Tell whether two types are the same; `1`, `1.0` and `True` differ, and NaN is itself."""
    if isinstance(a, ScalarType) and isinstance(b, ScalarType):
        return type(a.value) is type(b.value) and (a.value == b.value or repr(a.value) == repr(b.value))
    return a == b


def _described(argument: Argument, env: Mapping[str, Any]) -> str:
    if isinstance(argument, Value):
        return f"{argument}: {type_of(env[argument.name])}"
    if isinstance(argument, tuple):
        inner = ", ".join(_described(item, env) for item in argument)
        return f"({inner})" if type(argument) is tuple else f"[{inner}]"
    return format_literal(argument)


def _argument_key(args: tuple[Argument, ...], kwargs: FrozenDict[Argument], keys: Mapping[str, Any]) -> Any:
    given = tuple(key_of(item, keys) for item in args)
    named = tuple((name, key_of(item, keys)) for name, item in kwargs.items())
    if OPAQUE in given or any(item is OPAQUE for _, item in named):
        return OPAQUE
    return (given, named)


_ENGINE = _Engine()
