"""Module definitions: what a class of the model holds, and the graphs of its forwards.

The hierarchy of the user's modules is kept: a `Definition` has children, which are `ModuleSpec`s (leaves) or further
definitions. Definitions are values and shared between the places where they stand: two blocks that are built alike are
one object, and a path, not the object, says which instance is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal as OneOf
from typing import TypeAlias

from graphnas.ir.graph import EMPTY_GRAPH, Graph
from graphnas.ir.keyed import Keyed, content_key
from graphnas.ir.literal import Argument, Construction, FrozenDict, Literal
from graphnas.ir.types import TensorType

DefinitionKind: TypeAlias = OneOf["module", "sequential", "list", "dict", "choice", "repeat"]


def join(path: str, name: str) -> str:
    """Return the dotted path of what stands at `name` below `path`; either may be empty."""
    return f"{path}.{name}" if path and name else path or name


@dataclass(frozen=True, eq=False)
class ModuleSpec(Keyed):
    """A leaf: a class that is called as it is, with the arguments of its constructor.

    Attributes:
        target: `module:qualname` of the class, `torch.nn:Conv2d`.
        args: Positional arguments of the constructor, literals.
        kwargs: Keyword arguments of the constructor, literals.
        frozen: Names of the parameters with `requires_grad=False`, in order.
        label: A name by which mutators find the leaf, or the empty string.
        opaque: Whether this is a module that could not be traced, kept whole.
        wrappers: Functions that the module was given to after its construction, the first one first, without the module
            itself: `Construction("torch.nn.utils.parametrizations:weight_norm", (), {"dim": 2})`.
    """

    target: str
    args: tuple[Argument, ...] = ()
    kwargs: FrozenDict[Argument] = field(default_factory=FrozenDict)
    frozen: tuple[str, ...] = ()
    label: str = ""
    opaque: bool = False
    wrappers: tuple[Construction, ...] = ()

    @property
    def type(self) -> str:
        """Name of the class, `Conv2d`."""
        return self.target.partition(":")[2].rpartition(".")[2]


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter that a definition owns itself.

    Attributes:
        type: Shape and dtype.
        requires_grad: Whether it is trained.
        initial: Expression that builds the initial tensor, a graph without inputs; None if it was not recorded.
    """

    type: TensorType
    requires_grad: bool = True
    initial: Graph | None = None


@dataclass(frozen=True)
class TensorData:
    """The bytes of a constant tensor, row-major, little-endian."""

    type: TensorType
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class BufferSpec:
    """A buffer, or a plain tensor attribute, that a definition owns itself.

    Attributes:
        type: Shape and dtype.
        storage: `persistent` buffers are in the `state_dict`, `temporary` ones are not, and a `plain` one is a tensor
            attribute that is not registered at all.
        initial: Expression that builds the tensor, a graph without inputs; None if it was not recorded.
        data: The tensor itself where there is no expression.
    """

    type: TensorType
    storage: OneOf["persistent", "temporary", "plain"] = "persistent"
    initial: Graph | None = None
    data: TensorData | None = None


@dataclass(frozen=True, slots=True)
class Tie:
    """What lies at `path` is the very object that lies at `source`: a shared module or a tied parameter.

    Both are paths below the definition that holds the tie. `source` is the one that is built.
    """

    path: str
    source: str


