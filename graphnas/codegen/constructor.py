"""The constructor of a class: its state, its children, what is shared, and its initialisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphnas.codegen import syntax
from graphnas.codegen.forward import graph_body
from graphnas.codegen.initialise import init_segments, initialisation
from graphnas.codegen.literals import Literals
from graphnas.codegen.paths import is_attribute, is_position, path_expression
from graphnas.codegen.repeats import fold
from graphnas.codegen.signatures import parameter_names
from graphnas.codegen.syntax import Expression, Function, Statement, Tree
from graphnas.codegen.template import Site, owned
from graphnas.errors import CodegenError
from graphnas.ir.graph import Graph
from graphnas.ir.initial import initial_buffer, initial_parameter, unrecorded
from graphnas.ir.literal import Argument
from graphnas.ir.lru import LRU
from graphnas.ir.module import BufferSpec, Child, Definition, ModuleSpec, ParameterSpec

CONTAINERS = {"sequential": "Sequential", "list": "ModuleList", "dict": "ModuleDict"}
"""Classes of torch.nn, by kind of definition."""

Calls = Mapping[str, Tree]
"""The call of the constructor of each class that is written for a definition, by key of the definition."""


def holds_parameters(definition: Definition) -> bool:
    """Tell whether a definition is an `nn.ParameterList` or `nn.ParameterDict`."""
    is_plain = definition.kind in ("list", "dict") and definition.origin.startswith("torch.")
    return is_plain and bool(definition.parameters) and not definition.children


def calls_within(definition: Definition, calls: Calls) -> Iterator[Tree]:
    """Yield the calls of classes that the constructor of a definition takes."""
    for child in definition.children.values():
        yield from _used_calls(child, calls)


def _used_calls(child: Child, calls: Calls) -> Iterator[Tree]:
    """Yield the calls of classes that the construction of a child takes: its own, or of what a container holds."""
    if isinstance(child, Definition):
        known = calls.get(child.key)
        yield from calls_within(child, calls) if known is None else (known,)


_CHILDREN: LRU[Statement] = LRU(8192)
"""Statements that make a child an attribute, by all they hang on: a mutant has the very objects of its parent."""


def forget_children() -> None:
    """Forget what was written so far; only measurements of a cold start need this."""
    _CHILDREN.clear()


class Constructor:
    """Writes `__init__`.

    Args:
        definition: The module.
        calls: How to construct the children that have a class of their own.
        is_single: Whether the class stands for this definition only.
    """

    def __init__(self, definition: Definition, calls: Calls, *, is_single: bool) -> None:
        self.definition = definition
        self.calls = calls
        self.is_single = is_single
        self.literals = Literals()

    def write(self) -> Function:
        """Return the method."""
        definition = self.definition
        body: list[Statement] = []
        segments = init_segments(definition)
        for step in definition.steps:
            if step in definition.parameters:
                body += self._parameter(step, definition.parameters[step])
            elif step in definition.buffers:
                body += self._buffer(step, definition.buffers[step])
            elif step in segments:
                built = definition.steps[: definition.steps.index(step)]
                body += initialisation(definition, segments[step], built, is_single=self.is_single)
            elif definition.kind == "module":
                body.append(self._attribute(step, definition))
        contents = self._super_arguments(definition)
        body += self._frozen(definition, "")
        body += self._ties(definition, "")
        body += initialisation(definition, segments[""], tuple(definition.children), is_single=self.is_single)
        start = syntax.attribute(syntax.call(syntax.identifier("super")), "__init__")
        return Function("__init__", (), (syntax.expression_statement(syntax.call(start, contents)), *body))

    def _super_arguments(self, definition: Definition) -> list[Expression]:
        if definition.base is not None:
            return list(self._child(definition.base, "").parts[1:])
        return [] if definition.kind == "module" else self._contents(definition, "")

    def _attribute(self, name: str, definition: Definition) -> Statement:
        """Return the statement that makes a child an attribute."""
        source = next((tie.source for tie in definition.ties if tie.path == name), None)
        if source is not None and self._is_before(source.partition(".")[0], name, definition):
            return _set(name, path_expression(self.definition, source))
        child = definition.children[name]
        key = (name, child.key, *_used_calls(child, self.calls))
        found = _CHILDREN.get(key)
        if found is None:
            found = _set(name, self._child(child, name))
            _CHILDREN.put(key, found)
        return found

    def _is_before(self, first: str, second: str, definition: Definition) -> bool:
        names = [step for step in definition.steps if step in definition.children]
        return first in names and names.index(first) < names.index(second)

    def _child(self, child: Child, owner: str) -> Expression:
        if isinstance(child, ModuleSpec):
            built = self._call(child.target, [], child.args, child.kwargs, owner)
            for wrapper in child.wrappers:
                built = self._call(wrapper.path, [built], wrapper.args, wrapper.kwargs, owner)
            return built
        known_call = self.calls.get(child.key)
        if known_call is not None:
            return owned(known_call, owner)
        name = f"Parameter{child.kind.title()}" if holds_parameters(child) else CONTAINERS[child.kind]
        return syntax.call(syntax.reference(f"torch.nn:{name}"), self._contents(child, owner))

    def _call(
        self, path: str, first: list[Expression], args: Sequence[Argument], kwargs: Mapping[Any, Argument], owner: str
    ) -> Expression:
        known = parameter_names(path)[len(first) :]
        written = [
            self.literals.write(item, Site(known[index] if index < len(known) else "value", owner))
            for index, item in enumerate(args)
        ]
        rest = [(str(name), self.literals.write(item, Site(str(name), owner))) for name, item in kwargs.items()]
        return syntax.call(syntax.reference(path), [*first, *written], rest)

    def _contents(self, container: Definition, owner: str) -> list[Expression]:
        """Return the arguments of a container's constructor."""
        held = {
            name: self._child(child, owner if name.isdecimal() else name) for name, child in container.children.items()
        }
        if holds_parameters(container):  # a class of its own builds what else it has in its constructor
            held |= {name: self._held_parameter(spec, owner) for name, spec in container.parameters.items()}
        items = list(held.values())
        if not items:
            return []
        if container.kind == "dict":
            return [syntax.dictionary(zip(map(syntax.string, held), items, strict=True))]
        if container.kind == "sequential":
            return self._sequential_args(container, items, owner)
        if not all(is_position(container, name) for name in container.children):
            raise CodegenError(
                f"a list of modules named {', '.join(container.children)}: torch.nn.ModuleList would number them anew; "
                "make it a dict (kind='dict'), or give them the names 0, 1, ..."
            )
        return [syntax.list_of(fold(items, owner))]

    def _sequential_args(self, definition: Definition, items: Sequence[Expression], owner: str) -> list[Expression]:
        if all(is_position(definition, name) for name in definition.children):
            return fold(items, owner)
        pairs = [
            syntax.tuple_of([syntax.string(name), item]) for name, item in zip(definition.children, items, strict=True)
        ]
        return [syntax.call(syntax.reference("collections:OrderedDict"), [syntax.list_of(pairs)])]

    def _held_parameter(self, spec: ParameterSpec, owner: str) -> Expression:
        """Return a parameter as an item of a list or dictionary: what takes statements to build is drawn anew."""
        body, value = self._expression(initial_parameter(spec), owner)
        if body:
            _, value = self._expression(unrecorded(spec.type), owner)
        kwargs = [("requires_grad", syntax.literal("False"))] if not spec.requires_grad else []
        return syntax.call(syntax.reference("torch.nn:Parameter"), [value], kwargs)

    def _parameter(self, name: str, spec: ParameterSpec) -> list[Statement]:
        target = path_expression(self.definition, name)
        body, value = self._expression(initial_parameter(spec), name)
        kwargs = [("requires_grad", syntax.literal("False"))] if not spec.requires_grad else []
        built = syntax.call(syntax.reference("torch.nn:Parameter"), [value], kwargs)
        return [*body, syntax.assign(target, built)]

    def _buffer(self, name: str, spec: BufferSpec) -> list[Statement]:
        body: list[Statement] = []
        initial = initial_buffer(spec)
        if initial is not None:
            body, value = self._expression(initial, name)
        elif spec.data is not None:
            value = Tree("tensor", name, (), spec.data)
        else:
            raise CodegenError(
                f"{self.definition.class_name}.{name} is not in the state_dict, and neither its expression nor its "
                "data is known; trace the model again while it is on a real device"
            )
        if spec.storage == "plain":
            return [*body, syntax.assign(path_expression(self.definition, name), value)]
        kwargs = [("persistent", syntax.literal("False"))] if spec.storage == "temporary" else []
        call = syntax.call(syntax.dotted("self.register_buffer"), [syntax.string(name), value], kwargs)
        return [*body, syntax.expression_statement(call)]

    def _expression(self, graph: Graph, name: str) -> tuple[list[Statement], Expression]:
        return graph_body(graph, self.definition, owner=name)

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
            weight = path_expression(self.definition, f"{prefix}{item}")
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
            target = path_expression(self.definition, f"{prefix}{tie.path}")
            source = path_expression(self.definition, f"{prefix}{tie.source}")
            body.append(syntax.assign(target, source))
        for name, child in definition.children.items():
            if isinstance(child, Definition):
                body += self._ties(child, f"{prefix}{name}.")
        return body


def _set(name: str, value: Expression) -> Statement:
    """Return the statement that makes a module an attribute of `self`."""
    if is_attribute(name):
        return syntax.assign(syntax.dotted(f"self.{name}"), value)
    return syntax.expression_statement(syntax.call(syntax.dotted("self.add_module"), [syntax.string(name), value]))
