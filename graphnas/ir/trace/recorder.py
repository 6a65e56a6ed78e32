"""The graphs of a trace while they grow: which node stands for which tensor or number, and what becomes of sizes.

Values are known by identity. One that belongs to an enclosing graph becomes an input of the graph at hand, one that
belongs to a module is read as its attribute, and one that belongs to nobody is a constant. What belongs here is what a
graph holds; how a model is run, and what its calls become, does not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.fx
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from graphnas.errors import TraceError
from graphnas.ir.abstract import abstract
from graphnas.ir.graph import ITEM
from graphnas.ir.literal import freeze
from graphnas.ir.source import Place, current_place
from graphnas.ir.trace.arguments import tensor_paths
from graphnas.ir.trace.data import DataReader
from graphnas.ir.trace.patch import ACTIVE
from graphnas.ir.trace.scope import Call, Constants, Lifted, Scope
from graphnas.ir.trace.signals import LeakedValueError, UnhashableNumberError, UnholdableError
from graphnas.ir.trace.structure import is_record, leaves, parts_of, snapshot
from graphnas.ir.trace.symbolic import Symbolic, TracedInt, TracedSize, TracedTraining, wrap


class GraphRecorder(torch.fx.Tracer):
    """Records values and operations in the innermost of the graphs under construction.

    Attributes:
        calls: First path of a module, to its traced calls in order.
        depends_on_training: Whether a condition on `self.training` was met.
        data: Answers what asks for the data of tensors.
        read: Tensors of modules that were read, by identity.
        unwritable: Paths of constants that stand for more than one tensor, or for a new one in each call.
        loose_parameters: Paths of modules that use parameters which belong to no module of the model.
        gradient_reads: Places at which the user's code asks whether a value that it computed requires gradients.
    """

    def __init__(
        self,
        root: nn.Module,
        paths: Mapping[int, tuple[str, ...]],
        *,
        training: bool,
        hashed: frozenset[str],
        is_repeated: bool,
        constants: Constants | None,
        examples: Mapping[int, torch.Tensor],
        builtin: Collection[tuple[int, str]],
    ) -> None:
        super().__init__()
        self.root = root
        self.paths = paths
        self.training = training
        self.hashed = hashed
        self.calls: dict[str, list[Call]] = {}
        self.depends_on_training = False
        self.read: dict[int, torch.Tensor] = {}
        self.unwritable: dict[str, None] = {}
        self.loose_parameters: dict[str, None] = {}
        self.gradient_reads: dict[str, None] = {}
        self._constant_of: dict[str, torch.Tensor] = {}
        self._is_repeated = is_repeated
        self._scope: Scope | None = None
        self._origins: dict[int, tuple[Any, str]] = {}
        self._data: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._attributes = tensor_paths(root, paths)
        self._constants = constants or Constants()
        self._reads: list[tuple[torch.Tensor, Any]] = []
        self.data = DataReader(self, examples, builtin)

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

    # What symbolic numbers ask for

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

    def location(self) -> str:
        """Return where the code of the user stands."""
        return current_place().location

    def converted(self, name: str, value: Any) -> Any:
        """Return what `len`, `int` or `float` give, in symbolic numbers; called by what stands for them."""
        return self.data.converted(name, value)

    # Nodes

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
        node.meta["hint"] = f"{place.appended}{ITEM}" if place.appended else place.target
        node.meta["location"] = place.location
        return node

    def _argument(self, value: Any) -> Any:
        """Return a value as an argument of an fx node: nodes for what is traced, plain data for the rest."""
        kind = type(value)
        if value is None or kind is int or kind is str or kind is float or kind is bool:
            return value
        if kind is FinishedNode:
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
                return self._record("call_function", getattr, (FinishedNode(node), "device"), {}, device, Place("", ()))
        return device

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
            items = tuple(TracedInt(self, step, operator.getitem, (whole, i)) for i, step in enumerate(whole.value))
            dim = kwargs["dim"] if kwargs else args[1] if len(args) > 1 else None
            place = current_place()
            if dim is not None:
                items[dim].name(place.target)
                return items[dim]
            if len(place.targets) == len(items) > 1:
                for item, variable in zip(items, place.targets, strict=True):
                    item.name(variable)
            return items
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


class FinishedNode:
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
