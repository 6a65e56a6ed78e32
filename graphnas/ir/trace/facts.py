"""What only the trace knows and the report tells: the modules as they are, and what of their classes is lost."""

from __future__ import annotations

import inspect
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from graphnas.ir.fingerprint import resolve_ties
from graphnas.ir.literal import SCALAR_TYPES, format_literal
from graphnas.ir.module import Definition
from graphnas.ir.protocols import expansion_of
from graphnas.ir.report import Argument, ClassReport, Method, Part, Report, TracedCode
from graphnas.ir.survey import constants_of, guards_of, imports_of, read_paths, shared_of
from graphnas.ir.trace.definitions import Calls
from graphnas.ir.trace.prepare import walk
from graphnas.ir.trace.scope import Call

_KEPT = frozenset({"forward", "extra_repr"})


def report_of(
    module: nn.Module,
    root: Definition,
    calls: Sequence[Calls],
    is_leaf: Callable[[nn.Module, str], bool],
    lines: Mapping[str, set[int]],
) -> Report:
    """Return the report of a trace, as far as modules, definitions and calls tell.

    Args:
        module: The model as the user gave it.
        root: Its definition.
        calls: Traced calls, of each mode.
        is_leaf: Tells leaves by module and path.
        lines: Lines at which operations were recorded, by file.
    """
    merged = {path: [call for known in calls for call in known.get(path, ())] for known in calls for path in known}
    return Report(
        hierarchy=parts_of(module, is_leaf),
        guards=guards_of(root),
        unused=unused_of(module, is_leaf, root),
        shared=shared_of(root),
        imports=imports_of(root),
        constants=constants_of(root),
        classes=classes_of(module, merged, lines),
    )


def parts_of(root: nn.Module, is_leaf: Callable[[nn.Module, str], bool]) -> tuple[Part, ...]:
    """Return every module down to the leaves, parents first."""
    found: list[tuple[str, str, bool]] = []
    elements: dict[str, int] = {}
    counted: set[int] = set()
    leaves: set[int] = set()

    def is_open(module: nn.Module) -> bool:
        return id(module) not in leaves

    for path, module in walk(root, into=is_open):
        leaf = is_leaf(module, path)
        if leaf:
            leaves.add(id(module))
        elements[path] = 0
        parameters = module.parameters() if leaf else module._parameters.values()
        for parameter in parameters:
            if parameter is not None and id(parameter) not in counted:
                counted.add(id(parameter))
                elements[path] += parameter.numel()
        found.append((path, type(module).__name__, leaf))
    for path in reversed(elements):  # children come behind their parents
        if path:
            elements[path.rpartition(".")[0]] += elements[path]
    return tuple(Part(path, name, leaf, elements[path]) for path, name, leaf in found)


def unused_of(root: nn.Module, is_leaf: Callable[[nn.Module, str], bool], definition: Definition) -> tuple[str, ...]:
    """Return the paths of parameters that no graph of the model's definition reads."""
    read = read_paths(definition)
    used: set[int] = set()
    seen: dict[int, str] = {}
    whole: list[str] = []  # leaves that are called: all of theirs is used
    for path, module in walk(root):
        inside = bool(whole) and path.startswith(f"{whole[-1]}.")
        if not inside and is_leaf(module, path) and resolve_ties(definition, path) in read:
            whole.append(path)
            inside = True
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            full = f"{path}.{name}" if path else name
            seen.setdefault(id(parameter), full)
            if inside or resolve_ties(definition, full) in read:
                used.add(id(parameter))
    return tuple(path for key, path in seen.items() if key not in used)


def classes_of(root: nn.Module, calls: Calls, lines: Mapping[str, set[int]]) -> tuple[ClassReport, ...]:
    """Return what the source lacks of each class that was traced into, in the order of the hierarchy.

    Args:
        root: The model.
        calls: Traced calls by path, of both modes.
        lines: Lines at which operations were recorded, by file.
    """
    by_class: dict[type[nn.Module], list[str]] = {}
    for path, module in walk(root):
        kind = type(module)
        if path in calls and not kind.__module__.startswith("torch.") and expansion_of(module) is None:
            by_class.setdefault(kind, []).append(path)
    in_order = {file: sorted(known) for file, known in lines.items()}
    found = []
    for kind, paths in by_class.items():
        methods, code = _code_of(kind, in_order)
        traced = [call for path in paths for call in calls[path]]
        origin = f"{kind.__module__}:{kind.__qualname__}"
        count = len({id(root.get_submodule(path)) for path in paths})
        found.append(ClassReport(kind.__name__, origin, count, _lost_arguments(kind, traced), methods, code))
    return tuple(found)


def _lost_arguments(kind: type[nn.Module], calls: Sequence[Call]) -> tuple[Argument, ...]:
    kept = {str(node.target) for call in calls for node, _ in call.inputs}
    values: dict[str, dict[str, None]] = {}
    for call in calls:
        for name, value in call.fixed.items():
            values.setdefault(name, {})[_shown(value)] = None
    lost = []
    for parameter in list(inspect.signature(kind.forward).parameters.values())[1:]:
        if parameter.name in kept or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        given = values.get(parameter.name)
        if given is not None:
            lost.append(Argument(parameter.name, " or ".join(given), given=True))
        elif parameter.default is not parameter.empty:
            lost.append(Argument(parameter.name, _shown(parameter.default), given=False))
    return tuple(lost)


def _shown(value: Any) -> str:
    if type(value) not in SCALAR_TYPES:
        return f"<{type(value).__name__}>"
    text = format_literal(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _code_of(
    kind: type[nn.Module], lines: Mapping[str, Sequence[int]]
) -> tuple[tuple[Method, ...], tuple[TracedCode, ...]]:
    """Return the public methods that no generated class has, and the code that ran."""
    methods: dict[str, Method] = {}
    ran: list[TracedCode] = []
    names: set[str] = set()
    for name, function in _functions(kind):
        code = function.__code__
        known = lines.get(code.co_filename, ())
        here = known[bisect_left(known, code.co_firstlineno) : bisect_right(known, _last_line(code))]
        if here:
            ran.append(TracedCode(name, code.co_filename, code.co_firstlineno, tuple(here)))
        if name not in names and name not in _KEPT and not name.startswith("_"):
            methods[name] = Method(name, f"{code.co_filename}:{code.co_firstlineno}", bool(here))
        names.add(name)
    return tuple(methods.values()), tuple(ran)


def _functions(kind: type[nn.Module]) -> Iterator[tuple[str, FunctionType]]:
    """Yield name and function of the methods of a class and of those above it, torch's own left out."""
    for base in kind.__mro__:
        if base.__module__.startswith("torch.") or base.__module__ == "builtins":
            continue
        for name, value in vars(base).items():
            function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            function = inspect.unwrap(function) if callable(function) else function
            if isinstance(function, FunctionType):
                yield name, function


@lru_cache(maxsize=4096)
def _last_line(code: CodeType) -> int:
    own = max((line for _, _, line in code.co_lines() if line is not None), default=code.co_firstlineno)
    return max([own, *(_last_line(inner) for inner in code.co_consts if isinstance(inner, CodeType))])
