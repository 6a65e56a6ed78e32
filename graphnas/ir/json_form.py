"""The JSON form: a model as programs store it, history and locations included.

Definitions stand in a list, each once, those that others hold first, and are referred to by their place in it; so the
form has no cycles by construction. Names go with order, hence lists of named objects instead of objects by name. Types
are written as in the text form. Of literals, what JSON has stays as it is; the rest is an object of one entry:

| literal | JSON |
|---|---|
| list | `[1, 2]` |
| tuple, dict | `{"tuple": [1, 2]}`, `{"dict": [[key, value], …]}` |
| value, symbol | `{"value": "conv1"}`, `{"symbol": "torch:relu"}` |
| float that JSON lacks | `{"float": "nan"}` |
| anything else | `{"literal": "torch.float32"}`, as in the text form |

Reading imports nothing and is strict: an unknown field, a missing one or one of the wrong type is a `ParseError` that
names the path.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from graphnas.errors import ParseError
from graphnas.ir.graph import EMPTY_GRAPH, Graph
from graphnas.ir.json_reader import read_model
from graphnas.ir.json_records import (
    BufferRecord,
    ChildRecord,
    DataRecord,
    DefinitionRecord,
    ForwardRecord,
    GraphRecord,
    GuardRecord,
    InputRecord,
    LeafRecord,
    ModelRecord,
    MutationRecord,
    NodeRecord,
    ParameterRecord,
    TieRecord,
)
from graphnas.ir.literal import Argument, Construction, FrozenDict, FrozenList, Symbol, Value
from graphnas.ir.model import Model, Mutation
from graphnas.ir.module import BufferSpec, Child, Definition, ModuleSpec
from graphnas.ir.text import format_argument, format_type

JSON_VERSION = 1
"""Counts changes of the JSON form; stands in every file."""

_FORMAT = "graphnas-model"
_PLAIN = (type(None), bool, int, str)


def to_json(model: Model, *, report: bool = True) -> dict[str, Any]:
    """Return a model as plain dictionaries, lists, strings and numbers, for `json.dumps`.

    Args:
        model: Any model.
        report: Whether to write the report of the trace as well, if there is one.
    """
    writer = _Writer()
    root = writer.definition(model.root)
    record = ModelRecord(
        format=_FORMAT,
        version=JSON_VERSION,
        definitions=writer.definitions,
        root=root,
        history=[_mutation(mutation) for mutation in model.history],
        report=model.report if report else None,
    )
    return cast("dict[str, Any]", msgspec.to_builtins(record))


def dump_json(model: Model, *, report: bool = True) -> str:
    """Return `to_json` as one line of ASCII text."""
    return json.dumps(to_json(model, report=report), ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def from_json(data: Mapping[str, Any] | str | bytes) -> Model:
    """Return the model that `to_json` or `dump_json` wrote; equal by `key`, with its history.

    Raises:
        ParseError: It is no such form; the message and `path` name the place.
    """
    if not isinstance(data, Mapping):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"model JSON: expected JSON text, got something else: {error}", path="$") from None
    if not isinstance(data, Mapping) or data.get("format") != _FORMAT:
        raise ParseError(f"model JSON, at $.format: expected {_FORMAT!r}; this is no model", path="$.format")
    if data.get("version") != JSON_VERSION:
        message = f"model JSON, at $.version: expected {JSON_VERSION}, got {data.get('version')!r}; use the graphnas"
        raise ParseError(f"{message} that wrote it, or a newer one", path="$.version")
    try:
        record = msgspec.convert(data, ModelRecord)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        path = path.strip("`") or "$"
        raise ParseError(f"model JSON, at {path}: {what[:1].lower()}{what[1:]}", path=path) from None
    return read_model(record)


def _literal(value: Argument) -> Any:
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if kind is float:
        return {"float": format_argument(value)}
    if isinstance(value, Value):
        return {"value": value.name}
    if isinstance(value, Symbol):
        return {"symbol": value.path}
    if isinstance(value, Construction):
        return {"construction": [value.path, *map(_literal, value.args), _literal(value.kwargs)]}
    if isinstance(value, FrozenList):
        return [_literal(item) for item in value]
    if kind is tuple:
        return {"tuple": [_literal(item) for item in value]}
    if isinstance(value, FrozenDict):
        return {"dict": [[_literal(key), _literal(item)] for key, item in value.items()]}
    return {"literal": format_argument(value)}


class _Writer:
    """Collects definitions, each once."""

    def __init__(self) -> None:
        self.definitions: list[DefinitionRecord] = []
        self.places: dict[str, int] = {}

    def definition(self, definition: Definition) -> int:
        if definition.key in self.places:
            return self.places[definition.key]
        record = DefinitionRecord(
            class_name=definition.class_name,
            kind=definition.kind,
            children=[self.child(name, child) for name, child in definition.children.items()],
            parameters=[
                ParameterRecord(
                    name=name,
                    type=format_type(spec.type),
                    requires_grad=spec.requires_grad,
                    initial=_optional_graph(spec.initial),
                )
                for name, spec in definition.parameters.items()
            ],
            buffers=[_buffer(name, spec) for name, spec in definition.buffers.items()],
            forwards=[
                ForwardRecord(eval=_graph(forward.eval), train=_optional_graph(forward.train))
                for forward in definition.forwards
            ],
            ties=[TieRecord(path=tie.path, source=tie.source) for tie in definition.ties],
            init=None if definition.init == EMPTY_GRAPH else _graph(definition.init),
            label=definition.label,
            base=None if definition.base is None else _leaf(definition.base),
            order=list(definition.order),
            settings={name: _literal(value) for name, value in definition.settings.items()},
            origin=definition.origin,
        )
        self.places[definition.key] = len(self.definitions)
        self.definitions.append(record)
        return self.places[definition.key]

    def child(self, name: str, child: Child) -> ChildRecord:
        if isinstance(child, Definition):
            return ChildRecord(name=name, definition=self.definition(child))
        return ChildRecord(name=name, leaf=_leaf(child))


def _leaf(spec: ModuleSpec) -> LeafRecord:
    return LeafRecord(
        target=spec.target,
        args=[_literal(item) for item in spec.args],
        kwargs={key: _literal(item) for key, item in spec.kwargs.items()},
        frozen=list(spec.frozen),
        label=spec.label,
        opaque=spec.opaque,
        wrappers=[_literal(item) for item in spec.wrappers],
    )


def _graph(graph: Graph) -> GraphRecord:
    nodes = [
        NodeRecord(
            name=node.name,
            kind=node.operation.kind,
            target=node.operation.target,
            forward=node.operation.forward,
            args=[_literal(item) for item in node.args],
            kwargs={key: _literal(item) for key, item in node.kwargs.items()},
            type=format_type(node.type),
            hint=node.hint,
            label=node.label,
            location=node.location,
        )
        for node in graph.nodes
    ]
    inputs = [
        InputRecord(name=item.name, type=format_type(item.type), keyword_only=item.keyword_only)
        for item in graph.inputs
    ]
    guards = [
        GuardRecord(value=guard.value, outcome=_literal(guard.outcome), location=guard.location)
        for guard in graph.guards
    ]
    return GraphRecord(output=_literal(graph.output), inputs=inputs, nodes=nodes, guards=guards)


def _optional_graph(graph: Graph | None) -> GraphRecord | None:
    return None if graph is None else _graph(graph)


def _buffer(name: str, spec: BufferSpec) -> BufferRecord:
    data = None
    if spec.data is not None:
        data = DataRecord(type=format_type(spec.data.type), base64=base64.b64encode(spec.data.data).decode())
    initial = _optional_graph(spec.initial)
    return BufferRecord(name=name, type=format_type(spec.type), storage=spec.storage, initial=initial, data=data)


def _mutation(mutation: Mutation) -> MutationRecord:
    return MutationRecord(
        mutator=mutation.mutator,
        label=mutation.label,
        sites=list(mutation.sites),
        decisions=[(label, _literal(value)) for label, value in mutation.decisions.items()],
        edits=list(mutation.edits),
        parent=mutation.parent,
        created=list(mutation.created),
        weights=[(name, _literal(value)) for name, value in mutation.weights.items()],
    )
