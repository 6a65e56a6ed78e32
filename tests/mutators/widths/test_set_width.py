"""Widths of layers, changed in small networks that each have one kind of edge."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import graphnas
from graphnas.errors import MutationError
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators.widths import WidthChange, set_width


def changed(model: Model, path: str, width: int) -> tuple[Model, WidthChange]:
    edit = Rewriter(model)
    change = set_width(edit, path, width)
    return edit.freeze(), change


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    return {name: tuple(item.shape) for name, item in graphnas.to_module(model).state_dict().items()}


def size(model: Model) -> int:
    return len(model.sites)


def check(net: nn.Module, inputs: tuple[Tensor, ...], path: str, width: int) -> WidthChange:
    """Change one width, run what comes out, and compare the change that is reported with that of the state."""
    model = graphnas.trace(net, inputs)
    child, change = changed(model, path, width)
    assert size(child) == size(model)
    with torch.no_grad():
        expected, got = net.eval()(*inputs), graphnas.to_module(child).eval()(*inputs)
    assert got.shape == expected.shape
    before, after = shapes(model), shapes(child)
    differing = {name for name in before if before[name] != after[name]}
    assert differing == set(change.tensors)
    for name, axes in change.tensors.items():
        for item in axes:
            assert sum(old for old, _ in item.segments) == before[name][item.axis]
            assert sum(new for _, new in item.segments) == after[name][item.axis]
            assert len(item.sources) == after[name][item.axis]
    back, _ = changed(child, path, change.before)
    assert back.fingerprint == model.fingerprint
    return change


class Images(nn.Module):
    """A stem of 16 channels, something in between, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]

    def body(self, x: Tensor) -> Tensor:
        return x


class Residual(Images):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(16)
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.scale = nn.Parameter(torch.full((16, 1, 1), 1e-5))

    def body(self, x: Tensor) -> Tensor:
        return x + F.relu(self.norm(self.conv(x))) * self.scale


class Concatenation(Images):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(16, 8, 1)
        self.right = nn.Conv2d(16, 24, 1)
        self.norm = nn.GroupNorm(4, 32)
        self.last = nn.Conv2d(32, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.last(self.norm(torch.cat([self.left(x), self.right(x)], 1)))  # type: ignore[no-any-return]


class Halves(Images):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Conv2d(16, 32, 1)

    def body(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, dim=1)
        return value * gate.sigmoid() + x  # type: ignore[no-any-return]


class Slices(Images):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(16, 24, 1)

    def body(self, x: Tensor) -> Tensor:
        wide = self.wide(x)
        return wide[:, :16] + x + F.pad(wide[:, 16:], (0, 0, 0, 0, 0, 8))  # type: ignore[no-any-return]


class Depthwise(Images):
    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(16, 32, 1)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 4, 1), nn.ReLU(), nn.Conv2d(4, 32, 1))
        self.reduce = nn.Conv2d(32, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        return x + self.reduce(y * self.gate(y).sigmoid())  # type: ignore[no-any-return]


class Grouped(Images):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 32, 3, padding=1, groups=4)
        self.last = nn.Conv2d(32, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        return self.last(self.conv(x))  # type: ignore[no-any-return]


class Shuffled(Images):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 32, 1, groups=2)
        self.last = nn.Conv2d(32, 16, 1)

    def body(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        b, c, h, w = y.shape
        y = y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        return self.last(y)  # type: ignore[no-any-return]


class Flattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.head = nn.Linear(16 * 64, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.stem(x)).view(-1, 16 * 64))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Heads of 8 channels, three projections in one layer, sizes as numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 32)
        self.norm = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.out = nn.Linear(32, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        b, n = x.shape[:2]
        q, k, v = self.qkv(self.norm(x)).reshape(b, n, 3, 4, 8).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-2, -1) * 8**-0.5).softmax(-1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(b, n, 32))
        return self.head(F.layer_norm(x, (32,)).mean(1))  # type: ignore[no-any-return]


