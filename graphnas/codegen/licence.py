"""The licence notice of code that is carried over: what its distribution says, and what its file says itself."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata

import libcst as cst

from graphnas.codegen.modules import SourceModule

_LICENCE = re.compile(r"copyright|licen[cs]e|spdx", re.IGNORECASE)


def notice(module: SourceModule) -> list[cst.EmptyLine]:
    """Return the comment that stands above the code of a module: where it comes from, and under which terms."""
    lines = [f"Carried over from {module.name}{_distribution(module.name.partition('.')[0])}."]
    lines += _of_header(module.tree) + _of_docstring(module.tree)
    return [cst.EmptyLine(indent=False, comment=cst.Comment(f"# {line}".rstrip())) for line in lines]


def _of_header(tree: cst.Module) -> list[str]:
    """Return the comment at the top of the file if it speaks of a licence."""
    first = tree.body[0].leading_lines if tree.body and hasattr(tree.body[0], "leading_lines") else ()
    comments = [line.comment.value.lstrip("#").strip() for line in (*tree.header, *first) if line.comment is not None]
    comments = [line for line in comments if not line.startswith("!") and "coding:" not in line]
    return comments if any(_LICENCE.search(line) for line in comments) else []


def _of_docstring(tree: cst.Module) -> list[str]:
    """Return the lines of the module's docstring that speak of a licence."""
    text = tree.get_docstring() or ""
    return [line.strip() for line in text.splitlines() if _LICENCE.search(line)]


def _distribution(package: str) -> str:
    name = next(iter(_owners().get(package, ())), "")
    if not name:
        return ""
    found = metadata.metadata(name)
    named = [str(item) for field in ("License-Expression", "License") for item in found.get_all(field) or ()]
    # Some distributions put the whole text into the field; its first line names it.
    terms = next((lines[0] for item in named if (lines := item.strip().splitlines())), "")
    if not terms:
        classifiers = [str(item) for item in found.get_all("Classifier") or ()]
        terms = ", ".join(item.rpartition(":: ")[2] for item in classifiers if item.startswith("License ::"))
    return f" ({name} {found['Version']}; {f'licence: {terms}' if terms else 'its metadata names no licence'})"


@cache
def _owners() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())
