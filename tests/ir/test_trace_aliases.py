"""What is told apart although it is one tensor in the mode that is traced."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphnas.codegen import to_module
from graphnas.ir.trace import trace


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
