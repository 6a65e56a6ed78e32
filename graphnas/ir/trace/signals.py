"""What a trace learns too late, and what it cannot hold: exceptions that tell the driver of a trace how to go on."""

from __future__ import annotations

from graphnas.errors import TraceError


class LeakedValueError(Exception):
    """A submodule must be traced inline: a value of it is used outside unreturned, or it calls a module outside."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class ModeSwitchedError(Exception):
    """A module was put into another mode than the model while it ran; it must be traced as fixed in that mode."""

    def __init__(self, path: str, mode: bool) -> None:
        super().__init__(path)
        self.path = path
        self.mode = mode


class OpenedLeafError(Exception):
    """The model calls a part of a leaf of torch; the leaf must be traced into."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class UnholdableError(TraceError):
    """The model does something that no graph can hold, such as to decide by data."""


class UnhashableNumberError(TypeError):
    """A symbolic number was looked up in a dictionary or cache; the place must be given its value instead."""

    def __init__(self, location: str) -> None:
        super().__init__(f"{location}: unhashable symbolic number")
        self.location = location
