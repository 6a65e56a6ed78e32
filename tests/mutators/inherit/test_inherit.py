"""Weights from parent to child, and children that compute what their parents compute."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.errors import ConfigError, MutationError
from graphnas.ir.json_form import dump_json, from_json
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.types import TensorType
from graphnas.mutators import ModelSpace, Mutator
from graphnas.mutators.compose import AllOf
from graphnas.mutators.inherit import inherit
from graphnas.mutators.inherit.steps import applied, identity, is_uniform, repeated, resized
from graphnas.mutators.library import (
    ChangeKernel,
    Deepen,
    DuplicateBlock,
    FactorizeLinear,
    Narrow,
    Widen,
)
from graphnas.mutators.mutator import RandomCandidate
from graphnas.mutators.widths import set_width
from tests.mutators.outcomes import first_tensor, model_of
from tests.networks import ResNet18, TransformerEncoder
from tests.zoo import ZOO

SEEDED = torch.Generator().manual_seed(0)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "ResNet18": (ResNet18, (torch.randn(2, 3, 32, 32, generator=SEEDED),)),
    "TransformerEncoder": (TransformerEncoder, (torch.randint(0, 50, (2, 12), generator=SEEDED),)),
    "mobilenetv3": (ZOO["mobilenetv3"][0], ZOO["mobilenetv3"][1](2)),
    "convnext": (ZOO["convnext"][0], ZOO["convnext"][1](2)),
    "vit": (ZOO["vit"][0], ZOO["vit"][1](2)),
}


@cache
def learnt(name: str) -> tuple[nn.Module, graphnas.Model, Tensor]:
    """A network that has learnt something: no parameter or statistic is what it was initialised with."""
    build, inputs = NETWORKS[name]
    torch.manual_seed(0)
    net = build().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for key, buffer in net.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            elif key.endswith("running_var"):
                buffer.uniform_(0.8, 1.3)
        return net, graphnas.trace(net, inputs), first_tensor(net(*inputs))


def child_of(name: str, mutator: Mutator, seed: int) -> tuple[graphnas.Model, Tensor, Tensor]:
    """A child, what it computes with the weights of its parent, and what the parent computes."""
    net, model, expected = learnt(name)
    for attempt in range(10):
        try:
            child = mutator.apply(model, RandomCandidate(random.Random(seed + attempt)))
            break
        except MutationError:
            continue
    module = graphnas.to_module(child).eval()
    inherited = inherit(net.state_dict(), child)
    assert inherited.fresh == ()
    inherited.load_into(module)
    with torch.no_grad():
        return child, first_tensor(module(*NETWORKS[name][1])), expected


PRESERVING = [
    (Widen((1.5, 2.0), preserving=True), ("ResNet18", "TransformerEncoder", "mobilenetv3", "convnext", "vit")),
    (Widen((2.0,), preserving=True, sites=2), ("ResNet18", "TransformerEncoder", "mobilenetv3")),
    (Deepen(), ("ResNet18", "mobilenetv3")),
    (Deepen(1, norm=False), ("ResNet18",)),
    (DuplicateBlock((1, 2), preserving=True), ("ResNet18", "TransformerEncoder", "mobilenetv3", "convnext", "vit")),
]


@pytest.mark.parametrize(
    ("mutator", "name", "seed"),
    [
        pytest.param(mutator, name, seed, id=f"{index}-{mutator.label}-{name}-{seed}")
        for index, (mutator, names) in enumerate(PRESERVING)
        for name in names
        for seed in (0, 100)
    ],
)
def test_a_preserving_child_computes_what_its_parent_does(mutator: Any, name: str, seed: int) -> None:
    child, found, expected = child_of(name, mutator, seed)
    assert child.key != learnt(name)[1].key
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_a_chain_of_mutations_is_inherited_at_once_and_from_a_file() -> None:
    net, model, expected = learnt("ResNet18")
    child = model
    for mutator in (Widen((2.0,), label="w"), Deepen(label="d"), DuplicateBlock(preserving=True, label="b")):
        child = mutator.apply(child, RandomCandidate(random.Random(3)))
    child = AllOf(Widen((1.5,), label="w"), Deepen(label="d"), label="all").apply(
        child, RandomCandidate(random.Random(0))
    )
    for again in (child, from_json(dump_json(child))):
        module = graphnas.to_module(again).eval()
        inherit(net.state_dict(), again, parent=model).load_into(module)
        with torch.no_grad():
            found = module(*NETWORKS["ResNet18"][1])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(MutationError, match="the history of ResNet18 does not start from the parent"):
        inherit(net.state_dict(), model, parent=child)


def test_narrow_keeps_the_first_channels() -> None:
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 1))
    child = Narrow((0.5,)).apply(model_of(net, torch.randn(2, 3, 8, 8)), {"@Narrow/site": ":n0", "@Narrow/factor": 0.5})
    inherited = inherit(net.state_dict(), child)
    state = net.state_dict()
    assert torch.equal(inherited.state["0.weight"], state["0.weight"][:8])
    assert torch.equal(inherited.state["1.running_var"], state["1.running_var"][:8])
    assert torch.equal(inherited.state["3.weight"], state["3.weight"][:, :8])
    assert set(inherited.copied) == {"1.num_batches_tracked", "3.bias"}
    assert str(inherited) == "2 copied, 7 changed, 0 fresh, 0 dropped"


def test_what_the_history_does_not_know_goes_by_name_and_shape() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Linear(8, 8))
    model = model_of(net, torch.randn(1, 4, 8, 8))
    child = ChangeKernel((5,)).apply(model, {"@ChangeKernel/site": ":n0", "@ChangeKernel/size": 5})
    inherited = inherit(net.state_dict(), child)
    assert inherited.changed == ("0.weight",)
    assert torch.equal(inherited.state["0.weight"][..., :3, :3], net.state_dict()["0.weight"])
    child = FactorizeLinear((4,)).apply(model, {"@FactorizeLinear/site": ":n1", "@FactorizeLinear/rank": 4})
    inherited = inherit(net.state_dict(), child)
    assert inherited.fresh == ("1.0.weight", "1.1.weight", "1.1.bias")
    assert inherited.dropped == ("1.weight", "1.bias")
    module = graphnas.to_module(child)
    inherited.load_into(module)
    assert torch.equal(module.state_dict()["0.weight"], net.state_dict()["0.weight"])
    with pytest.raises(MutationError, match=r"Linear has no 0.weight, 0.bias; it is no module of the child"):
        inherited.load_into(nn.Linear(1, 1))


def test_noise_is_added_to_repeated_channels_only_and_is_reproducible() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    child = Widen((2.0,)).apply(model_of(net, torch.randn(2, 4)), {"@Widen/site": ":n0", "@Widen/factor": 2.0})
    plain, noisy, again = (inherit(net.state_dict(), child, noise=noise) for noise in (0.0, 0.01, 0.01))
    assert torch.equal(plain.state["0.weight"][:8], plain.state["0.weight"][8:])
    assert not torch.equal(noisy.state["0.weight"][:8], noisy.state["0.weight"][8:])
    assert torch.equal(noisy.state["0.weight"], again.state["0.weight"])
    assert torch.equal(noisy.state["2.bias"], net.state_dict()["2.bias"])


def test_the_state_of_another_model_is_refused_with_the_tensor() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    child = Widen((2.0,)).apply(model_of(net, torch.randn(2, 4)), {"@Widen/site": ":n0", "@Widen/factor": 2.0})
    other = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).state_dict()
    with pytest.raises(
        MutationError, match=r"0.weight: the history changes 8 channels on axis 0, .* shape \(6, 4\); give"
    ):
        inherit(other, child)


class Mixing(nn.Module):
    def __init__(self, mix: str) -> None:
        super().__init__()
        self.a, self.b, self.mix = nn.Linear(4, 8), nn.Linear(8, 2), mix
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if self.mix == "softmax":
            x = x.softmax(-1)
        elif self.mix == "tokens":
            x = x.softmax(1)
        elif self.mix == "product":
            x = (x @ x.transpose(1, 2)) @ x
        else:
            x = self.norm(x)
        return self.b(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("mix", "factor", "why"),
    [
        ("softmax", 2.0, ":softmax mixes repeated channels"),
        ("product", 2.0, ":matmul multiplies repeated channels with each other"),
        ("norm", 1.5, ":norm takes means over channels that are not repeated equally often"),
        ("norm", 2.0, ""),
        ("tokens", 1.5, ""),
    ],
)
def test_what_cannot_be_preserved_is_refused_with_the_reason(mix: str, factor: float, why: str) -> None:
    x = torch.randn(2, 3, 4)
    net = Mixing(mix).eval()
    model = model_of(net, x)
    space = ModelSpace(model, [Widen((factor,), multiple=4, preserving=True, label="w")])
    if why:
        with pytest.raises(MutationError, match=f":a: with {int(8 * factor)} channels instead of 8, {why}"):
            space.freeze({"@w/site": ":a", "@w/factor": factor})
        return
    child = space.freeze({"@w/site": ":a", "@w/factor": factor})
    module = graphnas.to_module(child).eval()
    inherit(net.state_dict(), child).load_into(module)
    torch.testing.assert_close(module(x), net(x))


@pytest.mark.parametrize(("groups", "factor", "is_kept"), [(1, 2.0, True), (2, 2.0, False), (4, 1.5, False)])
def test_groups_of_a_norm_must_hold_the_channels_that_they_held(groups: int, factor: float, is_kept: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(groups, 8), nn.Conv2d(8, 4, 1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    x, decisions = torch.randn(2, 3, 4, 4), {"@Widen/site": ":n0", "@Widen/factor": factor}
    mutator, model = Widen((factor,), multiple=4, preserving=True), model_of(net, x)
    if not is_kept:
        with pytest.raises(MutationError, match=":n1 normalises groups that other channels would be in"):
            mutator.apply(model, decisions)
        return
    child = mutator.apply(model, decisions)
    module = graphnas.to_module(child)
    inherit(net.state_dict(), child).load_into(module)
    torch.testing.assert_close(module(x), net(x))


def test_a_branch_through_a_module_of_several_results_is_silenced_where_it_is_used() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.out = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            weights = (x @ x.transpose(1, 2)).softmax(-1)
            return self.out(weights @ self.value(x)), weights

    class Passing(nn.Module):
        def forward(self, scale: float, x: Tensor) -> Tensor:
            return x * scale if self.training else x

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.attention, self.drop = nn.LayerNorm(4), Attention(), Passing()

        def forward(self, x: Tensor) -> Tensor:
            return x + self.drop(0.5, self.attention(self.norm(x))[0])  # type: ignore[no-any-return]

    net = nn.Sequential(Block(), Block()).eval()
    x = torch.randn(2, 3, 4)
    child = DuplicateBlock(preserving=True, label="d").apply(model_of(net, x), {"@d/site": ":n0"})
    zeros = [name for name, steps in child.history[-1].weights.items() if steps[-1] == ("fill", 0.0)]
    assert zeros == ["block.attention.out.weight", "block.attention.out.bias"]
    module = graphnas.to_module(child).eval()
    inherit(net.state_dict(), child).load_into(module)
    assert torch.equal(module(x), net(x))


def test_own_weights_are_shared_out_as_they_are_applied() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 8)
            self.left, self.right = nn.Parameter(torch.randn(8, 3)), nn.Parameter(torch.randn(5, 8))
            self.scale = nn.Parameter(torch.randn(8))

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x) * self.scale
            return torch.cat([x @ self.left, x @ self.right.t(), torch.einsum("bc,oc->bo", x, self.right)], dim=1)

    x, net = torch.randn(2, 4), Own()
    child = Widen((1.5,), multiple=4, preserving=True).apply(
        model_of(net, x), {"@Widen/site": ":a", "@Widen/factor": 1.5}
    )
    module = graphnas.to_module(child)
    inherit(net.state_dict(), child).load_into(module)
    torch.testing.assert_close(module(x), net(x))


def test_widths_set_by_hand_are_inherited_too() -> None:
    net, model, _ = learnt("ResNet18")
    with Rewriter(model) as edit:
        set_width(edit, "layer1.0.conv1", 96)
        set_width(edit, "layer1.0.conv1", 128)
    assert edit.result is not None
    module = graphnas.to_module(edit.result).eval()
    inherit(net.state_dict(), edit.result).load_into(module)
    x = NETWORKS["ResNet18"][1][0].double()  # sums in another order round differently
    with torch.no_grad():
        torch.testing.assert_close(module.double()(x), copy.deepcopy(net).double()(x), rtol=1e-9, atol=1e-9)


def test_steps() -> None:
    assert repeated(((2, 5), (3, 2), (1, 0))) == [0, 1, 0, 1, 0, 2, 3]
    assert is_uniform(((2, 4), (3, 6)))
    assert not is_uniform(((2, 4), (3, 3)))
    weight = torch.randn(4, 6)
    x = torch.randn(3, 6)
    wide = resized(weight, 1, ((2, 5), (4, 4)), is_summed=True)
    torch.testing.assert_close(resized(x, 1, ((2, 5), (4, 4))) @ wide.t(), x @ weight.t())
    conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    conv.weight.data = identity(TensorType((3, 3, 3, 3), torch.float32))
    image = torch.randn(1, 3, 5, 5)
    assert torch.equal(conv(image), image)
    with pytest.raises(MutationError, match=r"no weight of the shape \(3, 3, 2, 2\) is an identity"):
        identity(TensorType((3, 3, 2, 2), torch.float32))
    assert applied([("copy", "b")], "a", {}, None) is None


def test_arguments_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"factors: expected numbers above 1, got \(0.5,\)"):
        Widen((0.5,), preserving=True)
    with pytest.raises(ConfigError, match=r"factors: expected numbers above 0, got \(\)"):
        Narrow(())
    with pytest.raises(ConfigError, match="multiple: expected a whole number from 1, got 0"):
        Widen(multiple=0)
    with pytest.raises(ConfigError, match="kernel_size: expected an odd number, got 4"):
        Deepen(4)
    unet = model_of(ZOO["unet"][0](), *ZOO["unet"][1](1))
    with pytest.raises(MutationError, match="result has the type of its input, a residual one"):
        DuplicateBlock(preserving=True).apply(unet, {})
