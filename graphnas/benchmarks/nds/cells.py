"""Networks of the family `nas_cell` of NDS: two cells, one that keeps the size and one that halves it, stacked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from graphnas.benchmarks.nds.constants import SKIP_CONNECT
from graphnas.benchmarks.nds.designs import CELL_DEPTHS, CELL_DESIGNS, CELL_WIDTHS, CellDesign, check_proposer
from graphnas.benchmarks.nds.operations import OPERATIONS, FactorizedReduce, ReluConvBn
from graphnas.ir.record import model_wrapper
from graphnas.mutators.choices import Cell, ModelParameterChoice
from graphnas.mutators.choices.cell import OpFactory
from graphnas.mutators.choices.fixed import fixation_of


class _Candidates:
    """Operations of a cell; those of a reducing one that take an input of the cell have a stride of two."""

    def __init__(self, design: CellDesign, channels: int, reduces: bool) -> None:
        self.design, self.channels, self.reduces = design, channels, reduces
        self.label = "reduce" if reduces else "normal"

    def __call__(self, node: int, operation: int, source: int | None) -> dict[str, OpFactory]:
        stride = 2 if self.reduces and (source is None or source < 2) else 1
        fixation = fixation_of("structure")
        chosen = None if fixation is None else fixation.get(f"{self.label}/op_{node}_{operation}")
        names = self.design.operations
        if chosen not in names:
            return {name: self._factory(name, stride) for name in names}
        # The others are thrown away again, and building them would take most of the time.
        return {**dict.fromkeys(names, self._factory(SKIP_CONNECT, 1)), chosen: self._factory(chosen, stride)}

    def _factory(self, name: str, stride: int) -> OpFactory:
        return lambda node, operation, source: OPERATIONS[name](self.channels, stride)


class CellBlock(nn.Module):
    """A cell with what brings its two inputs to its channels.

    Attributes:
        out_channels: Channels of the output, which depend on how many nodes are joined.
    """

    def __init__(
        self, design: CellDesign, before: tuple[int, int], channels: int, *, reduces: bool, after_reduction: bool
    ) -> None:
        super().__init__()
        first: nn.Module = ReluConvBn(nn.Conv2d(before[0], channels, 1, bias=False))
        self.first = FactorizedReduce(before[0], channels) if after_reduction else first
        self.second = ReluConvBn(nn.Conv2d(before[1], channels, 1, bias=False))
        candidates = _Candidates(design, channels, reduces)
        self.cell = Cell(
            candidates,
            design.nodes,
            num_ops_per_node=2,
            num_predecessors=2,
            merge_op=design.merge,
            label=candidates.label,
        )
        self.out_channels = len(self.cell.output_node_indices) * channels

    def forward(self, before: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the output of the cell on those of the two cells before."""
        output: torch.Tensor = self.cell(self.first(before), self.second(x))
        return output


@model_wrapper
class CellNetwork(nn.Module):
    """A network of the family `nas_cell`: `depth` cells, those after a third and after two thirds of them reduce.

    Args:
        proposer: Whose cells: `nasnet`, `amoeba`, `pnas`, `enas` or `darts`.
        num_classes: Number of classes.
        widths: What may be decided for the channels of the first cell.
        depths: What may be decided for the number of cells.

    Raises:
        BenchmarkError: There is no such proposer.
    """

    def __init__(
        self,
        proposer: str,
        num_classes: int = 10,
        widths: Sequence[int] = CELL_WIDTHS,
        depths: Sequence[int] = CELL_DEPTHS,
    ) -> None:
        super().__init__()
        check_proposer(proposer, CELL_DESIGNS)
        design = CELL_DESIGNS[proposer]
        channels = ModelParameterChoice(list(widths), label="width")
        depth = ModelParameterChoice(list(depths), label="depth")
        before = (3 * channels, 3 * channels)
        self.stem = nn.Sequential(nn.Conv2d(3, before[0], 3, padding=1, bias=False), nn.BatchNorm2d(before[0]))
        self.cells = nn.ModuleList()
        after_reduction = False
        for place in range(depth):
            reduces = place in (depth // 3, 2 * depth // 3)
            channels *= 2 if reduces else 1
            cell = CellBlock(design, before, channels, reduces=reduces, after_reduction=after_reduction)
            self.cells.append(cell)
            before, after_reduction = (before[1], cell.out_channels), reduces
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(before[1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, `(N, classes)`, of images `(N, 3, H, W)`."""
        before = x = self.stem(x)
        for cell in self.cells:
            before, x = x, cell(before, x)
        logits: torch.Tensor = self.classifier(self.tail(x))
        return logits
