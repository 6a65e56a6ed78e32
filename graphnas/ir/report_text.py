"""The report as people read it, from top to bottom: sections with a headline, long lists cut short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from graphnas.ir.columns import aligned
from graphnas.ir.keyed import digest
from graphnas.ir.report import ClassReport, Part, Report

_MOST = 12
"""Entries of a list that are shown; the attribute that is named behind them has all."""

_MOST_PARTS = 60
_FEWEST_NAMED = 3
"""Neighbours with names of their own, `layer1`, are shown in one line from this number on."""

_WIDEST = 80
"""Characters of a cell that are shown."""


def format_report(report: Report) -> str:
    """Return the text of a report: what the model is, what it was specialised for, and what its source lacks."""
    return "\n\n".join("\n".join(section) for section in _sections(report) if section) + "\n"


def _sections(report: Report) -> Iterator[list[str]]:
    yield [_title(report)]
    yield _section("hierarchy", "", _table(_hierarchy(report.hierarchy)), "hierarchy", _MOST_PARTS)
    guards = [
        (f"{item.expression} is {item.outcome}", _places(item.paths, item.class_name), _short(item.location))
        for item in report.guards
    ]
    yield _section("guards", "the source holds as long as these do", _table(guards), "guards")
    opaque = [f"{item.path} ({item.class_name}) at {_short(item.location)}: {item.reason}" for item in report.opaque]
    yield _section("opaque", "kept whole, and imported by the source", opaque, "opaque")
    imports = [(item.target, _places(item.paths, "")) for item in report.imports]
    yield _section("imports", "beyond torch and the standard library", _table(imports), "imports")
    constants = [(item.path, item.type, _bytes(item.size_bytes)) for item in report.constants]
    yield _section("constants", "tensors kept as data; large ones go beside the source", _table(constants), "constants")
    shared = [(item.kind, f"{item.source} = {' = '.join(item.paths)}") for item in report.shared]
    yield _section("shared", "built once", _table(shared), "shared")
    yield _section("unused", "parameters that no graph reads", list(report.unused), "unused")
    yield _section("arguments", "of forward that the source lacks", _table(_arguments(report)), "classes")
    branches = [(b.class_name, f"{b.condition} was always {b.outcome}", _short(b.location)) for b in report.branches]
    yield _section("branches", "of the original that the source lacks", _table(branches), "branches")
    yield _section("methods", "of the original that the source lacks", _table(_methods(report.classes)), "classes")
    yield _section("notes", "", list(report.notes), "notes")


def _title(report: Report) -> str:
    if not report.hierarchy:
        return f"{report.editable:.1%} of the parameters are editable"
    root = report.hierarchy[0]
    return (
        f"{root.class_name}: {root.parameters:,} parameters, {report.editable:.1%} of them editable, "
        f"in {_count(len(report.hierarchy), 'module')}"
    )


def _section(name: str, meaning: str, lines: Sequence[str], attribute: str, most: int = _MOST) -> list[str]:
    if not lines:
        return []
    head = f"{name} ({len(lines)}){f': {meaning}' if meaning else ''}"
    rest = len(lines) - most
    more = [f"  ... and {rest} more: report.{attribute}"] if rest > 0 else []
    return [head, *(f"  {line}" for line in lines[:most]), *more]


def _hierarchy(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    """Return a line for each module: equal neighbours in one, and nothing below what is built like one above."""
    below: dict[str, list[Part]] = {}
    for part in parts[1:]:
        below.setdefault(part.path.rpartition(".")[0], []).append(part)
    shapes: dict[str, str] = {}
    for part in reversed(parts):
        inner = ",".join(f"{_name(child)}:{shapes[child.path]}" for child in below.get(part.path, ()))
        shapes[part.path] = digest("", part.class_name, inner)
    lines: list[tuple[str, ...]] = []
    shown: set[str] = set()
    open = [_Neighbours(below.get("", ()), shapes)]
    while open:
        group = open[-1].take()
        if not group:
            open.pop()
            continue
        first, last = group[0], group[-1]
        name = _name(first) if first is last else f"{_name(first)}..{_number(_name(last))[1]}"
        kind = first.class_name if first is last else f"{len(group)} x {first.class_name}"
        elements = sum(part.parameters for part in group)
        lines.append(("  " * (len(open) - 1) + name, kind, f"{elements:,}" if elements else "-"))
        if shapes[first.path] not in shown:
            shown.add(shapes[first.path])
            open.append(_Neighbours(below.get(first.path, ()), shapes))
    width = max((len(line[-1]) for line in lines), default=0)
    return [(*line[:-1], line[-1].rjust(width)) for line in lines]


class _Neighbours:
    """The modules of a container, handed out in groups of numbered neighbours that are built alike."""

    def __init__(self, parts: Sequence[Part], shapes: Mapping[str, str]) -> None:
        self.parts = parts
        self.shapes = shapes
        self.taken = 0

    def take(self) -> Sequence[Part]:
        """Return the next group, nothing at the end."""
        start = end = self.taken
        while end < len(self.parts) and (end == start or self._belongs(start, end)):
            end += 1
        if end - start < _FEWEST_NAMED and end > start and not _name(self.parts[start]).isdigit():
            end = start + 1
        self.taken = end
        return self.parts[start:end]

    def _belongs(self, start: int, place: int) -> bool:
        """Tell whether a module belongs to the group that begins at `start` and goes on up to it."""
        first, last, part = self.parts[start], self.parts[place - 1], self.parts[place]
        return _is_next(_name(last), _name(part)) and self.shapes[part.path] == self.shapes[first.path]


def _name(part: Part) -> str:
    return part.path.rpartition(".")[2]


def _number(name: str) -> tuple[str, str]:
    """Split a name before the digits at its end."""
    stem = name.rstrip("0123456789")
    return stem, name[len(stem) :]


def _is_next(name: str, following: str) -> bool:
    """Tell whether two names are of one series, `layer1` and `layer2`."""
    (stem, number), (other, another) = _number(name), _number(following)
    return stem == other and bool(number) and bool(another)


def _arguments(report: Report) -> list[tuple[str, ...]]:
    return [
        (
            f"{item.name}.forward",
            what,
            _few([f"{known.name}={known.value}" for known in item.arguments if known.given is given]),
        )
        for item in report.classes
        for given, what in ((True, "fixed at"), (False, "default"))
        if any(known.given is given for known in item.arguments)
    ]


def _methods(classes: Sequence[ClassReport]) -> list[tuple[str, ...]]:
    return [
        (item.name, what, _few([known.name for known in item.methods if known.inlined is inlined]))
        for item in classes
        for inlined, what in ((True, "inlined into forward"), (False, "not called by it"))
        if any(known.inlined is inlined for known in item.methods)
    ]


def _few(items: Sequence[str]) -> str:
    return ", ".join(items) if len(items) <= 5 else f"{', '.join(items[:4])} and {len(items) - 4} more"


def _places(paths: Sequence[str], class_name: str) -> str:
    first = paths[0] or "the root"
    text = first if len(paths) == 1 else f"{first} and {len(paths) - 1} more"
    return f"{class_name} at {text}" if class_name else text


def _short(location: str) -> str:
    """Return `file:line` with the last two parts of the path of the file."""
    return "/".join(PurePath(location).parts[-2:])


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns, long cells cut."""
    return aligned([[cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 3]}..." for cell in row] for row in rows])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _bytes(number: int) -> str:
    return f"{number:,} bytes" if number < 10_000 else f"{number / 1024:,.1f} KiB"
