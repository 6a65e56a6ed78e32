"""What a trace makes of tensors and arrays that belong to no module."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module
from graphnas.ir.trace import trace

ONE, TWO, THREE, FOUR = (torch.tensor([float(i), -float(i)]) for i in range(1, 5))


def check(net: nn.Module, x: Tensor) -> None:
    built = to_module(trace(net, x))
    for training in (False, True):
        assert torch.equal(net.train(training)(x), built.train(training)(x))


def test_constants_of_other_calls_and_of_the_other_mode_are_others() -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor, flag: bool) -> Tensor:
            return x + (ONE if flag else TWO)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            x = self.inner(x, True) * 2 + self.inner(x, False)
            return x + THREE if self.training else x * FOUR

    check(Net(), torch.randn(3, 2))


def test_constants_take_no_name_of_the_model() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.constant_0 = nn.Linear(2, 2, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.constant_0(x) * ONE  # type: ignore[no-any-return]  # modules return anything

    model = trace(Net(), torch.randn(3, 2))
    assert list(model.root.buffers) == ["constant_1"]


def test_arrays_and_scalars_of_numpy_are_constants() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x * np.sqrt(2.0) + np.float32(2) + torch.zeros(1, 2)[np.int64(0)]
            x = x + torch.from_numpy(np.arange(2.0)).float() + torch.as_tensor(np.ones(2, dtype=np.float32))
            return x[:, np.array([1, 0])] + torch.FloatTensor([3.0, 4.0])

    check(Net(), torch.randn(3, 2))
