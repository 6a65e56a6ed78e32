"""Forms of modules one by one: the generated module has the same state and computes the same in both modes."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from tests.codegen.roundtrip import initial_state, roundtrip
from tests.codegen.units import Scale

X = torch.randn(2, 6, 8)


class Around(nn.Module):
    """Calls one module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)  # type: ignore[no-any-return]  # modules are not typed


def test_transformer_encoder_layer() -> None:
    source = roundtrip(lambda: Around(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)), X)
    assert "nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)" in source


def test_a_construction_is_an_argument() -> None:
    def build() -> nn.Module:
        return Around(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2))

    assert "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2" in roundtrip(build, X)


def test_frozen_parameters_of_leaves() -> None:
    def build() -> nn.Module:
        net = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
        net[0].weight.requires_grad_(False)
        net[1].requires_grad_(False)
        return Around(net)

    source = roundtrip(build, X)
    assert "self.inner[0].weight.requires_grad_(False)" in source


class OwnFrozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8), requires_grad=False)
        self.shift = nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def test_frozen_parameters_of_its_own() -> None:
    assert "self.scale = nn.Parameter(torch.ones(8), requires_grad=False)" in roundtrip(OwnFrozen, X)


class Several(nn.Module):
    def forward(self, x: Tensor, scale: float | None = None) -> Tensor:
        return x if scale is None else x * scale + 1


class CallsSeveral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Several()
        self.blocks = nn.ModuleList([Several() for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(self.inner(x, 3.0))
        for block in self.blocks:
            x = block(x)
        for block in self.blocks:
            x = block(x, 2.0)
        return x


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class CallsAtTwoSizes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.shrink = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.gate(x)
        x = self.shrink(x)
        return self.gate(x)  # type: ignore[no-any-return]  # modules are not typed


def test_sizes_make_no_forward_of_their_own() -> None:
    assert "forward_1" not in roundtrip(CallsAtTwoSizes, X)


class PassesLists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.joined = Joined()

    def forward(self, x: Tensor) -> Tensor:
        parts = [x + number for number in range(3)]
        noise = torch.ones(2, 1, 1, device=x.device, dtype=None, requires_grad=False)
        x = self.joined(parts) * noise
        left, right = x.chunk(2, dim=1)
        return torch.cat((left, right), dim=1)


class Joined(nn.Module):
    def forward(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, dim=1)


def test_lists_that_are_passed_on_stay_whole() -> None:
    source = roundtrip(PassesLists, X)
    assert "return torch.cat(parts, dim=1)" in source
    assert "torch.ones(2, 1, 1, device=x.device)" in source
    assert "return torch.cat(x.chunk(2, dim=1), dim=1)" in source


def test_several_forwards() -> None:
    source = roundtrip(CallsSeveral, X)
    assert "def forward_1(self, x: Tensor) -> Tensor:" in source
    assert source.count("for block in self.blocks:") == 2


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        shared = nn.Linear(8, 8)
        self.body = nn.Sequential(OrderedDict([("fc", shared), ("act", nn.ReLU()), ("again", shared)]))
        self.heads = nn.ModuleDict({"a-1": shared, "class": nn.Linear(8, 4), "2": nn.Linear(8, 4)})
        self.heads["class"].weight = self.heads["2"].weight

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.heads["a-1"](self.body(x))
        return {"class": self.heads["class"](x), "2": self.heads["2"](x)}


def test_named_children_and_ties() -> None:
    source = roundtrip(Named, X)
    assert 'OrderedDict([("fc"' in source
    assert 'self.heads["class"]' in source


def test_ties_are_ties() -> None:
    import graphnas

    model = graphnas.trace(Named(), (X,))
    net = graphnas.to_module(model)
    assert net.body.fc is net.body.again is net.heads["a-1"]  # type: ignore[union-attr,index]  # modules
    assert net.heads["class"].weight is net.heads["2"].weight  # type: ignore[union-attr,index]  # modules


def test_basic_units_are_imported() -> None:
    source = roundtrip(lambda: nn.Sequential(Scale(8), Scale(8, start=0.5)), X)
    assert "from tests.codegen.units import Scale" in source
    assert "Scale(8, start=0.5)" in source


class OddNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.add_module("0", nn.Linear(8, 8))
        self.add_module("block1-0", nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)))
        self.add_module("class", nn.Linear(8, 8))
        self.add_module("1", nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


def test_names_that_are_no_identifiers() -> None:
    source = roundtrip(OddNames, X)
    assert 'self.add_module("block1-0", nn.Sequential(' in source
    assert "x = getattr(self, value)(x)" in source


class Blocks(nn.ModuleList):
    """A list that initialises what it holds, and owns a parameter."""

    def __init__(self) -> None:
        super().__init__([nn.Linear(8, 8) for _ in range(3)])
        for layer in self:
            nn.init.normal_(layer.weight, std=0.5)  # type: ignore[arg-type]  # a tensor
        self.scale = nn.Parameter(torch.full((1,), 2.0))


class Heads(nn.ModuleDict):
    def __init__(self) -> None:
        super().__init__({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)})
        nn.init.uniform_(self["b"].weight, -3, 3)  # type: ignore[arg-type]  # a tensor
        self.register_buffer("step", torch.zeros(1))


