"""Weights from parent to child: what a child keeps of what its parent has learnt.

The history of a child says where its parameters and buffers come from, as far as names and shapes do not: a `Mutation`
has *steps* for the names in `weights`, applied in order::

    ("resize", axis, is_summed, ((old, new), ...))   other lengths of an axis; shared out where it is summed over
    ("copy", name)                                   the tensor of another name in the parent
    ("identity",)                                    the weight of a convolution or Linear that changes nothing
    ("fill", number)                                 the same number everywhere

The stack, lowest first: `steps` (what each step does to a tensor), `inheritance` (the state of a child), `preserve`
(whether a change of width leaves the function as it is).
"""

from __future__ import annotations

from graphnas.mutators.inherit.inheritance import Inheritance, inherit
from graphnas.mutators.inherit.preserve import lost

__all__ = ["Inheritance", "inherit", "lost"]
