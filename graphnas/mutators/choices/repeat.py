"""A chain of blocks whose length is to be decided."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.protocols import Expansion
from graphnas.mutators.choices.choice import choose_label
from graphnas.mutators.choices.decided import Decided
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.value_choice import ValueChoice
from graphnas.mutators.domain import Categorical

Blocks: TypeAlias = nn.Module | Callable[[int], nn.Module] | Sequence[nn.Module | Callable[[int], nn.Module]]


class Repeat(nn.Module):
    """A chain of the first so many blocks: `Repeat(lambda index: Block(64), (1, 4), label="depth")`.

    While the choice is open it holds the blocks of the greatest depth under `'0'`, `'1'`, … and runs as many as the
    default depth: the least of a range, the first candidate of a `ValueChoice`. Under `fixed_arch`, the call returns
    an `nn.Sequential` of the decided depth, and so it does everywhere when the depth is a plain number. Every block is
    constructed in either case, so that the labels inside are the same and are known, whatever the depth.

    Args:
        blocks: A module, which is copied, so choices inside are one choice for all blocks; or a callable, called with
            the index of each block, so choices inside without a label are their own; or a list of modules and
            callables, at least as long as the greatest depth.
        depth: A number, a pair of least and greatest depth, both included, or a `ValueChoice` of depths. 0 is allowed.
        label: Label of the decision where the depth is a pair. Numbered within the model if it is not given.

    Raises:
        DecisionError: Blocks, depth or label are not valid, or (under `fixed_arch`) the decision is not.
    """

    _domain: Categorical
    _choice: ValueChoice | None

    def __new__(cls, blocks: Blocks, depth: int | tuple[int, int] | ValueChoice, *, label: str | None = None) -> Any:
        choice, domain, chosen = _depths(depth, label)
        name = domain.label if domain is not None else label or "without a label"
        greatest = max(domain.values) if domain is not None else chosen
        was_chosen_from = getattr(depth, "candidates", ()) if isinstance(depth, Decided) else ()
        greatest = max((greatest, *was_chosen_from))
        modules = _build(blocks, greatest, name)
        if domain is None:
            return nn.Sequential(*modules[:chosen])
        decided, decision = declare_and_decide(domain, "structure" if choice is None else "value")
        if decided:
            return nn.Sequential(*modules[:decision])
        repeat: Any = super().__new__(cls)
        nn.Module.__init__(repeat)
        repeat._domain, repeat._choice = domain, choice
        for index, module in enumerate(modules):
            repeat.add_module(str(index), module)
        return repeat

    def __init__(self, blocks: Any, depth: Any, *, label: str | None = None) -> None:
        # Everything is built in `__new__`, which returns another module where the depth is decided.
        pass

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # A copy must not be constructed anew: it would be decided under `fixed_arch`, and take another label.
        return _restore, (type(self),), self.__dict__

    @property
    def label(self) -> str:
        """The label of the decision."""
        return self._domain.label

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The blocks of the greatest depth."""
        return tuple(self.children())

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths that can be chosen, the default first."""
        return tuple(self._domain.values)

    @property
    def min_depth(self) -> int:
        """The least depth."""
        return min(self.depths)

    @property
    def max_depth(self) -> int:
        """The greatest depth."""
        return max(self.depths)

    @property
    def depth_choice(self) -> ValueChoice | None:
        """The `ValueChoice` that was given as depth, None for a range."""
        return self._choice

    def forward(self, x: Any) -> Any:
        """Run the blocks of the default depth."""
        for block in self.blocks[: self.depths[0]]:
            x = block(x)
        return x

    def __graphnas_expand__(self) -> Expansion:
        """Return how an open choice is traced: the blocks of the greatest depth, chained."""
        return Expansion("repeat", self.label, {str(index): block for index, block in enumerate(self.blocks)})

    def __getitem__(self, index: int) -> nn.Module:
        return self.blocks[index]

    def __len__(self) -> int:
        return self.max_depth

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.blocks)

    def extra_repr(self) -> str:
        """Return the depths and the label, for `repr`."""
        return f"depths={list(self.depths)}, label={self.label!r}"


def _restore(kind: type[Repeat]) -> Repeat:
    return nn.Module.__new__(kind)


def _depths(depth: Any, label: str | None) -> tuple[ValueChoice | None, Categorical | None, int]:
    """Return the choice that the user gave, the domain, and the depth where there is nothing to choose."""
    if isinstance(depth, (int, ValueChoice)) and label is not None:
        kind = "ValueChoice has its own label" if isinstance(depth, ValueChoice) else "number is no choice"
        raise DecisionError(f"Repeat: label {label!r} goes with a range of depths; a {kind}", label=label)
    if isinstance(depth, ValueChoice):
        _check_depths(depth.candidates, depth.label)
        return depth, depth.domain, 0
    if isinstance(depth, int) and not isinstance(depth, bool):
        _check_depths((int(depth),), None)
        return None, None, int(depth)
    if not isinstance(depth, (tuple, list)) or len(depth) != 2 or not all(type(end) is int for end in depth):
        raise DecisionError(
            f"Repeat: depth must be a number, a pair (least, greatest) or a ValueChoice of numbers, got {depth!r:.100}",
            label=label or "",
        )
    least, greatest = depth
    if not 0 <= least <= greatest:
        raise DecisionError(
            f"Repeat: depth must be a pair (least, greatest) with 0 <= least <= greatest, got {depth!r}",
            label=label or "",
        )
    return None, Categorical(choose_label(label, "Repeat"), tuple(range(least, greatest + 1))), least


def _check_depths(depths: tuple[Any, ...], label: str | None) -> None:
    for depth in depths:
        if type(depth) is not int or depth < 0:
            of = f" of ValueChoice {label!r}" if label else ""
            raise DecisionError(f"Repeat: a depth must be a whole number from 0, got {depth!r}{of}", label=label or "")


def _build(blocks: Any, depth: int, name: str) -> list[nn.Module]:
    if isinstance(blocks, nn.Module) and not isinstance(blocks, nn.ModuleList):
        return [blocks if index == 0 else copy.deepcopy(blocks) for index in range(depth)]
    if callable(blocks) and not isinstance(blocks, nn.ModuleList):
        built = [blocks(index) for index in range(depth)]
    elif isinstance(blocks, (Sequence, nn.ModuleList)):
        if len(blocks) < depth:
            raise DecisionError(
                f"Repeat {name!r}: {len(blocks)} blocks were given for a greatest depth of {depth}; "
                "give one for each, or a callable that builds them",
                label=name,
            )
        items = list(blocks)[:depth]
        built = [item if isinstance(item, nn.Module) else item(index) for index, item in enumerate(items)]
    else:
        raise DecisionError(
            f"Repeat {name!r}: blocks must be a module, a callable that takes an index, or a list of these, "
            f"got {blocks!r:.100}",
            label=name,
        )
    for index, block in enumerate(built):
        if not isinstance(block, nn.Module):
            raise DecisionError(
                f"Repeat {name!r}: block {index} must be a torch.nn.Module, got {block!r:.100}", label=name
            )
    return built
