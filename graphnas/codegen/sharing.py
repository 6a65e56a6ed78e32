"""The classes of definitions that have one class name.

Those that are equal but for constants share a class; those that differ in more are merged into one, with `if`s, where
that makes the file shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphnas.codegen import syntax
from graphnas.codegen.constructor import CONTAINERS, Calls, Constructor, calls_within, forget_children
from graphnas.codegen.forward import forward_method
from graphnas.codegen.merge import Merger
from graphnas.codegen.settings import settings_of_group
from graphnas.codegen.settle import Settled, settle, size
from graphnas.codegen.signatures import defaults, inherited
from graphnas.codegen.syntax import Function, Tree
from graphnas.codegen.template import Site, generalise, mask_of, skeleton, weight, with_site
from graphnas.errors import GraphNASError
from graphnas.ir.leaves import built_on_meta
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition

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


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class _Written:
    """What a definition alone would be written as: its methods, and all in them but constants."""

    functions: tuple[Function, ...]
    signature: tuple[Function, ...]


@dataclass(frozen=True, eq=False)
class Variant:
    """Members that share a class.

    Attributes:
        members: Their numbers in the group.
        functions: The template of their methods.
        size: How many syntax nodes the class and the calls of its constructor have.
        structures: How many structures were merged into it.
    """

    members: Sequence[int]
    functions: tuple[Function, ...]
    size: int
    structures: int = 1


_WRITTEN: LRU[_Written] = LRU(4096)
"""What definitions were written as, by their key and the calls that construct their children."""

_VARIANTS: LRU[Variant] = LRU(1024)
"""Variants of one structure, by who they are."""


def forget_variants() -> None:
    """Forget what was written so far; only measurements of a cold start need this."""
    forget_children()
    _WRITTEN.clear()
    _VARIANTS.clear()


class Group:
    """Definitions that have one class name, its *members* by their numbers.

    Args:
        definitions: The definitions.
        weights: How often each of them stands in the model.
        calls: How to construct what has a class already.
        classes: Those classes, in the order of the numbers by which calls refer to them.
        taken: Names that no parameter goes by.
    """

    def __init__(
        self,
        definitions: Sequence[Definition],
        weights: Sequence[int],
        calls: Calls,
        classes: Sequence[ClassPlan],
        taken: frozenset[str],
    ) -> None:
        self.definitions = definitions
        self.weights = weights
        self.calls = calls
        self.classes = classes
        self.taken = taken
        self.settings = settings_of_group(definitions)

    def variants(self) -> Iterator[tuple[Tree, Variant]]:
        """Yield the members that share a class, and what that derives from."""
        bases: dict[Tree, dict[tuple[Function, ...], list[int]]] = {}
        is_single = len(self.definitions) == 1
        written = [self._written(definition, is_single=is_single) for definition in self.definitions]
        for number, definition in enumerate(self.definitions):
            bases.setdefault(_base(definition), {}).setdefault(written[number].signature, []).append(number)
        for base, shapes in bases.items():
            found: list[Variant] = []
            for members in shapes.values():
                self._add(found, self._variant(members, [written[number] for number in members], base), base)
            yield from ((base, variant) for variant in found)

    def alone(self, member: int, base: Tree) -> Variant:
        """Return a definition that shares its class with nobody after all, as it is written where others never were."""
        return self._sized([member], self._written(self.definitions[member], is_single=True).functions, base)

    def settled(self, variant: Variant, base: Tree) -> Settled:
        """Return the class of a variant."""
        known = (self.taken, inherited(base.text), self._lacks, self.settings, self.definitions)
        return settle(variant.functions, variant.members, self.weights, *known)

    def _written(self, definition: Definition, *, is_single: bool) -> _Written:
        """Return the methods that a definition alone would have, and what they have in common with others."""
        key = (definition.key, is_single, *calls_within(definition, self.calls))
        found = _WRITTEN.get(key)
        if found is None:
            forwards = [forward_method(definition, number) for number in range(len(definition.forwards))]
            own = [] if definition.kind == "sequential" and definition.is_sequence else forwards
            functions = (Constructor(definition, self.calls, is_single=is_single).write(), *own)
            found = _Written(functions, tuple(map(skeleton, functions)))
            _WRITTEN.put(key, found)
        return found

    def _variant(self, members: list[int], written: Sequence[_Written], base: Tree) -> Variant:
        who = tuple((number, self.weights[number], item) for number, item in zip(members, written, strict=True))
        key = (who, base, self.taken)
        found = _VARIANTS.get(key)
        if found is None:
            functions = []
            for alike in zip(*(item.functions for item in written), strict=True):
                body = generalise([syntax.block(item.body) for item in alike], members)
                functions.append(alike[0]._replace(body=body.parts))
            found = self._sized(members, tuple(functions), base)
            _VARIANTS.put(key, found)
        return found

    def _sized(
        self, members: Sequence[int], functions: tuple[Function, ...], base: Tree, structures: int = 1
    ) -> Variant:
        """Return a variant with its size, the user's names left out: which classes there are must not hang on them."""
        settled = settle(functions, members, self.weights, self.taken, inherited(base.text), self._lacks)
        return Variant(members, functions, size(settled) + _NEW_CLASS, structures)

    def _add(self, variants: list[Variant], new: Variant, base: Tree) -> None:
        """Merge a variant into the class where that saves most, or make it one of its own."""
        best: tuple[int, int, Variant] | None = None
        for position, known in enumerate(variants[-_TRIES:], max(len(variants) - _TRIES, 0)):
            merged = self._merged(known, new, base) if known.structures < _STRUCTURES else None
            gain = 0 if merged is None else known.size + new.size - merged.size
            enough = 0 if merged is None or _is_alike(merged) else min(known.size, new.size) // _SHARED
            if merged is not None and gain > enough and (best is None or gain > best[0]):
                best = (gain, position, merged)
        if best is None:
            variants.append(new)
        else:
            variants[best[1]] = best[2]

    def _merged(self, left: Variant, right: Variant, base: Tree) -> Variant | None:
        masks = (mask_of(left.members), mask_of(right.members))
        others = {item.name: item for item in right.functions}
        if base != _MODULE and ("forward" in others) is not any(item.name == "forward" for item in left.functions):
            return None  # the one without inherits the forward of its base, and must not get that of the other
        members = sorted([*left.members, *right.members])
        functions: list[Function] = []
        for mine in left.functions:
            other = others.pop(mine.name, None)
            merger = Merger(self._defaults, base.text, optional=lambda name: self._optional_inputs(name, members))
            merged = mine if other is None else merger.function(mine, other, masks)
            if merged is None:
                return None
            functions.append(merged)
        return self._sized(members, (*functions, *others.values()), base, left.structures + right.structures)

    def _lacks(self, member: int, name: str) -> bool:
        """Tell whether an attribute that a member inherits is None, as the bias of a layer without one."""
        definition = self.definitions[member]
        base = definition.base
        if base is None or any(name in own for own in (definition.children, definition.parameters, definition.buffers)):
            return False
        try:
            return getattr(built_on_meta(base), name, False) is None
        except GraphNASError:
            return False

    def _optional_inputs(self, name: str, members: Sequence[int]) -> Mapping[int, Tree]:
        """Return the optional inputs of a child that some members have in common, by position."""
        own = [self.definitions[member].children for member in members]
        found = [held[name] for held in own if name in held]
        calls = [self.calls.get(item.key) for item in found]
        kinds = {call.parts[0].text for call in calls if call is not None and call.parts[0].kind == "reference"}
        if len(kinds) != 1 or None in calls:
            return {}
        functions = self.classes[int(kinds.pop()[1:])].functions
        forward = next((item for item in functions if item.name == "forward"), None)
        inputs = enumerate(() if forward is None else forward.parameters)
        return {position: item.default for position, item in inputs if item.default is not None}

    def _defaults(self, target: str) -> Mapping[str, Tree]:
        if not target.startswith(":"):
            return defaults(target)
        constructor = self.classes[int(target[1:])].functions[0]
        parameters = constructor.parameters if constructor.name == "__init__" else ()
        return {item.name: item.default for item in parameters if item.default is not None}


def construction(number: int, settled: Settled, member: int) -> Tree:
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


def _is_alike(variant: Variant) -> bool:
    """Tell whether all members do the same in their forwards, and have most of what they construct in common."""
    optional = {item.name: sum(map(_optional, item.body)) for item in variant.functions}
    constructed = sum(map(weight, variant.functions[0].body))
    return 2 * optional.pop("__init__", 0) <= constructed and not any(optional.values())


def _optional(tree: Tree) -> int:
    """Return how many syntax nodes only some members have."""
    return weight(tree) if tree.kind in ("slot", "select") else sum(map(_optional, tree.parts))
