"""The tape: what happened to tensors while modules were constructed, and the expressions that say it again.

Two things are read off it. How a module's own parameter or buffer was built, as an expression: a graph without inputs.
And what a constructor did to parameters afterwards, `nn.init.kaiming_normal_(conv.weight)` and the like, as the graph
`Definition.init`. What leaves do inside their own constructors is theirs, and is not on the tape.
"""

from __future__ import annotations

import inspect
import keyword
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from graphnas.errors import GraphNASError
from graphnas.ir.abstract import type_of
from graphnas.ir.calls import canonical_call, is_getter, is_impure
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, FrozenList, Value, freeze
from graphnas.ir.resolve import path_of
from graphnas.ir.source import current_place

_ALIASES = frozenset({"detach", "requires_grad_", "data"})
_IGNORED = frozenset({"_set_grad_enabled", "__set__", "requires_grad_"})
_INIT_MODULE = "torch.nn.init"

Findings = tuple[dict[str, Graph], Graph, tuple[str, ...]]


@dataclass(frozen=True)
class Entry:
    """One call that torch saw.

    Attributes:
        function: What was called.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        result: What it returned.
        storage: Identity of the storage that it changed, 0 if it changed none.
        owner: The module whose constructor was running, None outside of any.
        hint: The variable that took the result in the user's source, or the empty string.
        init: Name of the function of `torch.nn.init`, if it is one. Packages replace these functions by their own.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    storage: int
    owner: nn.Module | None
    hint: str = ""
    init: str = ""


class Tape(TorchFunctionMode):
    """Writes down the calls of torch in a `with` block; tensors are kept, so that identities stay unique."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.producers: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._pauses = 0
        self._frame: FrameType | None = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Write nothing down meanwhile."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self._pauses:
            self._write(func, args, kwargs, result)
        return result

    def finish(self) -> None:
        """Let go of the frame that was kept to recognise calls of `torch.nn.init`."""
        self._frame = None

    def _write(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        field = is_getter(function)
        name = field or getattr(function, "__name__", "")
        if name in _IGNORED or (field and field not in ("data", "T", "mT", "real", "imag")):
            return
        frame, owner = _calling_frames()
        if frame is not None and frame is self._frame:
            return  # a further step of a function of torch.nn.init that is on the tape already
        self._frame = frame
        init = ""
        if frame is not None:
            init = frame.f_code.co_name
            function, args, kwargs = _call_of(frame)
        elif getattr(function, "__module__", "") == _INIT_MODULE:
            init = name
            args, kwargs = _bound(function, args, kwargs)
        changed = _changed(function, args, kwargs)
        if changed is None and not any(isinstance(item, torch.Tensor) for item in _flat(result)):
            return
        if name in _ALIASES and changed is None and id(args[0]) in self.producers:
            self.producers[id(result)] = self.producers[id(args[0])]
            self.entries.append(Entry(function, args, kwargs, result, 0, owner))
            return
        index = len(self.entries)
        changed_storage = 0 if changed is None else storage(changed)
        self.entries.append(Entry(function, args, kwargs, result, changed_storage, owner, current_place().target, init))
        if changed is None:
            given = {id(tensor) for tensor in (*_tensors(args), *_tensors(kwargs))}
            for position, tensor in _positions(result):
                if id(tensor) not in given:  # `x.to(x.dtype)` is `x`
                    self.producers[id(tensor)] = (index, position)


def storage(tensor: torch.Tensor) -> int:
    """Return the identity of a tensor's storage, the same for all views of it; 0 as long as it has none."""
    if nn.parameter.is_lazy(tensor):
        return 0
    return int(tensor.untyped_storage()._cdata)


def describe(tape: Tape, modules: Sequence[nn.Module]) -> list[Findings]:
    """Return, for each module, how its own tensors were built, what its constructor did to parameters, and notes."""
    tape.finish()
    changes: dict[int, list[int]] = {}
    owners: dict[int, list[int]] = {}
    for index, entry in enumerate(tape.entries):
        if entry.storage:
            changes.setdefault(entry.storage, []).append(index)
            owners.setdefault(id(entry.owner), []).append(index)
    made: dict[int, list[torch.Tensor]] = {}
    for entry in tape.entries:
        for tensor in _flat(entry.result):
            if isinstance(tensor, torch.Tensor) and not entry.storage:
                made.setdefault(storage(tensor), []).append(tensor)
    return [_Describer(tape, changes, made, module).describe(owners.get(id(module), ())) for module in modules]


class _UntoldError(Exception):
    """Something cannot be said as an expression; the argument says why."""


class _Describer:
    """Finds the expressions of one module."""

    def __init__(
        self, tape: Tape, changes: dict[int, list[int]], made: dict[int, list[torch.Tensor]], module: nn.Module
    ) -> None:
        self.tape = tape
        self.changes = changes
        self.made = made
        self.module = module
        self.notes: list[str] = []

    def describe(self, touched: Sequence[int]) -> Findings:
        initial: dict[str, Graph] = {}
        for name, tensor in _own(self.module):
            graph = self._expression(tensor, is_parameter=isinstance(tensor, nn.Parameter))
            if graph is not None:
                initial[name] = graph
        return initial, self._init(touched) if touched else EMPTY_GRAPH, tuple(self.notes)

    def _expression(self, tensor: torch.Tensor, *, is_parameter: bool) -> Graph | None:
        """Return the expression of an own tensor, None where the tape does not tell it."""
        origin = self._origin(tensor)
        if origin is None:
            return None
        needed = self._needed([origin], lambda item: self._changes_of(item, tensor, is_parameter))
        builder = _GraphBuilder(self.tape, {})
        try:
            for index in needed:
                builder.add(index)
            return builder.graph(builder.argument(origin))
        except _UntoldError:
            return None

    def _needed(self, tensors: Iterable[torch.Tensor], changes_of: Callable[[torch.Tensor], list[int]]) -> list[int]:
        """Return the calls from which tensors come, those included that changed something on the way, in order."""
        producers = self.tape.producers
        wanted: dict[int, None] = {}
        pending = [producers[id(tensor)][0] for tensor in tensors if id(tensor) in producers]
        while pending:
            index = pending.pop()
            if index in wanted:
                continue
            wanted[index] = None
            entry = self.tape.entries[index]
            for item in (*_tensors(entry.args), *_tensors(entry.kwargs), *_tensors(entry.result)):
                if id(item) in producers:
                    pending.append(producers[id(item)][0])
                pending.extend(changes_of(item))
        return sorted(wanted)

    def _changes_of(self, item: torch.Tensor, tensor: torch.Tensor, is_parameter: bool) -> list[int]:
        """Return the calls that changed `item` while `tensor` was being built."""
        found = self.changes.get(storage(item), [])
        if storage(item) != storage(tensor):
            return found
        # What happens to a parameter is its initialisation, and what others do to a buffer comes after it was built.
        return [] if is_parameter else [index for index in found if self.tape.entries[index].owner is self.module]

    def _changes_before(self, item: torch.Tensor, paths: Mapping[int, tuple[str, torch.Tensor]], end: int) -> list[int]:
        """Return the calls before `end` that changed a tensor which is no parameter."""
        if storage(item) in paths:
            return []
        return [index for index in self.changes.get(storage(item), ()) if index < end]

    def _origin(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return the tensor on the tape that `tensor` is, or is a parameter made of."""
        if id(tensor) in self.tape.producers:
            return tensor
        for made in reversed(self.made.get(storage(tensor), ())):
            same = made.shape == tensor.shape and made.stride() == tensor.stride()
            if same and made.storage_offset() == tensor.storage_offset() and id(made) in self.tape.producers:
                return made
        return None

    def _init(self, touched: Sequence[int]) -> Graph:
        """Return what the constructor of the module did to parameters below it."""
        paths = {
            storage(tensor): (path, tensor)
            for path, tensor in reversed(list(_state(self.module)))
            if isinstance(tensor, nn.Parameter) or "." in path
        }
        builder = _GraphBuilder(self.tape, paths)
        for index in touched:
            entry = self.tape.entries[index]
            if entry.storage not in paths:
                continue
            given = [*_tensors(entry.args), *_tensors(entry.kwargs)]
            try:
                for step in self._needed(given, partial(self._changes_before, paths=paths, end=index)):
                    builder.add(step)
                builder.add(index)
            except _UntoldError as reason:
                path = paths[entry.storage][0]
                name = getattr(entry.function, "__name__", "an initialisation")
                self.notes.append(f"{type(self.module).__name__}: {name} of {path} is not kept: {reason}")
        return builder.graph(None) if builder.nodes else EMPTY_GRAPH


class _GraphBuilder:
    """Turns entries of a tape into the nodes of a graph without inputs."""

    def __init__(self, tape: Tape, paths: dict[int, tuple[str, torch.Tensor]]) -> None:
        self.tape = tape
        self.paths = paths
        self.nodes: list[Node] = []
        self.values: dict[int, Value] = {}
        self.done: dict[int, Value] = {}
        self.names: dict[str, int] = {}

    def graph(self, output: Argument) -> Graph:
        return Graph((), tuple(self.nodes), output)

    def add(self, index: int) -> Value:
        """Add the node of an entry, and of what it takes, and return its value."""
        if index in self.done:
            return self.done[index]
        entry = self.tape.entries[index]
        kept = len(self.nodes)
        try:
            node = self._node(entry)
        except (_UntoldError, GraphNASError, TypeError) as error:
            del self.nodes[kept:]
            raise _UntoldError(str(error)) from None
        self.nodes.append(node)
        self.done[index] = node.value
        return node.value

    def _node(self, entry: Entry) -> Node:
        function, args, kwargs = entry.function, entry.args, entry.kwargs
        if field := is_getter(function):
            operation = Operation("field", field)
        else:
            kind, target, args = canonical_call(function, args, kwargs)
            if kind == "call_method":
                operation = Operation("method", str(target))
            else:
                operation = Operation("function", f"{_INIT_MODULE}:{entry.init}" if entry.init else path_of(target))
        arguments = tuple(self.argument(arg) for arg in args)
        keywords = FrozenDict((name, self.argument(arg)) for name, arg in kwargs.items())
        base = operation.target.rpartition(":")[2].strip("_")
        # A function of torch.nn.init was seen by one of its steps, whose result is not its own.
        in_place = entry.storage or not isinstance(entry.result, (torch.Tensor, tuple, list))
        result = args[0] if in_place else entry.result
        return Node(self._name(base), operation, arguments, keywords, type_of(result), entry.hint)

    def argument(self, value: Any) -> Argument:
        """Return an argument of a call as one of a node."""
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if type(value) is list:
            return FrozenList(self.argument(item) for item in value)
        if type(value) is tuple:
            return tuple(self.argument(item) for item in value)
        if type(value) is slice:
            return slice(*(self.argument(item) for item in (value.start, value.stop, value.step)))
        return freeze(value)

    def _tensor(self, tensor: torch.Tensor) -> Value:
        known = self.paths.get(storage(tensor))
        if known is not None:
            path, whole = known
            if tensor.shape == whole.shape and tensor.stride() == whole.stride():
                if id(whole) not in self.values:
                    node = Node(
                        self._name(path.replace(".", "_")),
                        Operation("attribute", path),
                        (),
                        FrozenDict(),
                        type_of(whole),
                    )
                    self.nodes.append(node)
                    self.values[id(whole)] = node.value
                return self.values[id(whole)]
        if id(tensor) not in self.tape.producers:
            raise _UntoldError("it takes a tensor from elsewhere")
        index, position = self.tape.producers[id(tensor)]
        value = self.add(index)
        for step in position:
            node = Node(
                self._name("getitem"),
                Operation("function", "operator:getitem"),
                (value, step),
                FrozenDict(),
                type_of(tensor),
            )
            self.nodes.append(node)
            value = node.value
        return value

    def _name(self, base: str) -> str:
        base = base if base.isidentifier() and not keyword.iskeyword(base) else f"value_{base}"
        count = self.names.get(base, 0)
        self.names[base] = count + 1
        return f"{base}_{count}" if count else base


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in (*module._parameters.items(), *module._buffers.items(), *vars(module).items()):
        if isinstance(tensor, torch.Tensor) and not nn.parameter.is_lazy(tensor):
            yield name, tensor


def _state(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, tensor in _own(part):
            yield (f"{prefix}.{name}" if prefix else name), tensor


def _calling_frames() -> tuple[FrameType | None, nn.Module | None]:
    """Return the outermost running call of `torch.nn.init`, and the module whose constructor is running."""
    found: FrameType | None = None
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__") == _INIT_MODULE:
            found = frame
        elif frame.f_code.co_name == "__init__" and frame.f_code.co_argcount:
            owner = frame.f_locals.get(frame.f_code.co_varnames[0])
            if isinstance(owner, nn.Module):
                return found, owner
        frame = frame.f_back
    return found, None


def _call_of(frame: FrameType) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return a running call of `torch.nn.init` as function and arguments."""
    function = vars(nn.init)[frame.f_code.co_name]
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return (function, *_bound(function, (), {name: frame.f_locals[name] for name in names}))


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call: required ones by position, others by keyword, defaults left out."""
    signature = inspect.signature(function)
    bound = signature.bind(*args, **kwargs).arguments
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    required = tuple(value for name, value in bound.items() if defaults[name] is inspect.Parameter.empty)
    return required, {
        name: value
        for name, value in list(bound.items())[len(required) :]
        if type(value) is not type(defaults[name]) or value != defaults[name]
    }


def _changed(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """Return the tensor that a call changes, None if it changes none."""
    if isinstance(kwargs.get("out"), torch.Tensor):
        return kwargs["out"]  # type: ignore[no-any-return]  # just tested
    if args and isinstance(args[0], torch.Tensor) and is_impure(function, kwargs):
        return args[0]
    return None


def _flat(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _positions(result: Any) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    if isinstance(result, torch.Tensor):
        yield (), result
    elif isinstance(result, (tuple, list)):
        for index, item in enumerate(result):
            if isinstance(item, torch.Tensor):
                yield (index,), item


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
