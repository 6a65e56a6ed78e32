"""The classes of a model, and how their constructors are called.

Definitions are written from the leaves up, those of one class name together (`graphnas.codegen.sharing`). Every
definition then is a call of its class, which is what the definitions above it write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from graphnas.codegen import names, syntax
from graphnas.codegen.constructor import calls_within
from graphnas.codegen.grouping import distinct, groups, instances, is_container, may_have_class
from graphnas.codegen.sharing import ClassPlan, Group, Variant, construction
from graphnas.codegen.syntax import Tree
from graphnas.errors import CodegenError
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition


class _Classes(NamedTuple):
    """The classes of the definitions of one class name, and the calls that construct these, by their keys."""

    plans: Sequence[ClassPlan]
    calls: Mapping[str, Tree]


_CLASSES: LRU[_Classes] = LRU(1024)
"""By all that they hang on: a mutant has most of the classes of its parent."""


def forget_classes() -> None:
    """Forget the classes planned so far; only measurements of a cold start need this."""
    _CLASSES.clear()


def plan_classes(root: Definition) -> list[ClassPlan]:
    """Return the classes of a model in the order in which they are defined; the last one is the root's.

    Raises:
        CodegenError: A decision is still open.
    """
    return _Planner(root).run()


class _Planner:
    def __init__(self, root: Definition) -> None:
        self.root = root
        self.classes: list[ClassPlan] = []
        self.calls: dict[str, Tree] = {}
        self.unique = distinct(root)
        self.counts = instances(self.unique)
        self.class_names = frozenset(item.class_name for item in self.unique.values())

    def run(self) -> list[ClassPlan]:
        written = [item for item in self.unique.values() if item.key != self.root.key and may_have_class(item)]
        for group in (*groups(written), [self.root]):
            found = self._known(group)
            self.classes += found.plans
            self.calls.update(found.calls)
        return _named(_ordered(self.classes))

    def _known(self, definitions: Sequence[Definition]) -> _Classes:
        """Return the classes of definitions that have one class name, as they were found before if they were."""
        used = [tuple(calls_within(item, self.calls)) for item in definitions]
        numbers = dict.fromkeys(int(call.parts[0].text[1:]) for calls in used for call in calls)
        who = tuple((item.key, self.counts[item.key], calls) for item, calls in zip(definitions, used, strict=True))
        around = (len(self.classes), self.class_names, tuple(self.classes[number] for number in numbers))
        key = (definitions[0] is self.root, who, around)
        found = _CLASSES.get(key)
        if found is None:
            found = self._found(definitions)
            _CLASSES.put(key, found)
        return found

    def _found(self, definitions: Sequence[Definition]) -> _Classes:
        weights = [self.counts[definition.key] for definition in definitions]
        group = Group(definitions, weights, self.calls, self.classes, self.class_names)
        plans: list[ClassPlan] = []
        calls: dict[str, Tree] = {}
        for base, variant in group.variants():
            if not self._needs_class(variant, definitions):
                continue
            if len(variant.members) == 1 < len(definitions):
                variant = group.alone(variant.members[0], base)
            number = len(self.classes) + len(plans)
            first = definitions[variant.members[0]]
            settled = group.settled(variant, base)
            plans.append(ClassPlan(first.class_name, base, first, settled.functions))
            calls |= {definitions[item].key: construction(number, settled, item) for item in variant.members}
        return _Classes(tuple(plans), calls)

    def _needs_class(self, variant: Variant, definitions: Sequence[Definition]) -> bool:
        """Tell whether a class is worth its name: what could be a plain container and occurs once is written as one."""
        first = definitions[variant.members[0]]
        is_used_once = len(variant.members) == 1 and self.counts[first.key] == 1
        return first is self.root or not is_used_once or not is_container(first)


def _ordered(classes: list[ClassPlan]) -> list[ClassPlan]:
    """Return classes in the order in which the constructors from the root on first speak of them."""
    uses = [
        [int(path[1:]) for item in plan.functions for path in item.references if path.startswith(":")]
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
        return classes
    renumbered = {f":{old}": f":{new}" for old, new in order.items()}
    return [
        replace(classes[old], functions=tuple(syntax.renamed(item, renumbered) for item in classes[old].functions))
        for old in order
    ]


def _named(classes: Sequence[ClassPlan]) -> list[ClassPlan]:
    """Return classes with names of their own; the last one, the root's, has the first choice."""
    taken: set[str] = set()
    found: list[ClassPlan] = []
    for plan in (classes[-1], *classes[:-1]):
        if not plan.name.isidentifier():
            raise CodegenError(f"the class name {plan.name!r} is no Python identifier; rename the class")
        name = names.free_name(plan.name, taken, ("Tensor",))
        taken.add(name)
        found.append(plan if name == plan.name else replace(plan, name=name))
    return [*found[1:], found[0]]
