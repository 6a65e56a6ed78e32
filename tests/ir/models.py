"""Models built by hand from the types of the IR, for tests of what works on them."""

from __future__ import annotations

from dataclasses import replace

import torch

from graphnas.ir.graph import Graph, Guard, Input, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, Value, freeze
from graphnas.ir.model import Model
from graphnas.ir.module import Child, Definition, DefinitionKind, Forward, ModuleSpec
from graphnas.ir.types import ScalarType, TensorType, Type
from graphnas.ir.verify import verified

UNTYPED = ScalarType(None)
"""Placeholder of a type that `model_of` infers."""


def leaf(target: str, *args: object, label: str = "", **kwargs: object) -> ModuleSpec:
    """A leaf of torch.nn: `leaf("Conv2d", 3, 8, kernel_size=3)`."""
    path = target if ":" in target else f"torch.nn:{target}"
    return ModuleSpec(path, freeze(args), freeze(kwargs), label=label)


def module(name: str, target: str, *args: object, forward: int = 0, **kwargs: object) -> Node:
    return node(name, Operation("module", target, forward), *args, **kwargs)


def function(name: str, target: str, *args: object, **kwargs: object) -> Node:
    return node(name, Operation("function", target), *args, **kwargs)


def node(name: str, operation: Operation, *args: object, **kwargs: object) -> Node:
    """A node; strings that begin with % are uses of values."""
    given = tuple(_argument(item) for item in args)
    return Node(name, operation, given, FrozenDict({key: _argument(item) for key, item in kwargs.items()}), UNTYPED)


def graph(inputs: str, nodes: list[Node], output: object, *guards: Guard) -> Graph:
    """A graph with inputs of those names, separated by blanks; types are left to `model_of`."""
    names = inputs.split()
    return Graph(tuple(Input(name, UNTYPED) for name in names), tuple(nodes), _argument(output), guards)


def definition(
    class_name: str, children: dict[str, Child], *graphs: Graph, kind: DefinitionKind = "module"
) -> Definition:
    forwards = tuple(Forward(item) for item in graphs)
    return Definition(class_name, kind, FrozenDict(children), forwards=forwards)


def chain(*children: Child, names: tuple[str, ...] | None = None) -> Definition:
    """An `nn.Sequential`."""
    keys = names or tuple(str(index) for index in range(len(children)))
    nodes: list[Node] = []
    previous = "input"
    for key in keys:
        name = f"_{key}" if key.isdecimal() else key
        nodes.append(module(name, key, f"%{previous}"))
        previous = name
    children_by_name = dict(zip(keys, children, strict=True))
    return definition("Sequential", children_by_name, graph("input", nodes, f"%{previous}"), kind="sequential")


def model_of(root: Definition, *inputs: Type) -> Model:
    """A verified model with inferred types, its root called with `inputs`."""
    forward = root.forwards[0]
    typed = tuple(Input(item.name, type) for item, type in zip(forward.eval.inputs, inputs, strict=True))
    graphs = [replace(item, inputs=typed) for item in forward.graphs]
    return verified(Model(replace(root, forwards=(Forward(*graphs), *root.forwards[1:]))))


def images(*shape: int) -> TensorType:
    return TensorType(shape, torch.float32)


def block(width: int) -> Definition:
    """A residual block: two convolutions with normalisation, added to the input."""
    conv = leaf("Conv2d", width, width, 3, padding=1, bias=False)
    norm = leaf("BatchNorm2d", width)
    nodes = [
        module("conv1", "conv1", "%x"),
        module("bn1", "bn1", "%conv1"),
        function("relu", "torch.nn.functional:relu", "%bn1"),
        module("conv2", "conv2", "%relu"),
        module("bn2", "bn2", "%conv2"),
        function("add", "operator:add", "%bn2", "%x"),
        function("relu_1", "torch.nn.functional:relu", "%add"),
    ]
    children: dict[str, Child] = {"conv1": conv, "bn1": norm, "conv2": conv, "bn2": norm}
    return definition("Block", children, graph("x", nodes, "%relu_1"))


def resnet(width: int = 8, depth: int = 2) -> Model:
    """A small residual network; its blocks share one definition."""
    shared = block(width)
    children: dict[str, Child] = {
        "stem": leaf("Conv2d", 3, width, 3, padding=1),
        "layer1": chain(*[shared] * depth),
        "layer2": chain(*[shared] * depth),
        "head": leaf("Linear", width, 10),
    }
    nodes = [
        module("stem", "stem", "%x"),
        module("layer1", "layer1", "%stem"),
        module("layer2", "layer2", "%layer1"),
        node("mean", Operation("method", "mean"), "%layer2", (2, 3)),
        module("head", "head", "%mean"),
    ]
    return model_of(definition("Net", children, graph("x", nodes, "%head")), images(2, 3, 8, 8))


def _argument(value: object) -> Argument:
    if isinstance(value, str) and value.startswith("%"):
        return Value(value[1:])
    if isinstance(value, (tuple, list)):
        return freeze(type(value)(_argument(item) for item in value))
    return freeze(value)
