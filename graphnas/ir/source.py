"""Where in the user's source an operation was called, and which variable took its value.

Read from the running frames: the innermost one that belongs neither to torch nor to graphnas is the user's. The value
of its current instruction is followed on the stack to the variable that it is stored to. Nothing is parsed, and nothing
of it changes what a graph computes: names and locations only.
"""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch

from graphnas.ir.graph import ITEM

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SKIPPED = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parents[1]}{os.sep}")


class Place(NamedTuple):
    """A place in the user's source.

    Attributes:
        location: `file:line`.
        targets: Variables that the value is stored to: none, one, or those of an unpacking in order.
        augmented: Whether it is an augmented assignment, `x += y`.
        appended: The variable of a list that the value is appended to, or the empty string.
    """

    location: str
    targets: tuple[str, ...]
    augmented: bool = False
    appended: str = ""

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
    seen = _SEEN.get()
    if seen is not None:
        _note(frame, seen)
    targets, augmented = _stores(frame.f_code).get(frame.f_lasti, _NOWHERE)
    if targets and targets[0] == RETURN:
        targets, augmented = _stores_of_caller(frame, targets)
    location = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    if targets and targets[0].endswith(ITEM):
        return Place(location, (), augmented, targets[0].removesuffix(ITEM))
    return Place(location, targets, augmented)


