"""Sites: nodes at their places in the hierarchy, and the questions that find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypedDict

from graphnas.errors import MutationError
from graphnas.ir.graph import Graph, Node, OperationKind
from graphnas.ir.literal import Value
from graphnas.ir.module import Child, Definition, ModuleSpec


@dataclass(frozen=True, slots=True)
class Site:
    """A node at its place in the hierarchy.

    Attributes:
        path: Path of the definition whose graph holds the node; the empty path is the root.
        node: The node.
        graph: The graph that holds it.
        spec: What a `module` operation calls, None for the other kinds.
    """

    path: str
    node: Node
    graph: Graph
    spec: Child | None = None

    @property
    def name(self) -> str:
        """`path:node`, as histories write it."""
        return f"{self.path}:{self.node.name}"

    @property
    def module_path(self) -> str:
        """Path from the root of the module that the node calls, the empty string if it calls none."""
        if self.node.operation.kind != "module":
            return ""
        return f"{self.path}.{self.node.operation.target}" if self.path else self.node.operation.target

    @property
    def type(self) -> str:
        """What a mutator asks for: the class of a module (`Conv2d`), else the bare name of the operation (`relu`)."""
        if isinstance(self.spec, ModuleSpec):
            return self.spec.type
        if isinstance(self.spec, Definition):
            return self.spec.class_name
        return self.node.operation.target.rpartition(":")[2] or self.node.operation.kind

    @property
    def operation(self) -> str:
        """What is called, in full: `torch.nn:Conv2d`, `torch:cat`, `operator:add`; for methods and fields the name."""
        if isinstance(self.spec, ModuleSpec):
            return self.spec.target
        if isinstance(self.spec, Definition):
            return self.spec.class_name
        return self.node.operation.target or self.node.operation.kind

    @property
    def label(self) -> str:
        """The label of the node or of the module that it calls."""
        return self.node.label or ("" if self.spec is None else self.spec.label)

    @property
    def operands(self) -> tuple[Node, ...]:
        """The nodes whose values it takes, each once, in the order of the arguments; inputs are no nodes."""
        names = dict.fromkeys(value.name for value in self.node.inputs)
        producers = (self.graph.producer(Value(name)) for name in names)
        return tuple(node for node in producers if node is not None)

    @property
    def uses(self) -> tuple[Node, ...]:
        """The nodes that take the value, in the order of execution."""
        return self.graph.uses(Value(self.node.name))


class Conditions(TypedDict, total=False):
    """What `find` can ask for; a site has to meet every condition that is given.

    Attributes:
        type: Class of the module, or bare name of the operation: `Conv2d`, `relu`.
        operation: The same in full: `torch.nn:Conv2d`, `torch.nn.functional:relu`.
        kind: Kind of the operation: `module`, `function`, `method`, `field`, `attribute` or `training`.
        label: Label of the node or of its module.
        path: Path of the definition that holds the node, or one above it.
        module: Path of the module that the node calls: `layer1.0.conv2`.
        where: Any further condition.
    """

    type: str
    operation: str
    kind: OperationKind
    label: str
    path: str
    module: str
    where: Callable[[Site], bool]


def find_sites(sites: tuple[Site, ...], conditions: Conditions) -> tuple[Site, ...]:
    """Return those of `sites` that meet every condition.

    Raises:
        TypeError: There is no such condition.
    """
    unknown = [name for name in conditions if name not in Conditions.__annotations__]
    if unknown:
        raise TypeError(f"find() has no condition {unknown[0]!r}; there are {', '.join(Conditions.__annotations__)}")
    return tuple(site for site in sites if all(_TESTS[name](site, wanted) for name, wanted in conditions.items()))


_TESTS: dict[str, Callable[[Site, object], bool]] = {
    "type": lambda site, wanted: site.type == wanted,
    "operation": lambda site, wanted: site.operation == wanted,
    "kind": lambda site, wanted: site.node.operation.kind == wanted,
    "label": lambda site, wanted: site.label == wanted,
    "path": lambda site, wanted: wanted in ("", site.path) or site.path.startswith(f"{wanted}."),
    "module": lambda site, wanted: site.module_path == wanted,
    "where": lambda site, wanted: bool(wanted(site)),  # type: ignore[operator]  # typed in Conditions
}


def group_sites(sites: tuple[Site, ...], key: Callable[[Site], str]) -> dict[str, tuple[Site, ...]]:
    """Return the sites by what `key` says of them, in the order of first appearance; an empty key groups nothing."""
    groups: dict[str, list[Site]] = {}
    for site in sites:
        groups.setdefault(key(site), []).append(site)
    return {name: tuple(group) for name, group in groups.items() if name}


def lookup(root: Definition, path: str) -> Child:
    """Return what stands at `path`.

    Raises:
        MutationError: Nothing stands there; the message lists the names that do.
    """
    try:
        return root.child(path)
    except KeyError:
        known = path
        while known:
            known = known.rpartition(".")[0]
            try:
                parent = root.child(known)
            except KeyError:
                continue
            break
        else:
            parent = root
        names = ", ".join(parent.children) if isinstance(parent, Definition) else "nothing, it is a leaf"
        where = f"{known!r}" if known else "the root"
        message = f"{root.class_name} has no module at {path!r}; below {where} stand: {names}"
        raise MutationError(message, site=path) from None


def sites_of(definition: Definition, path: str = "") -> Iterator[Site]:
    """Yield every node of every graph, calls of definitions followed by what they run where they are first met."""
    seen: set[str] = set()
    for graph in definition.graphs:
        for node in graph.nodes:
            spec = None
            if node.operation.kind == "module":
                target = node.operation.target
                spec = definition.child(target)
                if isinstance(spec, Definition) and target not in seen:
                    seen.add(target)
                    yield Site(path, node, graph, spec)
                    yield from sites_of(spec, f"{path}.{target}" if path else target)
                    continue
            yield Site(path, node, graph, spec)
