"""The tracer: runs a model once on fake tensors and records every forward as an fx graph of its own.

It extends `torch.fx.Tracer` in two ways. A call of a module that is no leaf opens a nested graph, so the hierarchy is
that of the calls. And values are carried along: the model sees fake tensors, which are tensors to every `isinstance`,
have shapes, and cost nothing, while a `TorchFunctionMode` records what is done with them. Sizes are symbolic numbers
(`graphnas.ir.trace.symbolic`); a decision that needs their value is recorded as a guard.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import torch
import torch.fx
from torch import nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.overrides import TorchFunctionMode

from graphnas.errors import TraceError
from graphnas.ir.calls import canonical_call, is_getter, is_impure, without_defaults
from graphnas.ir.effects import RESHAPING
from graphnas.ir.literal import FrozenDict
from graphnas.ir.protocols import Expansion, expansion_of
from graphnas.ir.source import Place, boundary, current_place, is_called_by_user
from graphnas.ir.trace.admit import HostRandomness, forward_of_wrapper, plain_surroundings
from graphnas.ir.trace.arguments import bind_arguments, own_tensors, plain_argument
from graphnas.ir.trace.custom import running_function
from graphnas.ir.trace.data import DATA_READS
from graphnas.ir.trace.execution import Executor
from graphnas.ir.trace.imported import public_call
from graphnas.ir.trace.leaf import is_torch_leaf
from graphnas.ir.trace.patch import ACTIVE, calls_reach_tracers
from graphnas.ir.trace.recorder import FinishedNode, GraphRecorder
from graphnas.ir.trace.scope import Call, Constants, Scope
from graphnas.ir.trace.signals import ModeSwitchedError, OpenedLeafError
from graphnas.ir.trace.state import Change, StateWatch, assign_attribute, hangs_on_inputs
from graphnas.ir.trace.structure import is_record, leaves, snapshot, special_classes, without_objects
from graphnas.ir.trace.symbolic import TracedInt, TracedTraining

_SYMBOLIC_READS = frozenset({"size", "stride", "dim", "ndimension", "numel", "nelement", "__len__"})
_AS_MANY_AS_FIT = frozenset({"unbind", "split", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit"})
_KEPT_WITHOUT_RESULT = frozenset({"_set_grad_enabled", "_assert_async"})
_FURTHER_FORWARD = re.compile(r"forward_[1-9]\d*")
_RECORDED_FIELDS = frozenset({"T", "H", "mT", "mH", "real", "imag", "data"})


class ModuleTracer(GraphRecorder):
    """Records one run of a model in one mode.

    Attributes:
        failed_at: First path of the innermost module whose forward raised, None as long as none did.
        functions: Custom autograd functions that were traced, with the arguments of their first call.
        changes: What modules keep of the run besides what graphs assign.
    """

    def __init__(
        self,
        root: nn.Module,
        paths: Mapping[int, tuple[str, ...]],
        *,
        training: bool,
        executor: Executor,
        is_leaf: Callable[[nn.Module, str], bool],
        inlined: frozenset[str] = frozenset(),
        hashed: frozenset[str] = frozenset(),
        is_repeated: bool = False,
        forced_modes: Mapping[str, bool] = FrozenDict(),
        watch_randomness: bool = False,
        constants: Constants | None = None,
        examples: Mapping[int, torch.Tensor] = FrozenDict(),
        copies: Mapping[int, nn.Module] = FrozenDict(),
        builtin: Collection[tuple[int, str]] = (),
    ) -> None:
        super().__init__(
            root,
            paths,
            training=training,
            hashed=hashed,
            is_repeated=is_repeated,
            constants=constants,
            examples=examples,
            builtin=builtin,
        )
        self.executor = executor
        self.inlined = inlined
        self.failed_at: str | None = None
        self.functions: dict[type[torch.autograd.Function], tuple[Any, ...]] = {}
        self._grad_enabled = True  # as in plain surroundings
        self.changes: list[Change] = []
        self._is_leaf = is_leaf
        self._finished: list[Scope] = []
        self._training_flag = TracedTraining(self)
        self._forced_modes = forced_modes
        self._copies = copies
        self._watch_randomness = watch_randomness
        self._flags = self._set_flags()
        self._watch_forwards()
        self._watch = StateWatch((names[0], module) for module in root.modules() if (names := paths.get(id(module))))
        self._mode = _RecordingMode(self)
        self._inside_leaves = self._parts_of_leaves()

    # What fx asks of a tracer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module is called as it is."""
        return self._is_leaf(m, module_qualified_name)

    def path_of_module(self, mod: nn.Module) -> str:
        """Return the path of a module from the root.

        Raises:
            TraceError: The module is not part of the model.
        """
        paths = self.paths.get(id(mod), ())
        if not paths:
            raise TraceError(
                f"{current_place().location}: a {type(mod).__name__} is called that is not registered in the model; "
                "assign it to an attribute in the constructor",
                location=current_place().location,
            )
        scope = self._scope
        return next((path for path in paths if scope is None or scope.relative(path) is not None), paths[0])

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Record a call of a module, as a leaf or with a graph of its own."""
        if id(m) in self._copies:  # a function on the model has kept hold of the modules that it was made with
            return self._copies[id(m)](*args, **kwargs)
        if id(m) not in self.paths:  # made on the way, or kept in a plain list: its operations are those of the caller
            return forward(*args, **kwargs)
        path, first = self.path_of_module(m), self.paths[id(m)][0]
        if vars(m)["training"] is not self._flags[id(m)]:
            raise ModeSwitchedError(first, bool(m.training))
        if first in self.inlined or self._is_running(first):
            return forward(*args, **kwargs)
        if id(m) in self._inside_leaves:
            raise OpenedLeafError(self._inside_leaves[id(m)])
        expansion = expansion_of(m)
        if expansion is not None:
            return self._call_open(expansion, m, path, args, kwargs)
        if not self._is_leaf(m, first):
            return self._call_traced(m, path, forward_of_wrapper(m) or _forward_of(m), args, kwargs)
        if any(id(tensor) not in self._attributes for part in m.modules() for _, tensor in own_tensors(part)):
            raise OpenedLeafError(first)  # it is called with tensors in the place of its own
        place = current_place()
        self._refuse_records((args, kwargs))
        with self.paused(), self._in_eval_mode(m):
            result = self.executor.leaf(m, forward, plain_argument(args), plain_argument(kwargs))
        if not is_torch_leaf(m):
            self._watch.forget(m)  # what a leaf keeps is its own affair
        if not getattr(m, "inplace", False):
            result = self._apart(result, (args, kwargs))
        node = self._record("call_module", self._relative(path), args, kwargs, result, place)
        self._bind(result, node, place)
        return result

    def _call_further(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Record a call of `forward_1` or its like, as generated source has them, as one of the module."""
        first = self.paths[id(module)][0]
        if first in self.inlined or self._is_running(first) or self._is_leaf(module, first):
            return forward(*args, **kwargs)
        return self._call_traced(module, self.path_of_module(module), forward, args, kwargs)

    # Running

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Trace a call of the root and return its output, in fake tensors.

        Raises:
            TraceError: The model took a decision that depends on data, or did something that no graph can hold.
            LeakedValueError: A submodule must be traced inline.
        """
        token = ACTIVE.set(self)
        try:
            with plain_surroundings(), calls_reach_tracers(), self.executor.mode, self._mode:
                return self._call_traced(self.root, "", self.root.forward, args, kwargs)
        finally:
            ACTIVE.reset(token)

    def hangs_on_inputs(self, value: Any) -> bool:
        """Tell, after a run, whether a tensor may hold data of the inputs of the module that computed it."""
        nodes = [node for scope in self._finished if (node := scope.find(value)) is not None]
        return any(hangs_on_inputs(node) for node in nodes[:1])

    def _watch_forwards(self) -> None:
        """Let calls of further forwards of a module reach the tracer, as those of the module itself do."""
        kinds = dict.fromkeys(map(type, self.root.modules()))
        further = {kind: names for kind in kinds if (names := _further_forwards(kind))}
        for module in self.root.modules() if further else ():
            for name in further.get(type(module), ()):
                method = getattr(type(module), name).__get__(module)  # not that of an earlier tracer
                vars(module)[name] = wraps(method)(partial(self._call_further, module, method))

    def _parts_of_leaves(self) -> dict[int, str]:
        """Return the modules that stand inside of leaves only, by identity, with the path of the leaf."""
        leaves = [
            path
            for module in self.root.modules()
            if module._modules and self._is_leaf(module, self.paths[id(module)][0])
            for path in self.paths[id(module)]
        ]
        found: dict[int, str] = {}
        if leaves:
            for identity, paths in self.paths.items():
                around = [next((leaf for leaf in leaves if path.startswith(f"{leaf}.")), "") for path in paths]
                if all(around):
                    found[identity] = around[0]
        return found

    def _set_flags(self) -> dict[int, Any]:
        """Let one flag stand for `self.training` everywhere, except in modules that are fixed in one mode."""
        flags: dict[int, Any] = {}
        for module in self.root.modules():
            path = self.paths[id(module)][0]
            flags[id(module)] = self._forced_modes.get(path, self._training_flag)
            module.__dict__["training"] = flags[id(module)]
        return flags

    @contextmanager
    def _in_eval_mode(self, leaf: nn.Module) -> Iterator[None]:
        """Leaves are run to learn types only, which are those of eval mode."""
        parts = list(leaf.modules())
        for part in parts:
            part.__dict__["training"] = False
        before = HostRandomness() if self._watch_randomness else None
        try:
            yield
        finally:
            if before is not None:
                before.drawn()  # what a leaf draws is its own affair
            for part in parts:
                part.__dict__["training"] = self._flags[id(part)]

    # Calls

    def _is_running(self, path: str) -> bool:
        """Tell whether a module is being called by itself: one forward cannot hold the other, so it is written out."""
        scope = self._scope
        while scope is not None and self.paths[id(scope.module)][0] != path:
            scope = scope.outer
        return scope is not None

    @boundary
    def _call_traced(
        self, module: nn.Module, path: str, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        place = current_place()
        first = self.paths[id(module)][0]
        arguments = bind_arguments(forward, args, kwargs, module, place)
        inner = Scope(path, module, torch.fx.Graph(), self._scope)
        passed: list[tuple[Any, torch.fx.Node, bool]] = []
        fixed: dict[str, Any] = {}
        outer = self._scope
        for name, value, keyword_only in arguments:
            traced = [leaf for leaf in leaves(value) if self._is_traced(leaf) and inner.find(leaf) is None]
            if traced:
                node = inner.graph.placeholder(name)
                node.meta["val"] = value if outer is None and is_record(value) else snapshot(value)
                # Before the call: the module may change a list that it is given.
                passed.append((None if outer is None else self._argument(value), node, keyword_only))
                self._bind_input(inner, value, node)
            elif not any(self._is_traced(leaf) for leaf in leaves(value)):
                fixed[name] = value
        self._scope = inner
        try:
            result = self._watched(forward)(*args, **kwargs)
            self._keep_state(self._watch.changes_of(module))
            if outer is None:  # what modules bound on others
                self._keep_state(self._watch.changes())
            inner.graph.output(self._argument(without_objects(result)))
        except BaseException:
            if self.failed_at is None:
                self.failed_at = first
            raise
        finally:
            self._scope = outer
        self._finished.append(inner)
        inputs = [(node, False) for _, node, keyword_only in passed if not keyword_only]
        inputs += [(lifted.node, False) for lifted in inner.lifted]
        inputs += [(node, True) for _, node, keyword_only in passed if keyword_only]
        calls = self.calls.setdefault(first, [])
        calls.append(Call(inner.graph, tuple(inner.guards), tuple(inputs), inner.constants, fixed))
        if outer is None:
            return result
        result = self._apart(result, (args, kwargs))
        positional = [FinishedNode(value) for value, _, keyword_only in passed if not keyword_only]
        named = {str(node.target): FinishedNode(value) for value, node, keyword_only in passed if keyword_only}
        positional += [lifted.value for lifted in inner.lifted]
        returned = without_objects(result)
        node = self._record("call_module", self._relative(path), positional, named, returned, place)
        node.meta["call"] = (first, len(calls) - 1)
        for leaf in leaves(returned):
            self._origins.setdefault(id(leaf), (leaf, first))
        for _, (value, _) in inner.nodes.items():
            self._origins.setdefault(id(value), (value, first))
        self._bind(returned, node, place)
        return result

    def _keep_state(self, changes: list[Change]) -> None:
        """Record an assignment for each tensor of a module that another one has taken the place of."""
        for change in changes:
            owner = self.root.get_submodule(change.path)
            if self._is_leaf(owner, change.path):
                raise self._unsupported(f"an attribute of a leaf that is bound anew, {change.whole_path!r}")
            if isinstance(change.new, nn.Parameter) or change.name in owner._parameters:
                raise self._unsupported(f"a parameter that is bound anew, {change.whole_path!r}")
            if isinstance(change.new, nn.Module):
                raise self._unsupported(
                    f"a module that is made on the way, {change.whole_path!r} (call the model once before tracing)"
                )
            are_tensors = isinstance(change.old, torch.Tensor) and isinstance(change.new, torch.Tensor)
            if not are_tensors or (change.name not in owner._buffers and id(change.old) not in self.read):
                self.changes.append(change)
                continue
            self._read_old(change.old)
            is_own = owner is self.innermost.module
            name = change.name if is_own else f"{self._relative(change.path)}.{change.name}"
            self._record("call_function", assign_attribute, (name, change.new), {}, change.new, Place("", ()))
            self._attributes[id(change.new)] = self._attributes.pop(id(change.old), ())
            self.read[id(change.new)] = change.new

    def _read_old(self, value: torch.Tensor) -> None:
        """Read a tensor of a module in every graph under construction, before it is no longer to be had by its name."""
        here = self._scope
        while self._scope is not None:
            if self._attribute_path(value, self._scope) is not None:
                self.node_of(value)
            self._scope = self._scope.outer
        self._scope = here

    def _refuse_records(self, arguments: Any) -> None:
        """Source calls a leaf with what the user called it with, and cannot put a dictionary in place of a record."""
        found = next((kind for kind in special_classes(arguments) if not issubclass(kind, (tuple, list, dict))), None)
        if found is not None:
            raise self._unsupported(f"a {found.__module__}.{found.__qualname__} as an argument of a leaf")

    def _watched(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Return a forward that refuses to draw random numbers from outside torch, where that was found to happen."""
        if not self._watch_randomness:
            return forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            before = HostRandomness()
            result = forward(*args, **kwargs)
            done = before.drawn()
            if done:
                raise self._unsupported(done)
            return result

        return watched

    def _call_open(
        self, expansion: Expansion, module: nn.Module, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        modules = list(expansion.modules.values())

        def choice(*args: Any, **kwargs: Any) -> Any:
            results = [candidate(*args, **kwargs) for candidate in modules]
            return results[0]

        def chain(x: Any) -> Any:
            for block in modules:
                x = block(x)
            return x

        forward = chain if expansion.kind == "repeat" else choice
        return self._call_traced(module, path, forward, args, kwargs)

    def call_function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function of torch on fake tensors and record it; called by the mode, which is off meanwhile."""
        if isinstance(function, OpOverload):
            function, args = public_call(function, args)
        name = getattr(function, "__name__", "")
        field = is_getter(function)
        if field == "shape" or (name == "size" and len(args) == 1 and not kwargs):
            return self.size_of(args[0])
        if name in _SYMBOLIC_READS or field == "ndim":
            return self._symbolic_read(name, function, args, kwargs)
        if name in RESHAPING:
            self._keep_sizes(args[0])
        if name in DATA_READS:
            return self.data.read(name, args[0])
        if field and field not in _RECORDED_FIELDS:
            if field == "requires_grad" and id(args[0]) not in self._attributes and is_called_by_user(2):
                self.gradient_reads[current_place().location] = None
            return function(*args, **kwargs)
        if name == "__set__":
            raise self._unsupported(f"an assignment to Tensor.{getattr(function.__self__, '__name__', '')}")  # type: ignore[attr-defined]  # a bound slot
        # Custom functions run forwards without gradients, and nobody is told; gradients are those of what they do.
        custom = torch.is_grad_enabled() is not self._grad_enabled or name == "_set_grad_enabled"
        if custom and self._in_custom_function() and name == "_set_grad_enabled":
            return function(*args)
        place = current_place()
        token = ACTIVE.set(None)
        try:
            result = self.executor.function(function, plain_argument(args), plain_argument(kwargs))
        except NotImplementedError as error:
            raise self._unsupported(f"{name}: {error}") from error
        except torch._subclasses.fake_tensor.DynamicOutputShapeException as error:
            raise self.data_dependent(f"the shape of the result of {name}") from error
        except torch._subclasses.fake_tensor.DataDependentOutputException as error:
            raise self.data_dependent(f"the result of {name}") from error
        finally:
            ACTIVE.reset(token)
        if "dropout" in name and not is_impure(function, kwargs):
            result = self._apart(result, args)
        if field:
            node = self._record("call_function", getattr, (args[0], field), {}, result, place)
        else:
            kind, target, arguments = canonical_call(function, args, kwargs, augmented=place.augmented)
            has_tensor = any(isinstance(leaf, torch.Tensor) for leaf in leaves(result))
            if not has_tensor and target is not operator.setitem and name not in _KEPT_WITHOUT_RESULT:
                return result
            if name == "_set_grad_enabled":
                target, self._grad_enabled = torch.set_grad_enabled, args[0]
            node = self._record(kind, target, arguments, without_defaults(function, kwargs), result, place)
        self._bind(result, node, place)
        if name in _AS_MANY_AS_FIT:
            length = TracedInt(self, len(result), len, ())
            self.innermost.bind(
                length, self._record("call_function", len, (FinishedNode(node),), {}, len(result), place)
            )
            self.guard(length, len(result))
        return result

    def _apart(self, result: Any, given: Any) -> Any:
        """Return a result with a tensor of its own for each that was given.

        Dropout returns what it takes in eval mode, and something else in train mode: the two are to have two names.
        """
        taken = {id(leaf) for leaf in leaves(given) if isinstance(leaf, torch.Tensor)}

        def apart(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return self.executor.twin(value) if id(value) in taken else value
            if type(value) in (tuple, list):
                return type(value)(map(apart, value))
            return {key: apart(item) for key, item in value.items()} if type(value) is dict else value

        if not any(id(leaf) in taken for leaf in leaves(result)):
            return result
        with self.paused():
            return apart(result)

    def _in_custom_function(self) -> bool:
        found = running_function()
        if found is not None:
            self.functions.setdefault(found[0], plain_argument(found[1]))
        return found is not None

    def call_unseen(self, operation: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take note of an operation that torch runs without telling the mode that records.

        What it returns is unknown to every graph, and refused where it is used. What it changes must not go unnoticed.

        Raises:
            TraceError: It changes a tensor.
        """
        if operation is torch.ops.aten.set_.default and not self._is_known_outside(args[0]):
            # The memory of a value is freed by hand, and an empty tensor stays: in a graph there is nothing to free.
            tensor, place = args[0], current_place()
            self._keep_sizes(tensor)
            node = self._record("call_function", torch.empty, (0,), {"dtype": tensor.dtype}, tensor, place)
            self._bind(tensor, node, place)
        elif operation._schema.is_mutable:
            raise self._unsupported(f"{operation}, which changes a tensor behind the tracer's back")

    def made_constant(self, tensor: torch.Tensor, data: torch.Tensor) -> None:
        """Remember the data that a fake tensor stands for, until the tensor is used."""
        if not isinstance(data, FakeTensor):
            with unset_fake_temporarily():
                self._data[id(tensor)] = (tensor, data.clone())


class _RecordingMode(TorchFunctionMode):
    def __init__(self, tracer: ModuleTracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if ACTIVE.get() is not self.tracer:
            return func(*args, **(kwargs or {}))
        return self.tracer.call_function(func, args, kwargs or {})


def _forward_of(module: nn.Module) -> Callable[..., Any]:
    """Return what a call of a module runs: its forward, after the hooks that compute its tensors."""
    hooks = tuple(module._forward_pre_hooks.values())
    if not hooks:
        return module.forward

    @wraps(module.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        for hook in hooks:
            hook(module, args)
        return module.forward(*args, **kwargs)

    return forward


def _further_forwards(kind: type[nn.Module]) -> tuple[str, ...]:
    """Return the names of the methods of a class that are called as generated source calls further forwards."""
    names = filter(_FURTHER_FORWARD.fullmatch, dir(kind))
    return tuple(name for name in names if inspect.isfunction(getattr(kind, name)))
