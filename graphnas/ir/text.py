"""The text form: a model as people read it, which parses back into an equal model.

One block per distinct definition, the root first; definitions that are equal are printed once and referred to by name.
Locations are left out. The grammar, with `[x]` optional, `{x}` repeated, `NAME` a plain name or a quoted string:

    model      = "graphnas" INT "model" "@" NAME {definition} {mutation}
    definition = KIND "@" NAME ["class" NAME] ["label" NAME] ["origin" NAME] "{" {member} "}"
    member     = "base" leaf
               | "child" NAME "=" ("@" NAME | leaf)
               | "parameter" NAME ":" type ["frozen"] ["=" body]
               | "buffer" NAME ":" type STORAGE ["=" body] ["data" type STRING]
               | "tie" NAME "=" NAME
               | "order" "(" {("%" NAME | NAME) ","} ")"
               | "setting" NAME "=" argument
               | ("forward" | "train" | "init") ["(" {["keyword"] "%" NAME ":" type ","} ")"] body
    leaf       = NAME call ["frozen" "(" {NAME ","} ")"] ["label" NAME] ["opaque"]
                 ["under" "(" {literal ","} ")"]
    body       = "{" {node | "guard" "%" NAME "=" argument} "return" argument "}"
    node       = "%" NAME "=" KIND [NAME ["#" INT]] [call] ":" type ["as" NAME] ["label" NAME]
    call       = "(" {[NAME "="] argument ","} ")"
    mutation   = "mutation" NAME "label" NAME "parent" NAME "{" {entry} "}"
    entry      = "site" NAME | "decision" NAME "=" argument | "edit" NAME | "created" NAME
               | "weights" NAME "=" argument

A `train` block belongs to the `forward` before it. `//` starts a comment. Arguments are Python literals, with `%name`
for a value and `@module:name` for a symbol. Reading lives in `graphnas.ir.parser`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence

import torch

from graphnas.ir.graph import EMPTY_GRAPH, Graph, Node
from graphnas.ir.literal import Argument, Construction, FrozenDict, FrozenList, Symbol, Value, format_literal
from graphnas.ir.model import Model, Mutation
from graphnas.ir.module import BufferSpec, Child, Definition, ModuleSpec, ParameterSpec
from graphnas.ir.parser import TEXT_VERSION, parse_model
from graphnas.ir.scanner import PLAIN_IDENTIFIER, PLAIN_NAME, parse_type
from graphnas.ir.types import MappingType, ObjectType, ScalarType, SequenceType, Type

__all__ = [
    "format_argument",
    "format_call",
    "format_leaf",
    "format_model",
    "format_operation",
    "format_type",
    "parse_model",
    "parse_type",
]

_COLUMN_LIMIT = 76
"""Nodes longer than this do not push the column of types further to the right."""


def format_model(model: Model) -> str:
    """Return the text form of a model, history included; `parse_model` reads it back.

    Args:
        model: Any model, valid or not.
    """
    names = _names(model.root)
    blocks = [[f"graphnas {TEXT_VERSION} model @{names[model.root.key]}"]]
    printed: set[str] = set()
    for definition in _definitions(model.root):
        if definition.key not in printed:
            printed.add(definition.key)
            blocks.append(list(_definition(definition, names)))
    blocks += [list(_mutation(mutation)) for mutation in model.history]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def format_argument(argument: Argument) -> str:
    """Return the text of an argument: `format_literal`, with names quoted where they need it."""
    if isinstance(argument, Value):
        return f"%{_identifier(argument.name)}"
    if isinstance(argument, Symbol):
        return f"@{_name(argument.path)}"
    if isinstance(argument, Construction):
        return f"@{_name(argument.path)}({format_call(argument.args, argument.kwargs)})"
    if isinstance(argument, FrozenList):
        return f"[{', '.join(map(format_argument, argument))}]"
    if isinstance(argument, tuple) and not isinstance(argument, torch.Size):
        inner = ", ".join(map(format_argument, argument))
        return f"({inner},)" if len(argument) == 1 else f"({inner})"
    if isinstance(argument, FrozenDict):
        return "{" + ", ".join(f"{format_argument(k)}: {format_argument(v)}" for k, v in argument.items()) + "}"
    if isinstance(argument, slice):
        return f"slice({', '.join(map(format_argument, (argument.start, argument.stop, argument.step)))})"
    return format_literal(argument)


def format_call(args: Sequence[Argument], kwargs: FrozenDict[Argument]) -> str:
    """Return arguments as they stand between the parentheses of a call."""
    keywords = [f"{_name(name)}={format_argument(value)}" for name, value in kwargs.items()]
    return ", ".join([*map(format_argument, args), *keywords])


def format_type(type: Type) -> str:
    """Return the text of a type: its `str`, with names quoted where they need it."""
    if isinstance(type, ScalarType):
        return f"{type.value.__class__.__name__}={format_argument(type.value)}"
    if isinstance(type, SequenceType):
        inner = ", ".join(map(format_type, type.items))
        return f"[{inner}]" if type.kind == "list" else f"{'size' if type.kind == 'size' else ''}({inner})"
    if isinstance(type, MappingType):
        return "{" + ", ".join(f"{format_argument(key)}: {format_type(item)}" for key, item in type.items) + "}"
    if isinstance(type, ObjectType):
        return f"<{_name(type.name)}>"
    return str(type)


def _definitions(definition: Definition) -> Iterator[Definition]:
    return (item for _, item in definition.walk() if isinstance(item, Definition))


def _names(root: Definition) -> dict[str, str]:
    """Return a unique name per distinct definition, by key: the name of its class, numbered where it is taken."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for definition in _definitions(root):
        if definition.key in names:
            continue
        base = re.sub(r"\W", "_", definition.class_name) or "_"
        name, count = base, 0
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        names[definition.key] = name
    return names


