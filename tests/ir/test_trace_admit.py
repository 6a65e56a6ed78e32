"""Modules that are not what their class says: wrapped, compiled, hooked, lazy, fixed in one mode."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphnas
from graphnas.errors import TraceError
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.trace import trace
from tests.codegen.roundtrip import roundtrip

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # what torch.compile imports


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first: nn.Module = nn.Linear(4, 4)
        self.second: nn.Module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())  # type: ignore[no-any-return]  # modules are not typed


def changed(change: Callable[[Pair], Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        net = Pair()
        change(net)
        return net

    return build


def hook_gradient(tensor: Tensor) -> None:
    tensor.register_hook(lambda grad: grad)  # type: ignore[no-untyped-call]  # torch leaves it so


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (nn.DataParallel, "first.module.weight"),
        (lambda module: torch.compile(module, backend="eager"), "first._orig_mod.weight"),
    ],
    ids=["DataParallel", "compile"],
)
def test_a_wrapped_submodule_keeps_its_names(wrap: Callable[[nn.Module], nn.Module], name: str) -> None:
    def wrap_first(net: Pair) -> None:
        net.first = wrap(net.first)

    roundtrip(changed(wrap_first), torch.randn(2, 4))
    assert name in changed(wrap_first)().state_dict()


@pytest.mark.parametrize(
    ("wrapped", "message"),
    [
        (lambda: nn.DataParallel(Pair()), r"wrapped in DataParallel.*trace its \.module instead"),
        (lambda: torch.compile(Pair(), backend="eager"), r"wrapped in OptimizedModule.*trace its \._orig_mod instead"),
        (lambda: torch.jit.script(nn.Sequential(nn.ReLU())), "TorchScript module; trace the module that it was"),
        (
            changed(lambda net: setattr(net, "first", torch.jit.script(nn.Linear(4, 4)))),
            "'first' is a TorchScript module, which has no Python source; put the module that it was made from",
        ),
        (changed(lambda net: net.first.register_forward_hook(lambda *_: None)), "'first' has forward hooks"),
        (
            changed(lambda net: net.first.register_full_backward_hook(lambda *_: None)),
            "'first' has hooks on its gradients",
        ),
        (
            changed(lambda net: hook_gradient(net.first.get_parameter("weight"))),
            "'first' has hooks on the gradient of 'weight'",
        ),
        (
            changed(lambda net: setattr(net, "first", nn.LazyLinear(4))),
            "LazyLinear at 'first' has no shape for 'weight' yet.*call the model once",
        ),
    ],
)
def test_what_source_cannot_hold_is_refused_with_the_remedy(wrapped: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        trace(wrapped(), torch.randn(2, 4))


def test_sparse_inputs_are_refused() -> None:
    class Net(nn.Module):
        def forward(self, batch: dict[str, Tensor]) -> Tensor:
            return batch["x"] * 2

    with pytest.raises(TraceError, match=r"input 0\['x'\] is a tensor of layout torch.sparse_coo, expected"):
        trace(Net(), ({"x": torch.eye(3).to_sparse()},))


def test_extra_state_is_refused() -> None:
    class Net(nn.Module):
        def get_extra_state(self) -> Any:
            return {"calls": 3}

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(TraceError, match=r"Net at '' keeps extra state.*keep that state in buffers"):
        trace(Net(), torch.randn(2))


def test_a_forward_of_the_instance_is_what_is_traced() -> None:
    def halve(net: Pair) -> None:
        linear = net.first
        linear.forward = lambda x: F.linear(x, linear.get_parameter("weight")) / 2

    assert "/ 2" in roundtrip(changed(halve), torch.randn(2, 4))


def test_compiled_functions_are_traced_as_if_they_were_not() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        @torch.compile(backend="eager")
        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) + 1  # type: ignore[no-any-return]  # modules are not typed

    with graphnas.recording():
        net = Net()
    graph = trace(net, torch.randn(2, 4)).root.forwards[0].eval
    assert [node.operation.target for node in graph.nodes] == ["linear", "operator:add"]


class Frozen(Pair):
    """A model whose second part always stays in eval mode, as detectors do with their backbone."""

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.second.eval()
        return self


class Switching(Pair):
    def forward(self, x: Tensor) -> Tensor:
        self.second.eval()
        return super().forward(x)


class MonteCarlo(Pair):
    def forward(self, x: Tensor) -> Tensor:
        self.second.train()
        return super().forward(x)


@pytest.mark.parametrize("build", [Frozen, Switching, MonteCarlo])
def test_modules_that_are_fixed_in_one_mode_stay_so(build: Callable[[], nn.Module]) -> None:
    roundtrip(build, torch.randn(2, 4))


def test_a_module_that_changes_its_mode_on_the_way_is_refused() -> None:
    class Net(Pair):
        def forward(self, x: Tensor) -> Tensor:
            self.second.train()
            x = self.second(x)
            self.second.eval()
            return self.second(x)  # type: ignore[no-any-return]  # modules are not typed

    with pytest.raises(TraceError, match="at 'second' is switched between train and eval mode while the model runs"):
        trace(Net(), torch.randn(2, 4))


def test_the_mode_of_a_leaf_is_that_of_the_model() -> None:
    class Net(Pair):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, self.first.training)

    assert "self.training" in roundtrip(Net, torch.randn(2, 4))


class Contexts(nn.Module):
    def __init__(self, context: Callable[[], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.context = context

    def forward(self, x: Tensor) -> Tensor:
        with self.context():
            return self.linear(x)  # type: ignore[no-any-return]  # modules are not typed


def test_autocast_and_inference_mode_in_a_forward_are_refused() -> None:
    with pytest.raises(
        TraceError, match=r"test_trace_admit.py:\d+: the root Contexts uses torch.inference_mode inside"
    ):
        trace(Contexts(torch.inference_mode), torch.randn(2, 4))
    with pytest.raises(TraceError, match=r"uses torch.autocast inside of a forward"):
        trace(Contexts(lambda: torch.autocast("cpu", dtype=torch.bfloat16)), torch.randn(2, 4))
    expected = trace(Contexts(torch.enable_grad), torch.randn(2, 4))
    assert trace(Contexts(lambda: torch.autocast("cpu", enabled=False)), torch.randn(2, 4)).root.children == (
        expected.root.children
    )


def test_what_is_switched_on_around_a_trace_does_not_matter() -> None:
    expected = trace(Pair(), torch.randn(2, 4))
    for context in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with context:
            assert trace(Pair(), torch.randn(2, 4)) == expected


class DrawsFromPython(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * random.random()


def test_random_numbers_of_python_are_refused_where_they_are_drawn() -> None:
    with pytest.raises(TraceError, match="the root DrawsFromPython uses random numbers of Python or numpy"):
        trace(DrawsFromPython(), torch.randn(2, 4))
    state = random.getstate()
    with graphnas.recording():
        net = nn.Sequential(nn.Linear(4, 4), DrawsFromPython())
    model = trace(net, torch.randn(2, 4))
    assert random.getstate() == state
    assert isinstance(model["0"], ModuleSpec)
    assert not isinstance(model["1"], Definition)
    assert model.report is not None
    assert [item.path for item in model.report.opaque] == ["1"]


class Modes(nn.Module):
    """Asks for its mode in all ways but `if self.training:`."""

    def forward(self, x: Tensor) -> Tensor:
        x = x * {True: 2.0, False: 3.0}[self.training] + int(self.training)
        x = x * (1 + self.training) - 0.5 * self.training
        return x + 1 if self.training > 0 else x / float(2 + self.training)


class ComparesMode(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.training is True else x


@pytest.mark.parametrize("build", [Modes, ComparesMode])
def test_a_mode_that_is_used_as_a_number_or_compared_decides(build: Callable[[], nn.Module]) -> None:
    assert "if self.training:" in roundtrip(build, torch.randn(2, 4))
