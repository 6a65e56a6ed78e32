"""The cell of NAS-Bench-101 (arXiv 1902.09635): any small graph of operations, within a number of nodes and edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from graphnas.errors import DecisionError
from graphnas.mutators.choices.cell import factories_by_name
from graphnas.mutators.choices.choice import choose_label, constrain
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.mutable import Mutable, require_decisions
from graphnas.mutators.condition import Match
from graphnas.mutators.domain import Categorical, Decision
from graphnas.mutators.subset import Subset

Factory = Callable[[int], nn.Module]
Projection = Callable[[int, int], nn.Module]


class NasBench101Cell(Mutable):
    """A cell of up to 7 nodes and 9 edges: node 0 is the input, the last one the output, those between operate.

    Decided are `{label}/num_nodes`, `{label}/op{i}` of each node between, and `{label}/input{i}`, the list of nodes
    before that node `i` takes, for each but the input. Nodes from which no way leads to the output do not count and are
    not built. A cell with more edges than allowed is never proposed, and refused if it is decided.

    As in the benchmark, an operation gets the sum of its inputs, the output is the concatenation of what it takes plus
    the projected input, and the channels are shared out accordingly. While the cell is open it is the smallest one: the
    projected input.

    Args:
        op_candidates: Functions of the number of channels that build the candidates, in a list or dictionary.
        in_features: Channels of the input.
        out_features: Channels of the output.
        projection: Builds what takes the input to other channels, given both numbers of channels.
        max_num_nodes: Greatest number of nodes, input and output included.
        max_num_edges: Greatest number of edges.
        label: Beginning of its labels. Numbered within the model if it is not given.

    Raises:
        DecisionError: An argument is not valid, or (under `fixed_arch`) a decision is not.
    """

    def __init__(
        self,
        op_candidates: Sequence[Factory] | Mapping[str, Factory],
        in_features: int,
        out_features: int,
        projection: Projection,
        max_num_nodes: int = 7,
        max_num_edges: int = 9,
        *,
        label: str | None = None,
    ) -> None:
        super().__init__()
        plan = _Plan(op_candidates, max_num_nodes, max_num_edges, label)
        self.label = plan.label
        self.cell = ChosenNasBench101Cell(*plan.decide(), in_features, out_features, projection)

    @classmethod
    def create_fixed_module(
        cls,
        op_candidates: Sequence[Factory] | Mapping[str, Factory],
        in_features: int,
        out_features: int,
        projection: Projection,
        max_num_nodes: int = 7,
        max_num_edges: int = 9,
        *,
        label: str | None = None,
    ) -> ChosenNasBench101Cell:
        require_decisions("value")
        plan = _Plan(op_candidates, max_num_nodes, max_num_edges, label)
        operations, inputs = plan.decide()
        return ChosenNasBench101Cell(operations, inputs, in_features, out_features, projection)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output of the smallest cell."""
        output: torch.Tensor = self.cell(inputs)
        return output


