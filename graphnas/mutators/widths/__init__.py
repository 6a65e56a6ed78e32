"""Changing the width of a layer: what hangs together with it, and how it is repaired.

The stack, lowest first::

    axes < values, solving < call < pointwise, shapes, cutting, layers, leaves, roles < survey < apply < change < heads
"""

from __future__ import annotations

from graphnas.mutators.widths.change import AxisChange, WidthChange, set_width, width_of
from graphnas.mutators.widths.heads import head_sites, set_heads

__all__ = ["AxisChange", "WidthChange", "head_sites", "set_heads", "set_width", "width_of"]
