"""Cells: small graphs whose operations and edges are searched.

`Cell` is that of NASNet, ENAS and DARTS (arXiv 1707.07012, 1802.03268, 1806.09055), `NasBench201Cell` that of
NAS-Bench-201 (arXiv 2001.00326). Both are modules that hold choices, so they are there in open and in decided models.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from graphnas.errors import DecisionError
from graphnas.mutators.choices.choice import choose_label
from graphnas.mutators.choices.input_choice import ChosenInputs, InputChoice
from graphnas.mutators.choices.layer_choice import LayerChoice

OpFactory: TypeAlias = Callable[[int, int, int | None], nn.Module]
"""Builds an operation, given the number of its node, its own within the node, and that of its input, None if open."""

OpCandidates: TypeAlias = (
    Sequence[nn.Module | OpFactory] | Mapping[str, nn.Module | OpFactory] | Callable[[int, int, int | None], Any]
)
"""Modules, which are copied, or factories; in a list or dictionary, or a function that returns one."""


class Cell(nn.Module):
    """A cell of nodes, each the sum of some operations, each on one of the nodes before.

    Nodes are numbered from 0; the first ones are the inputs. Node `i` has operations `k`, labelled
    `{label}/op_{i}_{k}`, and their inputs, labelled `{label}/input_{i}_{k}`. Cells of one label are one cell: built
    alike with different widths, they share all decisions.

    Args:
        op_candidates: Candidates of every operation; see `OpCandidates`.
        num_nodes: Number of nodes, inputs not counted.
        num_ops_per_node: Operations of each node.
        num_predecessors: Number of inputs: arguments of `forward`, or the length of the one list.
        merge_op: Which nodes are concatenated as the output: `all`, or those that no other uses, `loose_end`.
        preprocessor: Gets the list of inputs, returns the list of as many tensors that the nodes see.
        postprocessor: Gets the output and that list, returns what the cell returns.
        concat_dim: Dimension along which nodes are concatenated.
        label: Beginning of its labels. Numbered within the model if it is not given.

    Raises:
        DecisionError: An argument is not valid, or (under `fixed_arch`) a decision is not.
    """

    def __init__(
        self,
        op_candidates: OpCandidates,
        num_nodes: int,
        num_ops_per_node: int = 1,
        num_predecessors: int = 1,
        merge_op: Literal["all", "loose_end"] = "all",
        preprocessor: Callable[[list[Any]], Sequence[Any]] | None = None,
        postprocessor: Callable[[Any, list[Any]], Any] | None = None,
        concat_dim: int = 1,
        *,
        label: str | None = None,
    ) -> None:
        super().__init__()
        self.label = choose_label(label, "Cell")
        counts = {"num_nodes": num_nodes, "num_ops_per_node": num_ops_per_node, "num_predecessors": num_predecessors}
        for name, count in counts.items():
            if not isinstance(count, int) or count < 1:
                raise self._error(f"{name} must be a whole number from 1, got {count!r}")
        if merge_op not in ("all", "loose_end"):
            raise self._error(f"merge_op must be 'all' or 'loose_end', got {merge_op!r}")
        self.num_nodes, self.num_ops_per_node, self.num_predecessors = num_nodes, num_ops_per_node, num_predecessors
        self.merge_op: Literal["all", "loose_end"] = merge_op
        self.preprocessor, self.postprocessor, self.concat_dim = preprocessor, postprocessor, concat_dim
        self.ops, self.inputs = nn.ModuleList(), nn.ModuleList()
        used: set[int] = set()
        for node in range(num_predecessors, num_predecessors + num_nodes):
            ops, inputs = nn.ModuleList(), nn.ModuleList()
            for k in range(num_ops_per_node):
                source: Any = InputChoice(node, label=f"{self.label}/input_{node}_{k}")
                chosen = source.chosen[0] if isinstance(source, ChosenInputs) else None
                candidates = self._candidates(op_candidates, node, k, chosen)
                inputs.append(source)
                ops.append(LayerChoice(candidates, label=f"{self.label}/op_{node}_{k}"))
                used.update(() if chosen is None else (chosen,))
            self.ops.append(ops)
            self.inputs.append(inputs)
        nodes = range(num_predecessors, num_predecessors + num_nodes)
        self.output_node_indices: list[int] = [node for node in nodes if merge_op == "all" or node not in used]
        """The nodes that make the output; of an open cell, all."""

    def _candidates(self, given: Any, node: int, k: int, source: int | None) -> Any:
        if callable(given) and not isinstance(given, (nn.Module, nn.ModuleList, nn.ModuleDict)):
            given = given(node, k, source)

        def built(item: Any) -> Any:
            return copy.deepcopy(item) if isinstance(item, nn.Module) or not callable(item) else item(node, k, source)

        if isinstance(given, (Mapping, nn.ModuleDict)):
            return {name: built(item) for name, item in given.items()}
        if isinstance(given, (Sequence, nn.ModuleList)):
            return [built(item) for item in given]
        raise self._error(
            "op_candidates must be a list or dictionary of modules and functions of (node, op, input), or a function "
            f"that returns one, got {given!r:.100}"
        )

    def forward(self, *inputs: Any) -> Any:
        """Return the output of the cell. Give one list of inputs, or the inputs one by one."""
        states = list(inputs[0]) if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)) else list(inputs)
        if self.preprocessor is not None:
            states = list(self.preprocessor(states))
        if len(states) != self.num_predecessors:
            raise self._error(f"expected {self.num_predecessors} inputs, got {len(states)}; set num_predecessors")
        processed = list(states)
        pairs: Any = zip(self.ops, self.inputs, strict=True)
        for ops, inputs_of in pairs:
            states.append(_total([op(source(states)) for op, source in zip(ops, inputs_of, strict=True)]))
        outputs = [states[node] for node in self.output_node_indices]
        merged = outputs[0] if len(outputs) == 1 else torch.cat(outputs, self.concat_dim)
        return merged if self.postprocessor is None else self.postprocessor(merged, processed)

    def _error(self, message: str) -> DecisionError:
        return DecisionError(f"Cell {self.label!r}: {message}", label=self.label)

    def extra_repr(self) -> str:
        """Return the label and which nodes are the output, for `repr`."""
        return f"label={self.label!r}, output_node_indices={self.output_node_indices}"


class NasBench201Cell(nn.Module):
    """A cell in which every tensor is the sum of an operation on each tensor before; the last one is the output.

    The operation from tensor `j` to tensor `i` has the label `{label}/{j}_{i}`.

    Args:
        op_candidates: Functions of the numbers of input and output channels that build the candidates, in a list or
            dictionary.
        in_features: Channels of the input.
        out_features: Channels of all other tensors.
        num_tensors: Number of tensors, with the input.
        label: Beginning of its labels. Numbered within the model if it is not given.

    Raises:
        DecisionError: An argument is not valid, or (under `fixed_arch`) a decision is not.
    """

    def __init__(
        self,
        op_candidates: Sequence[Callable[[int, int], nn.Module]] | Mapping[str, Callable[[int, int], nn.Module]],
        in_features: int,
        out_features: int,
        num_tensors: int = 4,
        *,
        label: str | None = None,
    ) -> None:
        super().__init__()
        self.label = choose_label(label, "NasBench201Cell")
        if not isinstance(num_tensors, int) or num_tensors < 2:
            raise DecisionError(
                f"NasBench201Cell {self.label!r}: num_tensors must be a whole number from 2, got {num_tensors!r}",
                label=self.label,
            )
        factories = factories_by_name(op_candidates, f"NasBench201Cell {self.label!r}", "(in, out)")
        self.layers = nn.ModuleList()
        for target in range(1, num_tensors):
            ops = nn.ModuleList()
            for source in range(target):
                width = in_features if source == 0 else out_features
                candidates = {name: build(width, out_features) for name, build in factories.items()}
                ops.append(LayerChoice(candidates, label=f"{self.label}/{source}_{target}"))
            self.layers.append(ops)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the last tensor."""
        tensors = [inputs]
        layers: Any = self.layers
        for ops in layers:
            tensors.append(_total([op(tensor) for op, tensor in zip(ops, tensors, strict=True)]))
        return tensors[-1]


def factories_by_name(given: Any, owner: str, arguments: str) -> dict[str, Callable[..., nn.Module]]:
    """Return functions that build candidates by the names of these.

    Raises:
        DecisionError: They are no list or dictionary of functions.
    """
    if isinstance(given, Mapping):
        found = dict(given)
    elif isinstance(given, Sequence):
        found = {str(index): build for index, build in enumerate(given)}
    else:
        found = {}
    if not found or not all(callable(build) and not isinstance(build, nn.Module) for build in found.values()):
        raise DecisionError(
            f"{owner}: op_candidates must be a list or dictionary of functions of {arguments} that return a module, "
            f"got {given!r:.100}"
        )
    return found


def _total(values: list[Any]) -> Any:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
