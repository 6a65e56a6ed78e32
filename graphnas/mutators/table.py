"""A space as a table: every label with its domain, its condition, and where in the model it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any

from torch import nn

from graphnas.ir.columns import aligned
from graphnas.ir.record import record_of
from graphnas.mutators.decision_space import DecisionSpace

_HEADINGS = ("label", "kind", "allowed", "when", "where")
_WIDEST = 60


def format_table(space: DecisionSpace, where: Mapping[str, tuple[str, ...]]) -> str:
    """Return the labels of a space as lines of text with aligned columns, and its constraints below."""
    rows = [_HEADINGS]
    for label, domain in space.items():
        condition = space.conditions.get(label)
        kind = str(domain.to_json().get("type", type(domain).__name__))
        when = condition.describe() if condition is not None else "always"
        rows.append((label, kind, domain.describe(), when, ", ".join(where.get(label, ()))))
    lines = aligned([[_cut(text) for text in row] for row in rows])
    size = "not known" if space.size is None else f"{space.size:,}"
    below = [f"constraint: {constraint.name}" for constraint in space.constraints]
    return "\n".join([*lines, *below, f"{len(space)} labels; number of points: {size}"])


def places_of(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return where the choices of an open module stand, by label: paths of modules, of attributes, of arguments."""
    found: dict[str, dict[str, None]] = {}
    for path, part in module.named_modules():
        names = [(path, label) for label in _labels(part)]
        names += [
            (f"{path}.{name}".lstrip("."), label)
            for name, value in vars(part).items()
            if not name.startswith("_")
            for label in _labels(value)
        ]
        record = record_of(part)
        if record is not None:
            given = [*zip(_parameters(record.cls), record.args, strict=False), *record.kwargs.items()]
            names += [(f"{path}({name})", label) for name, item in given for label in _labels(item, nested=True)]
        for place, label in names:
            found.setdefault(label, {})[place or "the model"] = None
    return {label: tuple(places) for label, places in found.items()}


def _parameters(cls: type[nn.Module]) -> list[str]:
    """Return the names of the constructor's parameters, as far as they are known."""
    try:
        return list(signature(cls).parameters)
    except (TypeError, ValueError):
        return []


def _labels(value: Any, *, nested: bool = False) -> Iterator[str]:
    """Yield the labels of a choice, of an expression of choices, or of those in a tuple or list."""
    if nested and isinstance(value, nn.Module):
        return
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _labels(item, nested=nested)
    elif hasattr(type(value), "labels"):
        yield from value.labels
    elif isinstance(getattr(type(value), "label", None), property):
        yield value.label


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
