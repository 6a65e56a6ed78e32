"""Long lines of generated source broken at brackets, for files that no formatter sees.

Statements are generated as one line each. What is too long is broken as formatters do it: the last bracket that can be
opened is, its content goes on a line of its own if it fits, and else each item does, with a comma behind it.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

WIDTH = 88
"""Most columns of a line, as formatters have it by default."""

_INDENT = "    "
_OPENING, _CLOSING = "([{", ")]}"


def broken(text: str) -> str:
    """Return source with long lines broken where brackets allow it; it says the same, or nothing is changed."""
    lines: list[str] = []
    in_docstring = False
    for line in text.split("\n"):
        is_docstring = in_docstring or line.lstrip().startswith('"""')
        in_docstring ^= line.count('"""') % 2 == 1
        lines += [line] if is_docstring or len(line) <= WIDTH else _lines(line)
    found = "\n".join(lines)
    try:
        says_the_same = ast.dump(ast.parse(found)) == ast.dump(ast.parse(text))
    except SyntaxError:
        return text
    return found if says_the_same else text


def _lines(line: str) -> list[str]:
    """Return a line in several, as it is where it cannot be broken or is only a part of a statement."""
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= WIDTH:
        return [line]
    for opening, closing in reversed(_brackets(line)):
        head, body, tail = line[: opening + 1], line[opening + 1 : closing], line[closing:]
        if body.strip() and len(head) <= WIDTH and len(indent) + len(tail) <= WIDTH:
            return [head, *_content(body.strip(), indent + _INDENT), f"{indent}{tail}"]
    return [line]


def _content(body: str, indent: str) -> list[str]:
    """Return what stands between brackets, on lines of its own."""
    loop = next((position for position, text in _code(body, 0) if text == "for"), None)
    items = [body] if loop is not None else list(_items(body))
    if len(indent) + len(body) <= WIDTH or (len(items) == 1 and loop is None):
        return _lines(f"{indent}{body}")
    if loop is not None:  # of a comprehension
        return [*_lines(f"{indent}{body[:loop].strip()}"), *_lines(f"{indent}{body[loop:]}")]
    return [part for item in items for part in _lines(f"{indent}{item},")]


def _brackets(line: str) -> list[tuple[int, int]]:
    """Return where the outermost brackets of a line open and close; none if it is no whole statement or part of one."""
    found: list[tuple[int, int]] = []
    depth = start = 0
    for position, char in _code(line.strip(), len(line) - len(line.lstrip())):
        if char in _OPENING:
            start = position if not depth else start
            depth += 1
        elif char in _CLOSING:
            depth -= 1
            if depth < 0:
                return []
            if not depth:
                found.append((start, position))
    return found if not depth else []


def _items(body: str) -> Iterator[str]:
    """Yield the items between commas."""
    depth = start = 0
    for position, char in _code(body, 0):
        depth += (char in _OPENING) - (char in _CLOSING)
        if char == "," and not depth:
            yield body[start:position].strip()
            start = position + 1
    if body[start:].strip():
        yield body[start:].strip()


def _code(text: str, offset: int) -> Iterator[tuple[int, str]]:
    """Yield position and text of operators, and of a `for` outside of brackets; none of what stands in strings."""
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(f"({text}\n)").readline):
            is_operator = token.type == tokenize.OP
            depth += is_operator * ((token.string in _OPENING) - (token.string in _CLOSING))
            if token.start[0] == 1 and token.start[1] and (is_operator or (token.string == "for" and depth == 1)):
                yield token.start[1] - 1 + offset, token.string
    except (tokenize.TokenError, SyntaxError):
        return
