"""Hypothesis strategies: random modules of PyTorch, as the source that a person could have written.

Every class maps `x` of shape `(N, 8)` to a tensor of that shape, by random chains and branches of what models are made
of: leaves, operators, operations in place, splits and concatenations, decisions by mode and by shape, loops over
containers, shared modules, tied weights, buffers that change, and other classes of the same program.
"""

from __future__ import annotations

import itertools
import linecache
import sys
import types
from dataclasses import dataclass, field

from hypothesis import strategies as st
from torch import nn

_HEADER = """import torch
import torch.nn.functional as F
from torch import Tensor, nn
"""
_LEAVES = (
    *("nn.Linear(8, 8)", "nn.Linear(8, 8, bias=False)", "nn.Linear(in_features=8, out_features=8)"),
    *("nn.ReLU()", "nn.ReLU(inplace=True)", "nn.GELU(approximate='tanh')", "nn.Tanh()", "nn.Identity()"),
    *("nn.LayerNorm(8)", "nn.BatchNorm1d(8)", "nn.BatchNorm1d(8, momentum=0.3, affine=False)", "nn.Dropout(0.5)"),
    *("nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))", "nn.Sequential(nn.ReLU(), nn.Dropout(0.2))"),
)
_NAMES = ("x", "y", "out", "identity", "skip")
_UNARY = (
    *("F.relu({})", "torch.sigmoid({})", "{}.clamp(min=-1)", "F.gelu({}, approximate='tanh')", "-{}", "{} / 3"),
    *(
        "F.dropout({}, 0.3, self.training)",
        "F.dropout({}, p=0.4, training=self.training)",
        "{}.reshape({}.shape[0], -1)",
    ),
    *("{} + 0.1 * torch.rand_like({})", "{}.flip(1)", "{}.t().contiguous().t()", "{} - {}.mean(1, keepdim=True)"),
    *("{} * torch.arange({}.size(0))[:, None]", "torch.zeros({}.size(0), 8) + {}", "{}.softmax(dim=-1)"),
    *(
        "{}.view(len({}), 2, 4).transpose(1, 2).flatten(1)",
        "torch.where({} > 0, {}, 0.5)",
        "{}[:, [7, 6, 5, 4, 3, 2, 1, 0]]",
    ),
    *("{}.detach()", "{}.to(torch.float64).float()", "F.pad({}[:, 1:], (1, 0))", "2 ** {}.clamp(-1, 1)"),
    *("torch.cat({}.chunk(2, dim=-1)[::-1], dim=-1)", "torch.cat([part * 2 for part in {}.split(4, 1)], 1)"),
    *("{}.new_ones({}.shape) + {}", "F.layer_norm({}, {}.shape[1:])", "torch.einsum('nd,nd->nd', {}, {})"),
)
_BINARY = (
    *("{} + {}", "{} * {}", "{} - {}", "torch.maximum({}, {})", "torch.stack([{}, {}]).mean(0)", "({} + {}) / 2"),
    *("torch.cat([{}[:, :4], {}[:, 4:]], dim=1)", "{}.add({}, alpha=0.5)", "torch.lerp({}, {}, 0.25)"),
)
_IN_PLACE = ("{} += {}", "{}.mul_(0.5).add_({})", "{}[:, :4] = {}[:, 4:]", "{}[:, 1:3] += {}[:, :2]", "{}[0] = {}[-1]")
_CONDITIONS = ("self.training", "not self.training", "self.flag", "{}.shape[0] > 1", "len({}) == 3", "{}.dim() == 2")
_NUMBERS = itertools.count()


@dataclass
class _Class:
    """A class in the making."""

    name: str
    members: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    def add(self, prefix: str, value: str) -> str:
        """Add an attribute to the constructor and return its name."""
        name = f"{prefix}{len(self.members)}"
        self.members.append(f"self.{name} = {value}")
        return name

    def source(self, result: str) -> str:
        """Return the class, its forward returning `result`."""
        lines = [f"class {self.name}(nn.Module):"]
        lines += ["    def __init__(self, flag=True, scale=1.0):", "        super().__init__()"]
        lines += ["        self.flag = flag", "        self.scale = scale"]
        lines += [f"        {line}" for line in self.members]
        lines += ["", "    def forward(self, x, skip=None):"]
        lines += ["        if skip is None:", "            skip = x * self.scale"]
        lines += [f"        {line}" for line in self.body]
        return "\n".join([*lines, f"        return {result}", "", ""])


def build(source: str) -> nn.Module:
    """Return an instance of the last class of a program, whose source `inspect` finds."""
    name = f"random_program_{next(_NUMBERS)}"
    file = f"<{name}>"
    module = types.ModuleType(name)
    module.__file__ = file
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    sys.modules[name] = module
    exec(compile(source, file, "exec"), module.__dict__)
    net = module.__dict__["Net"]()
    assert isinstance(net, nn.Module)
    return net


@st.composite
def programs(draw: st.DrawFn, classes: int = 3, statements: int = 6) -> str:
    """Sources of programs; the class `Net` is their model."""
    known: list[tuple[str, str]] = []
    texts = [_HEADER]
    names = ["Block", "Stage", "Head", "Net"][-draw(st.integers(1, classes + 1)) :]
    for name in names:
        made = _Class(name)
        variables = ["x", "skip"]
        for _ in range(draw(st.integers(1, statements))):
            made.body += draw(_statement(made, variables, known))
        last = draw(st.sampled_from(variables))
        forms = [last, last] if name == "Net" else [last]
        forms += [f"({last}, {variables[0]})", f'{{"out": {last}, "first": {variables[0]}}}']
        result = draw(st.sampled_from(forms))
        take = "" if result == last else ('["out"]' if result.startswith("{") else "[0]")
        known.append((name, take))
        texts.append(made.source(result))
    return "\n\n".join(texts)


