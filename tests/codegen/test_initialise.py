"""Initialisation in generated source: the same tensors under the same seed, in a few lines."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import graphnas
from tests.codegen.roundtrip import initial_state, roundtrip


class Plain(nn.Module):
    """Two layers and a head, in a chain."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.dw = nn.Conv2d(8, 8, 3, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.dw(self.conv(x))).mean((2, 3))
        return self.head(self.fc(x))  # type: ignore[no-any-return]  # modules are not typed


class ByClass(Plain):
    def __init__(self) -> None:
        super().__init__()
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class ByName(Plain):
    def __init__(self) -> None:
        super().__init__()
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.2 if name == "head" else 0.02)


class ByFan(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Sequential(*[nn.Linear(6, width) for width in (3, 4, 5, 6)])
        for name, module in self.named_modules():
            if name == "head":
                nn.init.uniform_(module.weight, -0.01, 0.01)
            elif isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                module.weight.data.normal_(0, math.sqrt(2.0 / fan_out))
            elif isinstance(module, nn.Linear):
                bound = 1 / math.sqrt(module.in_features)
                module.weight.data.uniform_(-bound, bound)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """What packages carry along from the time when torch had none."""
    with torch.no_grad():
        lower, upper = (1 + math.erf((limit - mean) / std / math.sqrt(2)) for limit in (a, b))
        tensor.uniform_(lower - 1, upper - 1)
        tensor.erfinv_().mul_(std * math.sqrt(2)).add_(mean).clamp_(min=a, max=b)
        return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """What torch does, under torch's name, but in a package of somebody else."""
    with torch.no_grad():
        std = gain * math.sqrt(2.0 / float(tensor.shape[0] + tensor.shape[1]))
        return tensor.uniform_(-math.sqrt(3.0) * std, math.sqrt(3.0) * std)


class OwnFunctions(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.apply(self._init)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            trunc_normal_(module.weight, std=0.02)
            xavier_uniform_(module.weight, gain=0.5)


class Mixed(nn.Module):
    """Parameters, children and their initialisation in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.randn(4))
        self.second = nn.Linear(4, 4)
        nn.init.normal_(self.second.weight)
        self.third = nn.Linear(4, 4)
        self.table = nn.Parameter(torch.empty(4))
        self.table.data.uniform_(-0.5, 0.5)
        self.fourth = nn.Linear(4, 4)
        self.fourth.weight = nn.Parameter(torch.rand(4, 4) * 0.1)
        self.fifth = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x) * self.scale)
        return self.fifth(self.fourth(self.third(x) + self.table))  # type: ignore[no-any-return]  # as above


class SameConv(nn.Conv2d):
    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3)
        self.gain = nn.Parameter(torch.randn(1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (1, 1, 1, 1))) * self.gain


class Derived(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = SameConv(3)
        self.b = SameConv(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))  # type: ignore[no-any-return]  # as above


IMAGES = torch.zeros(2, 3, 8, 8)


def start(build: Callable[[], nn.Module], x: Tensor) -> tuple[nn.Module, nn.Module, str]:
    """Return a model and the one that is generated of it, both built under the same seed, and the source."""
    with graphnas.recording():
        torch.manual_seed(5)
        net = build()
    traced = graphnas.trace(net, x)
    torch.manual_seed(5)
    return net, graphnas.to_module(traced), graphnas.to_source(traced)


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(4, 6)
        for layer in (self.first, self.second):
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias[2:4])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.first(x) + self.second(x)
        return y


@pytest.mark.parametrize(
    ("build", "x", "lines"),
    [
        (
            ByClass,
            IMAGES,
            [
                "for m in self.modules():",
                "if isinstance(m, (nn.Conv2d, nn.Linear)):",
                "nn.init.xavier_normal_(m.weight)",
                "if m.bias is not None:",
                "nn.init.zeros_(m.bias)",
            ],
        ),
        (
            ByName,
            IMAGES,
            [
                "nn.init.trunc_normal_(self.fc.weight, std=0.02)",
                "nn.init.trunc_normal_(self.head.weight, std=0.2)",
            ],
        ),
        (
            ByFan,
            IMAGES,
            [
                "for name, m in self.named_modules():",
                'if isinstance(m, nn.Linear) and name.endswith("head"):',
                "nn.init.uniform_(m.weight, a=-0.01, b=0.01)",
                "elif isinstance(m, nn.Conv2d):",
                "nn.init.normal_(m.weight, std=math.sqrt(2 / (m.weight[:, 0].numel() // m.groups)))",
                "elif isinstance(m, nn.Linear):",
                "nn.init.uniform_(m.weight, a=-1 / math.sqrt(m.weight[0].numel()), "
                "b=1 / math.sqrt(m.weight[0].numel()))",
            ],
        ),
        (
            OwnFunctions,
            IMAGES,
            [
                "m.weight.erfinv_()",
                "m.weight.mul_(0.028284271247461905)",
                "m.weight.clamp_(min=-2.0, max=2.0)",
                "nn.init.xavier_uniform_(m.weight, gain=0.5)",
            ],
        ),
        (
            Mixed,
            torch.zeros(2, 4),
            [
                "self.first = nn.Linear(4, 4)",
                "self.scale = nn.Parameter(torch.randn(4))",
                "self.second = nn.Linear(4, 4)",
                "nn.init.normal_(self.second.weight)",
                "self.third = nn.Linear(4, 4)",
            ],
        ),
        (Parts, torch.zeros(2, 4), ["nn.init.normal_(m.weight)", "nn.init.zeros_(m.bias[2:4])"]),
        (Derived, IMAGES, ["super().__init__(3, 3, kernel_size=3)", "self.gain = nn.Parameter(torch.randn(1))"]),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_the_same_seed_gives_the_same_tensors(build: Callable[[], nn.Module], x: Tensor, lines: list[str]) -> None:
    net, built, source = start(build, x)
    assert "\n".join(lines) in "\n".join(line.strip() for line in source.splitlines())
    theirs = dict(built.named_parameters())
    assert list(theirs) == [name for name, _ in net.named_parameters()]
    assert [name for name, parameter in net.named_parameters() if not torch.equal(parameter, theirs[name])] == []
    graphnas.trace(built, x)
    torch.manual_seed(5)
    with graphnas.recording():
        again = type(built)()
    assert graphnas.to_source(graphnas.trace(again, x)) == source


class InParts(Plain):
    def __init__(self) -> None:
        super().__init__()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                with torch.no_grad():
                    module.weight[1:3, ::2].zero_()
                    module.bias[2:].fill_(1.0)


def test_parts_of_parameters_are_initialised_alike() -> None:
    net, built, source = start(InParts, IMAGES)
    theirs = dict(built.named_parameters())
    assert [name for name, parameter in net.named_parameters() if not torch.equal(parameter, theirs[name])] == []
    assert "[1:3, ::2]" in source


class Gated(nn.Module):
    """Parameters of its own, that a copy of it starts with as well."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.full((3,), 0.5))
        self.weight = nn.Parameter(torch.empty(3, 64))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T * self.gate @ self.weight


def test_copies_start_as_what_they_are_copies_of() -> None:
    with graphnas.recording():
        first = Gated()
        net = nn.Sequential(first, copy.deepcopy(first))
        nn.init.ones_(first.gate)  # which the copy does not see
    model = graphnas.trace(net, (torch.zeros(2, 64),))
    assert model.report is not None
    assert model.report.notes == ()
    state = graphnas.to_module(model).state_dict()
    assert torch.equal(state["0.gate"], torch.ones(3))
    assert torch.equal(state["1.gate"], torch.full((3,), 0.5))
    for name in ("0.weight", "1.weight"):
        assert 0.005 < state[name].std() < 0.02


class Rotary(nn.Module):
    """Keeps what its buffer was at first, before the model around it fills the buffer again."""

    def __init__(self) -> None:
        super().__init__()
        frequencies = 1.0 / 100.0 ** (torch.arange(0, 4, 2) / 4)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.register_buffer("original", frequencies.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("frequencies") + self.get_buffer("original")


class Refilled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rotary = Rotary()
        with torch.no_grad():
            for name in ("frequencies", "original"):
                self.rotary.get_buffer(name).copy_(1.0 / 100.0 ** (torch.arange(0, 4, 2) / 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.rotary(x)  # type: ignore[no-any-return]  # modules are not typed


def test_a_tensor_is_what_it_was_when_it_was_taken() -> None:
    source = roundtrip(Refilled, torch.randn(3, 2))
    assert source.partition("def forward")[0].count("copy_") == 0


class Heads(nn.Module):
    """Two layers under `weight_norm`: the weight of one was initialised before its norms were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.weight_norm(nn.Linear(4, 4))
        nn.init.ones_(self.first.get_parameter("weight_g"))
        layer = nn.Linear(4, 2)
        nn.init.constant_(layer.weight, 0.5)
        self.second = nn.utils.weight_norm(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))  # type: ignore[no-any-return]  # modules are not typed


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_norms_are_copied_where_the_weight_was_another_one_when_they_were_taken() -> None:
    source = roundtrip(Heads, torch.randn(3, 4))
    assert "self.first.weight_g.copy_" not in source
    assert source.count("norm_except_dim(self.second.weight_v") == 1
    assert initial_state(Heads, torch.randn(3, 4))


def bell(steps: Tensor, width: float) -> Tensor:
    distance = steps**2.0
    distance = distance - distance.min()
    distance = distance / width
    weight = torch.exp(-distance)
    weight = torch.where(weight < 0.01, torch.zeros_like(weight), weight)
    return weight / weight.sum()


class Kernels(nn.Module):
    """Both axes are treated alike: source has a loop that fills a list, of which a second trace sees other names."""

    def __init__(self) -> None:
        super().__init__()
        steps = torch.arange(5).float()
        rows = bell(steps, 3.0)[..., None]
        columns = bell(steps, 5.0)[..., None]
        self.register_buffer("kernel", rows * columns.view(1, -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.kernel  # type: ignore[operator]  # buffers are not typed


def test_a_loop_in_a_constructor_is_seen_again() -> None:
    source = roundtrip(Kernels, torch.randn(5, 5))
    assert "outputs.append(" in source
    assert "* outputs[1].view(1, -1)" in source