class OwnsContainers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = Blocks()
        self.heads = Heads()
        self.rest = nn.ModuleList([Blocks(), nn.ModuleList([nn.Linear(8, 8)])])
        self.last = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        x = self.heads["a"](x) + self.heads["b"](x)
        for inner in self.rest:
            for block in inner.children():
                x = block(x)
        return self.last(x) * self.blocks.scale + self.heads.step  # type: ignore[no-any-return]  # as above


def test_containers_with_state_and_initialisation() -> None:
    source = roundtrip(OwnsContainers, X)
    assert "class Blocks(nn.ModuleList):" in source
    assert "class Heads(nn.ModuleDict):" in source
    assert initial_state(OwnsContainers, X)


class InitialisesContainers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        for block in self.blocks:
            nn.init.orthogonal_(block.weight)  # type: ignore[arg-type]  # a tensor
        self.last = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.last(x)  # type: ignore[no-any-return]  # as above


class WithoutGradient(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Linear(8, 8)
        self.student = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            target = self.teacher(x).softmax(-1)
            target = target / target.sum()
        y = self.student(x)
        with torch.no_grad(), torch.enable_grad():
            y = y + self.student(target)
        return y, target


def test_without_gradient() -> None:
    source = roundtrip(WithoutGradient, X)
    assert "with torch.no_grad():" in source
    assert "set_grad_enabled" not in source


class GradientSwitched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.fc(x)
            with torch.enable_grad():
                x = self.fc(x)
        return x


def test_nested_switches_of_the_gradient() -> None:
    roundtrip(GradientSwitched, X)


class PlainOrAdded(nn.Sequential):
    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        for module in self:
            x = module(x)
        return x if y is None else x.relu() + y


class PlainAndAdded(nn.Module):
    """One of the two comes to what `nn.Sequential` does, and has no forward of its own in the source."""

    def __init__(self) -> None:
        super().__init__()
        self.first = PlainOrAdded(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
        self.second = PlainOrAdded(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
        self.third = PlainOrAdded(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4), nn.Linear(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.third(self.second(x, x), x)  # type: ignore[no-any-return]  # modules are not typed


def test_a_forward_is_not_inherited_from_a_variant() -> None:
    roundtrip(PlainAndAdded, X)


@pytest.mark.parametrize(
    "number", [1j, -1j, 1 - 2j, complex(0.0, -1.0), complex(-0.0, 1.0), complex(1.0, -0.0)], ids=str
)
def test_complex_numbers_keep_the_signs_of_their_zeros(number: complex) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full_like(x, number)

    source = roundtrip(Net, torch.zeros(2, dtype=torch.complex64))
    written = source.partition("full_like(x, ")[2].partition("\n")[0].removesuffix(")")
    assert repr(eval(written)) == repr(number)


def test_arguments_of_a_base_that_say_the_default_in_other_words_are_left_out() -> None:
    class Pool(nn.MaxPool2d):
        def __init__(self) -> None:
            super().__init__((3, 3), stride=(2, 2), padding=(0, 0), dilation=(1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))  # type: ignore[no-any-return]  # modules are not typed

    assert "super().__init__(3, stride=2)\n" in roundtrip(lambda: Around(Pool()), torch.randn(2, 3, 8, 8))


def test_strides_are_read_or_unpacked_as_they_were() -> None:
    class Windows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            strides = x.stride()
            x = x.as_strided((2, 3, 4), (strides[0] // 2, strides[1], strides[2]))
            outer, middle, inner = x.stride()
            return x.as_strided((2, 2, 2), (outer // 2, middle, inner))

    source = roundtrip(Windows, X)
    assert "(stride[0] // 2, stride[1], stride[2])" in source
    assert "outer, middle, inner = x.stride()" in source


def test_the_method_of_a_module_that_is_its_second_forward_stays_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x).relu()  # type: ignore[no-any-return]  # modules are not typed

        def forward_1(self, x: Tensor) -> Tensor:
            return self.linear(x).tanh()  # type: ignore[no-any-return]  # modules are not typed

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice = Twice()

        def forward(self, x: Tensor) -> Tensor:
            return self.twice(x) + self.twice.forward_1(x)  # type: ignore[no-any-return]  # modules are not typed

    assert "return self.twice(x) + self.twice.forward_1(x)" in roundtrip(Net, X)
