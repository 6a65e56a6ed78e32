"""Where in the user's source an operation was called, and which variable took its value.

Read from the running frames: the innermost one that belongs neither to torch nor to graphnas is the user's. Whether its
current instruction is followed by a store tells the variable. Nothing is parsed, and nothing of it changes what a graph
computes: names and locations only.
"""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple, ParamSpec, TypeVar

import torch

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SKIPPED = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parents[1]}{os.sep}")


class Place(NamedTuple):
    """A place in the user's source.

    Attributes:
        location: `file:line`.
        targets: Variables that the value is stored to: none, one, or those of an unpacking in order.
        augmented: Whether it is an augmented assignment, `x += y`.
    """

    location: str
    targets: tuple[str, ...]
    augmented: bool = False

    @property
    def target(self) -> str:
        """The one variable that takes the value whole, or the empty string."""
        return self.targets[0] if len(self.targets) == 1 else ""


_BOUNDARIES: list[CodeType] = []


def boundary(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate the function that runs a forward: the code that called it does not stand for what happens inside."""
    _BOUNDARIES.append(function.__code__)
    return function


def current_place() -> Place:
    """Return where the code of the innermost forward stands; nowhere, if that is torch's own."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        if frame.f_code in _BOUNDARIES:
            return Place("", ())
        frame = frame.f_back
    if frame is None:
        return Place("", ())
    targets, augmented = _stores(frame.f_code).get(frame.f_lasti, ((), False))
    return Place(f"{frame.f_code.co_filename}:{frame.f_lineno}", targets, augmented)


def place_of_error(error: BaseException) -> str:
    """Return `file:line` of the innermost frame of the user's code in the traceback, or the empty string."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_SKIPPED):
            found = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


@lru_cache(maxsize=4096)
def _stores(code: CodeType) -> dict[int, tuple[tuple[str, ...], bool]]:
    """Return, by the offset of an instruction, where the value it leaves is stored, and whether by `x += y`."""
    instructions = list(dis.get_instructions(code))
    found: dict[int, tuple[tuple[str, ...], bool]] = {}
    for index, instruction in enumerate(instructions[:-1]):
        following = instructions[index + 1]
        if following.opname == "UNPACK_SEQUENCE":
            names = _names(instructions[index + 2 : index + 2 + int(following.arg or 0)])
            if len(names) >= int(following.arg or 0) > 1:
                found[instruction.offset] = (names[: int(following.arg or 0)], False)
        elif names := _names([following]):
            augmented = instruction.opname == "BINARY_OP" and instruction.argrepr.endswith("=")
            found[instruction.offset] = (names[:1], augmented)
    return found


def _names(instructions: list[dis.Instruction]) -> tuple[str, ...]:
    names: list[str] = []
    for instruction in instructions:
        if instruction.opname == "STORE_FAST":
            names.append(instruction.argval)
        elif instruction.opname == "STORE_FAST_STORE_FAST":  # Python 3.13: two in one
            names.extend(instruction.argval)
        elif instruction.opname == "STORE_FAST_LOAD_FAST":
            names.append(instruction.argval[0])
        else:
            break
    return tuple(names)
