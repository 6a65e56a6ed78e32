"""Texts under each other: what every table that is printed has in common."""

from __future__ import annotations

from collections.abc import Container, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """Return rows of equal length as lines in which columns are aligned, without spaces at their ends.

    >>> aligned([("conv", "9"), ("linear", "10")], right={1})
    ['conv     9', 'linear  10']

    Args:
        rows: The cells, line by line.
        right: Numbers of the columns that stand at the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_cell(row[i], width, i in right) for i, width in enumerate(widths)).rstrip() for row in rows]


def _cell(text: str, width: int, is_right: bool) -> str:
    return text.rjust(width) if is_right else text.ljust(width)
