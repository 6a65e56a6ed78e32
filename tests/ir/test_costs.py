"""Costs from types alone, against what torch counts and allocates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import graphnas
from graphnas.ir.costs import Costs
from graphnas.ir.graph import Operation
from graphnas.ir.types import TensorType
from tests.ir.models import definition, graph, leaf, model_of, module, node
from tests.networks import ResNet18, TransformerEncoder
from tests.zoo import ZOO, images, tokens


def traced(net: nn.Module, *inputs: Tensor) -> graphnas.Model:
    return graphnas.trace(net, inputs)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 5, num_layers=2, bidirectional=True)
        self.gru = nn.GRU(10, 6)
        self.bilinear = nn.Bilinear(6, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.lstm(x)
        y, state = self.gru(y)
        return self.bilinear(y, y) + torch.mv(self.bilinear.weight[0], state[0, 0]).sum()  # type: ignore[no-any-return]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.MultiheadAttention(16, 4, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(self.whole(x, x, x)[0])
        heads = x.view(x.shape[0], x.shape[1], 2, 8).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads) + torch.einsum("bhqd,bhkd->bhqk", heads, heads).sum()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "ResNet18": (ResNet18, (images(),)),
    "TransformerEncoder": (TransformerEncoder, (tokens() % 50,)),
    "Attention": (Attention, (torch.randn(2, 5, 16),)),
    **{name: (build, inputs(2)) for name, (build, inputs) in ZOO.items()},
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_counts_agree_with_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, inputs = NETWORKS[name]
    net = build().eval()
    costs = graphnas.costs(traced(net, *inputs))
    monkeypatch.setattr(torch.backends.mha, "_is_fastpath_enabled", False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(*inputs)
    assert isinstance(costs, Costs)
    assert costs.flops == counter.get_total_flops()
    assert costs.macs * 2 == costs.flops
    assert costs.parameters == sum(item.numel() for item in net.parameters())
    assert costs.uncounted == ()
    assert costs.peak_bytes < costs.activation_bytes


def test_what_torch_passes_over_is_counted() -> None:
    costs = graphnas.costs(traced(Recurrent().eval(), torch.randn(7, 2, 8)))
    steps, rows = 7 * 2, {row.path: row.macs for row in costs.modules}
    lstm = steps * 2 * 20 * ((8 + 5) + (10 + 5))  # two directions, four gates, input and state of two layers
    assert rows == {"": lstm + 14 * 18 * 16 + 14 * 3 * (36 + 6) + 36, "lstm": lstm, "gru": 14 * 18 * 16} | {
        "bilinear": 14 * 3 * (36 + 6)
    }


def test_shared_modules_and_tied_weights_count_once_and_work_as_often_as_it_is_done() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
            self.inner[1].weight = self.inner[0].weight
            self.again = self.inner
            self.blocks = nn.ModuleList([nn.Linear(8, 8)])

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks[0](self.again(self.inner(x)))  # type: ignore[no-any-return]

    net = Twice()
    costs = graphnas.costs(traced(net, torch.randn(3, 8)))
    assert costs.parameters == sum(item.numel() for item in net.parameters()) == 64 + 16 + 72
    assert costs.macs == 5 * 3 * 64
    rows = {row.path: (row.calls, row.macs) for row in costs.modules}
    assert rows["blocks"] == (0, 3 * 64)
    assert rows["blocks.0"] == (1, 3 * 64)
    assert rows["inner.0"][0] + rows.get("again.0", (0, 0))[0] == 2


def test_frozen_parameters_and_bytes() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).double()
    net[0].requires_grad_(False)
    costs = graphnas.costs(traced(net, torch.randn(1, 4).double()))
    assert (costs.parameters, costs.trained_parameters, costs.parameter_bytes) == (30, 10, 240)


def test_views_and_in_place_operations_make_no_memory() -> None:
    class Views(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a, b = (x * 2).chunk(2, dim=1)
            a = a.reshape(4, 8).t().unsqueeze(0)
            a += 1
            return F.relu(a, inplace=True).contiguous() + b.sum()

    costs = graphnas.costs(traced(Views(), torch.randn(4, 16)))
    made = {row.site: row.activation_bytes for row in costs.nodes if row.activation_bytes}
    assert made == {":mul": 256, ":contiguous": 128, ":sum": 4, ":add": 128}
    assert costs.activation_bytes == sum(made.values())
    # The product lives until the last use of its halves; `contiguous` reads one of them, `sum` the other.
    assert costs.peak_bytes == 256 + (256 + 128 + 4)


def test_a_result_is_freed_after_its_last_use_and_arguments_outlive_the_call() -> None:
    class Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sin().cos().tan()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Block(), Block()

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))  # type: ignore[no-any-return]

    costs = graphnas.costs(traced(Net(), torch.randn(10)))
    assert costs.activation_bytes == 6 * 40
    assert costs.peak_bytes == 40 * (1 + 1 + 2)  # the input, what `a` gave, and two within `b`


def test_work_that_hangs_on_data_is_named_not_guessed() -> None:
    rows = replace(node("rows", Operation("method", "nonzero"), "%x"), type=TensorType((5, 2), torch.int64))
    body = graph("x", [rows, module("y", "layer", "%x")], ("%rows", "%y"))
    model = model_of(definition("Net", {"layer": leaf("Linear", 4, 2)}, body), TensorType((3, 4), torch.float32))
    costs = graphnas.costs(model)
    assert costs.uncounted == (":rows",)
    assert (costs.macs, costs.activation_bytes) == (24, 5 * 2 * 8 + 3 * 2 * 4)


def test_train_mode_has_its_own_costs() -> None:
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.side = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Any:
            x = self.body(x)
            return (x, self.side(x)) if self.training else x

    model = traced(Auxiliary(), torch.randn(1, 4))
    assert graphnas.costs(model).macs == 16
    assert graphnas.costs(model, training=True).macs == 24


def test_tables() -> None:
    costs = graphnas.costs(traced(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.randn(1, 2)))
    assert costs.table(depth=0).splitlines()[1:] == ["(root)  Sequential           9     12                24"]
    assert [line.split()[0] for line in costs.table(by="node").splitlines()[1:]] == [row.site for row in costs.nodes]
    assert repr(costs) == "Costs(Sequential: 9 parameters, 12 FLOPs, 24 activation bytes, 32 at most at once)"
