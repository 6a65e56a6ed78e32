"""Checks that a model is well formed: each function that raises names the invariant of `docs/ir.md` that it checks.

Structure and types are checked apart. A definition whose structure was found sound is remembered by its key, so that
after an edit only changed definitions are looked at again; types are inferred anew (`graphnas.ir.infer` remembers too).
Structural checks import nothing that the model names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from keyword import iskeyword

from graphnas.errors import VerificationError
from graphnas.ir.expression import expression
from graphnas.ir.graph import Graph, Guard, Node
from graphnas.ir.infer import FlippedGuard, attribute_type, expression_type, same_type
from graphnas.ir.invariants import Invariant
from graphnas.ir.literal import (
    SCALAR_TYPES,
    Argument,
    Construction,
    FrozenDict,
    FrozenList,
    Value,
    format_literal,
)
from graphnas.ir.lru import LRU
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.retype import Runs, infer_all, retype
from graphnas.ir.types import ScalarType


def verify(model: Model) -> None:
    """Check every invariant.

    Raises:
        VerificationError: One is broken; `invariant` is its number in `docs/ir.md`, `site` the place.
    """
    verify_structure(model.root)
    _check_tied_types(model.root)
    runs = infer_all(model.root)
    _check_types(model.root, runs)
    _check_guards(runs)


def verified(model: Model) -> Model:
    """Return `model` with inferred types in its graphs, having checked every other invariant; for edited models.

    Raises:
        VerificationError: An invariant is broken, an operation cannot be executed, or a guard no longer holds.
    """
    verify_structure(model.root)
    _check_tied_types(model.root)
    runs = infer_all(model.root)
    _check_guards(runs)
    root = retype(model.root, runs)
    return model if root is model.root else replace(model, root=root)


def verify_structure(definition: Definition, path: str = "") -> None:
    """Check the invariants 1 to 13 of a definition and of all below it, those known to be sound left out.

    Raises:
        VerificationError: One is broken.
    """
    if definition.key in _SOUND:
        return
    for name, child in definition.children.items():
        below = f"{path}.{name}" if path else name
        if isinstance(child, Definition):
            verify_structure(child, below)
        else:
            _check_literals(below, (*child.args, *child.wrappers), child.kwargs, values=False)
    if definition.base is not None:
        _check_literals(path, definition.base.args, definition.base.kwargs, values=False)
    _check_container(definition, path)
    _check_child_names(definition, path)
    _check_ties(definition, path)
    for forward in definition.forwards:
        if forward.train is not None and _signature(forward.train) != _signature(forward.eval):
            expected, got = _signature(forward.eval), _signature(forward.train)
            raise _broken(Invariant.MODES, path, f"the eval graph takes {expected}, the train graph {got}")
    for graph in definition.graphs:
        _check_graph(graph, definition, path)
    _check_expressions(definition, path)
    _SOUND.put(definition.key, True)


_SOUND: LRU[bool] = LRU(32768)
"""Keys of definitions and of graphs."""


def _broken(invariant: Invariant, site: str, message: str) -> VerificationError:
    where = site or "the root"
    text = f"invariant {invariant:d}: {where}: {message}. {invariant.sentence}"
    return VerificationError(text, invariant=int(invariant), site=site)


def _check_graph(graph: Graph, definition: Definition, path: str) -> None:
    """Check a graph by itself, unless it is known to be sound, and then what its nodes name of the definition."""
    if graph.key not in _SOUND:
        _check_body(graph, path)
        _SOUND.put(graph.key, True)
    for node in graph.nodes:
        kind, target = node.operation.kind, node.operation.target
        if kind == "module":
            _check_callee(node, definition, f"{path}:{node.name}")
        elif kind in ("attribute", "assign") and not _has_attribute(definition, target):
            raise _broken(Invariant.ATTRIBUTES, f"{path}:{node.name}", f"nothing stands at {target!r}")
        elif kind == "assign" and not _is_buffer(definition, target):
            raise _broken(Invariant.ATTRIBUTES, f"{path}:{node.name}", f"{target!r} is no buffer or constant")


def _check_body(graph: Graph, path: str) -> None:
    """Check invariants 1 to 3, 9 and 12 of a graph, which hold whatever definition it belongs to."""
    known: set[str] = set()
    for item in graph.inputs:
        _check_name(item.name, known, f"{path}:{item.name}")
        known.add(item.name)
    for node in graph.nodes:
        site = f"{path}:{node.name}"
        _check_name(node.name, known, site)
        _check_literals(site, node.args, node.kwargs, values=True)
        _check_order(node.inputs, known, site)
        _check_operation(node, site)
        known.add(node.name)
    _check_literals(f"{path}:output", (graph.output,), FrozenDict(), values=True)
    _check_order(graph.output_values, known, f"{path}:output")
    types = {item.name: item.type for item in graph.inputs} | {node.name: node.type for node in graph.nodes}
    for guard in graph.guards:
        if not isinstance(types.get(guard.value), ScalarType):
            got = f"%{guard.value} is {types[guard.value]}" if guard.value in types else f"there is no %{guard.value}"
            raise _broken(Invariant.GUARD_VALUES, f"{path}:{guard.value}", f"{got}, expected a scalar")


def _check_name(name: str, known: set[str], site: str) -> None:
    if not name.isidentifier() or iskeyword(name):
        raise _broken(Invariant.NAMES, site, f"{name!r} is no identifier")
    if name in known:
        raise _broken(Invariant.NAMES, site, f"the name {name!r} is taken by an earlier value")


def _check_order(used: tuple[Value, ...], known: set[str], site: str) -> None:
    for value in used:
        if value.name not in known:
            raise _broken(Invariant.ORDER, site, f"it uses {value}, which is not defined before it")


def _check_operation(node: Node, site: str) -> None:
    """Check invariant 3."""
    kind, target = node.operation.kind, node.operation.target
    if kind == "assign" and (len(node.args) != 1 or node.kwargs):
        raise _broken(Invariant.OPERATIONS, site, f"{node.operation} has {len(node.args)} arguments, expected one")
    if kind in ("attribute", "training") and (node.args or node.kwargs):
        raise _broken(Invariant.OPERATIONS, site, f"{node.operation} has arguments, expected none")
    if kind == "function":
        module, colon, qualname = target.partition(":")
        sound = bool(colon) and _dotted(module) and _dotted(qualname)
    elif kind in ("method", "field"):
        sound = target.isidentifier() and len(node.args) >= 1
        if kind == "field" and (len(node.args) != 1 or node.kwargs):
            sound = False
    else:
        sound = (target == "") == (kind == "training") and kind in ("module", "attribute", "assign", "training")
    if not sound:
        raise _broken(Invariant.OPERATIONS, site, f"{kind} {target!r} with {len(node.args)} arguments is malformed")


def _dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _check_callee(node: Node, definition: Definition, site: str) -> None:
    """Check invariants 4 and 5."""
    target, number = node.operation.target, node.operation.forward
    try:
        callee = definition.child(target)
    except KeyError:
        names = ", ".join(definition.children) or "no children"
        raise _broken(Invariant.CALLEES, site, f"it calls {target!r}; the definition has {names}") from None
    if isinstance(callee, ModuleSpec):
        if number != 0:
            raise _broken(Invariant.CALLEES, site, f"{target!r} is a leaf and has no forward {number}")
        return
    if not 0 <= number < len(callee.forwards):
        got = f"{target!r} has {len(callee.forwards)} forwards, it calls number {number}"
        raise _broken(Invariant.CALLEES, site, got)
    inputs = callee.forwards[number].eval.inputs
    positional = [item.name for item in inputs if not item.keyword_only]
    missing = [item.name for item in inputs if item.keyword_only and item.name not in node.kwargs]
    missing += [name for name in positional[len(node.args) :] if name not in node.kwargs]
    extra = [name for name in node.kwargs if name in positional[: len(node.args)] or name not in _names(inputs)]
    if missing or extra or len(node.args) > len(positional):
        got = f"{len(node.args)} positional arguments and {', '.join(node.kwargs) or 'no keywords'}"
        raise _broken(Invariant.ARITY, site, f"{target!r} takes ({', '.join(_names(inputs))}), it is given {got}")


def _names(inputs: tuple[object, ...]) -> list[str]:
    return [str(getattr(item, "name", "")) for item in inputs]


def _has_attribute(definition: Definition, path: str) -> bool:
    found: Definition | ModuleSpec = definition
    names = path.split(".")
    while names and isinstance(found, Definition) and names[0] in found.children:
        found = found.children[names.pop(0)]
    if isinstance(found, ModuleSpec):
        # What a leaf has is known when it is built: inference finds out.
        return bool(names)
    if len(names) == 1 and (names[0] in found.parameters or names[0] in found.buffers):
        return True
    return found.base is not None and bool(names)


def _is_buffer(definition: Definition, path: str) -> bool:
    above, _, name = path.rpartition(".")
    owner = definition.child(above)
    return isinstance(owner, Definition) and name in owner.buffers


def _check_ties(definition: Definition, path: str) -> None:
    """Check invariant 8."""
    order: dict[str, int] = {}
    for tie in definition.ties:
        if not order:
            order = {name: index for index, name in enumerate(_paths(definition))}
        found = [_standing_at(definition, item) for item in (tie.source, tie.path)]
        for item, thing in zip((tie.source, tie.path), found, strict=True):
            if thing is None:
                raise _broken(Invariant.TIES, path, f"a tie names {item!r}, where nothing stands")
        if order.get(tie.source, -1) >= order.get(tie.path, len(order)) or tie.source == tie.path:
            raise _broken(Invariant.TIES, path, f"the tie's source {tie.source!r} does not come before {tie.path!r}")
        if all(isinstance(thing, ModuleSpec) for thing in found) and found[0] != found[1]:
            raise _broken(Invariant.TIES, path, f"tied {tie.source!r} and {tie.path!r} differ")


def _check_tied_types(definition: Definition, path: str = "") -> None:
    """Check of tied parameters, which may belong to leaves, that their shapes agree: invariant 8."""
    if definition.key in _TIED:
        return
    for tie in definition.ties:
        source, found = (attribute_type(definition, item) for item in (tie.source, tie.path))
        if source != found:
            got = f"tied {tie.source!r} is {source or 'no parameter'}, {tie.path!r} is {found or 'no parameter'}"
            raise _broken(Invariant.TIES, path, got)
    for name, child in definition.children.items():
        if isinstance(child, Definition):
            _check_tied_types(child, f"{path}.{name}" if path else name)
    _TIED.put(definition.key, True)


_TIED: LRU[bool] = LRU(16384)


def _paths(definition: Definition) -> Iterator[str]:
    for path, child in definition.walk():
        yield path
        if isinstance(child, Definition):
            for name in (*child.parameters, *child.buffers):
                yield f"{path}.{name}" if path else name


def _standing_at(definition: Definition, path: str) -> object | None:
    try:
        return definition.child(path)
    except KeyError:
        return path if _has_attribute(definition, path) else None


def _check_literals(site: str, args: tuple[Argument, ...], kwargs: FrozenDict[Argument], *, values: bool) -> None:
    """Check invariant 9."""
    for item in (*args, *kwargs.values()):
        if _is_literal(item, values):
            continue
        got = (
            format_literal(item) if isinstance(item, Value) else f"a {type(item).__module__}.{type(item).__qualname__}"
        )
        raise _broken(Invariant.LITERALS, site, f"{got} stands among its arguments; use graphnas.ir.literal.freeze")


def _is_literal(item: Argument, values: bool) -> bool:
    kind = type(item)
    if kind in SCALAR_TYPES:
        return True
    if kind is Value:
        return values
    if kind is tuple or kind is FrozenList:
        return all(_is_literal(part, values) for part in item)
    if kind is FrozenDict:
        return all(_is_literal(part, values) for pair in item.items() for part in pair)
    if kind is Construction:
        return _is_literal(item.args, values=False) and _is_literal(item.kwargs, values=False)
    if kind is slice:
        return all(_is_literal(part, values) for part in (item.start, item.stop, item.step))
    return False


def _check_container(definition: Definition, path: str) -> None:
    """Check invariant 10."""
    allowed = {"module": None, "list": 0, "dict": 0, "sequential": 1, "choice": 1, "repeat": 1}
    if definition.kind not in allowed:
        raise _broken(Invariant.CONTAINERS, path, f"{definition.kind!r} is no kind of definition")
    most = allowed[definition.kind]
    if most is not None and len(definition.forwards) > most:
        got = f"a {definition.kind} with {len(definition.forwards)} forwards, expected at most {most}"
        raise _broken(Invariant.CONTAINERS, path, got)
    if definition.base is not None and definition.kind != "module":
        got = f"a {definition.kind} with the base {definition.base.type}, expected none"
        raise _broken(Invariant.CONTAINERS, path, got)
    if definition.kind == "choice" and not definition.children:
        raise _broken(Invariant.CONTAINERS, path, "a choice without candidates")


def _check_child_names(definition: Definition, path: str) -> None:
    """Check invariant 11."""
    names = (*definition.children, *definition.parameters, *definition.buffers)
    for name in names:
        if not name or "." in name:
            raise _broken(Invariant.CHILD_NAMES, path, f"{name!r} is no name for a child of a {definition.kind}")
    for name, count in Counter(names).items():
        if count > 1:
            raise _broken(Invariant.CHILD_NAMES, path, f"{name!r} names two of its children, parameters and buffers")


def _check_expressions(definition: Definition, path: str) -> None:
    """Check invariant 13, and those on graphs for expressions."""
    if definition.init.inputs:
        raise _broken(Invariant.EXPRESSIONS, f"{path}:init", "the graph of the initialisation has inputs")
    _check_graph(definition.init, definition, path)
    expected = [(name, spec.type, spec.initial) for name, spec in definition.parameters.items()]
    expected += [(name, spec.type, spec.initial) for name, spec in definition.buffers.items()]
    for name, type, initial in expected:
        if initial is None:
            continue
        site = f"{path}.{name}" if path else name
        kinds = [node.operation.kind for node in initial.nodes]
        if initial.inputs or not set(kinds).isdisjoint(("module", "attribute", "assign", "training")):
            raise _broken(Invariant.EXPRESSIONS, site, "its initial expression needs a module or inputs")
        _check_graph(initial, definition, site)
        found = expression_type(initial)
        if not same_type(found, type):
            raise _broken(Invariant.EXPRESSIONS, site, f"its initial expression yields {found}, expected {type}")


def _signature(graph: Graph) -> str:
    return ", ".join(f"{'*, ' if item.keyword_only else ''}{item.name}" for item in graph.inputs)


def _check_types(definition: Definition, runs: Runs, path: str = "") -> None:
    """Check invariant 15, of the first call of each definition."""
    for pair in runs.values():
        for run in pair:
            if run is None or run.agrees or (run is pair[1] and pair[0] is not None and run.graph is pair[0].graph):
                continue
            recorded = [(item.name, item.type) for item in run.graph.inputs]
            recorded += [(node.name, node.type) for node in run.graph.nodes]
            for (name, type), found in zip(recorded, (*run.inputs, *run.nodes), strict=True):
                if not same_type(type, found):
                    message = f"its recorded type is {type}, inference gives {found}"
                    raise _broken(Invariant.TYPES, f"{path}:{name}", message)
            for (target, number), called in run.calls.items():
                child = definition.child(target)
                assert isinstance(child, Definition), "only calls of definitions are recorded"
                _check_types(child, {number: (called, None)}, f"{path}.{target}" if path else target)


def _check_guards(runs: Runs) -> None:
    """Check invariant 16."""
    for pair in runs.values():
        for run in pair:
            if run is not None and run.flipped:
                raise _flipped(run.flipped[0])


def _flipped(flip: FlippedGuard) -> VerificationError:
    guard: Guard = flip.guard
    at = f" at {guard.location}" if guard.location else ""
    message = (
        f"the decision `{expression(flip.graph, guard.value)}`{at} was {guard.outcome!r} when the model was traced and "
        f"is {flip.now!r} now, so the graph is no longer what the source does; keep the value, or trace the changed "
        "model anew"
    )
    return _broken(Invariant.GUARDS, f"{flip.path}:{guard.value}", message)
