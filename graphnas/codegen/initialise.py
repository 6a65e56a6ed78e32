"""What a constructor does to parameters, in the form a person would write.

Calls that follow `self.modules()` become a loop that tells modules by their class, and where that does not do by the
end of their name; anything else is written call by call. Either way the order is the recorded one, so that the same
random numbers go to the same parameters: a loop is written only if going through it on paper gives exactly the calls
that were recorded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, groupby

from torch import nn

from graphnas.codegen import syntax
from graphnas.codegen.fans import Formula, formula_of
from graphnas.codegen.forward import graph_body
from graphnas.codegen.literals import Literals
from graphnas.codegen.outline import outline
from graphnas.codegen.paths import is_attribute, path_expression
from graphnas.codegen.rolling import roll
from graphnas.codegen.syntax import Expression, Statement
from graphnas.codegen.visits import Call, Visit, outline_of_visits, passes, pieces, visits
from graphnas.errors import GraphNASError
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, format_literal
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition
from graphnas.ir.resolve import path_of, resolve

_LEAST = 5
"""Syntax nodes that the shortest call on a tensor has: of the statement, the call, its function and `self.name`."""

_MOST_ENDINGS = 6
"""Most names by which a loop tells modules of one class apart."""


def initialisation(definition: Definition, graph: Graph, built: Sequence[str], *, is_single: bool) -> list[Statement]:
    """Return the statements of `Definition.init`, or of a segment of it.

    Args:
        definition: The module.
        graph: What is done.
        built: Names of the children that are there by then.
        is_single: Whether the class stands for this definition only. Otherwise other shapes and biases may meet in it.
    """
    if all(node.operation.kind == "attribute" for node in graph.nodes):
        return []
    shapes = definition.key if is_single and _has_numbers(graph) else ""
    key = (graph.key, outline(definition), outline_of_visits(definition), tuple(built), is_single, shapes)
    found = _STATEMENTS.get(key)
    if found is None:
        found = _Writer(definition, graph, built, is_single=is_single).statements()
        _STATEMENTS.put(key, found)
    return found


_STATEMENTS: LRU[list[Statement]] = LRU(1024)
"""By what the statements hang on: mutants have most of it from their parent."""

_SEGMENTS: LRU[Mapping[str, Graph]] = LRU(256)
"""By the graph and the steps of construction."""


def forget_initialisations() -> None:
    """Forget what was written so far; only measurements of a cold start need this."""
    _STATEMENTS.clear()
    _SEGMENTS.clear()


def _has_numbers(graph: Graph) -> bool:
    """Tell whether a function is given different arguments: they may follow from shapes of what it is called on."""
    given: dict[Operation, object] = {}
    for node in graph.nodes:
        if node.operation.kind != "attribute":
            values = (*node.args[1:], *node.kwargs.values())
            what = (values, tuple(map(type, values)), tuple(node.kwargs))
            if given.setdefault(node.operation, what) != what:
                return True
    return False


def init_segments(definition: Definition) -> Mapping[str, Graph]:
    """Return `Definition.init` in pieces, by the step of construction that runs them; the empty string has the rest.

    A value that a later piece takes keeps the piece that computes it together with that one.
    """
    key = (definition.init.key, definition.steps)
    known = _SEGMENTS.get(key)
    if known is None:
        known = _segments(definition)
        _SEGMENTS.put(key, known)
    return known


def _segments(definition: Definition) -> dict[str, Graph]:
    nodes = definition.init.nodes
    places = {f"%{node.name}": index + 1 for index, node in enumerate(nodes)}
    reads = {node.name: node for node in nodes if node.operation.kind == "attribute"}
    last_use = {value.name: index for index, node in enumerate(nodes) for value in node.inputs}
    needed = list(accumulate((-1 if node.name in reads else last_use.get(node.name, -1) for node in nodes), max))
    segments: dict[str, Graph] = {}
    start = 0
    for step in (*(step for step in definition.steps if step in places), ""):
        end = places.get(step, len(nodes))
        if step and (end <= start or needed[end - 1] >= end):
            segments[step] = EMPTY_GRAPH
            continue
        segments[step] = _part(definition.init, nodes[start:end])
        start = end
    return segments


def _part(graph: Graph, nodes: Sequence[Node]) -> Graph:
    """Return a graph of some nodes, and of the attributes that they read."""
    here = {node.name for node in nodes}
    earlier = dict.fromkeys(value.name for node in nodes for value in node.inputs if value.name not in here)
    return replace(graph, nodes=(*(graph[name] for name in earlier), *nodes))


@dataclass(frozen=True)
class _Branch:
    """What a loop does to modules: those of `kinds`, if any are given, whose name has an ending, or has none of them.

    `recipe` has the calls for one module, each with whether the tensor may be absent.
    """

    kinds: tuple[type[nn.Module], ...]
    recipe: tuple[Call, ...]
    optional: frozenset[str] = frozenset()
    endings: tuple[str, ...] = ()
    others: bool = False

    def takes(self, visit: Visit) -> bool:
        if self.kinds and (visit.kind is None or not issubclass(visit.kind, self.kinds)):
            return False
        return not self.endings or visit.path.endswith(self.endings) != self.others

    def calls(self, visit: Visit) -> tuple[Call, ...] | None:
        """Return what is done to a module, None if it lacks something."""
        found: list[Call] = []
        for call in self.recipe:
            if visit.tensors.get(call.tensor) is not None:
                found.append(_applied(call, visit))
            elif call.tensor not in self.optional:
                return None
        return tuple(found)


class _Writer:
    def __init__(self, definition: Definition, graph: Graph, built: Sequence[str], *, is_single: bool) -> None:
        self.definition = definition
        self.graph = graph
        self.literals = Literals()
        self.visits = visits(definition, built)
        self.is_single = is_single

    def statements(self) -> list[Statement]:
        body: list[Statement] = []
        needs_no_grad = False
        for piece in pieces(self.graph):
            needs_no_grad = needs_no_grad or bool(piece.nodes) or any(call.needs_no_grad for call in piece.calls)
            if piece.nodes:
                part = _part(self.graph, piece.nodes)
                body += graph_body(part, self.definition)[0]
            elif self.visits is None:
                body += [self._statement(call, self._tensor(call)) for call in piece.calls]
            else:
                for run in passes(self.visits, piece.calls):
                    body += self._run(self.visits, run)
        body, _ = roll(body, syntax.literal("None"), self.definition)
        return [syntax.with_statement(syntax.call(syntax.reference("torch:no_grad")), body)] if needs_no_grad else body

    def _run(self, found: list[Visit], run: list[tuple[int, Call]]) -> list[Statement]:
        """Return the calls of one way through the modules, as a loop if that is shorter."""
        whole = [
            call._replace(tensor=found[number].tensors[call.tensor] or "") if number else call for number, call in run
        ]
        branches = _branches(found, run, is_single=self.is_single) if run[0][0] else None
        if branches is None:
            parts = [list(part) for _, part in groupby(run, lambda item: found[item[0]].kind is None)]
            if len(parts) > 1:
                # Parameters of the user's own modules, on their way through, may have no name that tells them apart.
                return [line for part in parts for line in self._run(found, part)]
        elif not all(is_attribute(call.tensor) for item in branches for call in item.recipe):
            branches = None  # items of a list of parameters have no name that could follow a dot
        loop = None if branches is None else self._loop(branches)
        if loop is not None and _size(loop) < _LEAST * len(whole):
            return [loop]
        one_by_one = [self._statement(call, self._tensor(call)) for call in whole]
        return [loop] if loop is not None and _size(loop) < sum(map(_size, one_by_one)) else one_by_one

    def _loop(self, branches: Sequence[_Branch]) -> Statement:
        """Return `for m in self.modules(): if isinstance(m, nn.Conv2d): ...`."""
        named = any(branch.endings for branch in branches)
        other: list[Statement] = []
        for branch in reversed(branches):
            body: list[Statement] = []
            for call in branch.recipe:
                tensor = syntax.dotted(f"m.{call.tensor}")
                statement = self._statement(call, tensor)
                if call.tensor in branch.optional:
                    test = syntax.comparison("is not", tensor, syntax.literal("None"))
                    if body and body[-1].kind == "if" and body[-1].parts[0] == test:
                        statement = syntax.if_statement(test, [*body.pop().parts[1].parts, statement])
                    else:
                        statement = syntax.if_statement(test, [statement])
                body.append(statement)
            other = [syntax.if_statement(_test(branch), body, other)]
        if named:
            target = syntax.tuple_of([syntax.identifier("name"), syntax.identifier("m")], bare=True)
            return syntax.for_loop(target, syntax.call(syntax.dotted("self.named_modules")), other)
        return syntax.for_loop(syntax.identifier("m"), syntax.call(syntax.dotted("self.modules")), other)

    def _tensor(self, call: Call) -> Expression:
        return path_expression(self.definition, call.tensor)

    def _statement(self, call: Call, tensor: Expression) -> Statement:
        for index in call.part:
            tensor = syntax.subscript(tensor, self.literals.index(index))
        args = [self._argument(item) for item in call.args]
        kwargs = [(str(name), self._argument(item)) for name, item in call.kwargs.items()]
        if call.is_method:
            return syntax.expression_statement(syntax.call(syntax.attribute(tensor, call.target), args, kwargs))
        return syntax.expression_statement(syntax.call(syntax.reference(call.target), [tensor, *args], kwargs))

    def _argument(self, item: Argument | Formula) -> Expression:
        return item.write("m") if isinstance(item, Formula) else self.literals.write(item)


def _test(branch: _Branch) -> Expression:
    tests: list[Expression] = []
    if branch.kinds:
        classes = [syntax.reference(path_of(kind)) for kind in branch.kinds]
        kind = classes[0] if len(classes) == 1 else syntax.tuple_of(classes)
        tests.append(syntax.call(syntax.identifier("isinstance"), [syntax.identifier("m"), kind]))
    if branch.endings:
        texts = [syntax.string(ending) for ending in branch.endings]
        given = texts[0] if len(texts) == 1 else syntax.tuple_of(texts)
        ends = syntax.call(syntax.dotted("name.endswith"), [given])
        tests.append(syntax.unary("not", ends) if branch.others else ends)
    return tests[0] if len(tests) == 1 else syntax.boolean("and", *tests)


def _branches(found: Sequence[Visit], run: Sequence[tuple[int, Call]], *, is_single: bool) -> list[_Branch] | None:
    """Return the branches of a loop that does exactly what was done, None if there is no such loop."""
    recipes: dict[int, tuple[Call, ...]] = {}
    for number, call in run:
        recipes[number] = (*recipes.get(number, ()), call)
    kinds = dict.fromkeys(found[number].kind for number in sorted(recipes))
    special: list[_Branch] = []
    general: list[_Branch] = []
    for kind in kinds:
        numbers = [number for number, visit in enumerate(found) if visit.kind is kind and number]
        branches = _branches_of(kind, numbers, found, recipes, is_single=is_single)
        if branches is None:
            return None
        special += [branch for branch in branches if branch.endings and not branch.others]
        general += [branch for branch in branches if not branch.endings or branch.others]
    branches = [*special, *_joined(general)]
    for number, visit in enumerate(found):
        branch = next((item for item in branches if item.takes(visit)), None)
        done = () if branch is None else branch.calls(visit)
        if done != recipes.get(number, ()):
            return None
    return branches


def _joined(branches: Sequence[_Branch]) -> Iterator[_Branch]:
    """Yield branches, those that do the same to several classes as one."""
    groups: dict[tuple[object, ...], list[_Branch]] = {}
    for branch in branches:
        groups.setdefault((branch.recipe, branch.endings, branch.others), []).append(branch)
    for group in groups.values():
        kinds = tuple(kind for branch in group for kind in branch.kinds)
        yield replace(group[0], kinds=kinds, optional=frozenset[str]().union(*(branch.optional for branch in group)))


def _branches_of(
    kind: type[nn.Module] | None,
    numbers: Sequence[int],
    found: Sequence[Visit],
    recipes: dict[int, tuple[Call, ...]],
    *,
    is_single: bool,
) -> list[_Branch] | None:
    """Return the branches for the modules of one class: one for each way in which they are treated."""
    groups = _groups(numbers, found, recipes, is_single=is_single)
    kinds = () if kind is None else (kind,)
    if kind is not None and not _can_be_named(kind):
        return None
    untouched = [number for number in numbers if number not in groups]
    by_recipe: dict[tuple[Call, ...], list[int]] = {}
    for number, recipe in groups.items():
        by_recipe.setdefault(recipe, []).append(number)
    ordered = sorted(by_recipe.items(), key=lambda item: -len(item[1]))
    others = [number for number in range(1, len(found)) if kind is None and number not in groups] or untouched
    branches: list[_Branch] = []
    for place, (recipe, members) in enumerate(ordered):
        optional = frozenset(
            call.tensor for call in recipe for number in members if found[number].tensors.get(call.tensor) is None
        )
        if optional and not is_single:
            return None
        branch = _Branch(kinds, recipe, optional)
        rest = [number for number in groups if number not in members] if place else []
        if kind is not None and place == 0 and not untouched:
            branches.append(branch)  # what is left once the other ways are told by name
            continue
        outside = [found[number].path for number in (*rest, *others)]
        names = [found[number].path for number in members]
        endings = _endings(names, outside)
        if endings is not None:
            branches.append(replace(branch, endings=endings))
            continue
        # Those that are left alone may be told by name instead.
        endings = _endings(outside, names) if kind is not None and place == 0 else None
        if endings is None:
            return None
        branches.append(replace(branch, endings=endings, others=True))
    return branches


def _can_be_named(kind: type[nn.Module]) -> bool:
    try:
        return path_of(kind).startswith("torch.nn:")
    except GraphNASError:
        return False


def _groups(
    numbers: Sequence[int], found: Sequence[Visit], recipes: dict[int, tuple[Call, ...]], *, is_single: bool
) -> dict[int, tuple[Call, ...]]:
    """Return, for each module that is touched, the recipe that it shares with others."""
    groups: dict[int, tuple[Call, ...]] = {}
    distinct = dict.fromkeys(recipes[number] for number in numbers if number in recipes)
    if is_single:
        for merged in _with_formulas(distinct, numbers, found, recipes):
            distinct = dict.fromkeys([merged, *distinct])
    longest_first = sorted(distinct, key=lambda recipe: (-_has_formula(recipe), -len(recipe)))
    for number in numbers:
        mine = recipes.get(number, ())
        for recipe in longest_first:
            present = [call for call in recipe if found[number].tensors.get(call.tensor) is not None]
            if present and tuple(_applied(call, found[number]) for call in present) == mine:
                groups[number] = recipe
                break
    return groups


def _with_formulas(
    distinct: dict[tuple[Call, ...], None],
    numbers: Sequence[int],
    found: Sequence[Visit],
    recipes: dict[int, tuple[Call, ...]],
) -> Iterator[tuple[Call, ...]]:
    """Yield recipes in which numbers that differ from module to module are formulas."""
    alike: dict[tuple[object, ...], list[tuple[Call, ...]]] = {}
    for recipe in distinct:
        alike.setdefault(tuple(_bare(_with_defaults(call)) for call in recipe), []).append(recipe)
    for variants in alike.values():
        members = [number for number in numbers if recipes.get(number) in variants]
        modules = [module for number in members if (module := found[number].module) is not None]
        if len(variants) < 2 or len(modules) < len(members):
            continue
        merged: list[Call] = []
        for place, call in enumerate(variants[0]):
            calls = [_with_defaults(recipes[number][place]) for number in members]
            args = [_merged([item.args[index] for item in calls], modules) for index in range(len(call.args))]
            kwargs = [(name, _merged([item.kwargs[name] for item in calls], modules)) for name in calls[0].kwargs]
            merged.append(_without_defaults(call._replace(args=tuple(args), kwargs=FrozenDict(kwargs))))
        if _has_formula(tuple(merged)) and all(_is_merged(call) for call in merged):
            yield tuple(merged)


def _merged(values: Sequence[Argument], modules: Sequence[nn.Module]) -> Argument:
    """Return the value where all agree, a formula that gives most of them, or else the absence of one, `...`."""
    if all(type(value) is type(values[0]) and value == values[0] for value in values):
        return values[0]
    formula = formula_of(modules, values)
    return ... if formula is None else formula


def _is_merged(call: Call) -> bool:
    return all(item is not ... for item in (*call.args, *call.kwargs.values()))


def _has_formula(recipe: tuple[Call, ...]) -> bool:
    return any(isinstance(item, Formula) for call in recipe for item in (*call.args, *call.kwargs.values()))


def _bare(call: Call) -> tuple[object, ...]:
    """Return a call without its numbers."""
    kinds = [None if type(item) in (int, float) else item for item in (*call.args, *call.kwargs.values())]
    return (call.tensor, format_literal(call.part), call.target, tuple(call.kwargs), *kinds)


def _applied(call: Call, visit: Visit) -> Call:
    """Return a call with the numbers for one module in the place of formulas."""

    def value(item: Argument | Formula) -> Argument:
        return item.value(visit.module) if isinstance(item, Formula) and visit.module is not None else item

    if not _has_formula((call,)):
        return call
    args = tuple(value(item) for item in call.args)
    kwargs = FrozenDict((name, value(item)) for name, item in call.kwargs.items())
    return _without_defaults(call._replace(args=args, kwargs=kwargs))


def _with_defaults(call: Call) -> Call:
    """Return a call with those numbers that were left out since they are the default: others like it may give them."""
    given = dict(_numbers(call.target)) | dict(call.kwargs)
    return call._replace(kwargs=FrozenDict(given))


def _without_defaults(call: Call) -> Call:
    numbers = dict(_numbers(call.target))
    kwargs = FrozenDict(
        (name, item) for name, item in call.kwargs.items() if name not in numbers or item != numbers[name]
    )
    return call._replace(kwargs=kwargs)


@cache
def _numbers(target: str) -> tuple[tuple[str, float], ...]:
    """Return the parameters of a function of `torch.nn.init` that are numbers by default, with the default."""
    if not target.startswith("torch.nn.init:"):
        return ()
    parameters = inspect.signature(resolve(target)).parameters.values()
    return tuple((item.name, item.default) for item in parameters if type(item.default) in (int, float))


def _endings(names: Sequence[str], others: Sequence[str]) -> tuple[str, ...] | None:
    """Return a few endings that all of `names` have and none of the others, None if there are none."""
    depth = max((name.count(".") for name in names), default=0) + 1
    for length in range(1, depth + 1):
        found = tuple(dict.fromkeys(".".join(name.split(".")[-length:]) for name in names))
        if len(found) <= _MOST_ENDINGS and not any(name.endswith(found) for name in others):
            return found
    return None


def _size(tree: syntax.Tree) -> int:
    """Return about how many nodes of syntax a tree has."""
    return 1 + tree.text.count(".") + tree.text.count(":") + sum(map(_size, tree.parts))
