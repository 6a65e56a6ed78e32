"""What a trace has to say about the model beyond its graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OpaqueModule:
    """A submodule that could not be traced and is kept whole, as a leaf."""

    path: str
    class_name: str
    location: str
    reason: str


@dataclass(frozen=True)
class Report:
    """Findings of one trace.

    Attributes:
        guards: Decisions taken by value, one line each: path, expression, outcome and `file:line`.
        opaque: Submodules that could not be traced.
        notes: Anything else that a user should know, one sentence each.
        editable: Share of the parameters, 0 to 1, that lie in leaves of torch.nn or in definitions.
    """

    guards: tuple[str, ...] = ()
    opaque: tuple[OpaqueModule, ...] = ()
    notes: tuple[str, ...] = ()
    editable: float = 1.0

    def __str__(self) -> str:
        lines = [f"editable parameters: {self.editable:.1%}"]
        lines += [f"guard: {guard}" for guard in self.guards]
        lines += [f"opaque: {m.path} ({m.class_name}) at {m.location}: {m.reason}" for m in self.opaque]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)
