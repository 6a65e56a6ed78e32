"""What a model says about itself: guards, unused parameters, shared parts, imports and constants.

All of it is read from the IR, each distinct definition once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache

from graphnas.ir.expression import expression
from graphnas.ir.fingerprint import resolve_ties
from graphnas.ir.literal import Argument, Construction, FrozenDict, Symbol, Value, format_literal
from graphnas.ir.module import Definition, ModuleSpec, join
from graphnas.ir.report import Constant, GuardReport, Import, Shared
from graphnas.ir.types import dtype_name

_LIBRARIES = frozenset({"torch", "builtins"})
_PLAIN = frozenset({Value, int, str, float, bool, type(None)})
"""Types of arguments that refer to nothing outside, and are nearly all."""


def guards_of(root: Definition) -> tuple[GuardReport, ...]:
    """Return every guard once, with the paths at which it stands."""
    found: dict[tuple[str, str, str, str], dict[str, None]] = {}
    known: dict[str, tuple[tuple[str, str, str, str], ...]] = {}
    for path, definition in _definitions(root):
        if definition.key not in known:
            known[definition.key] = tuple(
                (expression(graph, guard.value), format_literal(guard.outcome), guard.location, definition.class_name)
                for graph in definition.graphs
                for guard in graph.guards
            )
        for guard in known[definition.key]:
            found.setdefault(guard, {})[path] = None
    return tuple(GuardReport(*guard, tuple(paths)) for guard, paths in found.items())


def shared_of(root: Definition) -> tuple[Shared, ...]:
    """Return what stands at several paths, by the first of them."""
    found: dict[tuple[bool, str], list[str]] = {}
    for path, definition in _definitions(root):
        for tie in definition.ties:
            is_module = definition.has_child(tie.source)
            found.setdefault((is_module, join(path, tie.source)), []).append(join(path, tie.path))
    return tuple(
        Shared("module" if is_module else "parameter", source, tuple(paths))
        for (is_module, source), paths in found.items()
    )


def imports_of(root: Definition) -> tuple[Import, ...]:
    """Return what lies beyond torch and the standard library, with the modules that use it."""
    found: dict[str, dict[str, None]] = {}
    known: dict[int, tuple[str, ...]] = {}
    for path, part in root.walk():
        if id(part) not in known:
            known[id(part)] = tuple(target for target in dict.fromkeys(_targets(part)) if not _is_library(target))
        for target in known[id(part)]:
            found.setdefault(target, {})[path] = None
    return tuple(Import(target, tuple(paths)) for target, paths in found.items())


def constants_of(root: Definition) -> tuple[Constant, ...]:
    """Return the tensors that are kept as data and are not in the `state_dict`."""
    return tuple(
        Constant(
            join(path, name),
            f"{dtype_name(spec.type.dtype)}[{', '.join(map(str, spec.type.shape))}]",
            len(spec.data.data),
        )
        for path, definition in _definitions(root)
        for name, spec in definition.buffers.items()
        if spec.data is not None and spec.storage != "persistent"
    )


def read_paths(root: Definition) -> frozenset[str]:
    """Return the paths of all modules that are called and all tensors that are read, where they were built."""
    return _read_below(root, {})


def _read_below(definition: Definition, memo: dict[str, frozenset[str]]) -> frozenset[str]:
    if definition.key not in memo:
        found: set[str] = set()
        for graph in definition.graphs:
            for node in graph.nodes:
                if node.operation.kind not in ("module", "attribute"):
                    continue
                target = node.operation.target
                if target in found:
                    continue
                found.add(target)
                if node.operation.kind == "module" and definition.has_child(target):  # else it is a part of a leaf
                    child = definition.child(target)
                    if isinstance(child, Definition):
                        found.update(f"{target}.{path}" for path in _read_below(child, memo))
        memo[definition.key] = frozenset(resolve_ties(definition, path) for path in found)
    return memo[definition.key]


def _definitions(root: Definition) -> Iterator[tuple[str, Definition]]:
    return ((path, part) for path, part in root.walk() if isinstance(part, Definition))


def _targets(part: ModuleSpec | Definition) -> Iterator[str]:
    if isinstance(part, ModuleSpec):
        yield part.target
        yield from _symbols(part.args)
        yield from _symbols(part.kwargs)
        return
    if part.base is not None:
        yield from _targets(part.base)
    initial = [item.initial for item in part.parameters.values()] + [item.initial for item in part.buffers.values()]
    for graph in (part.init, *part.graphs, *initial):
        for node in () if graph is None else graph.nodes:
            if node.operation.kind == "function":
                yield node.operation.target
            yield from _symbols(node.args)
            yield from _symbols(node.kwargs)


@lru_cache(maxsize=4096)
def _is_library(target: str) -> bool:
    top = target.partition(":")[0].partition(".")[0]
    return top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")


def _symbols(argument: Argument) -> Iterator[str]:
    if isinstance(argument, (Symbol, Construction)):
        yield argument.path
    if isinstance(argument, Construction):
        yield from _symbols((argument.args, argument.kwargs))
    elif isinstance(argument, tuple):
        for item in argument:
            if type(item) not in _PLAIN:
                yield from _symbols(item)
    elif isinstance(argument, FrozenDict) and argument:
        yield from _symbols(tuple(argument.values()))
