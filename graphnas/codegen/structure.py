"""Which definitions share a class, and how the constructors of the classes are called.

Definitions are written from the leaves up, each as the methods that it alone would have. Those of one class of the
user's that are equal but for constants share a class; those that differ in more are merged into one, with `if`s, where
that makes the file shorter. Every definition then is a call of its class, which is what the definitions above it write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter

from graphnas.codegen import names, syntax
from graphnas.codegen.constructor import CONTAINERS, Constructor, holds_parameters
from graphnas.codegen.forward import forget_forwards, forward_method
from graphnas.codegen.literals import Literals
from graphnas.codegen.merge import Merger
from graphnas.codegen.settle import Setting, Settled, settle, size
from graphnas.codegen.signatures import defaults, inherited
from graphnas.codegen.syntax import Function, Tree
from graphnas.codegen.template import Site, generalise, plain, skeleton, weight, with_site
from graphnas.errors import CodegenError, GraphNASError
from graphnas.ir.leaves import built_on_meta
from graphnas.ir.literal import Symbol
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition, Forward

_POSITIONAL = 3
"""Most required arguments that are passed by position."""

_TRIES = 6
"""Most classes of one name that a further variant is compared with."""

_STRUCTURES = 16
"""Most structures that are merged into one class: with more, its flags say less than classes side by side."""

_SHARED = 5
"""The part of the smaller of two classes that merging must save: less, and they only stand side by side."""

_NEW_CLASS = 6
"""Syntax nodes that a class costs beside its methods."""


_Methods = tuple[tuple[Function, ...], tuple[object, ...]]
"""Methods, and the key of all in them but constants."""

_METHODS: LRU[_Methods] = LRU(4096)
"""What definitions were written as, by their key and the calls that construct their children."""


def forget_methods() -> None:
    """Forget what was written so far; only measurements of a cold start need this."""
    _METHODS.clear()
    _VARIANTS.clear()
    forget_forwards()


@dataclass
class ClassPlan:
    """One class to be written.

    Attributes:
        name: Its name in the file.
        base: What it derives from.
        original: The first definition that it stands for.
        functions: Its methods, the constructor first if it needs one.
    """

    name: str
    base: Tree
    original: Definition
    functions: tuple[Function, ...]


@dataclass
class Structure:
    """The classes of a model in the order in which they are defined; the last one is the root's."""

    classes: list[ClassPlan] = field(default_factory=list)


def plan_classes(root: Definition) -> Structure:
    """Return the classes of a model.

    Raises:
        CodegenError: A decision is still open.
    """
    return _Planner(root).run()


def is_container(definition: Definition) -> bool:
    """Tell whether a definition is written as a container of torch.nn where it stands, without a class."""
    if definition.kind == "module" or definition.buffers or definition.init.nodes:
        return False
    if definition.parameters:
        return holds_parameters(definition)
    return definition.kind != "sequential" or not definition.forwards or is_plain_chain(definition)


def is_plain_chain(definition: Definition) -> bool:
    """Tell whether the forward of `nn.Sequential` will do."""
    forwards = tuple(Forward(replace(item.eval, guards=()), item.train) for item in definition.forwards)
    return replace(definition, forwards=forwards).is_chain


@dataclass
class _Variant:
    """Members that share a class: numbers of definitions, the template of their methods, and what comes of it.

    `structures` counts those that were merged.
    """

    members: list[int]
    functions: tuple[Function, ...]
    settled: Settled
    size: int
    structures: int = 1


_VARIANTS: LRU[tuple[object, _Variant]] = LRU(1024)
"""Members that are equal but for constants, by who they are; what identities stand for is kept with them."""


