"""Hypothesis strategies: random literals, types, and models that are valid and can run.

Every model maps an input `x` of shape `(2, 8)` to an output of that shape, by random chains and branches of leaves,
functions, own parameters and nested definitions. Laws over any part of graphnas draw from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st

from graphnas.ir.graph import EMPTY_GRAPH, Graph, Guard, Input, Node, Operation, OperationKind
from graphnas.ir.literal import Argument, Construction, FrozenDict, FrozenList, Symbol, Value
from graphnas.ir.model import Model, Mutation
from graphnas.ir.module import BufferSpec, Child, Definition, Forward, ModuleSpec, ParameterSpec, TensorData, Tie
from graphnas.ir.types import MappingType, ObjectType, ScalarType, SequenceType, TensorType, Type

WIDTH = 8
BATCH = TensorType((2, WIDTH), torch.float32)

_ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats().map(lambda value: math.nan if math.isnan(value) else value),
    st.complex_numbers(),
    st.text(max_size=8),
    st.text(alphabet=st.characters(), max_size=4),  # surrogates too
    st.binary(max_size=8),
    st.just(...),
    st.builds(range, st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 3)),
    st.sampled_from(
        [
            *(torch.float32, torch.bfloat16, torch.int64, torch.complex64, torch.bool, torch.float8_e4m3fn),
            *(torch.device("cpu"), torch.device("cuda", 1), torch.device("meta")),
            *(torch.channels_last, torch.contiguous_format, torch.strided, torch.sparse_coo),
            Construction("torch.nn:Linear", (2, 3), FrozenDict({"bias": False})),
            *(Symbol("torch:relu"), Symbol("a.b:C.d"), Symbol("odd name:<locals>")),
            *(torch.Size([]), torch.Size([2, 3])),
            *(-0.0, math.inf, -math.inf, math.nan, complex(math.nan, -math.inf), complex(-0.0, -0.0)),
        ]
    ),
)


def literals() -> st.SearchStrategy[Any]:
    """Every kind of literal, nested."""
    keys = st.one_of(st.text(max_size=4), st.integers(), st.booleans(), st.none())
    return st.recursive(
        _ATOMS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(tuple),
            st.lists(inner, max_size=3).map(FrozenList),
            st.dictionaries(keys, inner, max_size=3).map(FrozenDict),
            st.builds(slice, inner, inner, inner),
        ),
        max_leaves=6,
    )


def types() -> st.SearchStrategy[Type]:
    """Every kind of type, nested."""
    tensors = st.builds(
        TensorType,
        st.lists(st.integers(0, 9), max_size=4).map(tuple),
        st.sampled_from([torch.float32, torch.bool, torch.int8, torch.complex128, torch.float8_e5m2]),
    )
    atoms = st.one_of(tensors, st.builds(ScalarType, literals()), st.builds(ObjectType, st.text(max_size=6)))
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds(SequenceType, st.sampled_from(["tuple", "list", "size"]), st.lists(inner, max_size=3).map(tuple)),
            st.builds(
                MappingType, st.dictionaries(st.text(max_size=3), inner, max_size=3).map(lambda d: tuple(d.items()))
            ),
        ),
        max_leaves=4,
    )


@dataclass
class Builder:
    """A definition in the making: children, parameters and one graph, with unique names for values."""

    class_name: str
    inputs: tuple[Input, ...] = (Input("x", BATCH),)
    children: dict[str, Child] = field(default_factory=dict)
    parameters: dict[str, ParameterSpec] = field(default_factory=dict)
    buffers: dict[str, BufferSpec] = field(default_factory=dict)
    ties: list[Tie] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    base: ModuleSpec | None = None

    def add(
        self,
        kind: OperationKind,
        target: str,
        *args: Argument,
        type: Type = BATCH,
        hint: str = "",
        label: str = "",
        name: str = "",
        **kwargs: Argument,
    ) -> Value:
        """Append a node and return its value."""
        base = name or target.rpartition(":")[2].replace(".", "_") or kind
        base = f"_{base}" if base[0].isdigit() else base
        taken = {item.name for item in self.inputs} | {node.name for node in self.nodes}
        unique, count = base, 0
        while unique in taken:
            count += 1
            unique = f"{base}_{count}"
        self.nodes.append(Node(unique, Operation(kind, target), args, FrozenDict(kwargs), type, hint, label))
        return Value(unique)

    def call(self, path: str, *args: Argument, child: Child | None = None, **options: Any) -> Value:
        """Append a call of the child at `path`, which is registered first if `child` is given."""
        if child is not None:
            self.children[path] = child
        return self.add("module", path, *args, **options)

    def build(self, output: Argument, **fields: Any) -> Definition:
        """Return the definition whose forward returns `output`."""
        graph = Graph(self.inputs, tuple(self.nodes), output, tuple(self.guards))
        return Definition(
            self.class_name,
            children=FrozenDict(self.children),
            parameters=FrozenDict(self.parameters),
            buffers=FrozenDict(self.buffers),
            ties=tuple(self.ties),
            base=self.base,
            **{"forwards": (Forward(graph),), **fields},
        )


def leaf(name: str, *args: Argument, label: str = "", frozen: tuple[str, ...] = (), **kwargs: Argument) -> ModuleSpec:
    """Return a leaf of `torch.nn`."""
    return ModuleSpec(f"torch.nn:{name}", args, FrozenDict(kwargs), frozen, label)


def sequential(
    *children: Child, type: Type = BATCH, before: Type | None = None, names: tuple[str, ...] = ()
) -> Definition:
    """Return an `nn.Sequential` of `children`; the input is given the type `before`, every other value `type`."""
    builder = Builder("Sequential", (Input("input", type if before is None else before),))
    value = Value("input")
    for index, child in enumerate(children):
        path = names[index] if names else str(index)
        value = builder.call(path, value, child=child, type=type, hint="input")
    return builder.build(value, kind="sequential")


def leaves() -> st.SearchStrategy[ModuleSpec]:
    """Leaves that map `(2, 8)` to `(2, 8)`."""
    return st.one_of(
        st.builds(
            lambda bias, label, frozen: leaf("Linear", WIDTH, WIDTH, bias=bias, label=label, frozen=frozen),
            st.booleans(),
            st.sampled_from(["", "width"]),
            st.sampled_from([(), ("weight",)]),
        ),
        st.sampled_from([leaf("ReLU"), leaf("ReLU", inplace=True), leaf("Tanh"), leaf("Identity")]),
        st.sampled_from([leaf("LayerNorm", WIDTH), leaf("Dropout", p=0.5), leaf("GELU", approximate="tanh")]),
    )


@st.composite
def definitions(draw: st.DrawFn, depth: int = 2, max_nodes: int = 6) -> Definition:
    """Definitions that map `(2, 8)` to `(2, 8)`; valid, and runnable once their classes are written."""
    if depth < 2 and draw(st.booleans()):
        children = draw(st.lists(leaves(), min_size=1, max_size=3))
        return sequential(*children)
    builder = Builder(draw(st.sampled_from(["Net", "Block", "Stage"])))
    values = [Value("x")]
    builder.base = draw(st.sampled_from([None, None, leaf("LayerNorm", WIDTH), leaf("Linear", WIDTH, WIDTH)]))
    if draw(st.booleans()):
        builder.parameters["scale"] = ParameterSpec(
            TensorType((WIDTH,), torch.float32),
            draw(st.booleans()),
            draw(st.sampled_from([None, expression("torch:ones", WIDTH)])),
        )
    if draw(st.booleans()):
        builder.buffers["shift"] = _buffer(draw)
    for index in range(draw(st.integers(1, max_nodes))):
        values.append(draw(_step(builder, tuple(values), depth, index)))
    outputs = values[-1]
    init = draw(st.sampled_from([EMPTY_GRAPH, _init(builder)]))
    if draw(st.booleans()):
        _guard(builder)
    graph = Graph(builder.inputs, tuple(builder.nodes), outputs, tuple(builder.guards))
    train = Graph(graph.inputs, graph.nodes, Value("x")) if draw(st.integers(0, 7)) == 0 else None
    steps = [*builder.parameters, *builder.buffers, *builder.children, *(f"%{node.name}" for node in init.nodes)]
    order = tuple(draw(st.permutations(steps))) if draw(st.integers(0, 3)) == 0 else ()
    forwards = (Forward(graph, train),)
    settings = draw(st.sampled_from([FrozenDict[Any](), FrozenDict({"width": WIDTH, "act": Symbol("torch.nn:ReLU")})]))
    fields = {"label": draw(_LABELS), "order": order, "settings": settings}
    return builder.build(outputs, forwards=forwards, init=init, **fields)


@st.composite
def models(draw: st.DrawFn, depth: int = 2, max_nodes: int = 6) -> Model:
    """Models of `definitions`, some with a history."""
    history = draw(st.lists(mutations(), max_size=2))
    return Model(draw(definitions(depth, max_nodes)), tuple(history))


def mutations() -> st.SearchStrategy[Mutation]:
    """Entries of a history."""
    texts = st.lists(st.text(max_size=5), max_size=2).map(tuple)
    decisions = st.dictionaries(st.text(max_size=5), literals(), max_size=2).map(FrozenDict)
    parent = st.just("0" * 32)
    return st.builds(Mutation, st.just("Swap"), st.text(max_size=4), texts, decisions, texts, parent, texts, decisions)


def expression(target: str, *args: Argument) -> Graph:
    """Return a graph without inputs of a single call."""
    node = Node("initial", Operation("function", target), args, FrozenDict(), TensorType((WIDTH,), torch.float32))
    return Graph((), (node,), Value("initial"))


_LABELS = st.sampled_from(["", "stem", "odd label"])
_FUNCTIONS = ("torch.nn.functional:relu", "torch:sigmoid", "torch:abs")
_OPERATORS = ("operator:add", "operator:sub", "operator:mul", "torch:maximum")


@st.composite
def _step(draw: st.DrawFn, builder: Builder, values: tuple[Value, ...], depth: int, index: int) -> Value:
    """Append one random operation."""
    value, other = draw(st.sampled_from(values)), draw(st.sampled_from(values))
    hint = draw(st.sampled_from(["", "x", "identity"]))
    kinds = ["leaf", "again", "function", "operator", "method", *(["nested"] * (depth > 0))]
    kinds += [name for name in ("scale", "shift") if name in (*builder.parameters, *builder.buffers)]
    kinds += ["bias"] * (builder.base is not None)
    kind = draw(st.sampled_from(kinds))
    known = tuple(builder.children)
    if kind == "again" and known:
        return builder.call(draw(st.sampled_from(known)), value, hint=hint)
    if kind in ("leaf", "again"):
        return builder.call(f"layer{index}", value, child=draw(leaves()), hint=hint, label=draw(_LABELS))
    if kind == "nested":
        return builder.call(f"block{index}", value, child=draw(definitions(depth - 1, 3)), hint=hint)
    if kind == "function":
        return builder.add("function", draw(st.sampled_from(_FUNCTIONS)), value, hint=hint)
    if kind == "method":
        return builder.add("method", "clamp", value, min=draw(st.sampled_from([-1.0, 0, -0.5])), hint=hint)
    if kind in ("scale", "shift", "bias"):
        tensor = builder.add("attribute", kind, type=TensorType((WIDTH,), torch.float32))
        return builder.add("function", "operator:mul", value, tensor, hint=hint)
    return builder.add("function", draw(st.sampled_from(_OPERATORS)), value, other, hint=hint)


def _buffer(draw: st.DrawFn) -> BufferSpec:
    type = TensorType((WIDTH,), torch.float32)
    storage: Any = draw(st.sampled_from(["persistent", "temporary", "plain"]))
    if draw(st.booleans()):
        return BufferSpec(type, storage, expression("torch:ones", WIDTH))
    data = torch.arange(WIDTH, dtype=torch.float32).numpy().tobytes()
    return BufferSpec(type, storage, None, TensorData(type, data))


def _guard(builder: Builder) -> None:
    """Append what an `if x.shape[1] > 4:` leaves behind."""
    shape = builder.add(
        "field", "shape", Value("x"), type=SequenceType("size", tuple(ScalarType(size) for size in BATCH.shape))
    )
    width = builder.add("function", "operator:getitem", shape, 1, type=ScalarType(WIDTH))
    wide = builder.add("function", "operator:gt", width, 4, type=ScalarType(True))
    builder.guards.append(Guard(wide.name, True))


def _init(builder: Builder) -> Graph:
    """Return an initialisation of the weights of all linear children."""
    nodes: list[Node] = []
    for name, child in builder.children.items():
        if isinstance(child, ModuleSpec) and child.type == "Linear":
            type = TensorType((WIDTH, WIDTH), torch.float32)
            nodes.append(Node(f"{name}_weight", Operation("attribute", f"{name}.weight"), (), FrozenDict(), type))
            normal = Operation("function", "torch.nn.init:normal_")
            args = (Value(f"{name}_weight"),)
            nodes.append(Node(f"{name}_normal", normal, args, FrozenDict({"std": 0.02}), type))
    return Graph((), tuple(nodes), None)
