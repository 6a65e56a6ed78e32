"""The records of which the JSON form consists, as msgspec types them; what they mean stands in `json_form`."""

from __future__ import annotations

from typing import Any

import msgspec

from graphnas.ir.graph import OperationKind
from graphnas.ir.module import DefinitionKind
from graphnas.ir.report import Report


class Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base of what stands in the form; entries that have their default are left out."""


class LeafRecord(Record):
    """Leaf in JSON."""

    target: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    frozen: list[str] = []
    label: str = ""
    opaque: bool = False
    wrappers: list[Any] = []


class ChildRecord(Record):
    """Child in JSON."""

    name: str
    leaf: LeafRecord | None = None
    definition: int | None = None


class NodeRecord(Record):
    """Node in JSON."""

    name: str
    kind: OperationKind
    type: str
    target: str = ""
    forward: int = 0
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    hint: str = ""
    label: str = ""
    location: str = ""


class InputRecord(Record):
    """Input in JSON."""

    name: str
    type: str
    keyword_only: bool = False


class GuardRecord(Record):
    """Guard in JSON."""

    value: str
    outcome: Any
    location: str = ""


class GraphRecord(Record):
    """Graph in JSON."""

    output: Any
    inputs: list[InputRecord] = []
    nodes: list[NodeRecord] = []
    guards: list[GuardRecord] = []


class ForwardRecord(Record):
    """Forward in JSON."""

    eval: GraphRecord
    train: GraphRecord | None = None


class ParameterRecord(Record):
    """Parameter in JSON."""

    name: str
    type: str
    requires_grad: bool = True
    initial: GraphRecord | None = None


class DataRecord(Record):
    """Data in JSON."""

    type: str
    base64: str


class BufferRecord(Record):
    """Buffer in JSON."""

    name: str
    type: str
    storage: str
    initial: GraphRecord | None = None
    data: DataRecord | None = None


class TieRecord(Record):
    """Tie in JSON."""

    path: str
    source: str


class DefinitionRecord(Record):
    """Definition in JSON."""

    class_name: str
    kind: DefinitionKind
    children: list[ChildRecord] = []
    parameters: list[ParameterRecord] = []
    buffers: list[BufferRecord] = []
    forwards: list[ForwardRecord] = []
    ties: list[TieRecord] = []
    init: GraphRecord | None = None
    label: str = ""
    base: LeafRecord | None = None
    order: list[str] = []
    settings: dict[str, Any] = {}
    origin: str = ""


class MutationRecord(Record):
    """Mutation in JSON."""

    mutator: str
    label: str
    sites: list[str]
    decisions: list[tuple[str, Any]]
    edits: list[str]
    parent: str
    created: list[str] = []
    weights: list[tuple[str, Any]] = []


class ModelRecord(Record):
    """Model in JSON."""

    format: str
    version: int
    definitions: list[DefinitionRecord]
    root: int
    history: list[MutationRecord] = []
    report: Report | None = None
