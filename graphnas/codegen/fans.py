"""Numbers that follow from the shape of a weight, as people write them: `math.sqrt(2 / fan_out)`.

Initialisations are recorded as numbers, one for each layer. Where all of them come out of one formula, to the last bit,
the formula says more, and says it once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Expression


@dataclass(frozen=True)
class Formula:
    """A number for each weight: `form` of `constant` and of the size `size`, the names of tables below."""

    form: str
    size: str
    constant: float

    def value(self, module: nn.Module) -> float:
        """Return the number for one module."""
        return _FORMS[self.form](self.constant, _measured(self.size, module))

    def write(self, module: str) -> Expression:
        """Return the expression, for a module of that name."""
        whole = self.constant.is_integer()
        constant = syntax.literal(str(int(self.constant)) if whole else repr(self.constant))
        size = _size_expression(self.size, module)
        if self.form == "sqrt(c/n)":
            return syntax.call(syntax.reference("math:sqrt"), [syntax.binary("/", constant, size)])
        if self.form == "-sqrt(c/n)":
            return syntax.unary("-", syntax.call(syntax.reference("math:sqrt"), [syntax.binary("/", constant, size)]))
        if self.form == "c/sqrt(n)":
            return syntax.binary("/", constant, syntax.call(syntax.reference("math:sqrt"), [size]))
        return syntax.binary("/", constant, size)


def formula_of(modules: Sequence[nn.Module], numbers: Sequence[float]) -> Formula | None:
    """Return a formula that gives most modules their number exactly, None if there is none that people would write.

    A first layer is often an exception, so not all need to agree.
    """
    if any(not isinstance(weight := getattr(module, "weight", None), Tensor) or weight.dim() < 2 for module in modules):
        return None
    sizes = {size: [_measured(size, module) for module in modules] for size in _SIZES}
    groups = [_groups(module) for module in modules]
    # What has groups tells formulas apart best.
    samples = dict.fromkeys((groups.index(max(groups)), len(modules) // 2, len(modules) - 1))
    best, most = None, len(modules) // 2
    for sample in samples:
        for size, measured in sizes.items():
            if size == "fan_out/groups" and max(groups) == 1:
                continue
            for candidate in _candidates(size, measured[sample], float(numbers[sample])):
                value = _FORMS[candidate.form]
                fits = sum(value(candidate.constant, n) == m for n, m in zip(measured, numbers, strict=True))
                if fits > most:
                    best, most = candidate, fits
    return best


_SIZES: dict[str, Callable[[Tensor, int], int]] = {
    "fan_in": lambda weight, groups: weight[0].numel(),
    "fan_out": lambda weight, groups: weight[:, 0].numel(),
    "fan_out/groups": lambda weight, groups: weight[:, 0].numel() // groups,
    "in": lambda weight, groups: weight.shape[1],
    "out": lambda weight, groups: weight.shape[0],
}
_FORMS: dict[str, Callable[[float, int], float]] = {
    "sqrt(c/n)": lambda c, n: math.sqrt(c / n),
    "-sqrt(c/n)": lambda c, n: -math.sqrt(c / n),
    "c/sqrt(n)": lambda c, n: c / math.sqrt(n),
    "c/n": lambda c, n: c / n,
}
_INVERSE: dict[str, Callable[[float, int], float]] = {
    "sqrt(c/n)": lambda value, n: value * value * n,
    "-sqrt(c/n)": lambda value, n: value * value * n,
    "c/sqrt(n)": lambda value, n: value * math.sqrt(n),
    "c/n": lambda value, n: value * n,
}


def _measured(size: str, module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor), "the caller has looked"
    return _SIZES[size](weight, _groups(module))


def _groups(module: nn.Module) -> int:
    groups = getattr(module, "groups", 1)
    return groups if type(groups) is int else 1


def _candidates(size: str, measured: int, number: float) -> Iterator[Formula]:
    for form, inverse in _INVERSE.items():
        for digits in (1, 4, 9):
            yield Formula(form, size, float(f"{inverse(number, measured):.{digits}g}"))


def _size_expression(size: str, module: str) -> Expression:
    weight = syntax.dotted(f"{module}.weight")
    if size in ("in", "out"):
        return syntax.subscript(syntax.attribute(weight, "shape"), [syntax.integer(int(size == "in"))])
    if size == "fan_in":
        part = syntax.subscript(weight, [syntax.integer(0)])
        return syntax.call(syntax.attribute(part, "numel"))
    part = syntax.subscript(weight, [syntax.slice_of(None, None, None), syntax.integer(0)])
    count = syntax.call(syntax.attribute(part, "numel"))
    return count if size == "fan_out" else syntax.binary("//", count, syntax.dotted(f"{module}.groups"))
