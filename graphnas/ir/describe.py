"""From a tape to what a constructor did: how own tensors were built, and what was done to parameters afterwards.

Both are graphs without inputs: an expression yields a tensor, `Definition.init` is run for its effect. What cannot be
said in this way becomes a note.
"""

from __future__ import annotations

import keyword
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from graphnas.errors import GraphNASError
from graphnas.ir.abstract import type_of
from graphnas.ir.calls import canonical_call, is_getter, is_tensor_method, without_defaults
from graphnas.ir.graph import EMPTY_GRAPH, ITEM, Graph, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, FrozenList, Value, freeze
from graphnas.ir.resolve import path_of
from graphnas.ir.tape import INIT_MODULE, Entry, Tape, bound, flat, storage, tensors_in


@dataclass(frozen=True)
class Findings:
    """What is known of the construction of one module.

    Attributes:
        initial: Name of an own tensor, to the expression that built it.
        init: What the constructor did to parameters, as in `Definition.init`.
        order: What was constructed when, as in `Definition.order`.
        inherited: Names of own tensors that the constructor of a base class in torch built, and names of the nodes of
            `init` that it ran, as `%node`.
        notes: What was seen but could not be kept, one sentence each.
    """

    initial: Mapping[str, Graph] = field(default_factory=dict)
    init: Graph = EMPTY_GRAPH
    order: tuple[str, ...] = ()
    inherited: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def describe(tape: Tape, modules: Sequence[nn.Module], is_leaf: Callable[[nn.Module], bool]) -> list[Findings]:
    """Return what is known of the construction of each module.

    What was done outside of any constructor, such as `net.apply(init_weights)`, or by the constructor of a module that
    gave its parts away, counts for the outermost module.
    """
    tape.finish()
    reader = _Reader(tape, is_leaf)
    inner = {id(part) for module in modules for part in module.modules() if part is not module}
    return [_Describer(reader, module).describe(is_outermost=id(module) not in inner) for module in modules]


