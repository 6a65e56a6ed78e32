"""From the traced calls of a model to its tree of definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from typing import Any

import torch
from torch import nn

from graphnas.errors import TraceError
from graphnas.ir.describe import Findings
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict
from graphnas.ir.module import (
    BufferSpec,
    Child,
    Definition,
    DefinitionKind,
    Forward,
    ModuleSpec,
    ParameterSpec,
    TensorData,
    Tie,
    join,
    ordered,
)
from graphnas.ir.protocols import expansion_of
from graphnas.ir.record import record_of
from graphnas.ir.resolve import instantiate
from graphnas.ir.trace.arguments import own_tensors
from graphnas.ir.trace.evaluate import evaluate
from graphnas.ir.trace.from_fx import graph_of
from graphnas.ir.trace.imported import class_name, is_made_up
from graphnas.ir.trace.pattern import pattern_of
from graphnas.ir.trace.prepare import children_of, walk
from graphnas.ir.trace.scope import Call
from graphnas.ir.trace.settings import with_settings
from graphnas.ir.trace.wrappers import computed_tensors, own_class
from graphnas.ir.types import ObjectType, ScalarType, SequenceType, TensorType, Type

_MOST_ELEMENTS = 32
"""Most literals in the expression of a buffer before a shorter one is looked for."""

Calls = Mapping[str, Sequence[Call]]
"""Traced calls by the path of the module."""


@dataclass
class Builder:
    """Builds definitions.

    Attributes:
        root: The model as the user gave it.
        paths: Paths of its modules by identity.
        eval_calls: Traced calls by path, in eval mode.
        train_calls: The same in train mode; None where no condition on `self.training` was met, or it met what no
            graph can hold.
        eval_only: Whether it is the latter: then the root refuses to run in train mode.
        is_leaf: Tells leaves by module and path.
        spec_of: Gives the constructor call of a leaf.
        base_of: Gives the constructor call of the class of torch that a module's class derives from, if it does.
        notes: What a user should know, collected on the way.
    """

    root: nn.Module
    paths: Mapping[int, tuple[str, ...]]
    eval_calls: Calls
    train_calls: Calls | None
    is_leaf: Callable[[nn.Module, str], bool]
    spec_of: Callable[[nn.Module, str], ModuleSpec]
    base_of: Callable[[nn.Module, str], ModuleSpec | None]
    eval_only: bool = False
    notes: list[str] = field(default_factory=list)
    _forwards: dict[str, tuple[tuple[Forward, ...], tuple[int, ...]]] = field(default_factory=dict)
    _children: dict[str, Child] = field(default_factory=dict)

    def build(self) -> Definition:
        """Return the definition of the root."""
        root = self._child(self.root, "")
        if isinstance(root, ModuleSpec):
            raise TypeError("the root is never a leaf")
        return with_settings(root, self._children, dict(walk(self.root)))

    def _child(self, module: nn.Module, path: str) -> Child:
        first = self.paths[id(module)][0]
        if first in self._children:
            return self._children[first]
        child: Child
        child = self.spec_of(module, first) if self.is_leaf(module, first) else self._definition(module, first)
        self._children[first] = child
        return child

    def _definition(self, module: nn.Module, path: str) -> Definition:
        children = FrozenDict((name, self._child(child, join(path, name))) for name, child in children_of(module))
        if type(module).get_extra_state is not nn.Module.get_extra_state:
            raise TraceError(
                f"{type(module).__name__} at {path!r} keeps extra state in its state_dict (get_extra_state), which a "
                "generated module cannot load; keep that state in buffers, or make the module a leaf with "
                "@graphnas.basic_unit",
                module=path,
            )
        record, expansion = record_of(module), expansion_of(module)
        known = Findings() if record is None else record.findings
        base = None if expansion is not None else self.base_of(module, path)
        inherited = frozenset() if base is None else _inherited(base, module, known)
        parameters: dict[str, ParameterSpec] = {}
        buffers: dict[str, BufferSpec] = {}
        computed = computed_tensors(module)
        for name, tensor in own_tensors(module):
            is_state = name in module._parameters or name in module._buffers
            if name in computed or name in inherited or not (is_state or (id(module), name) in self._read_attributes):
                continue  # a plain tensor that no forward reads, such as a result kept for inspection
            initial = known.initial.get(name)
            if name in module._parameters:
                parameters[name] = ParameterSpec(_type(tensor), tensor.requires_grad, initial)
                if initial is None:
                    self.notes.append(f"{join(path, name)}: how it is initialised was not recorded")
            else:
                buffers[name] = self._buffer(module, name, tensor, initial)
        forwards, _ = self._specialised(path)
        for call in (*self.eval_calls.get(path, ()), *((self.train_calls or {}).get(path, ()))):
            for name, tensor in call.constants.items():
                buffers.setdefault(name, _constant(tensor, "plain"))
        self.notes.extend(known.notes)
        init = _existing(known.init, module, known.inherited if base is not None else frozenset())
        definition = Definition(
            class_name=class_name(module, path) if is_made_up(module) else own_class(module).__name__,
            kind=_kind(module, bool(forwards)),
            children=children,
            parameters=FrozenDict(parameters),
            buffers=FrozenDict(buffers),
            forwards=forwards,
            ties=_ties(module),
            init=init,
            label="" if expansion is None else expansion.label,
            base=base,
            origin="" if is_made_up(module) else f"{own_class(module).__module__}:{own_class(module).__qualname__}",
        )
        return replace(definition, order=ordered(replace(definition, order=known.order)))

    @cached_property
    def _read_attributes(self) -> frozenset[tuple[int, str]]:
        """The tensors that forwards read, by identity of the module and name."""
        modules = dict(walk(self.root))
        found: set[tuple[int, str]] = set()
        for path in dict.fromkeys((*self.eval_calls, *(self.train_calls or {}))):
            for forward in self._specialised(path)[0]:
                for node in (node for graph in forward.graphs for node in graph.nodes):
                    if node.operation.kind == "attribute":
                        owner, _, name = join(path, node.operation.target).rpartition(".")
                        if owner in modules:
                            found.add((id(modules[owner]), name))
        return frozenset(found)

    def _buffer(self, module: nn.Module, name: str, tensor: torch.Tensor, initial: Graph | None) -> BufferSpec:
        if name not in module._buffers:
            storage: Any = "plain"
        else:
            storage = "temporary" if name in module._non_persistent_buffers_set else "persistent"
        if initial is not None and tensor.device.type != "meta":
            value = evaluate(initial)
            if value is None or _type(value) != _type(tensor):
                initial = None
            elif storage != "persistent" and not torch.equal(value, tensor.detach().cpu()):
                # What a state_dict holds may have been trained since; the rest must be as it is now.
                initial = None
            elif _elements(initial) > _MOST_ELEMENTS:
                initial = pattern_of(value) or initial
        if initial is not None or tensor.device.type == "meta":
            return BufferSpec(_type(tensor), storage, initial)
        return _constant(tensor, storage)

    def _specialised(self, path: str) -> tuple[tuple[Forward, ...], tuple[int, ...]]:
        """Return the distinct forwards of a module, and for each of its calls the number of its forward.

        Calls that differ in nothing but the sizes of tensors are calls of one forward: it has the types of the first.
        """
        if path not in self._forwards:
            forwards: list[Forward] = []
            numbers: list[int] = []
            known: dict[tuple[str, ...], int] = {}
            pairs = list(self._pairs(path))
            for forward in pairs:
                key = tuple(_without_sizes(graph).key for graph in forward.graphs) if len(pairs) > 1 else ()
                if key not in known:
                    known[key] = len(forwards)
                    forwards.append(forward)
                numbers.append(known[key])
            self._forwards[path] = (tuple(forwards), tuple(numbers))
        return self._forwards[path]

    def _pairs(self, path: str) -> Iterator[Forward]:
        """Yield one forward for each call, the graphs of both modes together where they differ."""
        evals = [graph_of(call, self._forward_number) for call in self.eval_calls.get(path, ())]
        if self.train_calls is None:
            refuses = self.eval_only and not path
            yield from (Forward(graph, _refusing(graph, self.root) if refuses else None) for graph in evals)
            return
        trains = [graph_of(call, self._forward_number) for call in self.train_calls.get(path, ())]
        for index in range(max(len(evals), len(trains))):
            evaluated = evals[index] if index < len(evals) else None
            trained = trains[index] if index < len(trains) else None
            if evaluated is None or trained is None:
                yield Forward(evaluated or trained)  # type: ignore[arg-type]  # one of them is there
            else:
                yield Forward(evaluated, None if evaluated == trained else trained)

    def _forward_number(self, path: str, call: int) -> int:
        return self._specialised(path)[1][call]


def _refusing(graph: Graph, root: nn.Module) -> Graph:
    """Return what a forward does in train mode when only eval mode could be traced: it fails before anything else."""
    taken = {item.name for item in graph.inputs} | {node.name for node in graph.nodes}
    flag, check = (next(name for name in _fresh(base) if name not in taken) for base in ("zeros", "assert_async"))
    message = (
        f"{type(root).__name__} was traced in eval mode only, since its training forward decides by random numbers or "
        "data; call eval() first"
    )
    shape, none = TensorType((), torch.float32), ScalarType(None)
    zero = Node(flag, Operation("function", "torch:zeros"), ((),), FrozenDict(), shape)
    refusal = Node(check, Operation("function", "torch:_assert_async"), (zero.value, message), FrozenDict(), none)
    return replace(graph, nodes=(zero, refusal, *graph.nodes))


def _fresh(base: str) -> Iterator[str]:
    return (base if index == 0 else f"{base}_{index}" for index in count())


def _without_sizes(graph: Graph) -> Graph:
    """Return a graph with the nature of its types only."""
    inputs = tuple(replace(item, type=_nature(item.type)) for item in graph.inputs)
    nodes = tuple(replace(node, type=_nature(node.type)) for node in graph.nodes)
    return replace(graph, inputs=inputs, nodes=nodes)


def _nature(kind: Type) -> Type:
    if isinstance(kind, TensorType):
        return TensorType((), kind.dtype)
    if isinstance(kind, ScalarType):
        return ScalarType(type(kind.value).__name__)
    if isinstance(kind, SequenceType) and kind.kind != "size":
        return replace(kind, items=tuple(map(_nature, kind.items)))
    return ObjectType("") if isinstance(kind, SequenceType) else kind


def _constant(tensor: torch.Tensor, storage: Any) -> BufferSpec:
    pattern = pattern_of(tensor) if tensor.numel() > 1 else None
    return BufferSpec(_type(tensor), storage, pattern, None if pattern is not None else tensor_data(tensor))


def _elements(graph: Graph) -> int:
    """Return how many literals stand in an expression."""

    def count(item: Argument) -> int:
        return sum(map(count, item)) if isinstance(item, tuple) else 1

    return sum(count(node.args) for node in graph.nodes)


def tensor_data(tensor: torch.Tensor) -> TensorData:
    """Return the bytes of a tensor."""
    plain = tensor.detach().cpu().contiguous()
    data = plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return TensorData(_type(tensor), data)


def _kind(module: nn.Module, called: bool) -> DefinitionKind:
    expansion = expansion_of(module)
    if expansion is not None:
        return expansion.kind
    if isinstance(module, nn.Sequential):
        return "sequential"
    if called:  # a list or dictionary that somebody gave a forward is an ordinary module
        return "module"
    if type(module) is nn.Module and module._modules and not module._parameters and not module._buffers:
        return "list" if list(module._modules) == [str(index) for index in range(len(module._modules))] else "module"
    if isinstance(module, nn.ModuleList):  # names can be given to its items behind its back, by add_module
        names = [name for name, _ in children_of(module)]  # an item may also be None
        return "list" if names == [str(index) for index in range(len(names))] else "dict"
    if isinstance(module, nn.ParameterList):
        return "list"
    return "dict" if isinstance(module, (nn.ModuleDict, nn.ParameterDict)) else "module"


def _type(tensor: torch.Tensor) -> TensorType:
    return TensorType(tuple(tensor.shape), tensor.dtype)


def _ties(module: nn.Module) -> tuple[Tie, ...]:
    """Return what is shared between different children of a module, or between itself and a child."""
    ties: list[Tie] = []
    seen: dict[int, str] = {}
    shared: list[str] = []
    for path, part in walk(module):
        if any(path.startswith(f"{known}.") for known in shared):
            continue
        known = seen.setdefault(id(part), path)
        if known != path:
            shared.append(path)
            if _meet_here(known, path):
                ties.append(Tie(path, known))
            continue
        for name, parameter in part._parameters.items():
            if parameter is None:
                continue
            whole = join(path, name)
            source = seen.setdefault(id(parameter), whole)
            if source != whole and _meet_here(source, whole):
                ties.append(Tie(whole, source))
    return tuple(ties)


def _meet_here(a: str, b: str) -> bool:
    """Tell whether the lowest definition above two paths is the one that they start from."""
    return a.partition(".")[0] != b.partition(".")[0] or "." not in a or "." not in b


def _inherited(base: ModuleSpec, module: nn.Module, known: Findings) -> frozenset[str]:
    """Return the names of the parameters and buffers of a module that its base creates."""
    created = instantiate(base, "meta")
    return frozenset(
        name
        for name, tensor in own_tensors(module)
        if name in (*created._parameters, *created._buffers) and (name not in known.initial or name in known.inherited)
    )


def _existing(init: Graph, module: nn.Module, inherited: frozenset[str]) -> Graph:
    """Return what of a recorded initialisation still has its parameter, under the paths that the IR has.

    What the base of a class does itself, `inherited`, is left out.
    """
    if not init.nodes:
        return init
    known = {join(path, name) for path, part in walk(module) for name, _ in own_tensors(part)}
    known |= {
        join(path, name) for path, part in walk(module) for name, _ in part.named_parameters(remove_duplicate=False)
    }
    gone: dict[str, None] = {}
    nodes = []
    for node in init.nodes:
        missing = node.operation.kind == "attribute" and node.operation.target not in known
        missing = missing or f"%{node.name}" in inherited
        if missing or any(value.name in gone for value in node.inputs):
            gone[node.name] = None
        else:
            nodes.append(node)
    if not gone:
        return init
    used = {value.name for node in nodes for value in node.inputs}
    kept = tuple(node for node in nodes if node.operation.kind != "attribute" or node.name in used)
    return Graph((), kept, None) if kept else EMPTY_GRAPH
