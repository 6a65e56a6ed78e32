"""What a trace makes of values that were put on a model after its construction."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from graphnas.codegen import to_module
from graphnas.ir.model import Model
from graphnas.ir.record import recording
from graphnas.ir.trace import trace


class Caching(nn.Module):
    """Keeps what it computed, in the ways that one meets."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))
        self.by_device: dict[str, Tensor] = {}
        self.total: Tensor | None = None
        self.mask: Tensor | None = None
        self.offset = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        key = str(x.device)
        if key not in self.by_device:
            self.by_device[key] = self.weight.exp()
        if self.total is None:
            self.total = self.weight.sum()
        if len(self.offset) != x.shape[0]:
            self.offset = self.weight.mean().repeat(x.shape[0])
        if not hasattr(self, "pair"):
            self.pair = (self.weight.amax(0), self.weight.amin(0))
        y = x @ self.by_device[key] + self.offset[:, None] + self.total + self.pair[0] - self.pair[1]
        return y if self.mask is None else y * self.mask


def used() -> Caching:
    with recording():
        net = Caching()
    with torch.no_grad():
        net(torch.randn(2, 3))
    return net


def check(model: Model, net: Caching) -> None:
    """Compare with a fresh model of the same weights."""
    built, fresh = to_module(model), Caching()
    state = {name: torch.randn_like(value) for name, value in net.state_dict().items()}
    built.load_state_dict(state)
    fresh.load_state_dict(state)
    fresh.mask = net.mask
    x = torch.randn(2, 3)
    assert torch.equal(built(x), fresh(x))


def notes(model: Model) -> tuple[str, ...]:
    assert model.report is not None
    return model.report.notes


def test_what_an_earlier_call_kept_is_computed_anew() -> None:
    net = used()
    kept = net.by_device["cpu"]
    model = trace(net, torch.randn(2, 3))
    assert list(model.root.buffers) == ["offset"]  # which is as constructed, and asked for its size
    assert model.root.buffers["offset"].type.shape == (1,)
    assert notes(model) == ()
    assert net.by_device["cpu"] is kept
    assert net.total is not None
    check(model, net)


def test_what_a_user_set_stays_and_is_reported() -> None:
    net = used()
    net.mask = torch.tensor([0.0, 1.0, 0.0, 1.0])
    model = trace(net, torch.randn(2, 3))
    assert list(model.root.buffers) == ["mask", "offset"]
    assert notes(model) == ("the root: mask was set after construction and is kept as it is",)
    check(model, net)


def test_what_a_forward_cannot_do_without_stays() -> None:
    class Scaled(nn.Module):
        scale: Tensor

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale

    with recording():
        net = Scaled()
    net.scale = torch.tensor([2.0, 3.0])
    model = trace(net, torch.randn(1, 2))
    assert list(model.root.buffers) == ["scale"]
    assert torch.equal(to_module(model)(torch.ones(1, 2)), torch.tensor([[2.0, 3.0]]))


def test_views_of_dictionaries_need_not_be_copied() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleDict({"a": nn.Linear(2, 2)})
            self.names = {"a": 1}.keys()

        def forward(self, x: Tensor) -> Tensor:
            for name in self.names:
                x = self.layers[name](x)
            return x

    assert len(trace(Named(), torch.randn(1, 2)).root.forwards[0].eval.nodes) == 1


@lru_cache
def grid(height: int, width: int, scale: float) -> Tensor:
    return torch.arange(height)[:, None] * scale + torch.arange(width)


def test_functions_under_a_cache_are_traced_without_it() -> None:
    class Shifted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + grid(x.shape[1], x.shape[2], 2.0) + grid(3, 1, 0.5)

    grid.cache_clear()
    net, x = Shifted(), torch.randn(1, 3, 30)
    fresh = trace(net, x)
    assert grid.cache_info().currsize == 0
    expected = net(x)
    filled = grid.cache_info()
    used = trace(net, x)
    assert fresh == used
    assert not used.root.buffers
    assert grid.cache_info() == filled
    assert torch.equal(to_module(used)(x), expected)