class _Planner:
    def __init__(self, root: Definition) -> None:
        self.root = root
        self.structure = Structure()
        self.group: Sequence[Definition] = ()
        self.settings: Sequence[Setting] = ()
        self.calls: dict[str, Tree] = {}
        self.unique: dict[str, Definition] = {}
        self._visit(root)
        self.counts = _count_instances(root)
        self.class_names = frozenset(item.class_name for item in self.unique.values())

    def run(self) -> Structure:
        written = [item for item in self.unique.values() if item is not self.root and _may_have_class(item)]
        for group in _groups(written):
            self._add_classes(group)
        self._add_classes([self.root])
        self._order_classes()
        self._name_classes()
        return self.structure

    def _visit(self, definition: Definition) -> None:
        if definition.key in self.unique:
            return
        if definition.kind in ("choice", "repeat"):
            raise CodegenError(
                f"the {definition.kind} labelled {definition.label!r} is still open, so no source can be "
                "written; freeze the space with decisions for it first"
            )
        for child in _children(definition):
            self._visit(child)
        self.unique[definition.key] = definition

    def _add_classes(self, definitions: Sequence[Definition]) -> None:
        """Add the classes of definitions that have one class name."""
        self.group = definitions
        self.settings = _settings(definitions)
        weights = [self.counts[definition.key] for definition in definitions]
        bases: dict[Tree, dict[tuple[object, ...], list[int]]] = {}
        written = [self._methods(definition, is_single=len(definitions) == 1) for definition in definitions]
        methods = [functions for functions, _ in written]
        for number, definition in enumerate(definitions):
            bases.setdefault(_base(definition), {}).setdefault(written[number][1], []).append(number)
        for base, shapes in bases.items():
            variants: list[_Variant] = []
            for members in shapes.values():
                self._add_variant(variants, self._variant(members, methods, base, weights), base, weights)
            for variant in variants:
                if not self._needs_class(variant, definitions):
                    continue
                if len(variant.members) == 1 < len(definitions):
                    variant = self._alone(variant.members[0], base, weights)
                self._add_class(variant, base, definitions)

    def _needs_class(self, variant: _Variant, definitions: Sequence[Definition]) -> bool:
        """Tell whether a class is worth its name: what could be a plain container and occurs once is written as one."""
        first = definitions[variant.members[0]]
        is_used_once = len(variant.members) == 1 and self.counts[first.key] == 1
        return first is self.root or not is_used_once or not is_container(first)

    def _methods(self, definition: Definition, *, is_single: bool) -> _Methods:
        """Return the methods that a definition alone would have, and what they have in common with others."""
        used = [self.calls.get(item.key) for _, item in definition.walk() if item is not definition]
        key = (definition.key, is_single, *used)
        found = _METHODS.get(key)
        if found is None:
            functions = (Constructor(definition, self.calls, is_single=is_single).write(), *_forwards(definition))
            found = functions, tuple(_signature(item, skeleton(syntax.block(item.body))) for item in functions)
            _METHODS.put(key, found)
        return found

    def _variant(
        self, members: list[int], methods: Sequence[tuple[Function, ...]], base: Tree, weights: Sequence[int]
    ) -> _Variant:
        mine = [methods[number] for number in members]
        named = tuple((item.name, *(item.values[number] for number in members)) for item in self.settings)
        who = tuple((number, weights[number], id(item)) for number, item in zip(members, mine, strict=True))
        key = (who, base, named, self.class_names)
        found = _VARIANTS.get(key)
        if found is None:
            functions = []
            for alike in zip(*mine, strict=True):
                body = generalise([syntax.block(item.body) for item in alike], members)
                functions.append(alike[0]._replace(body=body.parts))
            found = mine, self._settled(members, tuple(functions), base, weights)
            _VARIANTS.put(key, found)
        return found[1]

    def _alone(self, member: int, base: Tree, weights: Sequence[int]) -> _Variant:
        """Return a definition that shares its class with nobody after all, as it is written where others never were."""
        functions, _ = self._methods(self.group[member], is_single=True)
        return self._settled([member], functions, base, weights)

    def _settled(
        self, members: list[int], functions: tuple[Function, ...], base: Tree, weights: Sequence[int]
    ) -> _Variant:
        attributes = inherited(base.text)
        settled = settle(functions, members, weights, self.class_names, attributes, self._lacks, self.settings)
        return _Variant(members, functions, settled, size(settled) + _NEW_CLASS)

    def _add_variant(self, variants: list[_Variant], new: _Variant, base: Tree, weights: Sequence[int]) -> None:
        """Merge a variant into the class where that saves most, or make it one of its own."""
        best: tuple[int, int, _Variant] | None = None
        for position, known in enumerate(variants[-_TRIES:], max(len(variants) - _TRIES, 0)):
            merged = self._merged(known, new, base, weights) if known.structures < _STRUCTURES else None
            gain = 0 if merged is None else known.size + new.size - merged.size
            enough = 0 if merged is None or _is_alike(merged) else min(known.size, new.size) // _SHARED
            if merged is not None and gain > enough and (best is None or gain > best[0]):
                best = (gain, position, merged)
        if best is None:
            variants.append(new)
        else:
            variants[best[1]] = best[2]

    def _merged(self, left: _Variant, right: _Variant, base: Tree, weights: Sequence[int]) -> _Variant | None:
        masks = (_mask(left.members), _mask(right.members))
        others = {item.name: item for item in right.functions}
        if base != _MODULE and ("forward" in others) is not any(item.name == "forward" for item in left.functions):
            return None  # the one without inherits the forward of its base, and must not get that of the other
        functions: list[Function] = []
        for mine in left.functions:
            other = others.pop(mine.name, None)
            merger = Merger(self._defaults, base.text, optional=self._optional_inputs)
            merged = mine if other is None else merger.function(mine, other, masks)
            if merged is None:
                return None
            functions.append(merged)
        members = sorted([*left.members, *right.members])
        variant = self._settled(members, (*functions, *others.values()), base, weights)
        variant.structures = left.structures + right.structures
        return variant

    def _lacks(self, member: int, name: str) -> bool:
        """Tell whether an attribute that a member inherits is None, as the bias of a layer without one."""
        definition = self.group[member]
        base = definition.base
        if base is None or any(name in own for own in (definition.children, definition.parameters, definition.buffers)):
            return False
        try:
            return getattr(built_on_meta(base), name, False) is None
        except GraphNASError:
            return False

    def _optional_inputs(self, name: str) -> Mapping[int, Tree]:
        """Return the optional inputs of a child that members of the group have in common, by position."""
        children = [item.children[name] for item in self.group if name in item.children]
        calls = [self.calls.get(item.key) for item in children]
        classes = {call.parts[0].text for call in calls if call is not None and call.parts[0].kind == "reference"}
        if len(classes) != 1 or None in calls:
            return {}
        functions = self.structure.classes[int(classes.pop()[1:])].functions
        forward = next((item for item in functions if item.name == "forward"), None)
        inputs = enumerate(() if forward is None else forward.parameters)
        return {position: item.default for position, item in inputs if item.default is not None}

    def _defaults(self, target: str) -> Mapping[str, Tree]:
        if not target.startswith(":"):
            return defaults(target)
        constructor = self.structure.classes[int(target[1:])].functions[0]
        parameters = constructor.parameters if constructor.name == "__init__" else ()
        return {item.name: item.default for item in parameters if item.default is not None}

    def _add_class(self, variant: _Variant, base: Tree, definitions: Sequence[Definition]) -> None:
        number = len(self.structure.classes)
        first = definitions[variant.members[0]]
        settled = variant.settled
        self.structure.classes.append(ClassPlan(first.class_name, base, first, settled.functions))
        for member in variant.members:
            self.calls[definitions[member].key] = _call(number, settled, member)

    def _order_classes(self) -> None:
        """Put classes in the order in which the constructors from the root on first speak of them."""
        classes = self.structure.classes
        uses = [
            [int(path[1:]) for item in plan.functions for path in syntax.references_in(item) if path.startswith(":")]
            for plan in classes
        ]
        order: dict[int, int] = {}
        pending: list[tuple[int, Iterator[int]]] = [(len(classes) - 1, iter(uses[-1]))]
        while pending:
            number, inner = pending[-1]
            child = next((item for item in inner if item not in order), None)
            if child is None:
                order[number] = len(order)
                pending.pop()
            else:
                pending.append((child, iter(uses[child])))
        if all(old == new for old, new in order.items()):
            return
        renumbered = {f":{old}": f":{new}" for old, new in order.items()}
        self.structure.classes = [
            replace(classes[old], functions=tuple(syntax.renamed(item, renumbered) for item in classes[old].functions))
            for old in order
        ]

    def _name_classes(self) -> None:
        taken: set[str] = set()
        for plan in (self.structure.classes[-1], *self.structure.classes[:-1]):  # the root keeps its name
            if not plan.name.isidentifier():
                raise CodegenError(f"the class name {plan.name!r} is no Python identifier; rename the class")
            plan.name = names.free_name(plan.name, taken, ("Tensor",))
            taken.add(plan.name)