class Whole(nn.Module):
    """An attention of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.embed(x)
        return self.head(y + self.attention(y, y, y, need_weights=False)[0])  # type: ignore[no-any-return]


class Norm(nn.Module):
    """A norm written by hand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Products(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 12)
        self.norm = Norm(12)
        self.mixing = nn.Parameter(torch.randn(20, 12))
        self.head = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.embed(x))
        return self.head(torch.einsum("bnc,dc->bnd", x, self.mixing) + x @ self.mixing.t())  # type: ignore[no-any-return]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 16)
        self.inner = nn.Linear(16, 16)
        self.head = nn.Linear(16, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(self.embed(x)))  # type: ignore[no-any-return]


class Shared(Images):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 1)
        self.again = self.conv

    def body(self, x: Tensor) -> Tensor:
        return self.again(F.relu(self.conv(x)))  # type: ignore[no-any-return]


class Derived(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * 2, self.bias, self.stride, self.padding, self.dilation, self.groups)


class OnDerived(Images):
    def __init__(self) -> None:
        super().__init__()
        self.conv = Derived(16, 8, 1)
        self.last = Derived(8, 16, 3, padding=1, groups=8)

    def body(self, x: Tensor) -> Tensor:
        return self.last(self.conv(x))  # type: ignore[no-any-return]


class Normed(Images):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(16, 16, 1))

    def body(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class Reordered(nn.Module):
    """Projections that are regrouped as `einops` writes `(d k h)`: the size of a head stands outside."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(6, 96)
        self.out = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.qkv(x)
        b, n, c = y.shape
        q, k, v = y.reshape(b, n, c // 12, 3, 4).permute(3, 0, 4, 1, 2)
        y = torch.einsum("...ij,...jd->...id", torch.einsum("...id,...jd->...ij", q, k).softmax(-1), v)
        return self.out(y.permute(0, 2, 1, 3).reshape(b, n, 4 * y.shape[3]))  # type: ignore[no-any-return]


class Queries(nn.Module):
    """Four heads of queries on two of keys and values, and halves of a head that are rotated."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 32), nn.Linear(6, 16), nn.Linear(6, 16)
        self.angles: Tensor
        self.register_buffer("angles", torch.randn(7, 8))
        self.out = nn.Linear(32, 5)

    def rotated(self, x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], -1)
        return x * self.angles.cos() + turned * self.angles.sin()

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = (layer(x).view(b, n, -1, 8).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(self.rotated(q), self.rotated(k), v, enable_gqa=True)
        return self.out(y.transpose(1, 2).reshape(b, n, -1))  # type: ignore[no-any-return]


class Gated(Images):
    """A gate over neighbouring channels: a convolution that slides over them keeps their number."""

    def __init__(self) -> None:
        super().__init__()
        self.slide = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def body(self, x: Tensor) -> Tensor:
        gate = self.slide(x.mean((2, 3)).view(x.shape[0], 1, -1)).view(x.shape[0], -1, 1, 1)
        return x * gate.sigmoid()  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 12)
        self.rnn = nn.LSTM(12, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0])  # type: ignore[no-any-return]


class Indexed(nn.Module):
    """Tokens that are picked by two index tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        rows = torch.arange(x.shape[0])[:, None]
        return self.head(x[rows, torch.tensor([[0, 2], [1, 3]])])  # type: ignore[no-any-return]


class Twice(nn.Module):
    """A block that is called with sequences of two lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 12)
        self.block = nn.Sequential(nn.Linear(12, 12), nn.ReLU())
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(torch.cat([self.block(x[:, :3]), self.block(x)], 1))  # type: ignore[no-any-return]


class GroupedNorm(nn.GroupNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps))


