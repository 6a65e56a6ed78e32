"""The constructor of a class: its state, its children, what is shared, and its initialisation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from graphnas.codegen import syntax
from graphnas.codegen.forward import graph_body
from graphnas.codegen.initialise import init_segments, initialisation
from graphnas.codegen.literals import Literals
from graphnas.codegen.paths import is_attribute, is_position, path_expression
from graphnas.codegen.structure import ClassPlan
from graphnas.codegen.syntax import Expression, Function, Parameter, Statement
from graphnas.errors import CodegenError
from graphnas.ir.graph import Graph
from graphnas.ir.literal import FrozenList
from graphnas.ir.module import BufferSpec, Child, Definition, ModuleSpec, ParameterSpec, TensorData

_SHORT = 64
"""Most elements of a tensor that is written out."""

CONTAINERS = {"sequential": "Sequential", "list": "ModuleList", "dict": "ModuleDict"}
"""Classes of torch.nn, by kind of definition."""

Constants = dict[str, TensorData]
"""Tensors that need a file beside the source, by a name that is unique in it."""


class Constructor:
    """Writes `__init__`.

    Args:
        plan: The class.
        constants: Takes the tensors that are too large for source.
    """

    def __init__(self, plan: ClassPlan, constants: Constants) -> None:
        self.plan = plan
        self.constants = constants
        self.literals = Literals()
        self.reserved = [item.name for item in plan.parameters]

    def write(self) -> Function | None:
        """Return the method, None where the inherited one will do."""
        definition = self.plan.definition
        body: list[Statement] = []
        segments = init_segments(definition)
        for step in definition.steps:
            if step in definition.parameters:
                body += self._parameter(step, definition.parameters[step])
            elif step in definition.buffers:
                body += self._buffer(step, definition.buffers[step])
            elif step in segments:
                built = definition.steps[: definition.steps.index(step)]
                body += initialisation(self.plan, segments[step], built)
            elif definition.kind == "module":
                body.append(self._attribute(step, definition))
        contents = self._super_arguments(definition)
        body += self._frozen(definition, "")
        body += self._ties(definition, "")
        body += initialisation(self.plan, segments[""], tuple(definition.children))
        stored = [syntax.assign(syntax.dotted(f"self.{n}"), syntax.identifier(n)) for n in self.plan.stored]
        if not body and not stored and not contents:
            return None
        start = syntax.attribute(syntax.call(syntax.identifier("super")), "__init__")
        parent = syntax.expression_statement(syntax.call(start, contents))
        return Function("__init__", self._parameters(), (parent, *stored, *body))

    def _parameters(self) -> tuple[Parameter, ...]:
        return tuple(
            Parameter(item.name, None, self.literals.write(item.default) if item.has_default else None)
            for item in self.plan.parameters
        )

    def _super_arguments(self, definition: Definition) -> list[Expression]:
        if definition.base is not None:
            return list(self._child(definition.base).parts[1:])
        return [] if definition.kind == "module" else self._contents(definition)

    def _attribute(self, name: str, definition: Definition) -> Statement:
        """Return the statement that makes a child an attribute."""
        source = next((tie.source for tie in definition.ties if tie.path == name), None)
        if source is not None and self._is_before(source.partition(".")[0], name, definition):
            value = path_expression(self.plan.original, source)
        else:
            value = self._child(definition.children[name])
        if is_attribute(name):
            return syntax.assign(syntax.dotted(f"self.{name}"), value)
        return syntax.expression_statement(syntax.call(syntax.dotted("self.add_module"), [syntax.string(name), value]))

    def _is_before(self, first: str, second: str, definition: Definition) -> bool:
        names = [step for step in definition.steps if step in definition.children]
        return first in names and names.index(first) < names.index(second)

    def _child(self, child: Child) -> Expression:
        if isinstance(child, ModuleSpec):
            kwargs = [(str(name), self.literals.write(item)) for name, item in child.kwargs.items()]
            built = syntax.call(syntax.reference(child.target), map(self.literals.write, child.args), kwargs)
            for wrapper in child.wrappers:
                args = [built, *map(self.literals.write, wrapper.args)]
                rest = [(str(name), self.literals.write(item)) for name, item in wrapper.kwargs.items()]
                built = syntax.call(syntax.reference(wrapper.path), args, rest)
            return built
        return syntax.call(syntax.reference(f"torch.nn:{CONTAINERS[child.kind]}"), self._contents(child))

    def _contents(self, container: Definition) -> list[Expression]:
        """Return the arguments of a container's constructor."""
        items = [self._child(child) for child in container.children.values()]
        if not items:
            return []
        if container.kind == "dict":
            return [syntax.dictionary(zip(map(syntax.string, container.children), items, strict=True))]
        if container.kind == "sequential":
            return self._sequential_args(container, items)
        grouped = _runs(items)
        if len(grouped) == 1 and grouped[0].kind == "star":
            return [grouped[0].parts[0]]
        return [syntax.list_of(grouped)]

    def _sequential_args(self, definition: Definition, items: Sequence[Expression]) -> list[Expression]:
        if all(is_position(definition, name) for name in definition.children):
            return _runs(items)
        pairs = [
            syntax.tuple_of([syntax.string(name), item]) for name, item in zip(definition.children, items, strict=True)
        ]
        return [syntax.call(syntax.reference("collections:OrderedDict"), [syntax.list_of(pairs)])]

    def _parameter(self, name: str, spec: ParameterSpec) -> list[Statement]:
        target = path_expression(self.plan.original, name)
        body: list[Statement] = []
        if spec.initial is not None:
            body, value = self._expression(spec.initial)
        else:
            value = self._shaped("zeros" if len(spec.type.shape) < 2 else "empty", spec.type.shape, spec.type.dtype)
        kwargs = [("requires_grad", syntax.literal("False"))] if not spec.requires_grad else []
        body.append(syntax.assign(target, syntax.call(syntax.reference("torch.nn:Parameter"), [value], kwargs)))
        if spec.initial is None and len(spec.type.shape) >= 2:
            call = syntax.call(
                syntax.reference("torch.nn:init.trunc_normal_"), [target], [("std", syntax.literal("0.02"))]
            )
            body.append(syntax.expression_statement(call))
        return body

    def _buffer(self, name: str, spec: BufferSpec) -> list[Statement]:
        body: list[Statement] = []
        if spec.initial is not None:
            body, value = self._expression(spec.initial)
        elif spec.data is not None:
            value = self._tensor(name, spec.data)
        elif spec.storage == "persistent":
            value = self._shaped("zeros", spec.type.shape, spec.type.dtype)
        else:
            raise CodegenError(
                f"{self.plan.name}.{name} is not in the state_dict, and neither its expression nor its data is known; "
                "trace the model again while it is on a real device"
            )
        if spec.storage == "plain":
            return [*body, syntax.assign(path_expression(self.plan.original, name), value)]
        kwargs = [("persistent", syntax.literal("False"))] if spec.storage == "temporary" else []
        call = syntax.call(syntax.dotted("self.register_buffer"), [syntax.string(name), value], kwargs)
        return [*body, syntax.expression_statement(call)]

    def _expression(self, graph: Graph) -> tuple[list[Statement], Expression]:
        return graph_body(graph, self.plan.original, hole=syntax.identifier, reserved=self.reserved)

    def _shaped(self, function: str, shape: Sequence[Any], dtype: torch.dtype) -> Expression:
        sizes = [self.literals.write(size) for size in shape] or [syntax.tuple_of([])]
        kwargs = [] if dtype == torch.float32 else [("dtype", self.literals.write(dtype))]
        return syntax.call(syntax.reference(f"torch:{function}"), sizes, kwargs)

    def _tensor(self, name: str, data: TensorData) -> Expression:
        shape, dtype = data.type.shape, data.type.dtype
        count = 1
        for size in shape:
            count *= size
        if count == 0:
            return self._shaped("zeros", shape, dtype)
        tensor = torch.frombuffer(bytearray(data.data), dtype=dtype).reshape(shape)
        if not dtype.is_complex and torch.equal(tensor, tensor.flatten()[0].expand(shape)) and count > 1:
            first = tensor.flatten()[0].item()
            if first in (0, 1) and not str(first).startswith("-"):
                return self._shaped("ones" if first else "zeros", shape, dtype)
        if dtype == torch.int64 and len(shape) == 1 and count > 2 and torch.equal(tensor, torch.arange(count)):
            return syntax.call(syntax.reference("torch:arange"), [syntax.integer(count)])
        if count <= _SHORT and dtype not in (torch.bfloat16, torch.float16):
            kwargs = [("dtype", self.literals.write(dtype))] if dtype != _default_dtype(tensor) else []
            return syntax.call(
                syntax.reference("torch:tensor"), [self.literals.write(_frozen_list(tensor.tolist()))], kwargs
            )
        key = f"{self.plan.name}.{name}"
        self.constants[key] = data
        return syntax.subscript(syntax.identifier("CONSTANTS"), [syntax.string(key)])

    def _frozen(self, definition: Definition, prefix: str) -> list[Statement]:
        body = [] if definition.base is None else self._without_gradient(definition.base, prefix)
        for name, child in definition.children.items():
            path = f"{prefix}{name}"
            if isinstance(child, Definition):
                body += self._frozen(child, f"{path}.")
                continue
            body += self._without_gradient(child, f"{path}.")
        return body

    def _without_gradient(self, spec: ModuleSpec, prefix: str) -> list[Statement]:
        body: list[Statement] = []
        for item in spec.frozen:
            weight = path_expression(self.plan.original, f"{prefix}{item}")
            call = syntax.call(syntax.attribute(weight, "requires_grad_"), [syntax.literal("False")])
            body.append(syntax.expression_statement(call))
        return body

    def _ties(self, definition: Definition, prefix: str) -> list[Statement]:
        body: list[Statement] = []
        for tie in definition.ties:
            head = tie.source.partition(".")[0]
            direct = not prefix and tie.path in definition.children and definition.kind == "module"
            if direct and self._is_before(head, tie.path, definition):
                continue  # built as the shared object already
            target = path_expression(self.plan.original, f"{prefix}{tie.path}")
            source = path_expression(self.plan.original, f"{prefix}{tie.source}")
            body.append(syntax.assign(target, source))
        for name, child in definition.children.items():
            if isinstance(child, Definition):
                body += self._ties(child, f"{prefix}{name}.")
        return body


def _runs(items: Sequence[Expression]) -> list[Expression]:
    """Return elements of a list, three or more equal ones in a row as one comprehension."""
    found: list[Expression] = []
    for item, equal in itertools.groupby(items):
        count = len(list(equal))
        if count >= 3:
            times = syntax.call(syntax.identifier("range"), [syntax.integer(count)])
            found.append(syntax.starred(syntax.comprehension(item, syntax.identifier("_"), times)))
        else:
            found += [item] * count
    return found


def _default_dtype(tensor: torch.Tensor) -> torch.dtype:
    return torch.tensor(tensor.flatten()[0].item()).dtype


def _frozen_list(value: Any) -> Any:
    return FrozenList(map(_frozen_list, value)) if isinstance(value, list) else value
