"""DOT, the language of Graphviz, and SVG, which Graphviz lays out from it.

Every text of a model goes through `_html` or `_quoted`: what reaches Graphviz is text, never markup, attributes or
links.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from graphnas.errors import GraphNASError
from graphnas.ir.draw.style import (
    CLUSTER_FILLS,
    CLUSTER_LINE,
    EDGE_LINE,
    FONT,
    MUTED_TEXT,
    STATUS_FILLS,
    STATUS_LINES,
    STATUS_MARKS,
    STYLES,
)
from graphnas.ir.draw.view import Box, Cluster, Edge, View, boxes_by_cluster

_TEXT_LIMIT = 46
_TOOLTIP_LIMIT = 1500
_TIMEOUT_S = 120
_FONTS = "Helvetica,Arial,Liberation Sans,Arimo,sans-serif"
_SECTION = re.compile(
    r'<g id="(?:graph0|node\d+)" class="(?:graph|node)".*?(?=<g id="(?:node|edge|clust)|\Z)', re.DOTALL
)
_OUTLINE = re.compile(r'<(?:path|polygon) [^>]*\b(?:d|points)="([^"]*)"')
_ABSCISSA = re.compile(r"(-?\d+(?:\.\d+)?),-?\d")
_START = re.compile(r'text-anchor="start" x="[^"]*"')
_HEADER = f"""digraph model {{
  graph [fontname="{FONT}", fontsize=11, labelloc=t, bgcolor="#ffffff", pad=0.3, nodesep=0.35, ranksep=0.42]
  node [fontname="{FONT}", fontsize=11, shape=box, style="rounded,filled", margin="0.2,0.07", penwidth=1.1, height=0.3]
  edge [fontname="{FONT}", fontsize=8, fontcolor="{MUTED_TEXT}", color="{EDGE_LINE}", arrowsize=0.6, penwidth=1.1]"""


def to_dot(view: View) -> str:
    """Return a view in DOT."""
    subtitle = _shortened(view.subtitle, 120)
    lines = [_HEADER, f"  label={_rows([(view.title, 15, '', True), (subtitle, 9, MUTED_TEXT, False)])}"]
    if view.compared:
        lines[-1] = f"  label={_rows([(view.title, 15, '', True), (subtitle, 9, MUTED_TEXT, False), *_legend()])}"
    groups = boxes_by_cluster(view)
    lines += [f"  {_node(box)}" for box in groups[""]]
    for cluster in view.clusters:
        if not cluster.parent:
            lines += [f"  {line}" for line in _cluster(cluster, view, groups)]
    lines += [f"  {_edge(edge)}" for edge in view.edges]
    return "\n".join([*lines, "}"]) + "\n"


def to_svg(view: View) -> str:
    """Return a view as SVG, laid out by the program of the package `graphviz-pure`.

    Raises:
        GraphNASError: The program is missing, or could not draw.
    """
    command = [str(_program()), "-Tsvg"]
    try:
        done = subprocess.run(
            command, input=to_dot(view).encode(), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GraphNASError(
            f"SVG: {command[0]} did not run: {error}; draw format='dot' or 'mermaid' instead"
        ) from error
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip()
        raise GraphNASError(f"SVG: {command[0]} failed ({done.returncode}): {message}; draw format='dot' instead")
    return _SECTION.sub(_centred, done.stdout.decode()).replace(f'"{FONT},sans-Serif"', f'"{_FONTS}"')


def _centred(match: re.Match[str]) -> str:
    """Anchor the lines of a box or title at its middle, so that a wider font of the viewer does not push them out."""
    outline = _OUTLINE.search(match.group())
    if outline is None:
        return match.group()
    places = [float(number) for number in _ABSCISSA.findall(outline.group(1))]
    middle = (min(places) + max(places)) / 2
    return _START.sub(f'text-anchor="middle" x="{middle:.2f}"', match.group())


def _program() -> Path:
    try:
        files = metadata.files("graphviz-pure") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in ("graphviz-pure", "graphviz-pure.exe"):
            return Path(str(file.locate())).resolve()
    found = shutil.which("graphviz-pure")
    if found is None:
        raise GraphNASError(
            "SVG: the program graphviz-pure is missing; pip install graphviz-pure, or draw format='dot'"
        )
    return Path(found)


def _legend() -> Iterator[tuple[str, int, str, bool]]:
    for status, mark in STATUS_MARKS.items():
        yield mark, 9, STATUS_LINES[status], True


def _cluster(cluster: Cluster, view: View, groups: Mapping[str, tuple[Box, ...]]) -> Iterator[str]:
    line = STATUS_LINES.get(cluster.status, STYLES["choice"].line if cluster.choice else CLUSTER_LINE)
    fill = STYLES["choice"].fill if cluster.choice else CLUSTER_FILLS[cluster.level % len(CLUSTER_FILLS)]
    mark = f"{STATUS_MARKS[cluster.status]}: " if cluster.status else ""
    style = "rounded,filled,dashed" if cluster.choice else "rounded,filled"
    rows = [(mark + cluster.title, 10, "", True), (_shortened(cluster.place), 8, MUTED_TEXT, False)]
    label = _rows(rows, end='<br align="left"/>')
    yield f"subgraph cluster_{cluster.id} {{"
    yield f'  graph [label={label}, style="{style}", color="{line}", fillcolor="{fill}", labeljust=l, margin=10]'
    yield from (f"  {_node(box)}" for box in groups[cluster.id])
    for inner in view.clusters:
        if inner.parent == cluster.id:
            yield from (f"  {text}" for text in _cluster(inner, view, groups))
    yield "}"


def _node(box: Box) -> str:
    style = STYLES[box.category]
    fill, line = STATUS_FILLS.get(box.status, style.fill), STATUS_LINES.get(box.status, style.line)
    title = f"{box.title} \u00d7 {box.count}" if box.count > 1 else box.title
    rows = [(_shortened(title), 11, style.text, True)]
    if box.detail:
        rows.append((_shortened(box.detail), 9, style.text, False))
    if box.place and box.place != box.title:
        rows.append((_shortened(box.place), 8, MUTED_TEXT, False))
    if box.status:
        rows.insert(0, (STATUS_MARKS[box.status], 8, line, True))
    if box.before:
        rows.append((_shortened(f"was {box.before}", 54), 8, line, False))
    dashed = style.dashed or box.status == "removed"
    extra = ', style="rounded,filled,dashed"' if dashed else ""
    extra += ", penwidth=2.2" if box.status else ""
    tooltip = _quoted(_shortened(box.tooltip, _TOOLTIP_LIMIT))
    return f'{box.id} [label={_rows(rows)}, fillcolor="{fill}", color="{line}", tooltip={tooltip}{extra}]'


def _edge(edge: Edge) -> str:
    label = f"label={_quoted(f'  {_shortened(edge.type)}  ')}"
    status = f', style=dashed, color="{STATUS_LINES[edge.status]}"' if edge.status else ""
    return f"{edge.source} -> {edge.target} [{label}{status}]"


def _rows(rows: list[tuple[str, int, str, bool]], end: str = "<br/>") -> str:
    """Return an HTML-like label of lines, each a text with size, colour and weight."""
    parts = []
    for text, size, colour, bold in rows:
        inner = f"<b>{_html(text)}</b>" if bold else _html(text)
        tint = f' color="{colour}"' if colour else ""
        parts.append(f'<font point-size="{size}"{tint}>{inner}</font>')
    return f"<{end.join(parts)}{end if end != '<br/>' else ''}>"


def _shortened(text: str, limit: int = _TEXT_LIMIT) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _printable(text: str) -> str:
    """Return text without what XML cannot hold: control characters, surrogates and noncharacters."""
    kept = (letter if letter == "\n" or letter.isprintable() else "\ufffd" for letter in text)
    return "".join("\ufffd" if 0xD800 <= ord(letter) <= 0xDFFF else letter for letter in kept)


def _html(text: str) -> str:
    safe = _printable(text).replace("\n", " ")
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        safe = safe.replace(letter, entity)
    return safe or " "


def _quoted(text: str) -> str:
    """Return a DOT string; Graphviz decodes entities and backslashes in it, so both are written out."""
    safe = _printable(text).replace("&", "&amp;").replace("\\", "&#92;").replace('"', "&quot;")
    return '"' + safe.replace("\n", "&#10;") + '"'