@st.composite
def _statement(draw: st.DrawFn, made: _Class, variables: list[str], known: list[tuple[str, str]]) -> list[str]:
    """Return the lines of a statement that takes variables and binds one."""
    first, second = draw(st.sampled_from(variables)), draw(st.sampled_from(variables))
    target = draw(st.sampled_from(_NAMES))
    kind = draw(st.sampled_from([*_KINDS, *(["nested", "nested option"] * bool(known))]))
    lines = _simple(draw, kind, made, (first, second, target), known)
    if kind == "condition":
        test = draw(st.sampled_from(_CONDITIONS)).format(first)
        one = draw(_statement(made, list(variables), known))
        # Both branches bind the target.
        lines = [f"if {test}:", *(f"    {line}" for line in one), f"    {target} = {first} * 2"]
        lines += ["else:", f"    {target} = {second}"]
    elif kind == "no grad":
        inner = _simple(draw, "unary", made, (first, second, target), known)
        lines = ["with torch.no_grad():", *(f"    {line}" for line in inner)]
    if target not in variables:
        variables.append(target)
    return lines


_KINDS = (
    *("leaf", "leaf", "again", "unary", "unary", "binary", "in place", "alias", "parameter", "buffer", "state"),
    *("condition", "loop", "collect", "split", "repeat", "no grad", "shared", "tied", "sizes"),
)


def _simple(
    draw: st.DrawFn, kind: str, made: _Class, names: tuple[str, str, str], known: list[tuple[str, str]]
) -> list[str]:
    first, second, target = names
    if kind in ("leaf", "again", "shared") or (kind == "tied" and not made.layers):
        layer = draw(st.sampled_from(made.layers)) if kind != "leaf" and made.layers else ""
        if not layer:
            layer = made.add("layer", draw(st.sampled_from(_LEAVES)))
            made.layers.append(layer)
        elif kind == "shared":
            layer = made.add("shared", f"self.{layer}")
        return [f"{target} = self.{layer}({first})"]
    if kind == "tied":
        name = made.add("tied", "nn.Linear(8, 8)")
        other = made.add("other", "nn.Linear(8, 8, bias=False)")
        made.members.append(f"self.{other}.weight = self.{name}.weight")
        return [f"{target} = self.{other}(self.{name}({first}))"]
    if kind == "unary":
        form = draw(st.sampled_from(_UNARY))
        return [f"{target} = {form.format(*([first] * form.count('{}')))}"]
    if kind == "binary":
        return [f"{target} = {draw(st.sampled_from(_BINARY)).format(first, second)}"]
    if kind == "in place":
        form = draw(st.sampled_from(_IN_PLACE))
        return [f"{target} = {first} + 0.5", form.format(target, second)]
    if kind == "alias":
        return [f"{target} = {first}"]
    if kind == "parameter":
        name = made.add(
            "weight", draw(st.sampled_from(["nn.Parameter(torch.ones(8))", "nn.Parameter(torch.randn(8))"]))
        )
        return [f"{target} = {first} * self.{name}"]
    if kind in ("buffer", "state"):
        name = f"buffer{len(made.members)}"
        persistent = draw(st.booleans())
        made.members.append(f"self.register_buffer('{name}', torch.arange(8.0) / 8, persistent={persistent})")
        update = {
            "buffer": [],
            "state": [
                [f"self.{name} = self.{name} * 0.5 + {first}.detach().mean(0)"],
                [f"self.{name}.copy_({first}.detach()[0])"],
                ["if self.training:", f"    self.{name} += 1"],
            ],
        }[kind]
        lines = draw(st.sampled_from(update)) if update else []
        return [*lines, f"{target} = {second} + self.{name}"]
    if kind in ("loop", "collect", "repeat"):
        return _loop(draw, kind, made, first, second, target)
    if kind == "split":
        return [f"left, right = {first}.chunk(2, dim=1)", f"{target} = torch.cat([right, left * 2], dim=1) + {second}"]
    if kind == "sizes":
        return [f"n, d = {first}.shape", f"{target} = {first}.view(n, d // 2, 2).mean(-1).repeat(1, 2) + n"]
    if kind in ("nested", "nested option"):
        name, take = draw(st.sampled_from(known))
        options = draw(st.sampled_from(["", "scale=2.0", "False", "flag=False, scale=0.5"]))
        block = made.add("block", f"{name}({options})")
        made.layers += [block] if not take else []
        given = first if kind == "nested" else f"{first}, skip={second}"
        return [f"{target} = self.{block}({given}){take}"]
    return []


def _loop(draw: st.DrawFn, kind: str, made: _Class, first: str, second: str, target: str) -> list[str]:
    count = draw(st.integers(1, 3))
    leaves = [draw(st.sampled_from(_LEAVES)) for _ in range(count)]
    if draw(st.booleans()):
        leaves = leaves[:1] * count
    if kind == "repeat":
        layer = made.add("step", leaves[0])
        return [f"{target} = {first}", f"for _ in range({count}):", f"    {target} = self.{layer}({target}) + {second}"]
    blocks = made.add("blocks", f"nn.ModuleList([{', '.join(leaves)}])")
    if kind == "collect":
        return [
            "parts = []",
            f"for index, layer in enumerate(self.{blocks}):",
            f"    parts.append(layer({first}) * (index + 1))",
            f"{target} = {draw(st.sampled_from(['sum(parts)', 'torch.stack(parts).sum(0)', 'parts[-1]']))}",
        ]
    return [f"{target} = {first}", f"for layer in self.{blocks}:", f"    {target} = layer({target})"]
