"""Drawings of models, of definitions and of differences: DOT, Mermaid, JSON and SVG.

`view` decides what is shown, `dot` and `mermaid` spell it out, `style` holds colours. Nothing here changes a model,
and the same model gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphnas.errors import ConfigError, GraphNASError
from graphnas.ir.diff import diff
from graphnas.ir.draw.dot import to_dot, to_svg
from graphnas.ir.draw.mermaid import to_mermaid
from graphnas.ir.draw.view import View, build_view
from graphnas.ir.model import Model
from graphnas.ir.module import Definition
from graphnas.ir.sites import lookup

__all__ = ["draw"]

DRAWING_VERSION = 1
"""Counts changes of the JSON graph."""

_SUFFIXES = {".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".mermaid": "mermaid", ".json": "json", ".svg": "svg"}


def draw(
    model: Model,
    path: str | Path | None = None,
    *,
    base: Model | None = None,
    format: str | None = None,
    at: str = "",
    depth: int | None = None,
) -> str:
    """Return a drawing of a model as text, and write it to `path` if that is given.

    Changed nodes are marked by colour and by a word. Types stand on the arrows; open decisions begin with `?`.

    Args:
        model: What is drawn.
        path: File to write; its suffix says the format unless `format` does: `.svg`, `.dot`, `.mmd` or `.json`.
        base: An earlier model; what was added, changed or removed since is marked.
        format: `svg`, `dot`, `mermaid` or `json`; without it and a path, `svg`.
        at: Path of the definition to draw, the whole model by default.
        depth: How many levels of the hierarchy are expanded, deeper ones being one box each; by default as many as
            can be read, and all that lead to a change. Equal blocks are expanded once.

    Raises:
        ConfigError: The format is not one of these.
        MutationError: Nothing stands at `at`.
        GraphNASError: `at` is a leaf, or SVG could not be laid out.
    """
    chosen = _format(path, format)
    definition = lookup(model.root, at)
    if not isinstance(definition, Definition):
        raise GraphNASError(f"{model.name} has the leaf {definition.type} at {at!r}; draw the definition that holds it")
    title = f"{model.name}: {at} ({definition.class_name})" if at else model.name
    subtitle = f"fingerprint {model.fingerprint[:12]}"
    changes = None
    if base is not None:
        changes = diff(base, model)
        subtitle += f", compared with {base.fingerprint[:12]}: {_counted(len(changes.changes))}"
    view = build_view(definition, title=title, subtitle=subtitle, path=at, depth=depth, changes=changes)
    text = {"dot": to_dot, "mermaid": to_mermaid, "json": _to_json, "svg": to_svg}[chosen](view)
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _format(path: str | Path | None, format: str | None) -> str:
    if format is None:
        format = "svg" if path is None else _SUFFIXES.get(Path(path).suffix.lower(), Path(path).suffix)
    if format not in _SUFFIXES.values():
        message = f"draw: {format!r} is no format of drawings; use 'svg', 'dot', 'mermaid' or 'json'"
        raise ConfigError(message, field="format")
    return format


def _counted(count: int) -> str:
    return f"{count or 'no'} change{'' if count == 1 else 's'}"


def _to_json(view: View) -> str:
    data: dict[str, Any] = {"format": "graphnas-drawing", "version": DRAWING_VERSION, **asdict(view)}
    return json.dumps(data, indent=1) + "\n"
