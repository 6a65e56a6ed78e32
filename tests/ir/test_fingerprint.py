"""Fingerprints: what counts, what does not, and that they are the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import graphnas
from graphnas.ir.fingerprint import fingerprint, spec_fingerprint
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Input, Node
from graphnas.ir.json_form import from_json, to_json
from graphnas.ir.literal import Argument, FrozenDict, Symbol, Value, map_values
from graphnas.ir.module import BufferSpec, Child, Definition, Forward, ModuleSpec, ParameterSpec, TensorData, Tie
from graphnas.ir.rewrite import Rewriter
from tests.ir.handmade import language_model, resnet
from tests.strategies import BATCH, Builder, definitions, expression, leaf, sequential


def _renamed(definition: Definition, rename: Callable[[str], str]) -> Definition:
    """Return the definition with every value, child, tensor and class under another name."""

    def path(text: str, holder: Definition) -> str:
        names: list[str] = []
        found: Child | None = holder
        for name in text.split("."):
            own = isinstance(found, Definition) and name in (*found.children, *found.parameters, *found.buffers)
            names.append(rename(name) if own else name)
            found = found.children.get(name) if isinstance(found, Definition) else None
        return ".".join(names)

    def graph(old: Graph) -> Graph:
        def values(argument: Argument) -> Argument:
            return map_values(argument, lambda value: Value(rename(value.name)))

        nodes = []
        for node in old.nodes:
            operation = node.operation
            if operation.kind in ("module", "attribute"):
                operation = replace(operation, target=path(operation.target, definition))
            kwargs = FrozenDict((key, values(value)) for key, value in node.kwargs.items())
            nodes.append(Node(rename(node.name), operation, values(node.args), kwargs, node.type, "h", "l", "x:1"))
        inputs = tuple(replace(item, name=rename(item.name)) for item in old.inputs)
        return Graph(inputs, tuple(nodes), values(old.output))  # guards left out: they do not count either

    def child(old: Child) -> Child:
        return _renamed(old, rename) if isinstance(old, Definition) else replace(old, label="other")

    return replace(
        definition,
        class_name=rename(definition.class_name),
        children=FrozenDict((rename(name), child(item)) for name, item in definition.children.items()),
        parameters=FrozenDict((rename(name), item) for name, item in definition.parameters.items()),
        buffers=FrozenDict((rename(name), item) for name, item in definition.buffers.items()),
        ties=tuple(Tie(path(t.path, definition), path(t.source, definition)) for t in definition.ties),
        forwards=tuple(
            Forward(graph(item.eval), None if item.train is None else graph(item.train)) for item in definition.forwards
        ),
        init=EMPTY_GRAPH if definition.init == EMPTY_GRAPH else graph(definition.init),
        label="other",
    )


def _reordered(definition: Definition) -> Definition:
    def child(item: Child) -> Child:
        return _reordered(item) if isinstance(item, Definition) else item

    return replace(
        definition,
        children=FrozenDict((name, child(item)) for name, item in tuple(definition.children.items())[::-1]),
        parameters=FrozenDict(tuple(definition.parameters.items())[::-1]),
        buffers=FrozenDict(tuple(definition.buffers.items())[::-1]),
        ties=definition.ties[::-1],
    )


@given(definitions(), st.sampled_from([lambda name: f"z{name}", lambda name: f"{len(name)}_{name}"[::-1]]))
def test_names_do_not_count(definition: Definition, rename: Callable[[str], str]) -> None:
    assert fingerprint(_renamed(definition, rename)) == fingerprint(definition)
    assert _renamed(definition, rename).key != definition.key


@given(definitions())
def test_the_order_of_attributes_does_not_count(definition: Definition) -> None:
    assert fingerprint(_reordered(definition)) == fingerprint(definition)


def test_names_and_order_do_not_count_in_models_with_ties_and_hierarchy() -> None:
    for model in (resnet(), language_model()):
        root = replace(model.root, forwards=model.root.forwards)
        assert fingerprint(_reordered(root)) == fingerprint(root)
    # The mask of the language model is passed by keyword, which is a name of the outside.
    root = language_model().root
    assert fingerprint(_renamed(root, lambda name: f"z{name}")) == fingerprint(root)


@given(definitions(depth=1), st.data())
def test_a_changed_argument_of_a_called_leaf_counts(definition: Definition, data: st.DataObject) -> None:
    called = [node.operation.target for node in definition.forwards[0].eval.nodes if node.operation.kind == "module"]
    leaves = [name for name in called if isinstance(definition.children[name], ModuleSpec)]
    if leaves:
        changed = definition.with_child(data.draw(st.sampled_from(leaves)), leaf("Linear", 8, 8, dtype=torch.float16))
        assert fingerprint(changed) != fingerprint(definition)


def _net(*, swapped: bool = False, constant: bytes = b"\0" * 32, twice: bool = False) -> Definition:
    builder = Builder("Net")
    builder.buffers["c"] = BufferSpec(
        replace(BATCH, shape=(8,)), "persistent", None, TensorData(replace(BATCH, shape=(8,)), constant)
    )
    a = builder.call("a", Value("x"), child=leaf("Linear", 8, 8))
    b = builder.call("a", a) if twice else builder.call("b", a, child=leaf("Linear", 8, 8))
    c = builder.add("function", "operator:sub", *((b, a) if swapped else (a, b)))
    c = builder.add("function", "operator:mul", c, builder.add("attribute", "c"))
    return builder.build(c)


def test_ports_constants_and_sharing_count() -> None:
    nets = [_net(), _net(swapped=True), _net(constant=b"\1" + b"\0" * 31), _net(twice=True)]
    nets.append(replace(_net(), ties=(Tie("b.weight", "a.weight"),)))
    assert len({fingerprint(net) for net in nets}) == len(nets)


def test_a_tied_child_is_the_child_that_it_is_tied_to() -> None:
    tied = replace(_net(), ties=(Tie("b", "a"),))
    assert fingerprint(tied) == fingerprint(_net(twice=True)) != fingerprint(_net())


def test_ties_between_the_insides_of_children_count_whatever_the_names() -> None:
    def net(first: str, second: str, *ties: Tie) -> Definition:
        builder = Builder("Net")
        block = sequential(leaf("Linear", 8, 8), leaf("Linear", 8, 8))
        a = builder.call(first, Value("x"), child=block)
        return replace(builder.build(builder.call(second, a, child=block)), ties=ties)

    tied = net("a", "b", Tie("b.0.weight", "a.1.weight"))
    assert fingerprint(tied) == fingerprint(net("v", "u", Tie("u.0.weight", "v.1.weight")))
    assert (
        len({fingerprint(item) for item in (tied, net("a", "b"), net("a", "b", Tie("b.0.weight", "a.0.weight")))}) == 3
    )


def test_what_only_guards_take_and_what_is_never_called_does_not_count() -> None:
    builder = Builder("Net")
    shape = builder.add("field", "shape", Value("x"))
    builder.add("function", "operator:getitem", shape, 1)
    builder.children["unused"] = leaf("Linear", 1, 1)
    builder.parameters["unused_too"] = ParameterSpec(BATCH)
    full = builder.build(builder.call("a", Value("x"), child=leaf("ReLU")))
    small = Builder("Net")
    assert fingerprint(full) == fingerprint(small.build(small.call("a", Value("x"), child=leaf("ReLU"))))


def test_effects_that_nobody_takes_count() -> None:
    builder = Builder("Net")
    builder.add("method", "add_", Value("x"), 1)
    plain = Builder("Net")
    assert fingerprint(builder.build(Value("x"))) != fingerprint(plain.build(Value("x")))


def test_initialisation_trainability_and_the_train_graph_count() -> None:
    net = _net()
    graph = net.forwards[0].eval
    other = replace(net, forwards=(Forward(graph, replace(graph, output=Value("x"))),))
    same = replace(net, forwards=(Forward(graph, replace(graph, guards=graph.guards)),))
    init = language_model().root.init
    found = {fingerprint(item) for item in (net, other, replace(net, init=init))}
    assert len(found) == 3
    assert fingerprint(same) == fingerprint(net)
    model = language_model().root
    thawed = FrozenDict({"position": replace(model.parameters["position"], requires_grad=True)})
    ones = FrozenDict({"position": replace(model.parameters["position"], initial=expression("torch:ones", 8))})
    assert len({fingerprint(replace(model, parameters=p)) for p in (model.parameters, thawed, ones)}) == 3


def test_what_was_not_recorded_counts_as_source_builds_it() -> None:
    model = language_model().root
    position = model.parameters["position"]
    unknown, zeros = (
        replace(model, parameters=FrozenDict({"position": replace(position, initial=initial)}))
        for initial in (None, expression("torch:zeros", 8))
    )
    assert fingerprint(unknown) == fingerprint(zeros)
    steps = replace(model.buffers["steps"], initial=expression("torch:arange", 4), data=None)
    assert fingerprint(replace(model, buffers=model.buffers.set("steps", steps))) == fingerprint(model)


def test_keyword_inputs_of_definitions_count_by_number() -> None:
    def net(*names: str) -> Definition:
        inner = Builder("Inner", tuple(Input(name, BATCH, True) for name in names))
        block = inner.build(inner.add("function", "operator:sub", Value(names[0]), Value(names[1])))
        outer = Builder("Net", (Input("x", BATCH), Input("y", BATCH)))
        return outer.build(outer.call("block", child=block, **{names[1]: Value("y"), names[0]: Value("x")}))

    assert fingerprint(net("a", "b")) == fingerprint(net("q", "p"))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (leaf("Conv2d", 3, 8, 3), leaf("Conv2d", in_channels=3, out_channels=8, kernel_size=3, stride=1), True),
        (leaf("Conv2d", 3, 8, 3, padding=0, bias=True), leaf("Conv2d", 3, 8, bias=True, kernel_size=3), True),
        (leaf("Conv2d", 3, 8, 3), ModuleSpec("torch.nn.modules.conv:Conv2d", (3, 8, 3)), True),
        (leaf("Conv2d", 3, 8, 3), leaf("Conv2d", 3, 8, 5), False),
        (leaf("Linear", 3, 8), leaf("Linear", 3, 8, bias=1), False),
        (leaf("LSTM", 8, 8, batch_first=True, bias=False), leaf("LSTM", 8, 8, bias=False, batch_first=True), True),
        (
            leaf("TransformerEncoderLayer", 8, 2),
            leaf("TransformerEncoderLayer", 8, 2, activation=Symbol("torch.nn.functional:relu")),
            True,
        ),
        (leaf("Linear", 1, 2, 3, 4, 5, 6), leaf("Linear", 1, 2, 3, 4, 5, 7), False),
        (leaf("ReLU", frozen=("a", "b")), leaf("ReLU", frozen=("b", "a"), label="x"), True),
        (ModuleSpec("user:Block", (1,)), ModuleSpec("user:Block", (), FrozenDict({"n": 1})), False),
        (
            ModuleSpec("user:Block", (), FrozenDict({"a": 1, "b": 2})),
            ModuleSpec("user:Block", (), FrozenDict({"b": 2, "a": 1})),
            True,
        ),
    ],
)
def test_calls_of_constructors_count_by_what_they_mean(one: ModuleSpec, other: ModuleSpec, equal: bool) -> None:
    assert (spec_fingerprint(one) == spec_fingerprint(other)) is equal


def test_a_definition_inside_is_hashed_once() -> None:
    model = resnet(widths=(8,), blocks=3)
    assert model.fingerprint == fingerprint(model.root)
    assert len(model.fingerprint) == 32
    edited = model.root.with_child("conv1", leaf("Conv2d", 3, 8, 5))
    block = model.root.child("layer1.0")
    before = dict(vars(block))
    fingerprint(edited)
    assert edited.child("layer1.0") is block
    assert vars(block) == before


CODE = """
from tests.ir.handmade import language_model, resnet
print(language_model().fingerprint, resnet().fingerprint)
"""


def test_equal_in_every_process() -> None:
    outputs = set()
    for seed in ("0", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
        outputs.add(done.stdout)
    assert outputs == {f"{language_model().fingerprint} {resnet().fingerprint}\n"}


class _Initialised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(8, 8)
        self.body = nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 8))
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_normal_(part.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)  # type: ignore[no-any-return]  # modules are not typed


def test_what_is_remembered_of_an_initialisation_does_not_show() -> None:
    with graphnas.recording():
        net = _Initialised()
    model = graphnas.trace(net, (torch.zeros(2, 8),))
    seen = [model.fingerprint]
    for site in ("body.0:n1", "body.0:n0", "body:n1"):
        with Rewriter(model) as edit:
            edit.insert_before(site, ModuleSpec("torch.nn:Linear", (8, 8)))
        assert edit.result is not None
        seen.append(edit.result.fingerprint)
        assert from_json(to_json(edit.result)).fingerprint == seen[-1]
    assert len(dict.fromkeys(seen)) == len(seen)