def _definition(definition: Definition, names: dict[str, str]) -> Iterator[str]:
    name = names[definition.key]
    header = f"{definition.kind} @{name}"
    if definition.class_name != name:
        header += f" class {_name(definition.class_name)}"
    if definition.label:
        header += f" label {_name(definition.label)}"
    if definition.origin:
        header += f" origin {_name(definition.origin)}"
    body = list(_members(definition, names))
    if not body:
        yield f"{header} {{}}"
        return
    yield f"{header} {{"
    yield from (f"  {line}" for line in body)
    yield "}"


def _members(definition: Definition, names: dict[str, str]) -> Iterator[str]:
    if definition.base is not None:
        yield f"base {format_leaf(definition.base)}"
    width = max((len(_identifier(name)) for name in definition.children), default=0)
    for name, child in definition.children.items():
        yield f"child {_identifier(name):<{width}} = {_child(child, names)}"
    for name, parameter in definition.parameters.items():
        yield from _parameter(name, parameter)
    for name, buffer in definition.buffers.items():
        yield from _buffer(name, buffer)
    for tie in definition.ties:
        yield f"tie {_name(tie.path)} = {_name(tie.source)}"
    if definition.init != EMPTY_GRAPH:
        yield from _graph("init", definition.init, call=bool(definition.init.inputs))
    if definition.order:
        yield f"order ({', '.join(map(_step, definition.order))})"
    for name, value in definition.settings.items():
        yield f"setting {_identifier(name)} = {format_argument(value)}"
    for forward in definition.forwards:
        yield from _graph("forward", forward.eval)
        if forward.train is not None:
            yield from _graph("train", forward.train)


def _step(step: str) -> str:
    return f"%{_identifier(step[1:])}" if step.startswith("%") else _identifier(step)


def _child(child: Child, names: dict[str, str]) -> str:
    if isinstance(child, Definition):
        return f"@{names[child.key]}"
    return format_leaf(child)


