"""The bodies of the two modes as one: what differs stands under `if self.training:`."""

from __future__ import annotations

from collections.abc import Sequence

from graphnas.codegen.lowering import ModeLowering
from graphnas.codegen.merge import Merger
from graphnas.codegen.syntax import Statement

_TRAIN, _EVAL = 1, 2


def merge_modes(evaluated: Sequence[Statement], trained: Sequence[Statement]) -> list[Statement]:
    """Return one body that runs the statements of each mode, in their order, in that mode."""
    merger = Merger(lambda target: {}, holes=False)
    return ModeLowering().block(merger.sequence(trained, evaluated, (_TRAIN, _EVAL)), _TRAIN | _EVAL)
