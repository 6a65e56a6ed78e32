"""Every exception that graphnas raises, as one small tree.

A message says where, what was expected, what was found and what to do next. What a program may want to act on is in the
fields of the exception, so nobody has to parse a message. This module imports nothing of graphnas.
"""

from __future__ import annotations

from collections.abc import Sequence


class GraphNASError(Exception):
    """Base of every error that graphnas raises on purpose."""


class TraceError(GraphNASError):
    """A model could not be traced.

    Attributes:
        module: Path of the module inside the traced model; the empty string is the root.
        location: `file:line` of the statement that stopped the trace, or the empty string if it is not known.
    """

    def __init__(self, message: str, *, module: str = "", location: str = "") -> None:
        super().__init__(message)
        self.module = module
        self.location = location


class ParseError(GraphNASError, ValueError):
    """A text or JSON form of a model could not be read back.

    Attributes:
        line: Line of the text form, from 1; 0 for a JSON form.
        column: Column of the text form, from 1; 0 for a JSON form.
        path: Path of the JSON form, `$.definitions[2].kind`; empty for a text form.
    """

    def __init__(self, message: str, *, line: int = 0, column: int = 0, path: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.path = path


class VerificationError(GraphNASError):
    """A graph breaks an invariant of `docs/ir.md`.

    Attributes:
        invariant: Number of the broken invariant.
        site: The node, as `path:name`, at which it is broken.
    """

    def __init__(self, message: str, *, invariant: int, site: str = "") -> None:
        super().__init__(message)
        self.invariant = invariant
        self.site = site


class MutationError(GraphNASError):
    """An edit, or the code of a mutator, was refused; the model is as it was.

    Attributes:
        site: The node or module that the edit was about, or the empty string.
    """

    def __init__(self, message: str, *, site: str = "") -> None:
        super().__init__(message)
        self.site = site


class DecisionError(MutationError, ValueError):
    """Decisions do not fit their space: a label is unknown or missing, or a value lies outside its domain.

    Attributes:
        label: The label in question.
        allowed: What would have been accepted: the labels of the space or the values of the domain.
    """

    def __init__(self, message: str, *, label: str = "", allowed: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.label = label
        self.allowed = tuple(allowed)


class CodegenError(GraphNASError):
    """No source could be generated for a model."""


class ConfigError(GraphNASError, ValueError):
    """A configuration is wrong.

    Attributes:
        field: Dotted path of the field, as it is written in the configuration.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ExperimentError(GraphNASError):
    """An experiment could not be run, resumed or read."""


class EvaluationError(ExperimentError):
    """Trials failed to produce a metric.

    Attributes:
        traceback: The traceback of the first failure, as text.
    """

    def __init__(self, message: str, *, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class StoreError(ExperimentError):
    """The store of an experiment is missing, torn, locked or of another version."""


class BenchmarkError(GraphNASError):
    """A benchmark's data is missing, torn or of another layout, or a query asks for what the benchmark has not."""


class UnknownArchitectureError(BenchmarkError, KeyError):
    """An architecture lies outside a benchmark's space, or the benchmark has no measurement of it."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows the repr of its message