class _Reader:
    """A tape with what is looked up in it again and again."""

    def __init__(self, tape: Tape, is_leaf: Callable[[nn.Module], bool]) -> None:
        self.entries = tape.entries
        self.producers = tape.producers
        self.elements = tape.elements
        self.constructions = tape.constructions
        self.is_leaf = is_leaf
        self._appended = Counter(entry.location for entry in tape.entries if entry.hint.endswith(ITEM))
        self.changes: dict[int, list[int]] = {}
        self.changes_by_owner: dict[int, list[int]] = {}
        self.made: dict[int, list[torch.Tensor]] = {}
        self._begins: dict[int, int | None] = {}
        self._uses: dict[int, list[int]] = {}
        for index, entry in enumerate(tape.entries):
            if entry.storage:
                self.changes.setdefault(entry.storage, []).append(index)
                self.changes_by_owner.setdefault(id(entry.owner), []).append(index)
                continue
            for tensor in flat(entry.result):
                if isinstance(tensor, torch.Tensor):
                    self.made.setdefault(storage(tensor), []).append(tensor)

    def hint(self, entry: Entry) -> str:
        """Return the variable that took a result; that of a list only if a loop fills it."""
        return "" if entry.hint.endswith(ITEM) and self._appended[entry.location] < 2 else entry.hint

    def begin(self, module: nn.Module) -> int | None:
        """Return when the first part of a module was constructed; None if none was while recording.

        A container counts by what is in it: the list may be there long before its items, or after them.
        """
        if id(module) not in self._begins:
            moments = [self.begin(child) for child in module.children()]
            if not isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
                moments.append(self.constructions.get(id(module)))
            self._begins[id(module)] = min((item for item in moments if item is not None), default=None)
        return self._begins[id(module)]

    def origin(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return the tensor on the tape that `tensor` is, or is a parameter made of."""
        if id(tensor) in self.producers:
            # `pickle` makes an empty tensor, and puts memory under it by a call that nobody is told of.
            is_as_made = self.elements.get(id(tensor), tensor.numel()) == tensor.numel()
            return tensor if is_as_made else None
        for made in reversed(self.made.get(storage(tensor), ())):
            same = made.shape == tensor.shape and made.stride() == tensor.stride()
            if same and made.storage_offset() == tensor.storage_offset() and self._is_new(made, storage(tensor)):
                return made
        return None

    def _is_new(self, made: torch.Tensor, place: int) -> bool:
        """Tell whether a tensor was made on the tape, and is no view of one that was there before."""
        if id(made) not in self.producers or self.elements.get(id(made), made.numel()) != made.numel():
            return False
        return all(
            storage(item) != place or self._is_new(item, place)
            for entry in (self.entries[self.producers[id(made)][0]],)
            for item in entry.given
        )

    def is_used_between(self, place: int, first: int, last: int) -> bool:
        """Tell whether a call between two others takes a tensor of a storage."""
        if not self._uses:
            for index, entry in enumerate(self.entries):
                given = [storage(item) for item in entry.given]
                # A view is no use by itself: what is done with it is a call of its own.
                made = set() if entry.storage else {storage(item) for item in tensors_in(entry.result)}
                for used in given:
                    if used not in made:
                        self._uses.setdefault(used, []).append(index)
        uses = self._uses.get(place, [])
        after = bisect_right(uses, first)
        return after < len(uses) and uses[after] < last

    def needed(
        self,
        tensors: Iterable[torch.Tensor],
        changes_of: Callable[[torch.Tensor], list[int]],
        is_there: Callable[[torch.Tensor], bool],
    ) -> list[int]:
        """Return the calls from which tensors come, those included that changed something on the way, in order.

        Where a tensor `is_there` already, it does not matter from what it came.
        """
        wanted: dict[int, int] = {}
        end = len(self.entries)
        wanting = [tensor for tensor in tensors if id(tensor) in self.producers and not is_there(tensor)]
        pending = [(self.producers[id(tensor)][0], end) for tensor in wanting]
        while pending:
            index, limit = pending.pop()
            if wanted.get(index, -1) >= limit:
                continue
            wanted[index] = limit
            entry = self.entries[index]
            made = {storage(item) for item in tensors_in(entry.result)}
            for item in (*entry.given, *tensors_in(entry.result)):
                if is_there(item):
                    continue
                # What changes something after it was copied does not change the copy; a view shows it.
                until = limit if storage(item) in made else min(index, limit)
                source = self.origin(item)
                if source is not None:
                    pending.append((self.producers[id(source)][0], until))
                pending.extend((at, until) for at in changes_of(item) if at < until)
        return sorted(wanted)


class _UntoldError(Exception):
    """Something cannot be said as an expression; the argument says why."""


class _Describer:
    """Finds what there is to say of one module."""

    def __init__(self, reader: _Reader, module: nn.Module) -> None:
        self.reader = reader
        self.module = module
        self.moments: dict[str, int] = {}
        self.inherited: dict[str, None] = {}
        self.notes: list[str] = []

    def describe(self, *, is_outermost: bool) -> Findings:
        initial: dict[str, Graph] = {}
        for name, tensor in _own(self.module):
            graph = self._expression(name, tensor)
            if graph is not None:
                initial[name] = graph
        inside = {id(part) for part in self.module.modules() if part is not self.module}

        def is_mine(owner: int) -> bool:
            # Who built parts of a model and was then thrown away, or did so outside of any constructor, has no say.
            return owner not in inside if is_outermost else owner == id(self.module)

        init = self._init(is_mine)
        for name, child in self.module.named_children():
            begin = self.reader.begin(child)
            if begin is not None:
                self.moments[name] = begin
        order = _order(self.module, init, self.moments)
        return Findings(initial, init, order, frozenset(self.inherited), tuple(self.notes))

    def _expression(self, name: str, tensor: torch.Tensor) -> Graph | None:
        """Return the expression of an own tensor, None where the tape does not tell it."""
        reader = self.reader
        origin = reader.origin(tensor)
        if origin is None:
            return None
        builder = _GraphBuilder(reader, {})
        changes_of = partial(self._changes_while_built, tensor=tensor)
        needed = reader.needed([origin], changes_of, builder.is_attribute)
        try:
            for index in needed:
                builder.add(index)
            graph = _peeled(builder.graph(builder.argument(origin)))
        except _UntoldError:
            return None
        self.moments[name] = reader.entries[needed[0]].moment
        if all(reader.entries[index].by_base for index in needed):
            self.inherited[name] = None
        return graph

    def _changes_while_built(self, item: torch.Tensor, tensor: torch.Tensor) -> list[int]:
        """Return the calls that changed `item` while the own tensor `tensor` was being built."""
        found = self.reader.changes.get(storage(item), [])
        if storage(item) != storage(tensor):
            return found
        # What happens to a parameter is its initialisation, and what others do to a buffer comes after it was built.
        is_parameter = isinstance(tensor, nn.Parameter)
        return [] if is_parameter else [index for index in found if self.reader.entries[index].owner is self.module]

    def _init(self, is_mine: Callable[[int], bool]) -> Graph:
        """Return what the constructor of the module did to parameters below it."""
        reader = self.reader
        touched = sorted(index for owner, done in reader.changes_by_owner.items() if is_mine(owner) for index in done)
        paths = {
            storage(tensor): (path, tensor)
            for path, tensor in reversed(list(_state(self.module)))
            if isinstance(tensor, nn.Parameter) or "." in path
        }
        steps = {index: (reader.entries[index].storage, False) for index in touched}
        for place, made in self._replaced(paths, is_mine):
            steps.setdefault(made, (place, True))
        builder = _GraphBuilder(reader, paths)
        overwritten = self._overwritten(touched, builder)
        for index, (place, is_replaced) in sorted(steps.items()):
            if place not in paths or index in overwritten:
                continue
            path, tensor = paths[place]
            entry = reader.entries[index]
            if not is_replaced and _changes_nothing(entry):
                continue
            try:
                if is_replaced:
                    name = builder.copy(path, tensor, self.reader.origin(tensor))
                else:
                    changes_of = partial(self._changes_before, paths=paths, end=index)
                    for step in reader.needed(entry.given, changes_of, builder.is_attribute):
                        if not self._is_alias(reader.entries[step], paths):
                            builder.add(step)
                    name = builder.add(index).name
            except _UntoldError as reason:
                what = "a new value" if is_replaced else getattr(entry.function, "__name__", "an initialisation")
                self.notes.append(f"{type(self.module).__name__}: {what} of {path} is not kept: {reason}")
                continue
            self.moments[f"%{name}"] = entry.moment
            if entry.by_base:
                self.inherited[f"%{name}"] = None
        return builder.graph(None) if builder.nodes else EMPTY_GRAPH

    def _overwritten(self, touched: Sequence[int], builder: _GraphBuilder) -> set[int]:
        """Return the calls that fill a parameter with a number right before it is initialised anew.

        What draws random numbers stays, since the draws that follow depend on it.
        """
        reader = self.reader
        filled: dict[int, int] = {}
        found: set[int] = set()
        for index in touched:
            entry = reader.entries[index]
            is_whole = not entry.by_base and bool(entry.args) and builder.is_attribute(entry.args[0])
            init = _as_initialiser(entry).init if is_whole else ""
            before = filled.pop(entry.storage, None)
            if init and before is not None and not reader.is_used_between(entry.storage, before, index):
                found.add(before)
            if init in _FILLING:
                filled[entry.storage] = index
        return found

    def _is_alias(self, entry: Entry, paths: Mapping[int, tuple[str, torch.Tensor]]) -> bool:
        """Tell whether a call only gives another name to a parameter, or to a part of one."""
        made = [item for item in flat(entry.result) if isinstance(item, torch.Tensor)]
        return not entry.storage and all(storage(item) in paths for item in made)

    def _changes_before(self, item: torch.Tensor, paths: Mapping[int, tuple[str, torch.Tensor]], end: int) -> list[int]:
        """Return the calls before `end` that changed a tensor which is no parameter."""
        if storage(item) in paths:
            return []
        return [index for index in self.reader.changes.get(storage(item), ()) if index < end]

    def _replaced(
        self, paths: Mapping[int, tuple[str, torch.Tensor]], is_mine: Callable[[int], bool]
    ) -> Iterator[tuple[int, int]]:
        """Yield the parameters of leaves below that were replaced by others, and the calls that made these."""
        for prefix, part in self.module.named_modules():
            if not prefix or not self.reader.is_leaf(part):
                continue
            for parameter in part._parameters.values():
                if parameter is None or nn.parameter.is_lazy(parameter) or storage(parameter) not in paths:
                    continue
                origin = self.reader.origin(parameter)
                if origin is not None:
                    index = self.reader.producers[id(origin)][0]
                    if is_mine(id(self.reader.entries[index].owner)) and not self._is_wrapping(index):
                        yield storage(parameter), index

    def _is_wrapping(self, index: int) -> bool:
        """Tell whether a call belongs to `weight_norm` of a module as it was built, which it does again elsewhere."""
        entry = self.reader.entries[index]
        changes = [self.reader.changes.get(storage(item), [index]) for item in tensors_in(entry.args)]
        return entry.by_wrapper and all(found[0] >= index for found in changes)


def _order(module: nn.Module, init: Graph, moments: Mapping[str, int]) -> tuple[str, ...]:
    """Return `Definition.order`: names by moment, each kind in the order of its registration.

    What a step changes may have been registered later than it was changed; the step then comes after it.
    """
    if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
        return ()
    names = [name for name, _ in _own(module)]
    parameters = [name for name in names if name in module._parameters]
    buffers = [name for name in names if name not in module._parameters]
    placed: list[tuple[int, int, str]] = []
    built: dict[str, int] = {}
    for rank, kind in enumerate((parameters, buffers, list(module._modules))):
        latest = -1
        for name in kind:
            latest = built[name] = max(latest, moments.get(name, latest))
            placed.append((latest, rank, name))
    latest = -1
    for node in init.nodes:
        step = f"%{node.name}"
        if node.operation.kind == "attribute":
            latest = max(latest, built.get(node.operation.target.partition(".")[0], -1))
        if step in moments:
            latest = max(latest, moments[step])
            placed.append((latest, 3, step))
    placed.sort(key=lambda item: item[:2])
    return tuple(name for _, _, name in placed)


COPY = Operation("method", "copy_")
GET_ITEM = Operation("function", "operator:getitem")


class NodeNames:
    """Names for the nodes of an initialisation, by what they do: `stem_weight`, `normal`, `normal_1`."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def of(self, operation: Operation) -> str:
        """Return the name of the next node that does this."""
        target = operation.target
        base = target.replace(".", "_") if operation.kind == "attribute" else target.rpartition(":")[2].strip("_")
        base = re.sub(r"\W", "_", base)  # names of modules may have anything but a dot
        base = base if base.isidentifier() and not keyword.iskeyword(base) else f"value_{base}"
        count = self._counts.get(base, 0)
        self._counts[base] = count + 1
        return f"{base}_{count}" if count else base


class _GraphBuilder:
    """Turns entries of a tape into the nodes of a graph without inputs."""

    def __init__(self, reader: _Reader, paths: dict[int, tuple[str, torch.Tensor]]) -> None:
        self.reader = reader
        self.paths = paths
        self.nodes: list[Node] = []
        self.values: dict[int, Value] = {}
        self.done: dict[int, Value] = {}
        self.names = NodeNames()

    def graph(self, output: Argument) -> Graph:
        return Graph((), tuple(self.nodes), output)

    def add(self, index: int) -> Value:
        """Add the node of an entry, and of what it takes, and return its value."""
        if index in self.done:
            return self.done[index]
        entry = self.reader.entries[index]
        kept = len(self.nodes)
        try:
            node = self._node(entry)
        except (_UntoldError, GraphNASError, TypeError) as error:
            del self.nodes[kept:]
            raise _UntoldError(str(error)) from None
        self.nodes.append(node)
        self.done[index] = node.value
        return node.value

    def copy(self, path: str, whole: torch.Tensor, origin: torch.Tensor | None) -> str:
        """Add what puts the value of `origin` into the parameter at `path`, and return the name of the node."""
        assert origin is not None, "the caller found the call that made it"
        kept = dict(self.paths)
        self.paths.pop(storage(whole), None)
        nodes = len(self.nodes)
        try:
            changes = self.reader.changes

            def changes_of(item: torch.Tensor) -> list[int]:
                return [] if storage(item) == storage(whole) else changes.get(storage(item), [])

            for step in self.reader.needed([origin], changes_of, self.is_attribute):
                self.add(step)
            value = self.argument(origin)
        except _UntoldError:
            del self.nodes[nodes:]
            raise
        finally:
            self.paths.update(kept)
        target = self.argument(whole)
        node = Node(self.names.of(COPY), COPY, (target, value), FrozenDict(), type_of(whole))
        self.nodes.append(node)
        return node.name

    def _node(self, entry: Entry) -> Node:
        if entry.storage in self.paths:
            entry = _as_initialiser(entry)
        function, args, kwargs = entry.function, entry.args, entry.kwargs
        if field := is_getter(function):
            operation = Operation("field", field)
        else:
            kind, target, args = canonical_call(function, args, kwargs)
            if kind == "call_method":
                operation = Operation("method", str(target))
            else:
                operation = Operation("function", f"{INIT_MODULE}:{entry.init}" if entry.init else path_of(target))
        arguments = tuple(self.argument(arg) for arg in args)
        keywords = FrozenDict((name, self.argument(arg)) for name, arg in without_defaults(function, kwargs).items())
        # A function of torch.nn.init was seen by one of its steps, whose result is not its own.
        in_place = entry.storage or not isinstance(entry.result, (torch.Tensor, tuple, list))
        result = args[0] if in_place else entry.result
        return Node(self.names.of(operation), operation, arguments, keywords, type_of(result), self.reader.hint(entry))

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

    def is_attribute(self, tensor: torch.Tensor) -> bool:
        """Tell whether a tensor is one that stands at a path, and not a part of it."""
        known = self.paths.get(storage(tensor))
        return known is not None and (tensor.shape, tensor.stride()) == (known[1].shape, known[1].stride())

    def _tensor(self, tensor: torch.Tensor) -> Value:
        if self.is_attribute(tensor):
            path, whole = self.paths[storage(tensor)]
            if id(whole) not in self.values:
                read = Operation("attribute", path)
                node = Node(self.names.of(read), read, (), FrozenDict(), type_of(whole))
                self.nodes.append(node)
                self.values[id(whole)] = node.value
            return self.values[id(whole)]
        origin = self.reader.origin(tensor)
        if origin is None:
            raise _UntoldError("it takes a tensor from elsewhere")
        index, position = self.reader.producers[id(origin)]
        value = self.add(index)
        for step in position:
            node = Node(self.names.of(GET_ITEM), GET_ITEM, (value, step), FrozenDict(), type_of(tensor))
            self.nodes.append(node)
            value = node.value
        return value


def _peeled(graph: Graph) -> Graph:
    """Return an expression without a copy at its end: what it yields is new each time anyway."""
    nodes, output = list(graph.nodes), graph.output
    while len(nodes) > 1 and output == nodes[-1].value and nodes[-1].operation.target in _COPIES:
        last = nodes.pop()
        if last.args[0] != nodes[-1].value:
            return graph
        output = last.args[0]
    return Graph((), tuple(nodes), output)


_COPIES = ("clone", "data", "detach")
"""Methods and fields that yield the same values."""

_METHODS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "normal_": ("normal_", ("mean", "std")),
    "uniform_": ("uniform_", ("a", "b")),
    "zero_": ("zeros_", ()),
    "fill_": ("constant_", ("val",)),
}
"""Methods of tensors that a function of `torch.nn.init` stands for, and the names of its arguments."""