def _stores_of_caller(frame: FrameType, targets: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """Follow a value that a function returns at once to where its callers store it.

    Only callers of the user's own; what torch or graphnas calls, such as the forward of a child, stands for itself.
    """
    item = targets[1:]
    caller = frame.f_back
    while caller is not None and not caller.f_code.co_filename.startswith(_SKIPPED):
        stored, augmented = _stores(caller.f_code).get(caller.f_lasti, _NOWHERE)
        if stored[:1] != (RETURN,):
            break
        if len(stored) > 1 and item:
            return _NOWHERE  # a tuple within a tuple
        item = item or stored[1:]
        caller = caller.f_back
    else:
        return _NOWHERE
    if not item:
        return stored, augmented
    position = int(item[0])
    return (stored[position : position + 1], False) if len(stored) > 1 else _NOWHERE


_Seen = dict[tuple[int, int], tuple[CodeType, int]]
_SEEN: ContextVar[_Seen | None] = ContextVar("graphnas_seen_lines", default=None)


@contextmanager
def seen_lines(into: dict[str, set[int]]) -> Iterator[None]:
    """Collect, by file, the lines from which `current_place` is asked inside the block, those of callers included."""
    seen: _Seen = {}
    token = _SEEN.set(seen)
    try:
        yield
    finally:
        _SEEN.reset(token)
        for code, line in seen.values():
            into.setdefault(code.co_filename, set()).add(line)


def _note(frame: FrameType | None, seen: _Seen) -> None:
    # Line numbers are worked out once for each instruction: that is what costs.
    while frame is not None and frame.f_code not in _BOUNDARIES:
        key = (id(frame.f_code), frame.f_lasti)
        if key not in seen:
            seen[key] = (frame.f_code, frame.f_lineno)
        frame = frame.f_back


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
    """Return, by the offset of an instruction, where the value it leaves is stored, and whether by `x += y`.

    Of a value that is appended to a list, the variable of the list with `ITEM` behind it.
    """
    instructions = [item for item in dis.get_instructions(code) if item.opname not in _SILENT]
    lists = _appends(instructions)
    found: dict[int, tuple[tuple[str, ...], bool]] = {}
    positions = {item.offset: position for position, item in enumerate(instructions)}
    for index, instruction in enumerate(instructions):
        if not instruction.opname.startswith(_QUIET):
            unpacks = instruction.opname == "UNPACK_SEQUENCE"  # a tensor on the right is taken apart by it
            targets = _followed(instructions, positions, lists, index if unpacks else index + 1)
            augmented = instruction.opname == "BINARY_OP" and instruction.argrepr.endswith("=")
            if targets or augmented:
                # While a function of Python runs, the caller may stand on the cache behind its call already.
                end = instructions[index + 1].offset if index + 1 < len(instructions) else instruction.offset + 2
                found.update(dict.fromkeys(range(instruction.offset, end, 2), (targets, augmented)))
    return found


_SILENT = frozenset({"CACHE", "EXTENDED_ARG", "KW_NAMES", "NOP", "PRECALL", "RESUME"})
_PUSHING = ("LOAD_CLOSURE", "LOAD_CONST", "LOAD_DEREF", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_SMALL", "PUSH")
_QUIET = (*_PUSHING, "BUILD", "COPY", "JUMP", "POP", "RETURN", "STORE", "SWAP")
RETURN = "return"  # a keyword, so no variable
"""Stands for the variable of a value that is returned at once; its place follows, if it is one of a tuple."""
_NOWHERE: tuple[tuple[str, ...], bool] = ((), False)
_FARTHEST = 64
"""Most instructions that a value is followed for: the right side of one statement."""


def _appends(instructions: list[dis.Instruction]) -> dict[int, str]:
    """Return the positions of the calls `xs.append(...)`, each with the variable of the list."""
    found: dict[int, str] = {}
    for index, (loaded, method) in enumerate(pairwise(instructions)):
        if method.opname not in ("LOAD_METHOD", "LOAD_ATTR") or method.argval != "append":
            continue
        names = loaded.argval if isinstance(loaded.argval, tuple) else (loaded.argval,)
        if not loaded.opname.startswith(("LOAD_FAST", "LOAD_DEREF")):
            continue
        height = 0
        for position, instruction in enumerate(instructions[index + 2 : index + 2 + _FARTHEST], index + 2):
            if "JUMP" in instruction.opname or instruction.opname.startswith(("FOR_ITER", "RETURN", "STORE")):
                break
            if instruction.opname == "CALL" and instruction.arg == height == 1:
                found[position] = names[-1]
                break
            height += _taken(instruction)[1]
    return found


def _followed(
    instructions: list[dis.Instruction], positions: dict[int, int], lists: dict[int, str], position: int
) -> tuple[str, ...]:
    """Follow the value on top of the stack until it is stored; nothing if it is used before."""
    depth = 0
    for _ in range(min(_FARTHEST, len(instructions) - position)):
        name, count = instructions[position].opname, int(instructions[position].arg or 0)
        if position in lists and depth == 0:
            return (f"{lists[position]}{ITEM}",)
        if name == "UNPACK_SEQUENCE" and depth == 0:
            names = _names(instructions[position + 1 : position + 1 + count])
            return names[:count] if len(names) >= count > 1 else ()
        if name == "SWAP" and depth in (0, count - 1):
            depth = count - 1 - depth
        elif name == "COPY" and depth == count - 1:
            depth = 0
        elif name == "BUILD_TUPLE" and depth < count:
            # `a, b = f(), g()`: packed and unpacked again, or swapped in pairs.
            following = instructions[position + 1] if position + 1 < len(instructions) else None
            if following is not None and following.opname == "RETURN_VALUE":
                return RETURN, str(count - 1 - depth)
            if following is None or following.opname != "UNPACK_SEQUENCE" or following.arg != count:
                return ()
            names = _names(instructions[position + 2 : position + 2 + count])
            chosen = names[count - 1 - depth : count - depth]
            return chosen if len(names) >= count else ()
        elif name.startswith(("STORE_FAST", "STORE_DEREF")):
            names = _names([instructions[position]])
            if depth < len(names):
                return names[depth : depth + 1]
            depth -= {"STORE_FAST": 1, "STORE_DEREF": 1, "STORE_FAST_STORE_FAST": 2}.get(name, 0)
        elif name == "JUMP_FORWARD":  # of `a if test else b`
            position = positions.get(instructions[position].argval, len(instructions) - 1)
            continue
        elif name == "RETURN_VALUE" and depth == 0:
            return (RETURN,)
        elif "JUMP" in name or name in ("FOR_ITER", "SEND", "RETURN_VALUE", "YIELD_VALUE"):
            return ()
        else:
            popped, effect = _taken(instructions[position])
            if depth < popped:
                return ()
            depth += effect
        position += 1
    return ()


def _taken(instruction: dis.Instruction) -> tuple[int, int]:
    """Return how many values an instruction takes from the stack, and by how many the stack grows."""
    name, count = instruction.opname, int(instruction.arg or 0)
    if name in ("CALL", "CALL_KW"):
        popped = count + (2 if name == "CALL" else 3)
        return popped, 1 - popped
    effect = dis.stack_effect(instruction.opcode, instruction.arg)
    if name.startswith(_PUSHING):
        return 0, effect
    if name in ("LOAD_ATTR", "LOAD_METHOD"):
        return 1, effect
    if name == "LOAD_SUPER_ATTR":
        return 3, effect
    return (max(-effect, 0) if name.startswith(("POP", "STORE", "DELETE")) else 1 - effect), effect


def _names(instructions: list[dis.Instruction]) -> tuple[str, ...]:
    names: list[str] = []
    for instruction in instructions:
        if instruction.opname in ("STORE_FAST", "STORE_DEREF"):
            names.append(instruction.argval)
        elif instruction.opname == "STORE_FAST_STORE_FAST":  # Python 3.13: two in one
            names.extend(instruction.argval)
        elif instruction.opname == "STORE_FAST_LOAD_FAST":
            names.append(instruction.argval[0])
        else:
            break
    return tuple(names)


def is_called_by_user(depth: int) -> bool:
    """Tell whether the function so many calls above the one that asks belongs to neither torch nor graphnas."""
    return not sys._getframe(depth + 1).f_code.co_filename.startswith(_SKIPPED)


def running_code() -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """Return the globals of the user's code that is running, and the names that it uses; None if there is none."""
    frame = _user_frame()
    return None if frame is None else (frame.f_globals, frame.f_code.co_names)


def surviving_outcome() -> bool | None:
    """Return the truth value with which the running condition of the user does not raise at once.

    None unless it decides between an error and going on: `assert condition`, or `if condition: raise ...`.
    """
    frame = _user_frame()
    return None if frame is None else _surviving(frame.f_code).get(frame.f_lasti)


def _user_frame() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        if frame.f_code in _BOUNDARIES:
            return None
        frame = frame.f_back
    return frame


@lru_cache(maxsize=1024)
def _surviving(code: CodeType) -> dict[int, bool]:
    """Return, by the offset of the instruction that computes or tests a condition, with which truth code goes on."""
    bytecode = dis.Bytecode(code)
    instructions = [item for item in bytecode if item.opname not in _IDLE]
    guarded = [(entry.start, entry.end) for entry in bytecode.exception_entries]  # type: ignore[attr-defined]  # 3.11
    found: dict[int, bool] = {}
    for index, instruction in enumerate(instructions):
        name = instruction.opname
        if not (name.startswith("POP_JUMP") and name.endswith(("IF_TRUE", "IF_FALSE"))):
            continue
        target = next((at for at, item in enumerate(instructions) if item.offset >= instruction.argval), 0)
        falling, jumping = _raises(instructions, index + 1), _raises(instructions, target)
        if falling is jumping or any(start <= instruction.offset < end for start, end in guarded):
            continue  # what is raised may be caught here
        outcome = name.endswith("IF_TRUE") is falling  # where falling through raises, the jump goes on
        found[instruction.offset] = outcome
        for before in reversed(instructions[max(index - 2, 0) : index]):
            if before.opname not in ("TO_BOOL", "COMPARE_OP"):
                break
            found[before.offset] = outcome
    return found


_IDLE = frozenset({"CACHE", "EXTENDED_ARG", "NOP", "NOT_TAKEN", "PRECALL", "RESUME"})


def _raises(instructions: list[dis.Instruction], start: int) -> bool:
    """Tell whether code from here on runs straight into a `raise`."""
    for instruction in instructions[start:]:
        if instruction.opname == "RAISE_VARARGS":
            return True
        if "JUMP" in instruction.opname or instruction.opname.startswith(("RETURN", "YIELD", "FOR_ITER", "STORE")):
            return False
    return False
