"""What a trace makes of custom autograd functions and of scripted functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module, to_source
from graphnas.ir.trace import trace


class Swish(torch.autograd.Function):
    """Keeps its input only, and has the gradient that autograd would derive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        sigmoid = torch.sigmoid(x)
        return grads[0] * sigmoid * (1 + x * (1 - sigmoid))


class StraightThrough(torch.autograd.Function):
    """Has another gradient than that of its forward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x.sign()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class Frugal(torch.autograd.Function):
    """Calls a module, and frees memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, module: nn.Module) -> Tensor:
        ctx.module = module
        with torch.no_grad():
            a, b = (part.contiguous() for part in x.chunk(2, dim=1))
            y = torch.cat((a, b + module(a)), dim=1)
            a.set_()  # type: ignore[call-overload]  # torch has no type for it
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return grads[0], None


def hard_swish(x: Tensor) -> Tensor:
    return x * (x + 3.0).clamp(0.0, 6.0) / 6.0


def apply_of(function: Any) -> Any:
    """Return what calls a custom function; torch has no types for it."""
    return function.apply


swish = apply_of(Swish)  # bound before anything is traced, as activations are


def same(net: nn.Module, x: Tensor) -> str:
    model = trace(net, x)
    built = to_module(model)
    built.load_state_dict(net.state_dict())
    assert torch.equal(net(x), built(x))
    assert model.report is not None
    assert not model.report.opaque
    return to_source(model)


def notes(net: nn.Module, x: Tensor) -> list[str]:
    report = trace(net, x).report
    assert report is not None
    return [note for note in report.notes if "backward" in note]


class Activated(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))  # type: ignore[no-any-return]  # any function


@pytest.mark.parametrize("function", [swish, lambda x: apply_of(Swish)(x)])
def test_the_forward_of_a_custom_function_is_traced(function: Any) -> None:
    net, x = Activated(function), torch.randn(2, 4)
    assert "* torch.sigmoid(" in same(net, x)
    assert notes(net, x) == []


def test_gradients_pass_through_what_a_custom_function_does_without_them() -> None:
    net, x = Activated(swish), torch.randn(2, 4)
    built = to_module(trace(net, x))
    built.load_state_dict(net.state_dict())
    for module in (net, built):
        module(x).sum().backward()
    for a, b in zip(net.parameters(), built.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad)


def test_another_backward_is_reported() -> None:
    net, x = Activated(apply_of(StraightThrough)), torch.randn(2, 4)
    assert "no_grad" not in same(net, x)
    (note,) = notes(net, x)
    assert "StraightThrough is traced without its backward, which gives other gradients" in note


def test_custom_functions_may_call_modules_and_free_memory() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            y = apply_of(Frugal)(x, self.inner)
            x.data.set_()  # type: ignore[call-overload]  # torch has no type for it
            return y  # type: ignore[no-any-return]  # it returns anything

    net, x = Net(), torch.randn(2, 4)
    model = trace(net, x)
    built = to_module(model)
    built.load_state_dict(net.state_dict())
    source = to_source(model)
    assert "set_" not in source
    assert "f32[0]" not in source
    assert torch.equal(net(x.clone()), built(x))
    (note,) = notes(net, x)
    assert "could not be compared: a module is among its arguments" in note


def test_scripted_functions_are_traced_as_the_python_they_were_made_from() -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(hard_swish)
    assert ".clamp(0.0, 6.0)" in same(Activated(scripted), torch.randn(2, 4))
    assert scripted(torch.ones(1)).item() == pytest.approx(4 / 6)


def test_a_module_that_calls_one_it_was_given_is_traced_inline() -> None:
    class Caller(nn.Module):
        def forward(self, x: Tensor, modules: nn.ModuleList) -> Tensor:
            for module in modules:
                x = module(x)
            return x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.caller = Caller()
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU())])

        def forward(self, x: Tensor) -> Tensor:
            return self.caller(x, self.layers)  # type: ignore[no-any-return]  # modules return anything

    same(Net(), torch.randn(2, 4))
