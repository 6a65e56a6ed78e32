"""The design spaces of NDS: what may be decided about a network (arXiv 1905.13214, tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from graphnas.benchmarks.nds import constants as names
from graphnas.errors import BenchmarkError


@dataclass(frozen=True)
class CellDesign:
    """What cells of a design space look like (arXiv 1905.13214, table 2).

    Attributes:
        operations: What a node may do.
        nodes: Number of nodes of a cell.
        merge: Which nodes make its output: all, or those that no other takes.
    """

    operations: tuple[str, ...]
    nodes: int
    merge: Literal["all", "loose_end"]


CELL_DESIGNS = {
    "nasnet": CellDesign(
        (
            names.SKIP_CONNECT,
            names.CONV_3X1_1X3,
            names.CONV_7X1_1X7,
            names.DIL_CONV_3X3,
            names.AVG_POOL_3X3,
            names.MAX_POOL_3X3,
            names.MAX_POOL_5X5,
            names.MAX_POOL_7X7,
            names.CONV_1X1,
            names.CONV_3X3,
            names.SEP_CONV_3X3,
            names.SEP_CONV_5X5,
            names.SEP_CONV_7X7,
        ),
        5,
        "loose_end",
    ),
    "amoeba": CellDesign(
        (
            names.SKIP_CONNECT,
            names.SEP_CONV_3X3,
            names.SEP_CONV_5X5,
            names.SEP_CONV_7X7,
            names.AVG_POOL_3X3,
            names.MAX_POOL_3X3,
            names.DIL_SEP_CONV_3X3,
            names.CONV_7X1_1X7,
        ),
        5,
        "loose_end",
    ),
    "pnas": CellDesign(
        (
            names.SEP_CONV_3X3,
            names.SEP_CONV_5X5,
            names.SEP_CONV_7X7,
            names.CONV_7X1_1X7,
            names.SKIP_CONNECT,
            names.AVG_POOL_3X3,
            names.MAX_POOL_3X3,
            names.DIL_CONV_3X3,
        ),
        5,
        "all",
    ),
    "enas": CellDesign(
        (names.SKIP_CONNECT, names.SEP_CONV_3X3, names.SEP_CONV_5X5, names.AVG_POOL_3X3, names.MAX_POOL_3X3),
        5,
        "loose_end",
    ),
    "darts": CellDesign(
        (
            names.NONE,
            names.MAX_POOL_3X3,
            names.AVG_POOL_3X3,
            names.SKIP_CONNECT,
            names.SEP_CONV_3X3,
            names.SEP_CONV_5X5,
            names.DIL_CONV_3X3,
            names.DIL_CONV_5X5,
        ),
        4,
        "all",
    ),
}
"""Designs of the family `nas_cell`, by proposer."""

CELL_WIDTHS = (16, 24, 32)
"""Channels of the first cell."""

CELL_DEPTHS = (4, 8, 12, 16, 20)
"""Number of cells."""


@dataclass(frozen=True)
class StagedDesign:
    """What the three stages of a network may be; each is decided by itself.

    Attributes:
        family: Kind of the blocks: `vanilla`, `residual_basic` or `residual_bottleneck`.
        depths: Number of blocks.
        widths: Number of channels.
        bottlenecks: Channels within a bottleneck, over those of the stage.
        groups: Groups of the convolution within a bottleneck.
    """

    family: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    bottlenecks: tuple[float, ...] = ()
    groups: tuple[int, ...] = ()


_DEPTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
_WIDTHS = (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256)

STAGED_DESIGNS = {
    "vanilla": StagedDesign("vanilla", _DEPTHS, _WIDTHS),
    "resnet": StagedDesign("residual_basic", _DEPTHS, _WIDTHS),
    "resnext-a": StagedDesign(
        "residual_bottleneck", (1, 2, 4, 8, 16), (16, 32, 64, 128, 256), (1.0, 0.5, 0.25), (1, 2, 4)
    ),
    "resnext-b": StagedDesign(
        "residual_bottleneck", (1, 2, 4, 8, 16), (64, 128, 256, 512, 1024), (1.0, 0.5, 0.25), (1, 2, 4, 8, 16)
    ),
}
"""Designs of the other families, by proposer.

The paper gives the ends and the number of depths and widths, spread evenly on a logarithmic scale. For `vanilla` and
`resnet` that leaves room for rounding: a record with another value can be built by giving it to `StagedNetwork`.
"""

STEM_WIDTH = 16
"""Channels before the first stage."""

STRIDES = (1, 2, 2)
"""Strides of the stages."""

DESIGNED = (*CELL_DESIGNS, *STAGED_DESIGNS)
"""Proposers whose design is known."""


def check_proposer(proposer: str, designs: Collection[str]) -> None:
    """Refuse a proposer that has no design.

    Raises:
        BenchmarkError: There is no such design.
    """
    if proposer not in designs:
        raise BenchmarkError(f"proposer: expected one of {', '.join(designs)}, got {proposer!r}")
