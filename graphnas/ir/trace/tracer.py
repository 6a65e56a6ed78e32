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
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from typing import Any

import torch
import torch.fx
from torch import nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.overrides import TorchFunctionMode

from graphnas.errors import TraceError
from graphnas.ir.abstract import abstract
from graphnas.ir.calls import canonical_call, is_getter, is_impure, without_defaults
from graphnas.ir.effects import RESHAPING
from graphnas.ir.literal import FrozenDict, freeze
from graphnas.ir.protocols import Expansion, expansion_of
from graphnas.ir.source import Place, boundary, current_place
from graphnas.ir.trace.admit import HostRandomness, forward_of_wrapper, plain_surroundings
from graphnas.ir.trace.arguments import bind_arguments, own_tensors, plain_argument, tensor_paths
from graphnas.ir.trace.custom import running_function
from graphnas.ir.trace.data import DATA_READS, DataReader
from graphnas.ir.trace.execution import Executor
from graphnas.ir.trace.imported import public_call
from graphnas.ir.trace.leaf import is_torch_leaf
from graphnas.ir.trace.patch import ACTIVE, calls_reach_tracers
from graphnas.ir.trace.scope import Call, Constants, Lifted, Scope
from graphnas.ir.trace.state import Change, StateWatch, assign_attribute, hangs_on_inputs
from graphnas.ir.trace.structure import is_record, leaves, parts_of, snapshot, special_classes, without_objects
from graphnas.ir.trace.symbolic import Symbolic, TracedInt, TracedSize, TracedTraining, wrap

