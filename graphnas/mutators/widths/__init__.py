"""Changing the width of a layer: what hangs together with it, and how it is repaired.

The stack, lowest first::

    axes < values, solving < call < pointwise, shapes, cutting, layers, leaves, roles < survey < apply < change
"""

from __future__ import annotations

from graphnas.mutators.widths.change import AxisChange, WidthChange, set_width, width_of

__all__ = ["AxisChange", "WidthChange", "set_width", "width_of"]
