"""The parser of the text form; the grammar stands in `graphnas.ir.text`.

Recursive descent, one method per rule. Nothing is imported or resolved while reading: classes and functions stay names.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from graphnas.ir.graph import EMPTY_GRAPH, Graph, Guard, Input, Node, Operation, OperationKind
from graphnas.ir.literal import Argument, Construction, FrozenDict
from graphnas.ir.model import Model, Mutation
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
)
from graphnas.ir.scanner import Scanner
from graphnas.ir.types import TensorType

TEXT_VERSION = 1
"""Counts changes of the grammar; the first thing in every text."""

_STORAGES = ("persistent", "temporary", "plain")
_MEMBERS = ("base", "child", "parameter", "buffer", "tie", "init", "order", "setting", "forward", "train")


def parse_model(text: str) -> Model:
    """Return the model that `text` describes; equal, by `key`, to the one that was formatted.

    Raises:
        ParseError: The text is no model; the message shows the line and what was expected.
    """
    return _Parser(text).model()


@dataclass
class _Reference:
    """A definition that a child names, to be looked up once all are read."""

    name: str
    position: int


@dataclass
class _Block:
    """A definition as it was read, its references open."""

    position: int
    kind: DefinitionKind
    class_name: str
    label: str
    origin: str
    children: dict[str, ModuleSpec | _Reference] = field(default_factory=dict)
    parameters: dict[str, ParameterSpec] = field(default_factory=dict)
    buffers: dict[str, BufferSpec] = field(default_factory=dict)
    forwards: list[Forward] = field(default_factory=list)
    ties: list[Tie] = field(default_factory=list)
    init: Graph = EMPTY_GRAPH
    base: ModuleSpec | None = None
    order: tuple[str, ...] = ()
    settings: dict[str, Argument] = field(default_factory=dict)


class _Parser:
    def __init__(self, text: str) -> None:
        self.scanner = Scanner(text)
        self.blocks: dict[str, _Block] = {}

    def model(self) -> Model:
        scanner = self.scanner
        scanner.expect("graphnas")
        start = scanner.position
        version = scanner.take_int("the version of the text form")
        if version != TEXT_VERSION:
            scanner.fail(f"version {TEXT_VERSION}, which is what this graphnas reads", at=start)
        if not scanner.accept_word("model"):
            scanner.fail("'model'")
        root = self.reference()
        history: list[Mutation] = []
        while scanner.peek_word() in get_args(DefinitionKind):
            self.definition()
        while scanner.accept_word("mutation"):
            history.append(self.mutation())
        if scanner.position < len(scanner.text):
            scanner.fail("a definition, a mutation or the end of the text")
        return Model(self.build(root, {}, ()), tuple(history))

    def build(self, reference: _Reference, built: dict[str, Definition], above: tuple[str, ...]) -> Definition:
        name = reference.name
        if name in above:
            self.scanner.fail("no definition inside itself", at=reference.position)
        if name not in built:
            block = self.blocks.get(name)
            if block is None:
                self.scanner.fail("the name of a definition in this text", at=reference.position)
            children: dict[str, Child] = {}
            for child_name, child in block.children.items():
                children[child_name] = (
                    self.build(child, built, (*above, name)) if isinstance(child, _Reference) else child
                )
            built[name] = Definition(
                block.class_name,
                block.kind,
                FrozenDict(children),
                FrozenDict(block.parameters),
                FrozenDict(block.buffers),
                tuple(block.forwards),
                tuple(block.ties),
                block.init,
                block.label,
                block.base,
                block.order,
                FrozenDict(block.settings),
                block.origin,
            )
        return built[name]

    def reference(self) -> _Reference:
        position = self.scanner.position
        self.scanner.expect("@")
        return _Reference(self.scanner.take_name("the name of a definition"), position)

    def definition(self) -> None:
        scanner = self.scanner
        start = scanner.position
        kind: Any = scanner.take_word("a definition", get_args(DefinitionKind))
        name = self.reference()
        if name.name in self.blocks:
            scanner.fail("each definition once", at=name.position)
        class_name = scanner.take_name() if scanner.accept_word("class") else name.name
        label = scanner.take_name() if scanner.accept_word("label") else ""
        origin = scanner.take_name() if scanner.accept_word("origin") else ""
        block = self.blocks[name.name] = _Block(start, kind, class_name, label, origin)
        scanner.expect("{")
        while not scanner.accept("}"):
            member = scanner.take_word(f"one of {', '.join(_MEMBERS)} or '}}'", _MEMBERS)
            getattr(self, f"read_{member}")(block)

    def read_base(self, block: _Block) -> None:
        block.base = self.leaf()

    def read_order(self, block: _Block) -> None:
        block.order = tuple(self.scanner.take_list(self.step, "(", ")"))

    def read_setting(self, block: _Block) -> None:
        name = self.new_name(block.settings)
        self.scanner.expect("=")
        block.settings[name] = self.scanner.take_argument()

    def step(self) -> str:
        return f"%{self.scanner.take_value()}" if self.scanner.at("%") else self.scanner.take_identifier()

    def read_child(self, block: _Block) -> None:
        name = self.new_name(block.children)
        self.scanner.expect("=")
        block.children[name] = self.reference() if self.scanner.at("@") else self.leaf()

    def read_parameter(self, block: _Block) -> None:
        scanner = self.scanner
        name = self.new_name(block.parameters)
        scanner.expect(":")
        type = self.tensor_type()
        frozen = scanner.accept_word("frozen")
        initial = self.body(()) if scanner.accept("=") else None
        block.parameters[name] = ParameterSpec(type, not frozen, initial)

    def read_buffer(self, block: _Block) -> None:
        scanner = self.scanner
        name = self.new_name(block.buffers)
        scanner.expect(":")
        type = self.tensor_type()
        storage: Any = scanner.take_word(f"one of {', '.join(_STORAGES)}", _STORAGES)
        initial = self.body(()) if scanner.accept("=") else None
        data = self.data() if scanner.accept_word("data") else None
        block.buffers[name] = BufferSpec(type, storage, initial, data)

    def read_tie(self, block: _Block) -> None:
        path = self.scanner.take_name("a path")
        self.scanner.expect("=")
        block.ties.append(Tie(path, self.scanner.take_name("a path")))

    def read_init(self, block: _Block) -> None:
        block.init = self.graph()

    def read_forward(self, block: _Block) -> None:
        block.forwards.append(Forward(self.graph()))

    def read_train(self, block: _Block) -> None:
        start = self.scanner.position
        if not block.forwards or block.forwards[-1].train is not None:
            self.scanner.fail("a forward before its train block", at=start)
        block.forwards[-1] = Forward(block.forwards[-1].eval, self.graph())

    def new_name(self, taken: dict[str, Any]) -> str:
        start = self.scanner.position
        name = self.scanner.take_identifier()
        if name in taken:
            self.scanner.fail("each name once", at=start)
        return name

    def leaf(self) -> ModuleSpec:
        scanner = self.scanner
        target = scanner.take_name("a class as module:name, or '@' and the name of a definition")
        args, kwargs = scanner.take_call()
        frozen = tuple(scanner.take_list(scanner.take_name, "(", ")")) if scanner.accept_word("frozen") else ()
        label = scanner.take_name() if scanner.accept_word("label") else ""
        opaque = scanner.accept_word("opaque")
        return ModuleSpec(target, args, kwargs, frozen, label, opaque, self.wrappers())

    def wrappers(self) -> tuple[Construction, ...]:
        scanner = self.scanner
        if not scanner.accept_word("under"):
            return ()
        start = scanner.position
        found = tuple(scanner.take_list(scanner.take_argument, "(", ")"))
        if not all(isinstance(item, Construction) for item in found):
            scanner.fail("calls, such as @torch.nn.utils.parametrizations:weight_norm(dim=0)", at=start)
        return found

    def data(self) -> TensorData:
        type = self.tensor_type()
        start = self.scanner.position
        text = self.scanner.take_string("a string of base64")
        try:
            return TensorData(type, base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            self.scanner.fail("a string of base64", at=start, got="something else")

    def tensor_type(self) -> TensorType:
        start = self.scanner.position
        type = self.scanner.take_type()
        if not isinstance(type, TensorType):
            self.scanner.fail("the type of a tensor", at=start)
        return type

    def graph(self) -> Graph:
        inputs = self.scanner.take_list(self.input, "(", ")") if self.scanner.at("(") else []
        return self.body(tuple(inputs))

    def input(self) -> Input:
        keyword_only = self.scanner.accept_word("keyword")
        name = self.scanner.take_value()
        self.scanner.expect(":")
        return Input(name, self.scanner.take_type(), keyword_only)

    def body(self, inputs: tuple[Input, ...]) -> Graph:
        scanner = self.scanner
        if scanner.at("("):
            inputs = tuple(scanner.take_list(self.input, "(", ")"))
        scanner.expect("{")
        nodes: list[Node] = []
        guards: list[Guard] = []
        while scanner.at("%"):
            nodes.append(self.node())
        while scanner.accept_word("guard"):
            name = scanner.take_value()
            scanner.expect("=")
            guards.append(Guard(name, scanner.take_argument()))
        if not scanner.accept_word("return"):
            scanner.fail("a node, a guard or 'return'")
        output = scanner.take_argument()
        scanner.expect("}")
        return Graph(inputs, tuple(nodes), output, tuple(guards))

    def node(self) -> Node:
        scanner = self.scanner
        name = scanner.take_value()
        scanner.expect("=")
        kinds = get_args(OperationKind)
        kind: Any = scanner.take_word(f"an operation: one of {', '.join(kinds)}", kinds)
        target = "" if scanner.at("(") or scanner.at(":") or scanner.at("#") else scanner.take_name("a target")
        forward = scanner.take_int("the number of a forward") if scanner.accept("#") else 0
        args: tuple[Argument, ...] = ()
        kwargs: FrozenDict[Argument] = FrozenDict()
        if scanner.at("("):
            args, kwargs = scanner.take_call()
        scanner.expect(":")
        type = scanner.take_type()
        hint = scanner.take_name() if scanner.accept_word("as") else ""
        label = scanner.take_name() if scanner.accept_word("label") else ""
        return Node(name, Operation(kind, target, forward), args, kwargs, type, hint, label)

    def mutation(self) -> Mutation:
        scanner = self.scanner
        mutator = scanner.take_name()
        fields: dict[str, str] = {}
        for word in ("label", "parent"):
            if not scanner.accept_word(word):
                scanner.fail(repr(word))
            fields[word] = scanner.take_name()
        scanner.expect("{")
        sites = self.entries("site", scanner.take_name)
        decisions: dict[str, Argument] = {}
        for name, value in self.entries("decision", self.decision):
            decisions[name] = value
        edits = self.entries("edit", scanner.take_name)
        created = self.entries("created", scanner.take_name)
        weights = FrozenDict(self.entries("weights", self.decision))
        scanner.expect("}")
        return Mutation(
            mutator, fields["label"], sites, FrozenDict(decisions), edits, fields["parent"], created, weights
        )

    def decision(self) -> tuple[str, Argument]:
        name = self.scanner.take_name()
        self.scanner.expect("=")
        return name, self.scanner.take_argument()

    def entries(self, word: str, item: Callable[[], Any]) -> tuple[Any, ...]:
        found: list[Any] = []
        while self.scanner.accept_word(word):
            found.append(item())
        return tuple(found)