def format_leaf(spec: ModuleSpec) -> str:
    """Return the text of a leaf: `torch.nn:Conv2d(3, 64, kernel_size=7)`, then what else is known of it."""
    text = f"{_name(spec.target)}({format_call(spec.args, spec.kwargs)})"
    if spec.frozen:
        text += f" frozen({', '.join(map(_name, spec.frozen))})"
    if spec.label:
        text += f" label {_name(spec.label)}"
    if spec.opaque:
        text += " opaque"
    if spec.wrappers:
        text += f" under({', '.join(map(format_argument, spec.wrappers))})"
    return text


def _parameter(name: str, parameter: ParameterSpec) -> Iterator[str]:
    head = f"parameter {_identifier(name)}: {format_type(parameter.type)}"
    if not parameter.requires_grad:
        head += " frozen"
    yield from _with_expression(head, parameter.initial, "")


def _buffer(name: str, buffer: BufferSpec) -> Iterator[str]:
    head = f"buffer {_identifier(name)}: {format_type(buffer.type)} {buffer.storage}"
    tail = ""
    if buffer.data is not None:
        tail = f' data {format_type(buffer.data.type)} "{base64.b64encode(buffer.data.data).decode()}"'
    yield from _with_expression(head, buffer.initial, tail)


def _with_expression(head: str, expression: Graph | None, tail: str) -> Iterator[str]:
    if expression is None:
        yield head + tail
        return
    *lines, last = _graph(f"{head} =", expression, call=bool(expression.inputs))
    yield from lines
    yield last + tail


def _graph(head: str, graph: Graph, *, call: bool = True) -> Iterator[str]:
    if call:
        inputs = (
            f"{'keyword ' if item.keyword_only else ''}%{_identifier(item.name)}: {format_type(item.type)}"
            for item in graph.inputs
        )
        head += f"({', '.join(inputs)})"
    yield f"{head} {{"
    names = [f"%{_identifier(node.name)}" for node in graph.nodes]
    name_width = max(map(len, names), default=0)
    texts = [f"{name:<{name_width}} = {format_operation(node)}" for name, node in zip(names, graph.nodes, strict=True)]
    width = max((len(text) for text in texts if len(text) <= _COLUMN_LIMIT), default=0)
    for text, node in zip(texts, graph.nodes, strict=True):
        line = f"  {text:<{width}} : {format_type(node.type)}"
        if node.hint:
            line += f" as {_name(node.hint)}"
        if node.label:
            line += f" label {_name(node.label)}"
        yield line
    for guard in graph.guards:
        yield f"  guard %{_identifier(guard.value)} = {format_argument(guard.outcome)}"
    yield f"  return {format_argument(graph.output)}"
    yield "}"


def format_operation(node: Node) -> str:
    """Return what a node does to what: `module conv1(%x)`, `function torch:cat([%a, %b], dim=1)`, `training`."""
    operation = node.operation
    text: str = operation.kind
    if operation.target:
        text += f" {_name(operation.target)}"
    if operation.forward:
        text += f"#{operation.forward}"
    if node.args or node.kwargs or operation.kind not in ("attribute", "training"):
        text += f"({format_call(node.args, node.kwargs)})"
    return text


def _mutation(mutation: Mutation) -> Iterator[str]:
    yield f"mutation {_name(mutation.mutator)} label {_name(mutation.label)} parent {_name(mutation.parent)} {{"
    yield from (f"  site {_name(site)}" for site in mutation.sites)
    yield from (f"  decision {_name(label)} = {format_argument(v)}" for label, v in mutation.decisions.items())
    yield from (f"  edit {_name(edit)}" for edit in mutation.edits)
    yield from (f"  created {_name(site)}" for site in mutation.created)
    yield from (f"  weights {_name(name)} = {format_argument(v)}" for name, v in mutation.weights.items())
    yield "}"


def _name(name: str) -> str:
    return name if PLAIN_NAME.fullmatch(name) else repr(name)


def _identifier(name: str) -> str:
    return name if PLAIN_IDENTIFIER.fullmatch(name) else repr(name)
