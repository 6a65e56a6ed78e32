"""The numbered invariants of a model, word for word as `docs/ir.md` explains them; `verify` and `infer` check them."""

from __future__ import annotations

from enum import IntEnum


class Invariant(IntEnum):
    """Number of an invariant; `sentence` says what holds."""

    NAMES = 1
    ORDER = 2
    OPERATIONS = 3
    CALLEES = 4
    ARITY = 5
    ATTRIBUTES = 6
    MODES = 7
    TIES = 8
    LITERALS = 9
    CONTAINERS = 10
    CHILD_NAMES = 11
    GUARD_VALUES = 12
    EXPRESSIONS = 13
    EXECUTABLE = 14
    TYPES = 15
    GUARDS = 16

    @property
    def sentence(self) -> str:
        """What holds in every verified model."""
        return _SENTENCES[self]


_SENTENCES = {
    Invariant.NAMES: "Names of inputs and nodes are identifiers, no keywords, and unique within their graph.",
    Invariant.ORDER: "Every value that is used is an input or the value of an earlier node of the same graph.",
    Invariant.OPERATIONS: "An operation's target has the form of its kind, and it has the arguments its kind needs.",
    Invariant.CALLEES: "A module operation names a child that exists, and a forward that this child has.",
    Invariant.ARITY: "A call of a definition passes exactly the inputs of its forward.",
    Invariant.ATTRIBUTES: (
        "An attribute operation names a parameter, buffer or leaf that exists, an assign operation a buffer of a "
        "definition."
    ),
    Invariant.MODES: "The eval and the train graph of a forward have the same inputs.",
    Invariant.TIES: "A tie joins two paths that exist and hold the same, and its source comes first.",
    Invariant.LITERALS: "Arguments hold values and literals only, arguments of constructors hold literals only.",
    Invariant.CONTAINERS: "A list or dict has no forward; a sequential, choice or repeat has at most one; no base.",
    Invariant.CHILD_NAMES: "Names of children, parameters and buffers are not empty, have no dot, and differ.",
    Invariant.GUARD_VALUES: "A guard hangs on a scalar of its own graph.",
    Invariant.EXPRESSIONS: "An initial expression takes no inputs, calls no module, and yields the type it stands for.",
    Invariant.EXECUTABLE: "Every operation can be executed on the types of its operands.",
    Invariant.TYPES: "The type of every node is what the types of its operands give.",
    Invariant.GUARDS: "Every guard still has the outcome that it had when the model was traced.",
}