_SYMBOLIC_READS = frozenset({"size", "stride", "dim", "ndimension", "numel", "nelement", "__len__"})
_AS_MANY_AS_FIT = frozenset({"unbind", "split", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit"})
_KEPT_WITHOUT_RESULT = frozenset({"_set_grad_enabled", "_assert_async"})
_FURTHER_FORWARD = re.compile(r"forward_[1-9]\d*")
_RECORDED_FIELDS = frozenset({"T", "H", "mT", "mH", "real", "imag", "data"})


class LeakedValueError(Exception):
    """A submodule must be traced inline: a value of it is used outside unreturned, or it calls a module outside."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class ModeSwitchedError(Exception):
    """A module was put into another mode than the model while it ran; it must be traced as fixed in that mode."""

    def __init__(self, path: str, mode: bool) -> None:
        super().__init__(path)
        self.path = path
        self.mode = mode


class OpenedLeafError(Exception):
    """The model calls a part of a leaf of torch; the leaf must be traced into."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class UnholdableError(TraceError):
    """The model does something that no graph can hold, such as to decide by data."""


class UnhashableNumberError(TypeError):
    """A symbolic number was looked up in a dictionary or cache; the place must be given its value instead."""

    def __init__(self, location: str) -> None:
        super().__init__(f"{location}: unhashable symbolic number")
        self.location = location


class ModuleTracer(torch.fx.Tracer):
    """Records one run of a model in one mode.

    Attributes:
        calls: First path of a module, to its traced calls in order.
        depends_on_training: Whether a condition on `self.training` was met.
        data: Answers what asks for the data of tensors.
        failed_at: First path of the innermost module whose forward raised, None as long as none did.
        functions: Custom autograd functions that were traced, with the arguments of their first call.
        changes: What modules keep of the run besides what graphs assign.
        read: Tensors of modules that were read, by identity.
        unwritable: Paths of constants that stand for more than one tensor, or for a new one in each call.
        loose_parameters: Paths of modules that use parameters which belong to no module of the model.
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
        super().__init__()
        self.root = root
        self.paths = paths
        self.training = training
        self.executor = executor
        self.inlined = inlined
        self.hashed = hashed
        self.calls: dict[str, list[Call]] = {}
        self.depends_on_training = False
        self.failed_at: str | None = None
        self.functions: dict[type[torch.autograd.Function], tuple[Any, ...]] = {}
        self._grad_enabled = True  # as in plain surroundings
        self.changes: list[Change] = []
        self.read: dict[int, torch.Tensor] = {}
        self.unwritable: dict[str, None] = {}
        self.loose_parameters: dict[str, None] = {}
        self._constant_of: dict[str, torch.Tensor] = {}
        self._is_repeated = is_repeated
        self._is_leaf = is_leaf
        self._scope: Scope | None = None
        self._finished: list[Scope] = []
        self._origins: dict[int, tuple[Any, str]] = {}
        self._data: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._attributes = tensor_paths(root, paths)
        self._training_flag = TracedTraining(self)
        self._forced_modes = forced_modes
        self.data = DataReader(self, examples, builtin)
        self._copies = copies
        self._watch_randomness = watch_randomness
        self._constants = constants or Constants()
        self._flags = self._set_flags()
        self._watch_forwards()
        self._watch = StateWatch((names[0], module) for module in root.modules() if (names := paths.get(id(module))))
        self._mode = _RecordingMode(self)
        self._reads: list[tuple[torch.Tensor, Any]] = []
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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let torch run without recording, for what the tracer itself does with tensors."""
        token = ACTIVE.set(None)
        try:
            yield
        finally:
            ACTIVE.reset(token)

    @property
    def innermost(self) -> Scope:
        """The innermost graph under construction."""
        if self._scope is None:
            raise RuntimeError("nothing is being traced")
        return self._scope

    def hangs_on_inputs(self, value: Any) -> bool:
        """Tell, after a run, whether a tensor may hold data of the inputs of the module that computed it."""
        nodes = [node for scope in self._finished if (node := scope.find(value)) is not None]
        return any(hangs_on_inputs(node) for node in nodes[:1])

    # What symbolic numbers ask of the tracer

    def knows(self, number: Any) -> bool:
        """Tell whether a number can be had in the graph at hand or in one around it."""
        if not isinstance(number, Symbolic):
            return self._scope is not None
        here, found = self._scope, False
        while self._scope is not None and number.tracer is self and not found:
            found = self._is_local(number)
            self._scope = self._scope.outer
        self._scope = here
        return found

    def record(self, function: Callable[..., Any], args: tuple[Any, ...], value: Any) -> torch.fx.Node:
        """Record a call of a plain function on numbers."""
        return self._record("call_function", function, args, {}, value, current_place())

    def settle(self, number: Symbolic) -> None:
        """Record a number that got a name."""
        if self._scope is not None and number.function is not None and self._is_local(number):
            self.node_of(number)

    def guard(self, number: Symbolic, outcome: Any) -> None:
        """Note that tracing went on with `outcome`."""
        if number.from_data:
            self.data.decide(number, outcome)
            return
        node = self.node_of(number)
        entry = (node, outcome, current_place().location)
        if all(known[0] is not node or known[1] != outcome for known in self.innermost.guards):
            self.innermost.guards.append(entry)

    def hash_of(self, number: Symbolic) -> int:
        """Return the hash of a number, by its value, where it was found out that the model insists on one.

        Raises:
            UnhashableNumberError: At any other place. A cache of earlier calls, as einops keeps them, would otherwise
                be found to know the size, and answer with plain numbers.
        """
        location = current_place().location
        if location in self.hashed:
            return hash(number.concrete())
        raise UnhashableNumberError(location)

    def expect_plain(self, name: str) -> None:
        """Begin the trace anew with a stand-in for `name`, if one keeps the number symbolic that is asked for."""
        needs = self.data.needs_of(name)
        if needs is not None:
            raise needs

    def decide_training(self) -> bool:
        """Return the traced mode, and note that graphs depend on it."""
        self.depends_on_training = True
        return self.training

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
        positional = [_Node(value) for value, _, keyword_only in passed if not keyword_only]
        named = {str(node.target): _Node(value) for value, node, keyword_only in passed if keyword_only}
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
            self.innermost.bind(length, self._record("call_function", len, (_Node(node),), {}, len(result), place))
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

    # Nodes

    def _record(
        self, kind: str, target: Any, args: Any, kwargs: dict[str, Any], value: Any, place: Place
    ) -> torch.fx.Node:
        if torch.is_inference_mode_enabled() or torch._C._is_any_autocast_enabled():
            what = "inference_mode" if torch.is_inference_mode_enabled() else "autocast"
            raise self._unsupported(f"torch.{what} inside of a forward")
        arguments = tuple(self._argument(arg) for arg in args)
        keywords = {name: self._argument(arg) for name, arg in kwargs.items()}
        node = self.innermost.graph.create_node(kind, target, arguments, keywords)
        node.meta["val"] = snapshot(value)
        node.meta["hint"] = place.target
        node.meta["location"] = place.location
        return node

    def _argument(self, value: Any) -> Any:
        """Return a value as an argument of an fx node: nodes for what is traced, plain data for the rest."""
        kind = type(value)
        if value is None or kind is int or kind is str or kind is float or kind is bool:
            return value
        if kind is _Node:
            return value.node
        if isinstance(value, TracedSize):
            return self.node_of(value.node)
        if isinstance(value, (torch.Tensor, Symbolic, _ShapeOf)):
            return self.node_of(value)
        if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
            items = kind(map(self._argument, value)) if kind in (tuple, list) else tuple(map(self._argument, value))
            return _whole(items, type(items))
        if isinstance(value, torch.device):
            return self._device(value)
        if isinstance(value, dict) or is_record(value):
            return {key: self._argument(item) for key, item in parts_of(value) or ()}
        if isinstance(value, slice):
            return slice(*(self._argument(item) for item in (value.start, value.stop, value.step)))
        if kind.__module__ == "numpy" and hasattr(value, "tolist"):
            return value.item() if value.ndim == 0 else self._array(value)
        try:
            return freeze(value)
        except TypeError:
            raise self._unsupported(f"an argument of type {kind.__module__}.{kind.__qualname__}") from None

    def _array(self, array: Any) -> torch.fx.Node:
        with self.paused(), unset_fake_temporarily():
            return self.node_of(torch.from_numpy(array.copy()))

    def _device(self, device: torch.device) -> Any:
        """Return the device of an input where one is there, so that the graph works wherever its inputs are."""
        inputs = (node for node in self.innermost.graph.nodes if node.op == "placeholder")
        for node in inputs:
            value = node.meta["val"]
            if isinstance(value, torch.Tensor) and value.device == device:
                return self._record("call_function", getattr, (_Node(node), "device"), {}, device, Place("", ()))
        return device

    def node_of(self, value: Any) -> torch.fx.Node:
        """Return the node of a traced value in the graph at hand, made or taken from an enclosing graph if need be."""
        scope = self.innermost
        node = scope.find(value)
        if node is not None:
            return node
        if isinstance(value, TracedTraining):
            node = scope.graph.create_node("call_function", read_training, (), {})
            node.meta["val"] = False  # the same in both modes, so that graphs compare equal
        elif isinstance(value, Symbolic):
            node = self._number_node(value)
        elif isinstance(value, _ShapeOf):
            if not self._is_local(value):
                return self._lift(value)
            node = self._record("call_function", getattr, (value.tensor, "shape"), {}, value.value, value.place)
        else:
            node = self._tensor_node(value)
        scope.bind(value, node)
        return node

    def location(self) -> str:
        """Return where the code of the user stands."""
        return current_place().location

    def converted(self, name: str, value: Any) -> Any:
        """Return what `len`, `int` or `float` give, in symbolic numbers; called by what stands for them."""
        return self.data.converted(name, value)

    def _number_node(self, number: Symbolic) -> torch.fx.Node:
        if number.function is None:
            raise self._unsupported("a size of another model")
        if not self._is_local(number):
            return self._lift(number)
        kind = "call_method" if isinstance(number.function, str) else "call_function"
        node = self._record(kind, number.function, number.args, {}, number.value, current_place())
        node.meta["hint"] = number.hint
        node.meta["from_data"] = number.from_data
        return node

    def _tensor_node(self, value: torch.Tensor) -> torch.fx.Node:
        scope = self.innermost
        relative = self._attribute_path(value, scope)
        if relative is not None:
            self.read[id(value)] = value
            node = scope.graph.create_node("get_attr", relative, (), {})
            node.meta["val"] = value
            return node
        if self._is_known_outside(value):
            return self._lift(value)
        if id(value) in self._origins and self._origins[id(value)][0] is value:
            raise LeakedValueError(self._origins[id(value)][1])
        is_made = id(value) in self._data
        if is_made:
            value = self._data[id(value)][1]
        if isinstance(value, FakeTensor) and self._is_repeated:
            self.read[id(value)] = value  # kept in a list or a dictionary since the call before
        elif isinstance(value, FakeTensor):
            raise self._unsupported("a tensor that was made where the tracer could not see it")
        path = self.paths[id(scope.module)][0]
        name = self._constants.name(path, scope.module, value)
        whole = f"{path}.{name}" if path else name
        if is_made or self._constant_of.setdefault(whole, value) is not value:
            self.unwritable[whole] = None
        if isinstance(value, nn.Parameter):
            self.loose_parameters[scope.path] = None
        scope.constants[name] = value
        node = scope.graph.create_node("get_attr", name, (), {})
        node.meta["val"] = value
        return node

    def _lift(self, value: Any) -> torch.fx.Node:
        """Make a value of the enclosing graph an input of this one."""
        scope = self.innermost
        if scope.outer is None:
            raise self._unsupported("a value that no graph produced")
        self._scope = scope.outer
        try:
            origin = self.node_of(value)
        finally:
            self._scope = scope
        last = next((node for node in reversed(scope.graph.nodes) if node.op == "placeholder"), None)
        first = next(iter(scope.graph.nodes), None)
        if last is not None:
            position: Any = scope.graph.inserting_after(last)
        else:
            position = scope.graph.inserting_before(first) if first is not None else nullcontext()
        with position:
            node = scope.graph.placeholder(origin.name)
        node.meta["val"] = snapshot(value)
        scope.bind(value, node)
        scope.lifted.append(Lifted(value, node))
        return node

    def _attribute_path(self, value: torch.Tensor, scope: Scope) -> str | None:
        for path in self._attributes.get(id(value), ()):
            relative = scope.relative(path)
            if relative is not None:
                return relative
        return None

    def _is_traced(self, value: Any) -> bool:
        return isinstance(value, (torch.Tensor, TracedInt)) or (
            isinstance(value, Symbolic) and not isinstance(value, TracedTraining)
        )

    def _is_local(self, value: Any) -> bool:
        """Tell whether a value can be had in the graph at hand without a further input."""
        if self.innermost.find(value) is not None:
            return True
        if isinstance(value, torch.Tensor):
            return self._attribute_path(value, self.innermost) is not None
        if isinstance(value, _ShapeOf):
            return self._is_local(value.tensor)
        return not isinstance(value, Symbolic) or all(self._is_local(arg) for arg in value.args)

    def _is_known_outside(self, value: torch.Tensor) -> bool:
        scope = self.innermost.outer
        while scope is not None:
            if scope.find(value) is not None or self._attribute_path(value, scope) is not None:
                return True
            scope = scope.outer
        return False

    def _bind_input(self, inner: Scope, value: Any, node: torch.fx.Node) -> None:
        """Let the traced parts of an argument stand for the input, or for items of it."""
        if self._is_traced(value):
            if inner.find(value) is None:
                inner.bind(value, node)
            return
        # Inside of a model a record is passed as a dictionary; what the user hands in is the record itself.
        take = getattr if inner.outer is None and is_record(value) else operator.getitem
        for key, item in parts_of(value) or ():
            if any(self._is_traced(leaf) for leaf in leaves(item)):
                part = inner.graph.call_function(take, (node, key))
                part.meta["val"] = item if inner.outer is None and is_record(item) else snapshot(item)
                self._bind_input(inner, item, part)

    def _bind(self, value: Any, node: torch.fx.Node, place: Place) -> None:
        """Let the tensors of a result stand for the node, or for items of it."""
        if isinstance(value, torch.Tensor) or self._is_traced(value):
            self.innermost.bind(value, node)
            return
        names = place.targets if len(place.targets) > 1 and isinstance(value, (tuple, list)) else ()
        if names:
            node.meta["hint"] = ""
        for index, (key, item) in enumerate(parts_of(value) or ()):
            if any(isinstance(leaf, (torch.Tensor, Symbolic)) for leaf in leaves(item)):
                part = self.innermost.graph.call_function(operator.getitem, (node, key))
                part.meta["val"] = snapshot(item)
                part.meta["hint"] = names[index] if index < len(names) else ""
                part.meta["location"] = place.location
                self._bind(item, part, Place(place.location, ()))

    def _relative(self, path: str) -> str:
        relative = self.innermost.relative(path)
        if relative is None:  # it was given a module that is not below it
            raise LeakedValueError(self.innermost.path)
        return relative

    # Reading sizes

    def size_of(self, tensor: torch.Tensor) -> TracedSize:
        """Return the shape of a tensor, in symbolic numbers."""
        place = current_place()
        shape = tuple(tensor.size()) if not isinstance(tensor, FakeTensor) else tuple(tensor.shape)
        whole = _ShapeOf(tensor, shape, place)
        self._reads.append((tensor, whole))
        items = []
        for index, size in enumerate(shape):
            item = TracedInt(self, int(size), operator.getitem, (whole, index))
            item.name(place.targets[index] if len(place.targets) == len(shape) > 1 else "")
            items.append(item)
        return TracedSize(tuple(items), whole)

    def _symbolic_read(self, name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        tensor = args[0]
        if name == "__len__":
            self.expect_plain("len")
            return self.size_of(tensor)[0].concrete()
        if name == "size":
            return self.size_of(tensor)[kwargs["dim"] if kwargs else args[1]]
        if name == "stride":  # it hangs on sizes, of which one may be that of the batch
            whole = Symbolic(self, tuple(tensor.stride()), "stride", (tensor,))
            self._reads.append((tensor, whole))
            items = tuple(wrap(self, step, operator.getitem, (whole, i)) for i, step in enumerate(whole.value))
            dim = kwargs["dim"] if kwargs else args[1] if len(args) > 1 else None
            return items if dim is None else items[dim]
        if name in ("numel", "nelement"):
            number = wrap(self, tensor.numel(), torch.numel, (tensor,))
        else:
            number = wrap(self, tensor.dim(), getattr, (tensor, "ndim"))
        self._reads.append((tensor, number))
        return number

    def _keep_sizes(self, tensor: torch.Tensor) -> None:
        """Record the sizes that were read of a tensor, and its type so far, before it gets another shape in place."""
        reads = [read for known, read in self._reads if known is tensor]
        self._reads = [item for item in self._reads if item[0] is not tensor]
        here = self._scope
        scopes: list[Scope] = []
        while self._scope is not None:
            scopes.append(self._scope)
            self._scope = self._scope.outer
        for scope in reversed(scopes):
            self._scope = scope
            if scope.find(tensor) is not None:
                for read in reads:
                    self.node_of(read)
        self._scope = here
        finished = (call.graph for calls in self.calls.values() for call in calls)
        for graph in (*(scope.graph for scope in scopes), *finished):
            for node in graph.nodes:
                if node.meta.get("val") is tensor:
                    node.meta["val"] = abstract(tensor)

    # Errors

    def data_dependent(self, what: str) -> TraceError:
        """Return the error for a decision by what hangs on data."""
        location = current_place().location
        path = self.innermost.path
        return UnholdableError(
            f"{location}: {self._named(path)} decides by {what}, which depends on data and not only on shapes; "
            "compute both outcomes and select with torch.where, or make the module a leaf with @graphnas.basic_unit",
            module=path,
            location=location,
        )

    def _unsupported(self, what: str) -> TraceError:
        location = current_place().location
        path = self._scope.path if self._scope is not None else ""
        where = f"{location}: " if location else ""
        return UnholdableError(
            f"{where}{self._named(path)} uses {what}, which no graph can hold; "
            "rewrite that statement, or make the module a leaf with @graphnas.basic_unit",
            module=path,
            location=location,
        )

    def _named(self, path: str) -> str:
        module = self._scope.module if self._scope is not None else self.root
        return f"{type(module).__name__} at {path!r}" if path else f"the root {type(module).__name__}"


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


class _Node:
    """A finished argument of an fx node, as an argument."""

    __slots__ = ("node",)

    def __init__(self, node: Any) -> None:
        self.node = node


def _whole(items: tuple[Any, ...] | list[Any], kind: type) -> Any:
    """Return the node of a tuple or list where `items` are all items of it, in order, and else the items."""
    first = items[0] if items else None
    if not isinstance(first, torch.fx.Node) or first.target is not operator.getitem:
        return items
    source = first.args[0]
    value: Any = source.meta["val"] if isinstance(source, torch.fx.Node) else None
    agrees = type(value) is kind
    if not agrees or len(value) != len(items):
        return items
    for index, item in enumerate(items):
        if not isinstance(item, torch.fx.Node) or item.target is not operator.getitem or item.args != (source, index):
            return items
    return source


class _ShapeOf:
    """The shape of a tensor as a whole, recorded when one of its sizes is used."""

    __slots__ = ("place", "tensor", "value")

    def __init__(self, tensor: torch.Tensor, value: tuple[int, ...], place: Place) -> None:
        self.tensor = tensor
        self.value = torch.Size(value)
        self.place = Place(place.location, ())


def read_training() -> bool:
    """Stand for `self.training` in fx graphs; never called.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("this function only marks a node of a graph")