class ChosenNasBench101Cell(nn.Module):
    """What a `NasBench101Cell` is once it is decided.

    Args:
        operations: Functions of the number of channels, one for each node between input and output.
        inputs: The nodes that each node takes, from node 1 to the output.
        in_features: Channels of the input.
        out_features: Channels of the output.
        projection: Builds what takes the input to other channels, given both numbers of channels.
    """

    def __init__(
        self,
        operations: Sequence[Factory],
        inputs: Sequence[Sequence[int]],
        in_features: int,
        out_features: int,
        projection: Projection,
    ) -> None:
        super().__init__()
        self.sources = dict(used_edges(inputs))
        self.output = len(inputs)
        self.channels = channels_of(self.sources, self.output, in_features, out_features)
        self.ops = nn.ModuleDict()
        self.projections = nn.ModuleDict()
        for node, sources in self.sources.items():
            if 0 in sources:
                self.projections[str(node)] = projection(in_features, self.channels[node])
            if node != self.output:
                self.ops[str(node)] = operations[node - 1](self.channels[node])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output of the cell."""
        tensors = {0: inputs}
        for node, sources in self.sources.items():
            terms = [self._narrowed(tensors[source], source, node) for source in sources if source != 0]
            if node == self.output and len(terms) > 1:
                terms = [torch.cat(terms, 1)]
            if 0 in sources:
                terms.append(self.projections[str(node)](inputs))
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            tensors[node] = total if node == self.output else self.ops[str(node)](total)
        return tensors[self.output]

    def _narrowed(self, tensor: torch.Tensor, source: int, node: int) -> torch.Tensor:
        if node == self.output or self.channels[source] == self.channels[node]:
            return tensor
        return tensor[:, : self.channels[node]]


def used_edges(inputs: Sequence[Sequence[int]]) -> list[tuple[int, tuple[int, ...]]]:
    """Return node and inputs of those nodes from which a way leads to the last one, in order."""
    needed = {len(inputs)}
    for node in range(len(inputs), 0, -1):
        if node in needed:
            needed.update(inputs[node - 1])
    return [(node, tuple(inputs[node - 1])) for node in range(1, len(inputs) + 1) if node in needed]


def channels_of(
    sources: Mapping[int, tuple[int, ...]], output: int, in_features: int, out_features: int
) -> dict[int, int]:
    """Return the channels of each node.

    Those that the output concatenates share its channels, the first ones get one more where that does not come out
    even. Any other node has as many as the widest node that takes it.
    """
    joined = [node for node in sources[output] if node != 0]
    channels = {0: in_features, output: out_features}
    for place, node in enumerate(joined):
        channels[node] = out_features // len(joined) + (place < out_features % len(joined))
    for node in sorted(sources, reverse=True):
        if node not in channels:
            channels[node] = max(channels[user] for user, taken in sources.items() if node in taken)
    return channels


class _Plan:
    """The choices of a cell."""

    def __init__(self, op_candidates: Any, max_num_nodes: int, max_num_edges: int, label: str | None) -> None:
        self.label = choose_label(label, "NasBench101Cell")
        self.factories = factories_by_name(op_candidates, f"NasBench101Cell {self.label!r}", "(channels)")
        for name, count, least in (("max_num_nodes", max_num_nodes, 2), ("max_num_edges", max_num_edges, 1)):
            if not isinstance(count, int) or count < least:
                raise DecisionError(
                    f"NasBench101Cell {self.label!r}: {name} must be a whole number from {least}, got {count!r}",
                    label=self.label,
                )
        self.max_num_nodes, self.max_num_edges = max_num_nodes, max_num_edges

    def decide(self) -> tuple[list[Factory], list[list[int]]]:
        """Declare the choices; return the operations and inputs of the nodes.

        Raises:
            DecisionError: The decisions do not fit, or make too many edges.
        """
        numbers = tuple(range(2, self.max_num_nodes + 1))
        taken: dict[str, Decision] = {}
        for domain, greater in self._domains(numbers):
            condition = Match.of({f"{self.label}/num_nodes": list(greater)}) if len(greater) < len(numbers) else None
            taken[domain.label] = declare_and_decide(domain, "value", condition)[1]
        constrain(f"edges of {self.label}", self.is_allowed)
        if not self.is_allowed(taken):
            raise DecisionError(
                f"NasBench101Cell {self.label!r}: {taken} make more edges than the {self.max_num_edges} allowed",
                label=self.label,
            )
        nodes = taken[f"{self.label}/num_nodes"]
        operations = [self.factories[taken[f"{self.label}/op{node}"]] for node in range(1, nodes - 1)]
        return operations, [taken[f"{self.label}/input{node}"] for node in range(1, nodes)]

    def is_allowed(self, decisions: Mapping[str, Decision]) -> bool:
        """Tell whether decisions stay within the number of edges."""
        nodes = decisions[f"{self.label}/num_nodes"]
        inputs = [decisions[f"{self.label}/input{node}"] for node in range(1, nodes)]
        return sum(len(sources) for _, sources in used_edges(inputs)) <= self.max_num_edges

    def _domains(self, numbers: tuple[int, ...]) -> list[tuple[Categorical | Subset, tuple[int, ...]]]:
        """Return every domain, and the numbers of nodes with which it comes up."""
        found: list[tuple[Categorical | Subset, tuple[int, ...]]] = [
            (Categorical(f"{self.label}/num_nodes", numbers), numbers)
        ]
        for node in range(1, self.max_num_nodes):
            if node < self.max_num_nodes - 1:
                domain = Categorical(f"{self.label}/op{node}", tuple(self.factories))
                found.append((domain, tuple(number for number in numbers if number > node + 1)))
            inputs = Subset(f"{self.label}/input{node}", tuple(range(node)))
            found.append((inputs, tuple(number for number in numbers if number > node)))
        return found
