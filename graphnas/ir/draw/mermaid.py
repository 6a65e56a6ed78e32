"""Mermaid flowcharts, which code hosts and notebooks show without a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from graphnas.ir.draw.style import CLUSTER_LINE, STATUS_FILLS, STATUS_LINES, STATUS_MARKS, STYLES
from graphnas.ir.draw.view import Box, Cluster, View, boxes_by_cluster

_UNSAFE = re.compile(r"[^\w .,:=()+~*?\-]", re.ASCII)


def to_mermaid(view: View) -> str:
    """Return a view as a Mermaid flowchart."""
    lines = ["---", f'title: "{_frontmatter(f"{view.title} - {view.subtitle}")}"', "---", "flowchart TB"]
    groups = boxes_by_cluster(view)
    lines += [f"  {_node(box)}" for box in groups[""]]
    for cluster in view.clusters:
        if not cluster.parent:
            lines += [f"  {line}" for line in _cluster(cluster, view, groups)]
    for edge in view.edges:
        arrow = "-.->" if edge.status else "-->"
        label = f'|"{_text(edge.type)}"|' if edge.type else ""
        lines.append(f"  {edge.source} {arrow}{label} {edge.target}")
    lines += [f"  {line}" for line in _classes(view)]
    return "\n".join(lines) + "\n"


def _cluster(cluster: Cluster, view: View, groups: Mapping[str, tuple[Box, ...]]) -> Iterator[str]:
    mark = f"{STATUS_MARKS[cluster.status]}: " if cluster.status else ""
    yield f'subgraph {cluster.id}["{_text(f"{mark}{cluster.title} {cluster.place}")}"]'
    yield from (f"  {_node(box)}" for box in groups[cluster.id])
    for inner in view.clusters:
        if inner.parent == cluster.id:
            yield from (f"  {line}" for line in _cluster(inner, view, groups))
    yield "end"


def _node(box: Box) -> str:
    title = f"{box.title} x {box.count}" if box.count > 1 else box.title
    texts = [STATUS_MARKS.get(box.status, ""), title, box.detail, box.place, f"was {box.before}" if box.before else ""]
    return f'{box.id}("{"<br/>".join(_text(text) for text in texts if text)}"):::{box.status or box.category}'


def _classes(view: View) -> Iterator[str]:
    used = {box.status or box.category for box in view.boxes}
    for name, style in STYLES.items():
        if name in used:
            dashed = ",stroke-dasharray:4 3" if style.dashed else ""
            yield f"classDef {name} fill:{style.fill},stroke:{style.line},color:{style.text}{dashed}"
    for name, fill in STATUS_FILLS.items():
        if name in used:
            dashed = ",stroke-dasharray:4 3" if name == "removed" else ""
            yield f"classDef {name} fill:{fill},stroke:{STATUS_LINES[name]},stroke-width:3px,color:#101828{dashed}"
    for cluster in view.clusters:
        line = STATUS_LINES.get(cluster.status, STYLES["choice"].line if cluster.choice else CLUSTER_LINE)
        yield f"style {cluster.id} fill:#f8fafc,stroke:{line}"


def _text(text: str) -> str:
    """Return text in which every character that Mermaid or HTML might read is a numbered entity."""
    return _UNSAFE.sub(lambda match: f"#{ord(match.group())};", text)


def _frontmatter(text: str) -> str:
    return re.sub(r"[^\w .,:=()+~*\-]", "_", text, flags=re.ASCII)
