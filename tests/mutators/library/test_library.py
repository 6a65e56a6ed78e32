"""What each mutator of the library does, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.errors import ConfigError, MutationError, VerificationError
from graphnas.ir.module import ModuleSpec
from graphnas.ir.resolve import format_spec
from graphnas.mutators import ModelSpace, Mutator
from graphnas.mutators.library import (
    AddSkip,
    ChangeActivation,
    ChangeGroups,
    ChangeHeads,
    ChangeKernel,
    ChangeNormalisation,
    ChangeStride,
    DropBlock,
    DuplicateBlock,
    FactorizeLinear,
    InsertModule,
    Narrow,
    RemoveOperation,
    RemoveSkip,
    RewireInput,
    SeparateConvolution,
)
from tests.mutators.outcomes import model_of, runs, types
from tests.networks import ResNet18, TransformerEncoder

X = torch.randn(2, 4, 8, 8)
IMAGE, TOKENS = torch.randn(2, 3, 32, 32), torch.randint(0, 50, (2, 12))
RESNET = model_of(ResNet18(), IMAGE)
ENCODER = model_of(TransformerEncoder(), TOKENS)


def edited(net: nn.Module | graphnas.Model, mutator: Mutator, *inputs: Any, **decisions: Any) -> graphnas.Model:
    """Return the child under decisions that are given by the names of the choices; the first site by default."""
    model = net if isinstance(net, graphnas.Model) else model_of(net, *(inputs or (X,)))
    found = mutator.dry_run(model)[0] if "site" not in decisions else {}
    site = {label: domain.default for label, domain in found.items() if label.endswith("/site")}
    return mutator.apply(model, {**site, **{f"@{mutator.label}/{name}": value for name, value in decisions.items()}})


def text(model: graphnas.Model, path: str) -> str:
    spec = model[path]
    assert isinstance(spec, ModuleSpec)
    return format_spec(spec)


@pytest.mark.parametrize(
    ("conv", "size", "expected"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), 5, "Conv2d(4, 6, kernel_size=5, padding=2)"),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), 7, "Conv2d(4, 6, kernel_size=7, stride=2, padding=3)"),
        (nn.Conv2d(4, 6, 3, padding=2, dilation=2), 5, "Conv2d(4, 6, kernel_size=5, padding=4, dilation=2)"),
        (nn.Conv2d(4, 6, (1, 7), padding=(0, 3)), 3, "Conv2d(4, 6, kernel_size=(1, 3), padding=(0, 1))"),
        (nn.Conv2d(4, 6, 1), 3, "Conv2d(4, 6, kernel_size=3, padding=1)"),
        (nn.Conv2d(4, 6, 3, padding="same"), 5, "Conv2d(4, 6, kernel_size=5, padding='same')"),
        (nn.ConvTranspose2d(4, 6, 4, 2, 1), 2, "ConvTranspose2d(4, 6, kernel_size=2, stride=2)"),
        (nn.Conv2d(4, 6, 3, padding=1), 3, "Conv2d(4, 6, kernel_size=3, padding=1)"),
    ],
)
def test_another_kernel_keeps_the_size_of_the_result(conv: nn.Module, size: int, expected: str) -> None:
    child = edited(nn.Sequential(conv), ChangeKernel((size,)), size=size)
    assert text(child, "0") == expected
    assert child.sites[0].node.type == model_of(nn.Sequential(conv), X).sites[0].node.type
    runs(child, X)


@pytest.mark.parametrize(("conv", "size"), [(nn.Conv2d(4, 6, 3, padding=1), 2), (nn.Conv2d(4, 6, 3), 1)])
def test_a_kernel_that_would_change_it_is_refused(conv: nn.Module, size: int) -> None:
    with pytest.raises(MutationError, match=f":n0: a kernel of {size} instead of 3 .* no padding makes up for it"):
        edited(nn.Sequential(conv), ChangeKernel((size,)), size=size)


def test_stride() -> None:
    child = edited(nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.MaxPool2d(2)), ChangeStride((1, 2)), stride=2)
    assert [str(site.node.type) for site in child.sites] == ["f32[2, 6, 4, 4]", "f32[2, 6, 2, 2]"]
    with pytest.raises(VerificationError, match=r"layer2.1:iadd .*f32\[2, 128, 2, 2\], %x: f32\[2, 128, 4, 4\]"):
        edited(RESNET, ChangeStride((2,)), site="layer2.1:conv1", stride=2)
    with pytest.raises(MutationError, match="padding='same' has stride 1; give it a number as padding first"):
        edited(nn.Sequential(nn.Conv2d(4, 4, 3, padding="same")), ChangeStride((2,)), stride=2)


def test_groups() -> None:
    child = edited(nn.Sequential(nn.Conv2d(4, 6, 3)), ChangeGroups((1, 2)), groups=2)
    assert text(child, "0") == "Conv2d(4, 6, kernel_size=3, groups=2)"
    with pytest.raises(MutationError, match=":n0: 6 output channels cannot be split into 4 groups; choose a divisor"):
        edited(nn.Sequential(nn.Conv2d(4, 6, 3)), ChangeGroups((4,)), groups=4)


def test_heads() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.attention(x, x, x)[0])  # type: ignore[no-any-return]

    x = torch.randn(2, 3, 8)
    child = edited(Net(), ChangeHeads((4,), sites="all"), x, heads=4)
    assert text(child, "attention").startswith("MultiheadAttention(8, 4")
    assert text(child, "layer").startswith("TransformerEncoderLayer(8, 4")
    runs(child, x)
    with pytest.raises(MutationError, match=":attention: a width of 8 cannot be split into 3 heads; choose a divisor"):
        edited(Net(), ChangeHeads((3,)), x, heads=3)


def test_heads_of_an_attention_that_is_written_out_also_come_and_go_with_the_width_of_its_layers() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 32) for _ in range(3))
            self.out = nn.Linear(32, 8)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (layer(x).view(2, -1, 4, 8).transpose(1, 2) for layer in (self.q, self.k, self.v))
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            return self.out(mixed.transpose(1, 2).reshape(2, -1, 32))  # type: ignore[no-any-return]

    x = torch.randn(2, 3, 8)
    child = edited(Attention(), Narrow((0.5,)), x, site=":q", factor=0.5)
    assert [text(child, name) for name in "qkv"] == ["Linear(8, 16)"] * 3
    assert text(child, "out") == "Linear(16, 8)"
    views = [site.node.args[3:] for site in child.find(type="view")]
    assert views == [(2, 8)] * 3
    graphnas.to_module(child)(x)
    child = edited(Attention(), ChangeHeads((8,)), x, heads=8)
    assert [site.node.args[3:] for site in child.find(type="view")] == [(8, 4)] * 3
    assert [text(child, name) for name in ("q", "out")] == ["Linear(8, 32)", "Linear(32, 8)"]
    graphnas.to_module(child)(x)


def test_activation_in_every_spelling() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.LeakyReLU(0.2, inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(nn.functional.elu(x, alpha=0.5))
            return self.act(x * 2).sigmoid()  # type: ignore[no-any-return]

    child = edited(Net(), ChangeActivation(("gelu", "tanh"), sites="all"), to="tanh")
    assert types(child) == ["tanh", "tanh", "mul", "Tanh", "tanh"]
    runs(child, X.clone().requires_grad_())
    same = edited(Net(), ChangeActivation(("relu",)), site=":relu", to="relu")
    assert same == model_of(Net(), X)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("batch", "BatchNorm2d(6)"),
        ("instance", "InstanceNorm2d(6, affine=True"),
        ("group", "GroupNorm(6, 6)"),
        ("layer", "GroupNorm(1, 6)"),
        ("none", "Identity()"),
    ],
)
def test_normalisation_over_channels(to: str, expected: str) -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6))
    child = edited(net, ChangeNormalisation((to,)), to=to)
    assert text(child, "1").startswith(expected)
    runs(child, X)


def test_normalisation_over_the_last_dimension_and_what_does_not_fit() -> None:
    child = edited(ENCODER, ChangeNormalisation(("rms",), sites="all"), to="rms")
    assert {site.type for site in child.sites if "norm" in site.node.name} == {"RMSNorm"}
    runs(child, TOKENS)
    with pytest.raises(
        MutationError, match=r"layers.0:norm1: LayerNorm on f32\[2, 13, 32\] cannot become 'batch'; choose"
    ):
        edited(ENCODER, ChangeNormalisation(("batch",)), site="layers.0:norm1", to="batch")
    flat = nn.Sequential(nn.BatchNorm1d(4))
    with pytest.raises(MutationError, match=r":n0: there is nothing to normalise over in f32\[2, 4\]"):
        edited(flat, ChangeNormalisation(("instance",)), torch.randn(2, 4), to="instance")
    assert text(edited(flat, ChangeNormalisation(("group",)), torch.randn(2, 4), to="group"), "0") == "GroupNorm(4, 4)"


def test_insert_is_given_the_type_and_stands_where_it_was_asked_for() -> None:
    mutator = InsertModule(lambda type: nn.BatchNorm2d(type.shape[1]), where=lambda site: site.type == "iadd")
    child = edited(RESNET, mutator, site="layer2.1:iadd")
    assert text(child, "layer2.1.batch_norm2d") == "BatchNorm2d(128)"
    block = [site.type for site in child.find(path="layer2.1")]
    assert block[block.index("iadd") + 1] == "BatchNorm2d"
    runs(child, IMAGE)
    with pytest.raises(ConfigError, match=r"make: expected a function, or several by name, got {}"):
        InsertModule({})
    with pytest.raises(MutationError, match=":n0: got 3, expected a module"):
        edited(nn.Sequential(nn.ReLU()), InsertModule(lambda type: 3))  # type: ignore[arg-type,return-value]


def test_remove_and_drop() -> None:
    child = edited(RESNET, RemoveOperation(), site="layer1.0:bn1")
    assert "layer1.0.bn1" not in dict(child.root.walk())
    runs(child, IMAGE)
    child = edited(ENCODER, DropBlock(), site=":layers_0")
    assert list(child["layers"].children) == ["1"]  # type: ignore[union-attr]  # the names of weights stay
    assert list(runs(child, TOKENS).state_dict()) == [
        name for name in TransformerEncoder().state_dict() if not name.startswith("layers.0.")
    ]
    with pytest.raises(
        MutationError, match="finds no place in Sequential: a block whose result has the type of its in"
    ):
        DropBlock().apply(model_of(nn.Sequential(nn.Conv2d(4, 6, 3)), X), {})


def test_duplicate() -> None:
    child = edited(RESNET, DuplicateBlock((1, 2)), site="layer1:n1", times=2)
    assert list(child["layer1"].children) == ["0", "1", "basic_block", "basic_block_1"]  # type: ignore[union-attr]
    module = runs(child, IMAGE)
    state = module.state_dict()
    assert not torch.equal(state["layer1.basic_block.conv1.weight"], state["layer1.1.conv1.weight"])


def test_separate_and_factorise() -> None:
    net = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1, dilation=2, bias=True, padding_mode="reflect"))
    child = edited(net, SeparateConvolution())
    assert text(child, "0.0") == (
        "Conv2d(4, 4, kernel_size=3, stride=2, padding=1, dilation=2, groups=4, bias=False, padding_mode='reflect')"
    )
    assert text(child, "0.1") == "Conv2d(4, 6, kernel_size=1)"
    assert child.sites[0].node.type == model_of(net, X).sites[0].node.type
    runs(child, X)
    child = edited(RESNET, FactorizeLinear((0.25, 4, 10)), rank=0.25)
    assert [text(child, f"fc.{index}") for index in range(2)] == ["Linear(512, 2, bias=False)", "Linear(2, 10)"]
    with pytest.raises(MutationError, match=r":fc: a rank of 10 is no less than Linear\(512, 10\) has"):
        edited(RESNET, FactorizeLinear((10,)), rank=10)


def test_skip_connections_come_and_go() -> None:
    child = edited(RESNET, AddSkip(), site="layer1.0:bn2", source="conv1")
    assert list(child.history[-1].edits) == ["Inserted function operator:add as layer1.0:skip after layer1.0:bn2."]
    runs(child, IMAGE)
    space = ModelSpace(RESNET, [AddSkip(where=lambda site: site.name == "layer1.0:bn2")])
    sources = space.domains["@AddSkip/source"].grid(9)
    assert "x" not in sources  # is added already
    assert "bn1" not in sources  # is overwritten by an activation in place

    child = edited(RESNET, RemoveSkip(), site="layer2.0:iadd")
    assert "downsample" not in child["layer2.0"].children  # type: ignore[union-attr]  # a block
    runs(child, IMAGE)
    assert len(list(RemoveSkip().find(graphnas.ir.rewrite.Rewriter(ENCODER)))) == 4


def test_rewire() -> None:
    child = edited(RESNET, RewireInput(), site="layer1.0:conv2", source="x")
    assert "conv1" not in child["layer1.0"].children  # type: ignore[union-attr]  # nobody takes it any more
    runs(child, IMAGE)

    class Two(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x.sin(), x.cos()], dim=1)

    child = edited(Two(), RewireInput(), site=":cat", input="cos", source="x")
    assert types(child) == ["sin", "cat"]
    runs(child, X.clone().requires_grad_())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChangeKernel((3, 0)), r"sizes: expected whole numbers from 1, got \(3, 0\)"),
        (lambda: ChangeStride(()), r"strides: expected whole numbers from 1, got \(\)"),
        (lambda: ChangeHeads(("4",)), r"heads: expected whole numbers from 1, got \('4',\)"),  # type: ignore[arg-type]
        (lambda: ChangeGroups((True,)), r"groups: expected whole numbers from 1, got \(True,\)"),
        (lambda: ChangeActivation(("relo",)), "to: expected names out of celu, .*; got 'relo'"),
        (lambda: ChangeNormalisation(()), "to: expected names out of batch, .*; got none"),
        (lambda: FactorizeLinear((1.5,)), "ranks: expected whole numbers from 1 or shares between 0 and 1, got 1.5"),
        (lambda: DuplicateBlock((0,)), r"times: expected whole numbers from 1, got \(0,\)"),
        (lambda: AddSkip(0), "farthest: expected a number from 1, got 0"),
    ],
)
def test_arguments_are_checked_at_once(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
