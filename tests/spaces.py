"""Random model spaces: nested choices of every kind, described by plain data and built by one wrapped class.

A recipe is a tuple of parts, each a tuple of a kind and its arguments. Every part maps a tensor `(N, width)` to one of
the width that comes out; widths are multiples of 4 and may hang on choices.
"""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from graphnas import (
    AutoActivation,
    Cell,
    InputChoice,
    LayerChoice,
    ModelParameterChoice,
    Repeat,
    ValueChoice,
    basic_unit,
    int_range,
    model_wrapper,
)

WIDTH = 8


@basic_unit
class Scale(nn.Module):
    """A leaf of the user's with an argument that may be a choice."""

    def __init__(self, width: int, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.shift


class Maker:
    """Builds parts, and remembers the choices that conditions can ask about."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.count = 0

    def label(self) -> str:
        self.count += 1
        return f"c{self.count}"

    def width(self, recipe: Any) -> Any:
        """Return a width: a number, a choice, or what is computed from one."""
        kind, seed = recipe
        if kind == "plain":
            return (4, 8)[seed % 2]
        choice: Any = ValueChoice([4, 8, 16][: 2 + seed % 2], label=f"w{seed}")
        if choice not in [value for value in self.values if value is choice]:
            self.values.append(choice)
        computed = {
            "choice": lambda: choice,
            "twice": lambda: 2 * choice,
            "max": lambda: ValueChoice.max(choice, 8),
            "half": lambda: ValueChoice.to_int(choice / 2) * 2,
            "either": lambda: ValueChoice.condition(choice > 4, choice - 4, 8),
        }
        return computed[kind]()

    def when(self, wanted: bool) -> Any:
        """Return a condition on the width that was last decided, if there is one."""
        return self.values[-1] > 4 if wanted and self.values else None


class Part(nn.Module):
    """One part of a recipe; `out` is the width that comes out."""

    def __init__(self, maker: Maker, kind: str, arguments: tuple[Any, ...], width: Any) -> None:
        super().__init__()
        self.kind = kind
        self.out = width
        self.layer: Any = None
        getattr(self, f"_{kind}")(maker, width, *arguments)

    def _linear(self, maker: Maker, width: Any, out: Any, initial: str) -> None:
        self.out = maker.width(out)
        self.layer = nn.Linear(width, self.out)
        if initial == "zeros":
            nn.init.zeros_(self.layer.weight)
        elif initial == "small":
            nn.init.normal_(self.layer.weight, std=0.01)

    def _norm(self, maker: Maker, width: Any) -> None:
        self.layer = nn.LayerNorm(width)

    def _layer(self, maker: Maker, width: Any, candidates: Any, named: bool, when: bool) -> None:
        modules = [Chain(maker, recipe, width, keep=True) for recipe in candidates]
        given: Any = {f"op{index}": module for index, module in enumerate(modules)} if named else modules
        self.layer = LayerChoice(given, label=maker.label(), when=maker.when(when))

    def _repeat(self, maker: Maker, width: Any, recipe: Any, depth: str, shared: bool) -> None:
        label = maker.label()
        inner = maker.count
        values: dict[str, Any] = {
            "range": lambda: (0, 2),
            "choice": lambda: ValueChoice([1, 0, 3], label=label),
            "expression": lambda: ValueChoice(int_range(1, 2), label=label) * 2 - 1,
            "plain": lambda: 2,
        }

        def block(index: int) -> nn.Module:
            maker.count = inner if shared else maker.count
            return Chain(maker, recipe, width, keep=True)

        blocks: Any = block(0) if shared else block
        self.layer = Repeat(blocks, values[depth](), label=label if depth == "range" else None)

    def _inputs(self, maker: Maker, width: Any, recipes: Any, chosen: Any, reduction: Any, when: bool) -> None:
        self.branches = nn.ModuleList(Chain(maker, recipe, width, keep=True) for recipe in recipes)
        count = min(chosen, len(recipes)) if isinstance(chosen, int) else chosen
        how = {"difference": lambda values: values[0] - sum(values[1:], start=0 * values[0])}.get(reduction, reduction)
        self.pick = InputChoice(len(recipes), count, how, label=maker.label(), when=maker.when(when))

    def _called(self, maker: Maker, width: Any, when: bool) -> None:
        self.rate = 1.5 - ValueChoice([0.25, 0.5], label=maker.label(), when=maker.when(when))

    def _python(self, maker: Maker, width: Any) -> None:
        self.heads = ModelParameterChoice([1, 2, 4], default=2, label=maker.label())
        self.extra = nn.ModuleList(nn.Linear(width, width) for _ in range(self.heads - 1))
        self.odd = self.heads % 2 == 1

    def _reshape(self, maker: Maker, width: Any) -> None:
        self.groups = width // 4

    def _unit(self, maker: Maker, width: Any) -> None:
        self.layer = Scale(width, factor=ValueChoice([0.5, 2.0], label=maker.label()))

    def _cell(self, maker: Maker, width: Any, merge: Any) -> None:
        ops: dict[str, Any] = {"fc": lambda *_: nn.Linear(width, width), "id": nn.Identity()}

        def merged(output: Tensor, inputs: list[Tensor]) -> Tensor:
            return output.reshape(output.shape[0], -1, inputs[0].shape[1]).mean(1)

        self.layer = Cell(ops, 2, 2, 1, merge, postprocessor=merged, label=maker.label())

    def _activation(self, maker: Maker, width: Any) -> None:
        self.layer = AutoActivation(label=maker.label())

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "inputs":
            x = self.pick([branch(x) for branch in self.branches])
        elif self.kind == "called":
            x = x * self.rate()
        elif self.kind == "python":
            for extra in self.extra:
                x = extra(x)
            x = x.tanh() if self.odd else x.reshape(x.shape[0], self.heads, -1).flatten(1)
        elif self.kind == "reshape":
            groups = self.groups() if callable(self.groups) else self.groups
            x = x.reshape(x.shape[0], groups, 4).transpose(1, 2).flatten(1)
        else:
            x = self.layer(x)
        return x


class Chain(nn.Module):
    """Parts one after the other; with `keep`, the width that comes out is the one that goes in."""

    def __init__(self, maker: Maker, recipe: Any, width: Any, *, keep: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        start = width
        for kind, *arguments in recipe:
            part = Part(maker, kind, tuple(arguments), width)
            self.parts.append(part)
            width = part.out
        self.last = nn.Linear(width, start) if keep else nn.Linear(width, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        out: Tensor = self.last(x)
        return out


@model_wrapper
class RandomNet(nn.Module):
    """The model of a recipe: `(N, 8)` to `(N, 8)`."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        self.body = Chain(Maker(), recipe, WIDTH, keep=False)
        self.gate = LayerChoice([nn.ReLU(), nn.Sequential(nn.LayerNorm(WIDTH), nn.GELU())])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.gate(self.body(x))
        return out


def recipes(depth: int = 2, max_size: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    """Recipes, nested up to a depth."""
    widths = st.tuples(st.sampled_from(["plain", "choice", "twice", "max", "half", "either"]), st.integers(0, 2))
    flat = st.one_of(
        st.tuples(st.just("linear"), widths, st.sampled_from(["default", "zeros", "small"])),
        st.tuples(st.sampled_from(["norm", "python", "reshape", "unit", "activation"])),
        st.tuples(st.just("called"), st.booleans()),
        st.tuples(st.just("cell"), st.sampled_from(["all", "loose_end"])),
    )
    if depth == 0:
        return st.lists(flat, max_size=2).map(tuple)
    inner = recipes(depth - 1, 2)
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    nested = st.one_of(
        st.tuples(st.just("layer"), several, st.booleans(), st.booleans()),
        st.tuples(st.just("repeat"), inner, st.sampled_from(["range", "choice", "expression", "plain"]), st.booleans()),
        st.tuples(
            st.just("inputs"),
            several,
            st.sampled_from([1, 2, None]),
            st.sampled_from(["sum", "mean", "difference"]),
            st.booleans(),
        ),
    )
    return st.lists(st.one_of(flat, nested), max_size=max_size).map(tuple)