@dataclass(frozen=True)
class Forward:
    """One specialised forward of a definition: `train` is None where one graph serves both modes."""

    eval: Graph
    train: Graph | None = None

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """The one or two graphs, eval mode first."""
        return (self.eval,) if self.train is None else (self.eval, self.train)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the parameters in the order of the signature; both graphs agree on them."""
        return tuple(item.name for item in self.eval.inputs)


@dataclass(frozen=True, eq=False)
class Definition(Keyed):
    """A module of the model: its children, its own state, and its forwards.

    Attributes:
        class_name: Name of the user's class.
        kind: Containers of torch.nn keep their nature: a `sequential` is written as `nn.Sequential(...)` as long as its
            graph is the plain chain of its children; `list` and `dict` have no forward. A `choice` has its candidates
            as children, each traced with the same inputs, and calls the first one; a `repeat` has its blocks at
            greatest depth as children and chains them. These two are open decisions: a space replaces them, and no
            source can be generated before.
        children: Leaves and definitions by attribute name, in the order of registration.
        parameters: Own parameters by attribute name, in the order of registration.
        buffers: Own buffers and constant tensors by attribute name, in the order of registration.
        forwards: The specialised forwards, in the order of their first call; empty if the module is never called.
        ties: Shared modules and tied parameters whose lowest common ancestor this is.
        init: What the constructor does to parameters after the children are built, a graph without inputs in which
            parameters are `attribute` operations; run in order, without gradients.
        label: Label of an open decision, or a name by which mutators find the definition.
        base: The class of torch that the user's class derives from, with the arguments of its constructor; None for
            `nn.Module` itself. Its parameters and buffers are inherited: they can be read like own ones, and those
            of the same name among the own ones take their place.
        order: What is constructed when, as far as the order differs from parameters, buffers, children, `init`: names
            of these, and `%node` where `init` is run up to and including that node; see `steps`.
        settings: What the user's code calls numbers, switches and classes that tell this definition from others of its
            class: names for source, which is all that they are used for. An edit does not keep them up to date.
        origin: `module:qualname` of the user's class; not part of equality, keys or hashes.
    """

    class_name: str
    kind: DefinitionKind = "module"
    children: FrozenDict[Child] = field(default_factory=FrozenDict)
    parameters: FrozenDict[ParameterSpec] = field(default_factory=FrozenDict)
    buffers: FrozenDict[BufferSpec] = field(default_factory=FrozenDict)
    forwards: tuple[Forward, ...] = ()
    ties: tuple[Tie, ...] = ()
    init: Graph = EMPTY_GRAPH
    label: str = ""
    base: ModuleSpec | None = None
    order: tuple[str, ...] = ()
    settings: FrozenDict[Literal] = field(default_factory=FrozenDict)
    origin: str = field(default="", compare=False)

    def child(self, path: str) -> Child:
        """Return what stands at a dotted path below this definition; the empty path is the definition itself.

        Raises:
            KeyError: Nothing stands there; the argument is the path.
        """
        found: Child = self
        for name in path.split(".") if path else ():
            if not isinstance(found, Definition) or name not in found.children:
                raise KeyError(path)
            found = found.children[name]
        return found

    def has_child(self, path: str) -> bool:
        """Tell whether something stands at a dotted path below this definition."""
        try:
            self.child(path)
        except KeyError:
            return False
        return True

    def with_child(self, path: str, child: Child | None) -> Definition:
        """Return a copy with `child` at `path`, or without what is there if it is None; the rest is shared.

        Raises:
            KeyError: There is no such path; a new name is accepted in an existing definition.
        """
        head, _, rest = path.partition(".")
        if not rest:
            children = self.children.without(head) if child is None else self.children.set(head, child)
            return replace(self, children=children)
        inner = self.children[head]
        if not isinstance(inner, Definition):
            raise KeyError(path)
        return replace(self, children=self.children.set(head, inner.with_child(rest, child)))

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Child]]:
        """Yield every path and what stands there, this definition first, depth first in the order of registration."""
        waiting: list[tuple[str, Child]] = [(prefix, self)]
        while waiting:
            path, part = waiting.pop()
            yield path, part
            if isinstance(part, Definition):
                below = [*part.children.items()]
                waiting += ((f"{path}.{name}" if path else name, child) for name, child in reversed(below))

    def bottom_up(self, is_done: Callable[[Definition], bool]) -> Iterator[Definition]:
        """Yield what is not done of this definition and those below it, each object once, children before parents.

        What looks at a definition and remembers it goes through this first: it then finds all children remembered,
        and nests of any depth need no stack.

        Args:
            is_done: Whether a definition, and with it all below it, can be left out; asked when it is come to.
        """
        waiting = [(self, False)]
        seen: set[int] = set()
        while waiting:
            definition, is_next = waiting.pop()
            if is_next:
                yield definition
            elif id(definition) not in seen and not is_done(definition):
                seen.add(id(definition))
                waiting.append((definition, True))
                children = [child for child in definition.children.values() if isinstance(child, Definition)]
                waiting += ((child, False) for child in reversed(children))

    @cached_property
    def key(self) -> str:
        """Hash of the content, names and order included: 32 hexadecimal digits."""
        for definition in self.bottom_up(lambda item: "key" in vars(item)):
            vars(definition)["key"] = content_key(definition)
        return str(vars(self)["key"])

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """All that is constructed, in the order of construction, written as in `order`; the rest of `init` follows.

        What `order` lacks, such as a child that an edit added, comes right after what stands before it by default. What
        it names and is no longer there does not count.
        """
        default = (*self.parameters, *self.buffers, *self.children)
        if not self.order:
            return default
        known = {*default, *(f"%{node.name}" for node in self.init.nodes)}
        steps = [step for step in self.order if step in known]
        listed = set(steps)
        place = 0
        for name in default:
            if name in listed:
                place = steps.index(name) + 1
            else:
                steps.insert(place, name)
                place += 1
        return tuple(steps)

    @cached_property
    def places(self) -> dict[str, int]:
        """Position of each child, by its name."""
        return {name: place for place, name in enumerate(self.children)}

    @cached_property
    def graphs(self) -> tuple[Graph, ...]:
        """All graphs of all forwards."""
        return tuple(graph for forward in self.forwards for graph in forward.graphs)

    @cached_property
    def has_ties(self) -> bool:
        """Whether anything is shared in it or below it."""
        for item in self.bottom_up(lambda item: "has_ties" in vars(item)):
            below = (child for child in item.children.values() if isinstance(child, Definition))
            vars(item)["has_ties"] = bool(item.ties) or any(child.has_ties for child in below)
        return bool(vars(self)["has_ties"])

    @cached_property
    def is_sequence(self) -> bool:
        """Whether calling it calls its children one after the other, as `nn.Sequential` does, whatever was guarded."""
        if len(self.forwards) != 1 or self.forwards[0].train is not None:
            return False
        graph = self.forwards[0].eval
        if len(graph.inputs) != 1 or len(graph.nodes) != len(self.children):
            return False
        previous = graph.inputs[0].name
        for name, node in zip(self.children, graph.nodes, strict=True):
            if node.operation.kind != "module" or node.operation.target != name or node.kwargs:
                return False
            if [getattr(arg, "name", None) for arg in node.args] != [previous]:
                return False
            previous = node.name
        return bool(getattr(graph.output, "name", None) == previous)

    @property
    def is_chain(self) -> bool:
        """Whether its forward is that of `nn.Sequential`, and nothing was guarded."""
        return self.is_sequence and not self.forwards[0].eval.guards


Child: TypeAlias = ModuleSpec | Definition


def ordered(definition: Definition) -> tuple[str, ...]:
    """Return the order of a definition in its shortest form, which is empty where it is the default."""
    steps = list(definition.steps)
    while steps and steps[-1].startswith("%"):
        steps.pop()
    # Of several steps of the initialisation in a row, the last one says it all.
    kept = [a for a, b in zip(steps, [*steps, ""][1:], strict=True) if not (a.startswith("%") and b.startswith("%"))]
    return () if tuple(kept) == replace(definition, order=()).steps else tuple(kept)