def _settings(definitions: Sequence[Definition]) -> list[Setting]:
    """Return what the user has a name for in all of some definitions, each by its number."""
    found: list[Setting] = []
    literals = Literals()
    for name in definitions[0].settings:
        values = [item.settings[name] for item in definitions if name in item.settings]
        if len(values) < len(definitions) or not names.is_usable(name):
            continue
        if any(isinstance(value, Symbol) and not value.path.startswith("torch") for value in values):
            continue  # the file does not import the user's classes to make no use of them
        site = Site(name, "", 2)  # written as in a forward
        written = {number: plain(literals.write(value, site)) for number, value in enumerate(values)}
        found.append(Setting(name, written))
        if all(isinstance(value, tuple) and len(set(value)) == 1 for value in values):  # `(7, 7)`, used as 7
            found.append(Setting(name, {number: literals.write(value[0]) for number, value in enumerate(values)}))
    return found


def _is_alike(variant: _Variant) -> bool:
    """Tell whether all members do the same in their forwards, and have most of what they construct in common."""
    optional = {item.name: sum(map(_optional, item.body)) for item in variant.functions}
    constructed = sum(map(weight, variant.functions[0].body))
    return 2 * optional.pop("__init__", 0) <= constructed and not any(optional.values())


def _optional(tree: Tree) -> int:
    """Return how many syntax nodes only some members have."""
    return weight(tree) if tree.kind in ("slot", "select") else sum(map(_optional, tree.parts))


