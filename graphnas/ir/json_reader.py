"""The second half of reading the JSON form: from checked records to the IR.

`graphnas.ir.json_form` describes the form and has checked fields and their types when this begins.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from graphnas.errors import ParseError
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Guard, Input, Node, Operation
from graphnas.ir.json_records import (
    BufferRecord,
    ChildRecord,
    DefinitionRecord,
    GraphRecord,
    LeafRecord,
    ModelRecord,
    MutationRecord,
    NodeRecord,
)
from graphnas.ir.literal import Argument, Construction, FrozenDict, FrozenList, Symbol, Value
from graphnas.ir.model import Model, Mutation
from graphnas.ir.module import BufferSpec, Child, Definition, Forward, ModuleSpec, ParameterSpec, TensorData, Tie
from graphnas.ir.scanner import MAX_DEPTH, parse_argument, parse_type
from graphnas.ir.types import TensorType, Type

_Item = TypeVar("_Item")


def read_model(record: ModelRecord) -> Model:
    """Return the model of a record whose fields are of the right types.

    Raises:
        ParseError: A type, a literal or a reference in it is none.
    """
    return _Reader(record).model()


class _Reader:
    """Turns checked records into the IR. Every method takes the JSON path of its record, for messages."""

    def __init__(self, record: ModelRecord) -> None:
        self.record = record
        self.definitions: list[Definition] = []

    def model(self) -> Model:
        record = self.record
        for index, item in enumerate(record.definitions):
            self.definitions.append(self.definition(item, f"$.definitions[{index}]"))
        root = self.reference(record.root, "$.root")
        history = tuple(self.mutation(item, f"$.history[{index}]") for index, item in enumerate(record.history))
        return Model(root, history, record.report)

    def reference(self, place: int, path: str) -> Definition:
        if not 0 <= place < len(self.definitions):
            _fail(path, f"the place of a definition before this one, 0 to {len(self.definitions) - 1}", place)
        return self.definitions[place]

    def definition(self, record: DefinitionRecord, path: str) -> Definition:
        children: dict[str, Child] = {}
        for index, item in enumerate(record.children):
            here = f"{path}.children[{index}]"
            _new(item.name, children, here)
            children[item.name] = self.child(item, here)
        parameters: dict[str, ParameterSpec] = {}
        for index, parameter in enumerate(record.parameters):
            here = f"{path}.parameters[{index}]"
            _new(parameter.name, parameters, here)
            initial = self.optional_graph(parameter.initial, f"{here}.initial")
            parameters[parameter.name] = ParameterSpec(
                _tensor_type(parameter.type, f"{here}.type"), parameter.requires_grad, initial
            )
        buffers: dict[str, BufferSpec] = {}
        for index, buffer in enumerate(record.buffers):
            here = f"{path}.buffers[{index}]"
            _new(buffer.name, buffers, here)
            buffers[buffer.name] = self.buffer(buffer, here)
        forwards = tuple(
            Forward(
                self.graph(item.eval, f"{path}.forwards[{index}].eval"),
                self.optional_graph(item.train, f"{path}.forwards[{index}].train"),
            )
            for index, item in enumerate(record.forwards)
        )
        return Definition(
            record.class_name,
            record.kind,
            FrozenDict(children),
            FrozenDict(parameters),
            FrozenDict(buffers),
            forwards,
            tuple(Tie(tie.path, tie.source) for tie in record.ties),
            EMPTY_GRAPH if record.init is None else self.graph(record.init, f"{path}.init"),
            record.label,
            None if record.base is None else self.leaf(record.base, f"{path}.base"),
            tuple(record.order),
            FrozenDict((n, _argument(v, f"{path}.settings.{n}")) for n, v in record.settings.items()),
            record.origin,
        )

    def child(self, record: ChildRecord, path: str) -> Child:
        if (record.leaf is None) == (record.definition is None):
            _fail(path, "either `leaf` or `definition`", "both or none")
        if record.definition is not None:
            return self.reference(record.definition, f"{path}.definition")
        leaf = record.leaf
        assert leaf is not None
        return self.leaf(leaf, f"{path}.leaf")

    def leaf(self, record: LeafRecord, path: str) -> ModuleSpec:
        args, kwargs = _call(record.args, record.kwargs, path)
        wrappers = tuple(_argument(item, f"{path}.wrappers[{index}]") for index, item in enumerate(record.wrappers))
        if not all(isinstance(item, Construction) for item in wrappers):
            _fail(f"{path}.wrappers", "constructions", "something else")
        return ModuleSpec(record.target, args, kwargs, tuple(record.frozen), record.label, record.opaque, wrappers)

    def buffer(self, record: BufferRecord, path: str) -> BufferSpec:
        if record.storage not in ("persistent", "temporary", "plain"):
            _fail(f"{path}.storage", "persistent, temporary or plain", record.storage)
        data = None
        if record.data is not None:
            try:
                raw = base64.b64decode(record.data.base64, validate=True)
            except (binascii.Error, ValueError):
                _fail(f"{path}.data.base64", "base64", record.data.base64[:20])
            data = TensorData(_tensor_type(record.data.type, f"{path}.data.type"), raw)
        initial = self.optional_graph(record.initial, f"{path}.initial")
        storage: Any = record.storage
        return BufferSpec(_tensor_type(record.type, f"{path}.type"), storage, initial, data)

    def optional_graph(self, record: GraphRecord | None, path: str) -> Graph | None:
        return None if record is None else self.graph(record, path)

    def graph(self, record: GraphRecord, path: str) -> Graph:
        inputs = tuple(
            Input(item.name, _type(item.type, f"{path}.inputs[{index}].type"), item.keyword_only)
            for index, item in enumerate(record.inputs)
        )
        nodes = tuple(self.node(item, f"{path}.nodes[{index}]") for index, item in enumerate(record.nodes))
        guards = tuple(
            Guard(item.value, _argument(item.outcome, f"{path}.guards[{index}].outcome"), item.location)
            for index, item in enumerate(record.guards)
        )
        return Graph(inputs, nodes, _argument(record.output, f"{path}.output"), guards)

    def node(self, record: NodeRecord, path: str) -> Node:
        operation = Operation(record.kind, record.target, record.forward)
        args, kwargs = _call(record.args, record.kwargs, path)
        type = _type(record.type, f"{path}.type")
        return Node(record.name, operation, args, kwargs, type, record.hint, record.label, record.location)

    def mutation(self, record: MutationRecord, path: str) -> Mutation:
        decisions = {
            label: _argument(value, f"{path}.decisions[{index}][1]")
            for index, (label, value) in enumerate(record.decisions)
        }
        weights = {
            name: _argument(value, f"{path}.weights[{index}][1]") for index, (name, value) in enumerate(record.weights)
        }
        return Mutation(
            record.mutator,
            record.label,
            tuple(record.sites),
            FrozenDict(decisions),
            tuple(record.edits),
            record.parent,
            tuple(record.created),
            FrozenDict(weights),
        )


def _call(args: list[Any], kwargs: dict[str, Any], path: str) -> tuple[tuple[Argument, ...], FrozenDict[Argument]]:
    positional = tuple(_argument(item, f"{path}.args[{index}]") for index, item in enumerate(args))
    return positional, FrozenDict({key: _argument(item, f"{path}.kwargs.{key}") for key, item in kwargs.items()})


def _argument(value: Any, path: str, depth: int = 0) -> Argument:
    if depth > MAX_DEPTH:
        _fail(path, f"at most {MAX_DEPTH} levels of nesting", "more")
    if isinstance(value, list):
        return FrozenList(_argument(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        _fail(path, "an object of one entry", f"one of {len(value)}")
    kind, content = next(iter(value.items()))
    here = f"{path}.{kind}"
    if kind == "tuple" and isinstance(content, list):
        return tuple(_argument(item, f"{here}[{index}]", depth + 1) for index, item in enumerate(content))
    if kind == "dict" and isinstance(content, list):
        return FrozenDict(_entries(content, here, depth + 1))
    if kind in ("value", "symbol") and isinstance(content, str):
        return Value(content) if kind == "value" else Symbol(content)
    if kind == "construction" and isinstance(content, list) and len(content) > 1 and isinstance(content[0], str):
        items = [_argument(item, f"{here}[{index}]", depth + 1) for index, item in enumerate(content)]
        if isinstance(items[-1], FrozenDict):
            return Construction(content[0], tuple(items[1:-1]), items[-1])
    if kind in ("float", "literal") and isinstance(content, str):
        return _parsed(parse_argument, content, here)
    return _fail(
        path, "one of tuple, dict, value, symbol, construction, float and literal, and what belongs to it", value
    )


def _entries(content: list[Any], path: str, depth: int) -> dict[Any, Argument]:
    entries: dict[Any, Argument] = {}
    for index, pair in enumerate(content):
        here = f"{path}[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            _fail(here, "a key and a value", pair)
        key = _argument(pair[0], f"{here}[0]", depth)
        _new(key, entries, here)
        entries[key] = _argument(pair[1], f"{here}[1]", depth)
    return entries


def _type(text: str, path: str) -> Type:
    return _parsed(parse_type, text, path)


def _tensor_type(text: str, path: str) -> TensorType:
    found = _type(text, path)
    return found if isinstance(found, TensorType) else _fail(path, "the type of a tensor", text)


def _parsed(parse: Callable[[str], _Item], text: str, path: str) -> _Item:
    try:
        return parse(text)
    except ParseError as error:
        raise ParseError(f"model JSON, at {path}: {error}", path=path) from None


def _new(name: Any, known: Mapping[Any, Any], path: str) -> None:
    if name in known:
        _fail(path, "each name once", name)


def _fail(path: str, expected: str, got: object) -> NoReturn:
    raise ParseError(f"model JSON, at {path}: expected {expected}, got {got!r:.100}", path=path)
