"""Tensors that are one in the model or in the mode that is traced, and must be told apart; and the other way round."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphnas.codegen import to_module
from graphnas.errors import TraceError
from graphnas.ir.trace import trace
from tests.codegen.roundtrip import roundtrip


class DropPath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand(x.shape[0], 1).round() if self.training else x


class Net(nn.Module):
    """Uses what it gave to dropout once more."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.5)
        self.path = DropPath()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h = self.linear(x)
        dropped = self.dropout(h)
        functional = F.dropout(h, 0.5, self.training)
        path = self.path(h)
        copied = h.clone()
        self.relu(copied)
        return h, dropped, functional, path, copied


@pytest.mark.parametrize("training", [False, True])
def test_what_is_given_and_what_is_returned_have_names_of_their_own(training: bool) -> None:
    net = Net()
    built = to_module(trace(net, torch.randn(4, 8)))
    built.load_state_dict(net.state_dict())
    x = torch.randn(4, 8)
    results = []
    for module in (net, built):
        torch.manual_seed(0)
        results.append(module.train(training)(x))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


class View(nn.Module):
    """Reads a parameter under two names, of which one is a view that torch knows nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.turned = self.weight.detach().t()

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + x @ self.turned


def test_a_plain_tensor_in_the_memory_of_a_parameter_is_refused() -> None:
    with pytest.raises(TraceError, match="'weight' is state of the model and lies in the same memory as 'turned'"):
        trace(View(), torch.randn(2, 3))


def test_buffers_in_the_same_memory_that_nobody_changes_may_be_apart() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shared = torch.arange(3.0)
            self.register_buffer("first", shared)
            self.register_buffer("second", shared)
            self.first: Tensor
            self.second: Tensor

        def forward(self, x: Tensor) -> Tensor:
            return x * self.first + self.second

    roundtrip(Pair, torch.randn(2, 3))


class Unregistered(nn.Module):
    """Keeps tensors and modules where torch does not find them."""

    def __init__(self, *parts: Tensor | nn.Module) -> None:
        super().__init__()
        self.parts = list(parts)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            if isinstance(part, nn.Module):
                x = part(x)
            else:
                part.add_(1)
                x = x * part
        return x


@pytest.mark.parametrize(
    "parts",
    [(torch.zeros(3), torch.zeros(3)), (nn.BatchNorm1d(3),)],
    ids=["tensors", "statistics"],
)
def test_constants_that_are_changed_and_would_be_one_are_refused(parts: tuple[Tensor | nn.Module, ...]) -> None:
    with pytest.raises(TraceError, match="a tensor that is no attribute is changed in place in 'the root'"):
        trace(Unregistered(*parts), torch.randn(2, 3))


def test_constants_that_are_one_and_nobody_changes_are_let_through() -> None:
    net = Unregistered(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval().requires_grad_(False))
    built = to_module(trace(net, torch.randn(2, 3)))
    x = torch.randn(4, 3)
    assert torch.equal(built(x), net(x))


def test_an_array_that_a_forward_makes_and_changes_is_refused() -> None:
    numpy = pytest.importorskip("numpy")

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            scale = torch.from_numpy(numpy.ones(3, dtype=numpy.float32))
            scale += 1
            return x * scale

    with pytest.raises(TraceError, match="and the source would keep the change; make it with torch in forward"):
        trace(Net(), torch.randn(2, 3))


def test_the_report_names_modules_whose_parameters_no_state_dict_holds() -> None:
    model = trace(Unregistered(nn.Linear(3, 3)), torch.randn(2, 3))
    assert model.report is not None
    assert model.report.notes[-1].startswith("the root: uses parameters of a module that is no submodule")


def test_a_leaf_that_is_called_with_other_tensors_than_its_own_is_not_taken_for_itself() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Any:
            tensors = {"weight": self.linear.weight * 2, "bias": self.linear.bias}
            return torch.func.functional_call(self.linear, tensors, (x,))

    with pytest.raises(TraceError, match=r"a parameter that is bound anew, 'linear.weight'"):
        trace(Net(), torch.randn(2, 3))
