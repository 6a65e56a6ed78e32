"""A chain of blocks whose length is to be decided."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.protocols import Expansion
from graphnas.mutators.choices.choice import choose_label
from graphnas.mutators.choices.decided import Decided, decided
from graphnas.mutators.choices.expression import Expression
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.choices.mutable import Mutable, require_decisions
from graphnas.mutators.choices.origin import mark_repeat
from graphnas.mutators.choices.when import When, condition_of
from graphnas.mutators.condition import Condition
from graphnas.mutators.domain import Categorical

Blocks: TypeAlias = nn.Module | Callable[[int], nn.Module] | Sequence[nn.Module | Callable[[int], nn.Module]]
Depth: TypeAlias = int | tuple[int, int] | Expression


class Repeat(Mutable):
    """A chain of the first so many blocks: `Repeat(lambda index: Block(64), (1, 4), label="depth")`.

    While the choice is open it holds the blocks of the greatest depth under `'0'`, `'1'`, … and runs as many as the
    default depth: the least of a range, the first candidate of a `ValueChoice`. Under `fixed_arch`, the call returns
    an `nn.Sequential` of the decided depth, and so it does everywhere when the depth is a plain number. Every block is
    constructed in either case, so that the labels inside are the same and are known, whatever the depth.

    Args:
        blocks: A module, which is copied, so choices inside are one choice for all blocks; or a callable, called with
            the index of each block, so choices inside without a label are their own; or a list of modules and
            callables, at least as long as the greatest depth.
        depth: A number, a pair of least and greatest depth, both included, or an expression of value choices. 0 is
            allowed.
        label: Label of the decision where the depth is a pair. Numbered within the model if it is not given.
        when: When the depth is a pair, when the choice comes up. Else it is the least depth.

    Raises:
        DecisionError: Blocks, depth, label or condition are not valid, or (under `fixed_arch`) the decision is not.
    """

    def __init__(self, blocks: Blocks, depth: Depth, *, label: str | None = None, when: When | None = None) -> None:
        super().__init__()
        self._depth = _Depth.of(depth, label, when)
        for index, module in enumerate(_build(blocks, max(self.depths), self._depth.name)):
            self.add_module(str(index), module)
        self._depth.decide()

    @classmethod
    def create_fixed_module(
        cls, blocks: Blocks, depth: Depth, *, label: str | None = None, when: When | None = None
    ) -> nn.Sequential:
        if isinstance(depth, Expression):
            require_decisions("value")
            depth = decided(depth)
        elif not isinstance(depth, int):
            require_decisions("structure")
        plan = _Depth.of(depth, label, when)
        modules = _build(blocks, max(plan.options), plan.name)
        chain = nn.Sequential(*modules[: plan.decide()])
        mark_repeat(chain)
        return chain

    @property
    def label(self) -> str:
        """The label of the decision."""
        return self._depth.name

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The blocks of the greatest depth."""
        return tuple(self.children())

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths that can be chosen, the default first."""
        return self._depth.options

    @property
    def min_depth(self) -> int:
        """The least depth."""
        return min(self.depths)

    @property
    def max_depth(self) -> int:
        """The greatest depth."""
        return max(self.depths)

    @property
    def depth_choice(self) -> Expression | None:
        """The expression that was given as depth, None for a range."""
        return self._depth.expression

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


@dataclass(frozen=True)
class _Depth:
    """What the depth can be, and how it is decided.

    Attributes:
        options: The depths that are possible, the default first.
        name: What to call the choice in messages.
        expression: The expression that it is, if the user gave one.
        domain: The domain of a pair.
        condition: When that comes up.
    """

    options: tuple[int, ...]
    name: str
    expression: Expression | None = None
    domain: Categorical | None = None
    condition: Condition | None = None
    chosen: int | None = None

    @classmethod
    def of(cls, depth: Any, label: str | None, when: When | None) -> _Depth:
        if isinstance(depth, (int, Expression)) and (label is not None or when is not None):
            raise DecisionError(
                f"Repeat: label and when go with a pair of depths, got {depth!r}; give them to the ValueChoice",
                label=label or "",
            )
        if isinstance(depth, Decided):
            options = _checked(depth.expression.all_options(), depth.expression)
            return cls(options, depth.expression.describe(), depth.expression, chosen=depth())
        if isinstance(depth, Expression):
            return cls(_checked(depth.all_options(), depth), depth.describe(), depth)
        if isinstance(depth, int) and not isinstance(depth, bool):
            return cls(_checked((depth,), depth), str(depth), chosen=depth)
        if (
            not isinstance(depth, (tuple, list))
            or len(depth) != 2
            or not all(type(end) is int for end in depth)
            or not 0 <= depth[0] <= depth[1]
        ):
            raise DecisionError(
                "Repeat: depth must be a number, a pair (least, greatest) with 0 <= least <= greatest, or a "
                f"ValueChoice of numbers, got {depth!r:.100}",
                label=label or "",
            )
        options = tuple(range(depth[0], depth[1] + 1))
        name = choose_label(label, "Repeat")
        return cls(options, name, domain=Categorical(name, options), condition=condition_of(when, name))

    def decide(self) -> int:
        """Declare the choice; return the depth."""
        if self.domain is None:
            return self.options[0] if self.chosen is None else self.chosen
        depth: int = declare_and_decide(self.domain, "structure", self.condition)[1]
        return depth


def _checked(options: tuple[Any, ...], depth: Any) -> tuple[int, ...]:
    for option in options:
        if type(option) is not int or option < 0:
            raise DecisionError(f"Repeat: a depth must be a whole number from 0, got {option!r} of {depth!r}")
    return options


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