def _forwards(definition: Definition) -> Iterator[Function]:
    if not (definition.kind == "sequential" and is_plain_chain(definition)):
        yield from (forward_method(definition, number) for number in range(len(definition.forwards)))


def _may_have_class(definition: Definition) -> bool:
    own_name = definition.kind == "sequential" and definition.class_name != "Sequential"
    return own_name or not is_container(definition)


def _groups(definitions: Sequence[Definition]) -> list[list[Definition]]:
    """Return definitions by class name, each group after those that it holds.

    A class that stands inside itself, or inside one that it holds elsewhere, is taken height by height.
    """
    held = {item.key: list(_held(item)) for item in definitions}
    heights: dict[str, int] = {}
    for item in definitions:
        heights[item.key] = 1 + max((heights[child.key] for child in held[item.key]), default=0)
    edges: dict[str, dict[str, None]] = {}
    for item in definitions:
        edges.setdefault(item.class_name, {}).update(dict.fromkeys(child.class_name for child in held[item.key]))
    cyclic = {name for name in edges if name in _reached(name, edges)}

    def group_of(item: Definition) -> tuple[str, int]:
        return (item.class_name, heights[item.key] if item.class_name in cyclic else 0)

    groups: dict[tuple[str, int], list[Definition]] = {}
    waits: dict[tuple[str, int], dict[tuple[str, int], None]] = {}
    for item in definitions:
        groups.setdefault(group_of(item), []).append(item)
        waits.setdefault(group_of(item), {}).update(dict.fromkeys(map(group_of, held[item.key])))
    order = TopologicalSorter(waits)
    return [groups[group] for group in order.static_order()]


def _held(definition: Definition) -> Iterator[Definition]:
    for child in _children(definition):
        if _may_have_class(child):
            yield child
        else:
            yield from _held(child)


def _reached(start: str, edges: Mapping[str, Mapping[str, None]]) -> set[str]:
    found: set[str] = set()
    pending = list(edges[start])
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += edges[name]
    return found


def _call(number: int, settled: Settled, member: int) -> Tree:
    """Return the call that constructs a member: few required arguments by position, defaults left out."""
    required = [item.name for item in settled.parameters if item.default is None]
    positional = required if len(required) <= _POSITIONAL else []
    values = {name: column[member] for name, column in settled.values.items() if member in column}
    args = [with_site(values[name], Site(name)) for name in positional]
    kwargs = [
        (item.name, with_site(values[item.name], Site(item.name)))
        for item in settled.parameters
        if item.name in values and item.name not in positional and values[item.name] != item.default
    ]
    return syntax.call(syntax.reference(f":{number}"), args, kwargs)


_MODULE = syntax.reference("torch.nn:Module")


def _base(definition: Definition) -> Tree:
    if definition.base is not None:
        return syntax.reference(definition.base.target)
    return syntax.reference(f"torch.nn:{CONTAINERS.get(definition.kind, 'Module')}")


def _signature(function: Function, body: Tree) -> tuple[object, ...]:
    return (*function._replace(body=()), body)


def _mask(members: Sequence[int]) -> int:
    return sum(1 << number for number in members)


def _children(definition: Definition) -> Iterator[Definition]:
    """Yield the children that are definitions."""
    for child in definition.children.values():
        if isinstance(child, Definition):
            yield child


def _count_instances(root: Definition) -> Counter[str]:
    """Return how often each definition stands in the model, by key."""
    order: dict[str, Definition] = {}

    def visit(definition: Definition) -> None:
        if definition.key in order:
            return
        for child in _children(definition):
            visit(child)
        order[definition.key] = definition

    visit(root)
    counts = Counter[str]({root.key: 1})
    for key, definition in reversed(order.items()):
        for child in _children(definition):
            counts[child.key] += counts[key]
    return counts