_CONSTANTS = {0: "zeros_", 1: "ones_"}
_FILLING = ("constant_", *_CONSTANTS.values())


def _as_initialiser(entry: Entry) -> Entry:
    """Return a call that sets a parameter as a call of `torch.nn.init`, if one does the same."""
    name, rest = getattr(entry.function, "__name__", ""), entry.args[1:]
    if not entry.init and is_tensor_method(entry.function) and name in _METHODS and not entry.kwargs:
        init, names = _METHODS[name]
        if len(rest) <= len(names) and all(type(item) in (int, float) for item in rest):
            args, kwargs = bound(vars(nn.init)[init], entry.args[:1], dict(zip(names, rest, strict=False)))
            entry = replace(entry, function=vars(nn.init)[init], init=init, args=args, kwargs=kwargs)
    if entry.init == "constant_" and type(entry.args[1]) in (int, float) and entry.args[1] in _CONSTANTS:
        init = _CONSTANTS[entry.args[1]]
        entry = replace(entry, function=vars(nn.init)[init], init=init, args=entry.args[:1])
    return entry


def _changes_nothing(entry: Entry) -> bool:
    """Tell whether a call is a step of a general formula that changes nothing here, such as adding a mean of zero."""
    name, rest = getattr(entry.function, "__name__", ""), entry.args[1:]
    neutral = {"add_": 0, "sub_": 0, "mul_": 1, "div_": 1}.get(name)
    return (
        is_tensor_method(entry.function)
        and not entry.kwargs
        and len(rest) == 1
        and (type(rest[0]) in (int, float) and rest[0] == neutral)
    )


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in (*module._parameters.items(), *module._buffers.items(), *vars(module).items()):
        if isinstance(tensor, torch.Tensor) and not nn.parameter.is_lazy(tensor):
            yield name, tensor


def _state(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, tensor in _own(part):
            yield (f"{prefix}.{name}" if prefix else name), tensor
