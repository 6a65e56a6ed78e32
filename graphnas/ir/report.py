"""What a trace has to say about the model beyond its graph, as plain data; `report_text` lays it out for reading.

Everything here is strings, numbers and tuples of these, so that a report is stored with the model and read without the
code that it speaks of.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal


@dataclass(frozen=True)
class Part:
    """A module of the model.

    Attributes:
        path: Where it stands; the root has the empty path.
        class_name: Its class.
        leaf: Whether it is called as it is, without a graph of its own.
        parameters: Number of elements of the parameters in and below it; what is shared counts where it stands first.
    """

    path: str
    class_name: str
    leaf: bool
    parameters: int


@dataclass(frozen=True)
class GuardReport:
    """A decision that was taken by value: the source is that of the outcome.

    Attributes:
        expression: What was decided, in the variables of the forward: `x.shape[1] > 4`.
        outcome: The value it had, as Python writes it.
        location: `file:line`.
        class_name: Class of the module that decided.
        paths: Where modules stand that decided so.
    """

    expression: str
    outcome: str
    location: str
    class_name: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class OpaqueModule:
    """A submodule that could not be traced and is kept whole, as a leaf."""

    path: str
    class_name: str
    location: str
    reason: str


@dataclass(frozen=True)
class Shared:
    """A module that stands at several paths, or a parameter that has several names; `source` is the first."""

    kind: Literal["module", "parameter"]
    source: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Import:
    """Something beyond torch and the standard library that the source imports: `module:qualname`, and who uses it."""

    target: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Constant:
    """A tensor of which nothing is known but its bytes; large ones go to a `.safetensors` file beside the source."""

    path: str
    type: str
    size_bytes: int


@dataclass(frozen=True)
class Argument:
    """An argument of the original forward that the forward of the source lacks.

    Attributes:
        name: Its name.
        value: The value that the source was specialised for, as text: what was given, or the default.
        given: Whether it was given.
    """

    name: str
    value: str
    given: bool


@dataclass(frozen=True)
class Method:
    """A public method of the original that the source lacks.

    Attributes:
        name: Its name.
        location: `file:line`.
        inlined: Whether the forward called it, so that what it did is in the forward of the source.
    """

    name: str
    location: str
    inlined: bool


@dataclass(frozen=True)
class TracedCode:
    """A method that ran during the trace, and the lines of it at which operations were recorded."""

    name: str
    file: str
    first_line: int
    lines: tuple[int, ...]


@dataclass(frozen=True)
class ClassReport:
    """What the source lacks of one of the original classes.

    Attributes:
        name: Name of the class.
        origin: `module:qualname`.
        count: Number of modules of that class.
        arguments: Arguments of its forward that are gone.
        methods: Public methods that are gone.
        code: What of it ran.
    """

    name: str
    origin: str
    count: int
    arguments: tuple[Argument, ...] = ()
    methods: tuple[Method, ...] = ()
    code: tuple[TracedCode, ...] = ()


@dataclass(frozen=True)
class Branch:
    """A side of an `if` of the original that the source lacks.

    Attributes:
        class_name: The class whose method it stands in.
        condition: The condition as it is written there.
        outcome: What the condition always was; the other side is gone.
        location: `file:line` of the `if`.
    """

    class_name: str
    condition: str
    outcome: bool
    location: str


@dataclass(frozen=True)
class Report:
    """Findings of one trace. `print` shows them; the fields have all of them.

    Attributes:
        hierarchy: Every module, parents first.
        guards: Decisions taken by value.
        opaque: Submodules that could not be traced.
        unused: Paths of parameters that no graph reads.
        shared: Shared modules and tied parameters.
        imports: What the source needs beyond torch and the standard library.
        constants: Tensors that are kept as data.
        classes: What the source lacks of each original class: methods, and arguments of forward.
        notes: Anything else that a user should know, one sentence each.
        editable: Share of the parameters, 0 to 1, that lie in leaves of torch.nn or in definitions.
    """

    hierarchy: tuple[Part, ...] = ()
    guards: tuple[GuardReport, ...] = ()
    opaque: tuple[OpaqueModule, ...] = ()
    unused: tuple[str, ...] = ()
    shared: tuple[Shared, ...] = ()
    imports: tuple[Import, ...] = ()
    constants: tuple[Constant, ...] = ()
    classes: tuple[ClassReport, ...] = ()
    notes: tuple[str, ...] = ()
    editable: float = 1.0

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """Sides of `if`s in the original classes that the source lacks, as far as that can be known.

        Found out when asked for, from the original's source file and the lines at which operations were recorded. A
        side that would not have left an operation, such as one that only assigns None, is not listed.
        """
        from graphnas.ir.branches import lost_branches  # reads source, which a report needs for nothing else

        return tuple(branch for item in self.classes for branch in lost_branches(item))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dictionaries, lists, strings and numbers, `branches` included, for `json.dumps`."""
        return {**asdict(self), "branches": [asdict(branch) for branch in self.branches]}

    def __str__(self) -> str:
        from graphnas.ir.report_text import format_report  # layout stands above the data

        return format_report(self)
