"""What counts: values and effects, not where something is read or what comes to nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphnas.codegen import to_module
from graphnas.ir.trace import trace
from graphnas.ir.verify import verified


class Early(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        scale, (n, c) = self.scale, x.shape
        half = c // 2
        a, b = torch.split(x, half, 1)
        y: Tensor = self.fc(x) * scale
        return y.view(n, 2, half) + torch.cat([b, a], 1).view(n, 2, half)


class Late(Early):
    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, x.shape[1] // 2, 1)
        y: Tensor = self.fc(x) * self.scale
        y = y.view(x.shape[0], 2, x.shape[1] // 2)
        return y + torch.cat([parts[1], parts[0]], 1).view(x.shape[0], 2, x.shape[1] // 2)


class Reshaped(nn.Module):
    def __init__(self, early: bool) -> None:
        super().__init__()
        self.early = early

    def forward(self, x: Tensor) -> Tensor:
        x = x + 1
        size = x.shape[0] + 0
        x.unsqueeze_(0)
        return x * (size if self.early else x.shape[0] + 0)


def test_where_attributes_items_and_sizes_are_read_does_not_count() -> None:
    models = [trace(kind(), torch.randn(2, 4)) for kind in (Early, Late)]
    assert models[0].fingerprint == models[1].fingerprint
    assert models[0].key != models[1].key


def test_a_size_before_a_reshape_in_place_is_not_that_after_it() -> None:
    models = [trace(Reshaped(early), torch.randn(2, 4)) for early in (True, False)]
    assert models[0].fingerprint != models[1].fingerprint
    for early, model in zip((True, False), models, strict=True):
        x = torch.randn(2, 4)
        assert torch.equal(Reshaped(early)(x), to_module(model)(x))
        assert str(model.site(":add").node.type) == "f32[2, 4]"
        assert verified(model) == model


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x * 2
        return x.exp() + y


class Idle(nn.Module):
    """Computes the same, with values that nobody takes and switches that switch nothing."""

    def forward(self, x: Tensor) -> Tensor:
        x.sin()
        with torch.no_grad():
            x.cos()
        with torch.no_grad(), torch.enable_grad(), torch.no_grad():
            n = x.shape[0]
            with torch.no_grad():
                y = x * 2
        x.flatten(0).view(n, -1)
        return x.exp() + y


class Ungraded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x.exp() + x * 2


def test_what_comes_to_nothing_does_not_count() -> None:
    x = torch.randn(2, 4, requires_grad=True)
    models = [trace(kind(), x) for kind in (Plain, Idle, Ungraded)]
    assert models[0].fingerprint == models[1].fingerprint != models[2].fingerprint
    for kind, model in zip((Plain, Idle, Ungraded), models, strict=True):
        y, z = kind()(x), to_module(model)(x)
        assert torch.equal(y, z)
        assert y.requires_grad == z.requires_grad
        if y.requires_grad:
            assert torch.equal(*(torch.autograd.grad(value.sum(), x)[0] for value in (y, z)))
