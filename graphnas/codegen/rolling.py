"""Loops out of repeated statements: what a trace unrolled is written as the loop that it was.

Groups of statements that follow each other and differ in literals only, or in which variable they read, become one
loop. A loop executes exactly the statements that it stands for, in their order, so nothing has to be known of what they
do. Indices of a container become the loop over the container, the rest a `range`, a tuple, or a `zip` of these. Values
that are kept turn by turn are collected in a list. A value that is kept outside of loops gets its name where it is
computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from graphnas.codegen import names, syntax
from graphnas.codegen.carried import with_carried_items
from graphnas.codegen.runs import Runs
from graphnas.codegen.syntax import Expression, Statement, Tree
from graphnas.codegen.template import plain, weight
from graphnas.codegen.variables import (
    append,
    bound_by,
    is_binding,
    names_in,
    same,
    with_growing_lists,
    with_late_copies,
    without_copies,
)
from graphnas.ir.module import Child, Definition

_LONGEST = 64
"""Most statements in the body of a loop."""

_FIRST = 4
"""Turns that are looked at first."""

_LEAST, _LEAST_OF_TWO = 4, 12
"""How much shorter a loop must be than what it stands for, in syntax nodes; two turns read well without one."""

_OWN = Tree("name", "self")
_CHILDREN = syntax.call(syntax.dotted("self.children"))
_DIGITS = "0123456789"


def roll(
    statements: Sequence[Statement],
    output: Expression,
    definition: Definition,
    lists: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Statement], Expression]:
    """Return the statements with loops where these are shorter, and the expression of the output after them.

    Args:
        statements: Statements of one function. A value that outlives its variable is copied: `x1 = x`.
        output: An expression that is evaluated after them.
        definition: What `self` is.
        lists: Variables of values that the user's source collects in a list, with the variable of that list.
    """
    whole = [*statements, syntax.expression_statement(output)]
    whole = with_growing_lists(whole) or whole
    whole = with_carried_items(whole, _Roller(definition, whole, lists).shape)
    # Copies are turns of a loop where each turn keeps the value that it began with, and are in the way elsewhere.
    slim = without_copies(whole)
    forms = [slim] if slim == whole else [slim, whole]
    *rolled, last = min((_rolled(form, definition, lists) for form in forms), key=_size)
    value = last.parts[0]
    if rolled and is_binding(rolled[-1]) and value == rolled[-1].parts[0]:
        value = rolled.pop().parts[1]  # what is named to be returned needs no name
    return rolled, value


def _rolled(whole: list[Statement], definition: Definition, lists: Mapping[str, str]) -> list[Statement]:
    roller = _Roller(definition, whole, lists)
    rolled = roller.roll(whole)
    while len(rolled) < len(whole):  # loops that follow each other may be the turns of another one
        whole = rolled
        rolled = roller.roll(whole)
    return with_late_copies(without_copies([roller.comprehended(item) for item in rolled]))


def _size(statements: Sequence[Statement]) -> int:
    return sum(map(weight, statements))


@dataclass(frozen=True)
class _Slot:
    """A place in which the groups differ: the trees of all groups, and what they are.

    Attributes:
        items: What stands there, group by group.
        container: The container of which `items` are the indices, where the whole expression stands for a child.
        is_index: Whether `items` stand between brackets.
    """

    items: tuple[Tree, ...]
    container: Tree | None = None
    is_index: bool = False


@dataclass
class _Loop:
    start: int
    period: int
    count: int
    header: tuple[Expression, Expression]
    body: list[Statement]
    gain: int
    lists: dict[str, tuple[str, ...]]


class _Roller:
    def __init__(self, definition: Definition, statements: Sequence[Statement], collected: Mapping[str, str]) -> None:
        self.definition = definition
        self.collected = collected
        self.taken = names.Taken(name for item in statements for name in names_in(item))
        self.bindings = Counter(name for item in statements for name in bound_by(item))
        self.lists: dict[str, int] = {}
        self.enclosing: set[str] = set()
        self.children: dict[int, tuple[Child, ...]] = {}

    def roll(self, statements: Sequence[Statement]) -> list[Statement]:
        if len(statements) < 2:
            return list(statements)
        whole = list(statements)
        numbers: dict[Tree, int] = {}

        def number(item: Statement) -> int:
            return numbers.setdefault(self.shape(item), len(numbers))

        runs = Runs([number(item) for item in whole], _LONGEST)
        readers: dict[str, list[int]] = {}
        known: dict[tuple[int, int], _Loop | None] = {}
        found: list[Statement] = []
        position = 0
        while position < len(whole):
            best = self._best(whole, runs, position, known)
            if best is None:
                found.append(whole[position])
                position += 1
                continue
            found += whole[position : best.start]
            found += [syntax.assign(syntax.identifier(name), syntax.list_of([])) for name in best.lists]
            found.append(syntax.for_loop(*best.header, self._body(best)))
            position = best.start + best.period * best.count
            if best.lists:
                readers = readers or _places_of_names(whole)
                changed = self._collect(best.lists, whole, readers, position)
                runs.change({place: number(whole[place]) for place in changed}, position)
                known.clear()
        return found

    def _body(self, loop: _Loop) -> list[Statement]:
        """Return the body of a loop, with loops that leave alone what it binds itself."""
        outer, self.enclosing = self.enclosing, {*self.enclosing, *names_in(loop.header[0]), *loop.lists}
        found = self.roll(loop.body)
        self.enclosing = outer
        return found

    def _collect(
        self,
        lists: dict[str, tuple[str, ...]],
        statements: list[Statement],
        readers: Mapping[str, list[int]],
        start: int,
    ) -> list[int]:
        """Read from lists, from a position on, what variables held that a loop collects now; return what changed."""
        self._keep(lists)
        collected = {
            variable: syntax.subscript(syntax.identifier(name), [syntax.integer(index)])
            for name, variables in lists.items()
            for index, variable in enumerate(variables)
        }
        places = sorted({place for variable in collected for place in readers[variable] if place >= start})
        for place in places:
            statements[place] = self._read(statements[place], collected)
        return places

    def _keep(self, lists: dict[str, tuple[str, ...]]) -> None:
        for name, variables in lists.items():
            self.taken.add(name)
            self.lists[name] = len(variables)

    def comprehended(self, tree: Tree) -> Tree:
        """Return a tree with comprehensions for lists of three or more items that differ as the turns of a loop do."""
        if not tree.parts:
            return tree
        tree = tree.with_parts(map(self.comprehended, tree.parts))
        parts = tree.parts
        if tree.kind != "list" or len(parts) < 3 or any(self.shape(part) != self.shape(parts[0]) for part in parts[1:]):
            return tree
        slots: list[_Slot] = []
        template = self._unify(parts, slots)
        loop = self._written(0, [syntax.expression_statement(template)], slots, [[item] for item in parts])
        if loop is None or not slots or template.kind == "turn":
            return tree
        found = syntax.comprehension(loop.body[0].parts[0], *loop.header)
        return found if weight(tree) - weight(found) >= _LEAST else tree

    def _read(self, tree: Tree, collected: dict[str, Expression]) -> Tree:
        """Return a tree with the items of lists in place of the variables that they were; all of them are the list."""
        if tree.kind == "name":
            return collected.get(tree.text, tree)
        if not tree.parts:
            return tree
        parts = tuple(self._read(part, collected) for part in tree.parts)
        if tree.kind in ("list", "tuple") and parts[0].kind == "subscript" and parts[0].parts[0].text in self.lists:
            name = parts[0].parts[0]
            items = [syntax.subscript(name, [syntax.integer(index)]) for index in range(self.lists[name.text])]
            if list(parts) == items and name.kind == "name":
                return name if tree.kind == "list" else syntax.call(syntax.identifier("tuple"), [name])
        return tree._replace(parts=parts)

    def _best(
        self,
        statements: list[Statement],
        runs: Runs[int],
        position: int,
        known: dict[tuple[int, int], _Loop | None],
    ) -> _Loop | None:
        """Return the loop that saves most among those that start at a position or within its own length behind it."""
        best: _Loop | None = None
        for period in runs.periods:
            for start in range(position, position + period) if runs.at(period, position) >= period else ():
                if (start, period) not in known:
                    run = runs.at(period, start)
                    is_loop = run >= period and not runs.is_finer(period, start)
                    known[start, period] = self._loop(statements, start, period, run // period + 1) if is_loop else None
                loop = known[start, period]
                if loop is not None and (best is None or loop.gain > best.gain):
                    best = loop
        return best

    def _loop(self, statements: list[Statement], start: int, period: int, count: int) -> _Loop | None:
        """Return the loop of as many turns as there are, or of as many as there can be.

        Twice as many turns are looked at each time, so that what ends early costs no look at all of them.
        """
        most = min(count, _FIRST)
        while True:
            groups = [statements[start + turn * period : start + (turn + 1) * period] for turn in range(most)]
            slots: list[_Slot] = []
            template = [self._unify(parts, slots) for parts in zip(*groups, strict=True)]
            if most == count or self._variables(template, slots, groups, whole=False) is None:
                break
            most = min(count, 2 * most)
        loop = self._written(start, template, slots, groups) if most == count else None
        # The last turn may have no variable to keep, or the indices start anew.
        shorter = {count - 1, *(_regular(slot.items) for slot in slots if slot.is_index)}
        for turns in sorted((item for item in shorter if 2 <= item < most), reverse=True):
            if loop is not None:
                break
            slots = []
            template = [self._unify(parts, slots) for parts in zip(*groups[:turns], strict=True)]
            loop = self._written(start, template, slots, groups[:turns])
        least = _LEAST if loop is not None and loop.count > 2 else _LEAST_OF_TWO
        return loop if loop is not None and loop.gain >= least else None

    def _unify(self, trees: tuple[Tree, ...], slots: list[_Slot]) -> Tree:
        """Return one tree for trees of one shape, with slots where they differ."""
        first = trees[0]
        if all(same(tree, first) for tree in trees[1:]):
            return first
        if first.kind in ("literal", "name"):
            return _hole(_Slot(tuple(map(plain, trees))), slots)
        if first.kind == "subscript" and len(first.parts) == 2 and self._length(first.parts[0]) is not None:
            base = plain(first.parts[0])
            if all(same(tree.parts[0], base) for tree in trees) and first.parts[1].kind == "literal":
                return _hole(_Slot(tuple(plain(tree.parts[1]) for tree in trees), base, True), slots)
        if any(tree.text != first.text for tree in trees):
            numbers = tuple(syntax.integer(self.definition.places[tree.text]) for tree in trees)
            return _hole(_Slot(numbers, _CHILDREN, True), slots)
        parts = []
        for index, items in enumerate(zip(*(tree.parts for tree in trees), strict=True)):
            part = self._unify(items, slots)
            if index and first.kind == "subscript" and part.kind == "turn" and not part.note.is_index:
                slots[-1] = replace(slots[-1], is_index=True)
                part = part._replace(note=slots[-1])
            parts.append(part)
        return first._replace(parts=tuple(parts))

    def shape(self, tree: Tree) -> Tree:
        """Return a tree without what the turns of a loop may differ in."""
        if tree.kind in ("literal", "name"):
            return Tree(tree.kind)
        text = tree.text.rstrip(_DIGITS) if self._is_child(tree) else tree.text
        return Tree(tree.kind, text, tuple(map(self.shape, tree.parts)))

    def _is_child(self, tree: Tree) -> bool:
        return tree.kind == "attribute" and tree.parts[0] == _OWN and tree.text in self.definition.children

    def _length(self, tree: Tree) -> int | None:
        """Return the number of items of the list or sequential that an expression stands for, None for the rest."""
        if tree.kind == "name" and tree.text in self.lists:
            return self.lists[tree.text]
        if tree == _CHILDREN:
            return len(self.definition.children)
        here = self._at(tree)
        return len(here.children) if isinstance(here, Definition) and here.kind in ("list", "sequential") else None

    def _at(self, tree: Tree) -> object:
        if tree == _OWN:
            return self.definition
        if tree.kind not in ("attribute", "subscript") or not tree.parts:
            return None
        here = self._at(tree.parts[0])
        if not isinstance(here, Definition):
            return None
        if tree.kind == "attribute":
            return here.children.get(tree.text)
        key = tree.parts[1]
        if key.kind != "literal" or here.kind not in ("list", "sequential", "dict"):
            return None
        if key.text.isdecimal():
            children = self.children.get(id(here))
            if children is None:
                children = self.children[id(here)] = tuple(here.children.values())
            return children[int(key.text)] if int(key.text) < len(children) else None
        return here.children.get(key.text.strip("\"'"))

    def _variables(
        self, template: list[Statement], slots: list[_Slot], groups: list[list[Statement]], *, whole: bool
    ) -> tuple[dict[_Slot, Tree], list[_Slot]] | None:
        """Return what a loop collects, with the statements that do, and what it runs over.

        None where variables differ that can neither be collected nor be had from a tuple: more turns do not help. What
        more turns may still mend counts for a `whole` loop only.
        """
        count = len(groups)
        assigned = dict.fromkeys(name for group in groups for item in group for name in bound_by(item))
        kept = {item.parts[0].note: item for item in template if item.kind == "assign" and item.parts[0].kind == "turn"}
        inside = Counter(name for group in groups for item in group for name in names_in(item)) if kept else Counter()
        if not all(self._can_collect(slot, slots, inside) for slot in kept):
            return None
        rest = list(dict.fromkeys(slot for slot in slots if slot not in kept))
        rest.sort(key=lambda slot: slot.container is None or slot.container.kind == "name")  # modules come first
        if any(tree.kind == "name" and tree.text in assigned for slot in rest for tree in slot.items):
            return None
        if any(slot.is_index and _positions(slot, count) is None for slot in rest):
            return None
        if count == 2 and any(slot.is_index and not self._is_consecutive(slot) for slot in rest):
            return None  # any two numbers are a series
        if any(slot.container is not None and not self._is_sliced(slot, count, whole=whole) for slot in rest):
            return None
        modules = [slot for slot in rest if slot.container is not None]
        numbers = [slot for slot in rest if slot.container is None and slot.items[0].kind == "literal"]
        if len(numbers) > 1 + bool(modules):
            return None  # columns of numbers read worse than the statements
        return kept, rest

    def _written(
        self, start: int, template: list[Statement], slots: list[_Slot], groups: list[list[Statement]]
    ) -> _Loop | None:
        """Return the loop; None where variables differ that can neither be collected nor be had from a tuple."""
        found = self._variables(template, slots, groups, whole=True)
        if found is None:
            return None
        collecting, rest = found
        own = {*self.enclosing}
        lists: dict[_Slot, tuple[Expression, Tree]] = {}
        for slot, item in collecting.items():
            name = self.taken.free_name(self._list_name(slot, item.parts[1]), own)
            own.add(name)
            lists[slot] = (syntax.identifier(name), item)
        taken = self.enclosing | {name for group in groups for item in group for name in names_in(item)}
        filling: dict[_Slot, Expression] = {}
        for slot in rest:
            name = self.taken.free_name(_variable(slot), taken)
            taken.add(name)
            filling[slot] = syntax.identifier(name)
        appends = {id(item): append(name, _fill(item.parts[1], filling)) for name, item in lists.values()}
        body = [appends.get(id(item)) or _fill(item, filling) for item in template]
        header = self._header(rest, filling, len(groups))
        gain = sum(weight(item) for group in groups for item in group)
        gain -= weight(syntax.for_loop(*header, body)) + 3 * len(lists)
        kept = {name.text: tuple(tree.text for tree in slot.items) for slot, (name, _) in lists.items()}
        return _Loop(start, len(template), len(groups), header, body, gain, kept)

    def _list_name(self, slot: _Slot, value: Expression) -> str:
        known = list(dict.fromkeys(self.collected.get(tree.text, "") for tree in slot.items))
        return known[0] if len(known) == 1 and known[0] else _plural(value)

    def _can_collect(self, slot: _Slot, slots: list[_Slot], inside: Counter[str]) -> bool:
        """Tell whether the variables of a slot are set once, and read after the loop only."""
        own = dict.fromkeys(tree.text for tree in slot.items)
        once = all(self.bindings[name] == 1 and inside[name] == 1 for name in own)
        return once and len(own) == len(slot.items) and slots.count(slot) == 1

    def _header(
        self, slots: list[_Slot], filling: dict[_Slot, Expression], count: int
    ) -> tuple[Expression, Expression]:
        """Return what a loop binds, and what it runs over."""
        targets = [filling[slot] for slot in slots]
        sources = [self._source(slot, count) for slot in slots]
        if not slots:
            return syntax.identifier("_"), syntax.call(syntax.identifier("range"), [syntax.integer(count)])
        if len(slots) == 1:
            return targets[0], sources[0]
        if len(slots) == 2:
            for index in (0, 1):
                counts = slots[index].container is None and _positions(slots[index], count) == range(count)
                if counts and slots[1 - index].container is not None:
                    pair = syntax.tuple_of([targets[index], targets[1 - index]], bare=True)
                    return pair, syntax.call(syntax.identifier("enumerate"), [sources[1 - index]])
        return syntax.tuple_of(targets, bare=True), syntax.call(syntax.identifier("zip"), sources)

    def _is_consecutive(self, slot: _Slot) -> bool:
        positions = _positions(slot, len(slot.items))
        return slot.container is not None and positions is not None and abs(positions.step) == 1

    def _is_sliced(self, slot: _Slot, count: int, *, whole: bool) -> bool:
        """Tell whether the children that a slot stands for are a slice of the container, or all of it in reverse.

        With `whole` unset, whether they may be the first ones of such.
        """
        positions = _positions(slot, count)
        if positions is None or slot.container is None:
            return False
        if slot.container == _CHILDREN:  # an iterator has no slices, and leaves out what it has seen
            everything = range(self._size_of(_CHILDREN))
            return _begins(positions, everything, whole=whole) and count > 2 and not self.definition.ties
        reverse = range(self._size_of(slot.container) - 1, -1, -1)
        return positions.step > 0 or _begins(positions, reverse, whole=whole)

    def _sliceable(self, container: Tree) -> Expression:
        """Return a container in a form that may be sliced: a class of the file is not made anew of other children."""
        here = self._at(container)
        if isinstance(here, Definition) and here.class_name not in ("Sequential", "ModuleList"):
            return syntax.call(syntax.identifier("list"), [container])
        return container

    def _size_of(self, container: Tree) -> int:
        return self._length(container) or 0

    def _source(self, slot: _Slot, count: int) -> Expression:
        """Return what a loop takes the items of a slot from."""
        positions = _positions(slot, count)
        if slot.container is not None and positions is not None:
            if positions.step < 0:
                return syntax.call(syntax.identifier("reversed"), [slot.container])
            length, last = self._size_of(slot.container), positions[-1] + 1
            start = syntax.integer(positions.start) if positions.start else None
            stop = syntax.integer(last) if last < length - positions.step + 1 else None
            step = syntax.integer(positions.step) if positions.step > 1 else None
            if start is stop is step is None:
                return slot.container
            return syntax.subscript(self._sliceable(slot.container), [syntax.slice_of(start, stop, step)])
        if positions is not None and count > 2:
            limits = [positions.start, positions.stop, positions.step]
            shown = limits[1:2] if limits[::2] == [0, 1] else limits[:2] if positions.step == 1 else limits
            return syntax.call(syntax.identifier("range"), map(syntax.integer, shown))
        return syntax.tuple_of(slot.items)


def _plural(value: Expression) -> str:
    """Return the name of a list of such values."""
    if value.kind != "name":
        return "outputs"
    return f"{value.text}_list" if value.text.endswith("s") else f"{value.text}s"


def _begins(positions: range, everything: range, *, whole: bool) -> bool:
    """Tell whether positions are all of a range, or with `whole` unset the first ones of it."""
    return positions == (everything if whole else everything[: len(positions)])


def _places_of_names(statements: Sequence[Statement]) -> dict[str, list[int]]:
    """Return the positions of the statements that each name stands in."""
    found: dict[str, list[int]] = {}
    for place, item in enumerate(statements):
        for name in dict.fromkeys(names_in(item)):
            found.setdefault(name, []).append(place)
    return found


def _hole(slot: _Slot, slots: list[_Slot]) -> Tree:
    slots.append(slot)
    return Tree("turn", "", (), slot)


def _fill(tree: Tree, filling: dict[_Slot, Expression]) -> Tree:
    if tree.kind == "turn":
        return filling[tree.note]
    return tree._replace(parts=tuple(_fill(part, filling) for part in tree.parts)) if tree.parts else tree


def _positions(slot: _Slot, count: int) -> range | None:
    """Return the integers of a slot as a range, None where they are none."""
    if not all(item.kind == "literal" and item.text.isdecimal() for item in slot.items):
        return None
    numbers = [int(item.text) for item in slot.items]
    step = numbers[1] - numbers[0]
    found = range(numbers[0], numbers[0] + step * count, step) if step else None
    return found if found is not None and list(found) == numbers else None


def _regular(items: tuple[Tree, ...]) -> int:
    """Return how many of the first items are integers that all differ by the same."""
    numbers = [int(item.text) if item.text.isdecimal() else None for item in items]
    count = 1
    while count < len(numbers) and numbers[count] is not None and numbers[0] is not None and numbers[1] is not None:
        if numbers[count] != numbers[0] + count * (numbers[1] - numbers[0]):
            break
        count += 1
    return count


def _variable(slot: _Slot) -> str:
    """Return what the variable of a loop is called, as far as it is free."""
    if slot.container is not None and slot.container.kind == "name":
        return "skip"
    if slot.container == _CHILDREN:
        return "layer"
    if slot.container is not None:
        last = [*_path(slot.container), "modules"][-2]
        return "block" if last.isdecimal() else names.loop_name(last, ())
    if all(item.kind == "name" for item in slot.items):
        bases = {item.text.rstrip("0123456789_") for item in slot.items}
        return bases.pop() if len(bases) == 1 and all(bases) else "item"
    return "i" if _positions(slot, len(slot.items)) is not None else "value"


def _path(tree: Tree) -> Iterator[str]:
    if tree.kind in ("attribute", "subscript"):
        yield from _path(tree.parts[0])
        yield tree.text if tree.kind == "attribute" else tree.parts[1].text.strip("\"'")
    elif tree.kind == "name":
        yield tree.text