class Regrouped(Images):
    """A norm of more groups than a narrow layer has channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = GroupedNorm(8, 16)

    def body(self, x: Tensor) -> Tensor:
        return self.norm(x)  # type: ignore[no-any-return]


def images() -> tuple[Tensor, ...]:
    return (torch.randn(2, 3, 8, 8),)


def sequences() -> tuple[Tensor, ...]:
    return (torch.randn(2, 7, 6),)


def tokens() -> tuple[Tensor, ...]:
    return (torch.randint(0, 10, (2, 7)),)


CASES: list[tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, ...]], str, tuple[int, ...]]] = [
    (Images, images, "stem", (24, 8, 3)),
    (Residual, images, "stem", (24, 8)),
    (Residual, images, "conv", (24, 8)),
    (Concatenation, images, "left", (16, 4)),
    (Concatenation, images, "right", (40, 12)),
    (Concatenation, images, "last", (24, 8)),
    (Halves, images, "both", (48, 16)),
    (Halves, images, "stem", (24, 8)),
    (Slices, images, "wide", (36, 12)),
    (Depthwise, images, "expand", (48, 16)),
    (Depthwise, images, "depthwise", (48, 16)),
    (Depthwise, images, "gate.1", (8, 2)),
    (Depthwise, images, "gate.3", (48, 16)),
    (Depthwise, images, "reduce", (24, 8)),
    (Grouped, images, "conv", (48, 16)),
    (Grouped, images, "stem", (24, 8)),
    (Shuffled, images, "conv", (48, 16)),
    (Flattened, images, "stem", (24, 8)),
    (Attention, sequences, "qkv", (144, 48)),
    (Attention, sequences, "out", (48, 16)),
    (Attention, sequences, "embed", (48, 16)),
    (Whole, tokens, "embed", (24, 8)),
    (Reordered, sequences, "qkv", (144, 48)),
    (Queries, sequences, "q", (48, 64)),
    (Queries, sequences, "v", (24, 32)),
    (Twice, sequences, "embed", (24, 8)),
    (Twice, sequences, "block.0", (24, 8)),
    (Regrouped, images, "stem", (24, 32)),
    (Gated, images, "stem", (24, 8)),
    (Recurrent, sequences, "embed", (24, 8)),
    (Indexed, sequences, "embed", (24, 8)),
    (Products, sequences, "embed", (18, 6)),
    (Tied, tokens, "embed", (24, 8)),
    (Tied, tokens, "inner", (24, 8)),
    (Shared, images, "conv", (24, 8)),
    (Shared, images, "again", (24, 8)),
    (OnDerived, images, "conv", (12, 4)),
    (OnDerived, images, "last", (24, 32)),
]


@pytest.mark.parametrize(
    ("build", "inputs", "path", "width"),
    [(build, inputs, path, width) for build, inputs, path, widths in CASES for width in widths],
)
def test_a_width_is_repaired_wherever_it_is_met(
    build: Callable[[], nn.Module], inputs: Callable[[], tuple[Tensor, ...]], path: str, width: int
) -> None:
    torch.manual_seed(0)
    change = check(build(), inputs(), path, width)
    assert change.after == width


def test_a_residual_lets_its_producers_change_together() -> None:
    change = check(Residual(), images(), "conv", 24)
    assert {name.partition(".")[0] for name in change.tensors} == {"stem", "norm", "conv", "scale", "head"}
    weight = dict(change.tensors)["conv.weight"]
    assert [(item.axis, item.segments) for item in weight] == [(0, ((16, 24),)), (1, ((16, 24),))]


def test_a_concatenation_moves_what_comes_after() -> None:
    model = graphnas.trace(Concatenation(), images())
    child, change = changed(model, "left", 16)
    assert [item.segments for item in change.tensors["last.weight"]] == [((8, 16), (24, 24))]
    assert change.tensors["last.weight"][0].sources[:16] == (*range(8), *range(8))
    assert child["norm"] == ModuleSpec("torch.nn:GroupNorm", (4, 40))


def test_heads_keep_their_size_where_that_is_possible() -> None:
    child, change = changed(graphnas.trace(Attention(), sequences()), "qkv", 144)
    assert ", 3, 6, 8)" in graphnas.to_source(child)
    assert next(item.segments for item in change.tensors["qkv.weight"]) == ((32, 48),) * 3


def test_numbers_of_a_forward_are_rewritten() -> None:
    child, _ = changed(graphnas.trace(Flattened(), images()), "stem", 24)
    assert "view(-1, 1536)" in graphnas.to_source(child)


def test_instances_that_change_alike_share_their_definition() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(16, 16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(x)  # type: ignore[no-any-return]

    class Blocks(Images):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = Block(), Block()

        def body(self, x: Tensor) -> Tensor:
            return self.other(self.one(x))  # type: ignore[no-any-return]

    child, _ = changed(graphnas.trace(Blocks(), images()), "stem", 24)
    assert isinstance(child["one"], Definition)
    assert child["one"] is child["other"]


@pytest.mark.parametrize(
    ("build", "inputs", "path", "width", "message"),
    [
        (Images, images, "head", 8, "head must keep its 5 channels: they meet the output of the model"),
        (Images, images, "stem", 0, "a width is an integer from 1, got 0"),
        (Images, images, "stem", 16.0, "a width is an integer from 1, got 16.0"),
        (Residual, images, "norm", 8, "norm is BatchNorm2d.16., expected a convolution, a linear layer"),
        (Halves, images, "both", 33, "32 channels, and cannot have 33: .*; 32 and 34 would work"),
        (Attention, sequences, "qkv", 100, "96 channels, and cannot have 100: .*; 96 and 108 would work"),
        (Images, images, "steam", 8, "has no module at 'steam'"),
    ],
)
def test_what_does_not_fit_is_refused(
    build: Callable[[], nn.Module], inputs: Callable[[], tuple[Tensor, ...]], path: str, width: int, message: str
) -> None:
    model = graphnas.trace(build(), inputs())
    edit = Rewriter(model)
    with pytest.raises(MutationError, match=message):
        set_width(edit, path, width)
    assert edit.root is model.root
    assert edit.edits == ()


def test_a_norm_has_fewer_groups_where_it_has_too_few_channels() -> None:
    child, _ = changed(graphnas.trace(Regrouped(), images()), "stem", 4)
    assert shapes(child)["norm.weight"] == (4,)
    assert "GroupNorm(2, 4)" in str(child)


def test_a_factor_in_arithmetic_with_sizes_stays() -> None:
    class Doubled(Images):
        def __init__(self) -> None:
            super().__init__()
            self.pairs = nn.Conv2d(16, 32, 1)
            self.last = nn.Conv2d(32, 16, 1)

        def body(self, x: Tensor) -> Tensor:
            b, c, h, w = x.shape
            return self.last(self.pairs(x).view(b, 2 * c, h, w))  # type: ignore[no-any-return]

    child, change = changed(graphnas.trace(Doubled(), images()), "pairs", 48)
    assert {"stem.weight", "pairs.weight", "last.weight"} <= set(change.tensors)
    assert shapes(child)["stem.weight"] == (24, 3, 3, 3)


def test_an_edge_that_is_not_followed_is_named() -> None:
    class Sorted(Images):
        def body(self, x: Tensor) -> Tensor:
            return torch.index_select(x, 1, torch.arange(16).flip(0))

    edit = Rewriter(graphnas.trace(Sorted(), images()))
    with pytest.raises(MutationError, match="stem must keep its 16 channels: they meet index_select at :index_select"):
        set_width(edit, "stem", 24)


def test_a_guard_that_would_flip_refuses_the_width() -> None:
    class Guarded(Images):
        def body(self, x: Tensor) -> Tensor:
            return x * 2 if x.shape[1] > 20 else x

    edit = Rewriter(graphnas.trace(Guarded(), images()))
    set_width(edit, "stem", 18)
    with pytest.raises(MutationError, match=r"stem cannot have 24 channels, since then .*the decision"):
        set_width(edit, "stem", 24)
    assert isinstance(edit.freeze(), Model)
