"""What a forward does to its modules and inputs: kept in order, found harmless, or refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphnas
from graphnas.codegen import to_module
from graphnas.errors import TraceError, VerificationError
from graphnas.ir.graph import Operation
from graphnas.ir.json_form import dump_json, from_json
from graphnas.ir.model import Model
from graphnas.ir.module import Definition
from graphnas.ir.parser import parse_model
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.trace import trace
from graphnas.ir.verify import verify
from tests.codegen.roundtrip import same


def repeatedly(net: nn.Module, *inputs: Tensor) -> Model:
    """Check that three calls in each mode give and leave what those of the generated module do; return the model."""
    model = trace(net, inputs)
    verify(model)
    assert from_json(dump_json(model)) == model
    assert parse_model(str(model)) == model
    generated = to_module(model)
    generated.load_state_dict(net.state_dict())
    for training in (False, True):
        for _ in range(3):
            given = [[item.clone() for item in inputs] for _ in range(2)]
            outputs = []
            for module, copies in zip((net.train(training), generated.train(training)), given, strict=True):
                torch.manual_seed(0)
                outputs.append(module(*copies))
            assert same(outputs[0], outputs[1])
            assert same(given[0], given[1])
            assert same(dict(net.named_buffers()), dict(generated.named_buffers()))
    return model


def operations(model: Model, path: str = "") -> list[str]:
    definition = model.root.child(path)
    assert isinstance(definition, Definition)
    return [str(node.operation) for node in definition.forwards[0].eval.nodes]


class Stateful(nn.Module):
    """Binds its buffer anew in every call."""

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        self.state: Tensor
        if plain:
            self.state = torch.zeros(4)
        else:
            self.register_buffer("state", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        before = self.state
        self.state = self.state * 0.5 + x.mean(0)
        return x + before - self.state * 2


@pytest.mark.parametrize("plain", [False, True])
def test_a_buffer_that_is_bound_anew_is_assigned(plain: bool) -> None:
    model = repeatedly(Stateful(plain=plain), torch.randn(2, 4))
    assert operations(model)[-1] == "assign state"


def test_state_of_a_shared_submodule_changes_in_the_order_of_calls() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Stateful()

        def forward(self, x: Tensor) -> Tensor:
            before = self.inner.state
            x = self.inner(self.inner(x))
            return x * before + self.inner.state

    repeatedly(Net(), torch.randn(2, 4))


def test_state_that_another_module_binds_is_assigned() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Stateful()

        def forward(self, x: Tensor) -> Tensor:
            self.inner.state = x.sum(0)
            return self.inner(x)  # type: ignore[no-any-return]  # modules are not typed

    repeatedly(Net(), torch.randn(2, 4))


def test_an_edit_knows_of_assignments() -> None:
    model = trace(Stateful(), torch.randn(2, 4))
    edit = Rewriter(model)
    edit.insert_after(":mul", Operation("function", "torch:sigmoid"))
    assert edit.freeze().root.forwards[0].eval.nodes[-1].operation.kind == "assign"
    graph = model.root.forwards[0].eval
    assert graph.nodes[-1].type == graph.type_of(graph.nodes[-1].inputs[0])


class Codebook(nn.Module):
    """Learns by moving averages in train mode, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(5, 4))
        self.register_buffer("counts", torch.ones(5))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.codes: Tensor
        self.counts: Tensor
        self.calls: Tensor

    def forward(self, x: Tensor) -> Tensor:
        nearest = (x[:, None] - self.codes[None]).square().sum(-1).argmin(1)
        if self.training:
            self.calls += 1
            chosen = F.one_hot(nearest, 5).to(x.dtype)
            with torch.no_grad():
                self.counts.mul_(0.9).add_(chosen.sum(0), alpha=0.1)
                self.codes.data.copy_(self.codes * 0.9 + 0.1 * (chosen.t() @ x) / self.counts.unsqueeze(1))
        return self.codes[nearest]


class KeyCache(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(2, 8, 4), persistent=False)
        self.keys: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.keys[:, : x.shape[1]] = x
        return self.keys.sum(1)


class Clamped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight.clamp_(-0.5, 0.5)
        return x * self.weight


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = x * 1
        total, first = y.sum(), y[0, 0]
        view = y[:, 1:3]
        view += 5
        y.view(-1)[0] = 7
        y.t().mul_(2)
        x.add_(1)
        x[:, 1] *= 2
        out = torch.empty_like(x)
        torch.add(x, 1, out=out)
        return view, total + first + y.sum(), out


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (Codebook(), torch.randn(6, 4)),
        (KeyCache(), torch.randn(2, 3, 4)),
        (Clamped(), torch.randn(2, 4)),
        (InPlace(), torch.randn(2, 4)),
    ],
    ids=["codebook", "key cache", "clamped parameter", "views and inputs"],
)
def test_changes_in_place_are_kept_in_order(net: nn.Module, inputs: Tensor) -> None:
    repeatedly(net, inputs)


class Looked(nn.Module):
    """Keeps what nobody reads: a map to look at, a counter, a log."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.last: Tensor | None = None
        self.calls = 0
        self.log: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.linear(x).softmax(-1)
        self.calls += 1
        self.log.append(self.last)
        return self.last * 2


class Caching(nn.Module):
    """Computes positions once for each length."""

    def __init__(self) -> None:
        super().__init__()
        self.positions: Tensor | None = None
        self.tables: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if self.positions is None or self.positions.shape[0] != x.shape[1]:
            positions = torch.zeros(x.shape[1])
            positions[1:] = 1
            self.positions = positions
        if "scale" not in self.tables:
            self.tables["scale"] = torch.arange(4.0)
        return x * self.tables["scale"] + self.positions


@pytest.mark.parametrize("build", [Looked, Caching])
def test_what_a_module_keeps_without_consequences_is_let_through(build: type[nn.Module]) -> None:
    with graphnas.recording():
        net = build()
    model = trace(net, torch.randn(2, 4))
    assert not model.root.buffers
    repeatedly(net, torch.randn(2, 4))


class Counting(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class FromNothing(nn.Module):
    state: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.state = x if self.state is None else self.state * 0.5 + x
        return self.state  # type: ignore[no-any-return]  # anything


class FirstCall(nn.Module):
    is_ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_ready:
            self.is_ready = True
            return x * 2
        return x


class DataDependentInitialisation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.is_ready = False
        self.cache: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_ready:
            with torch.no_grad():
                self.scale.copy_(1 / x.std(0))
            self.is_ready = True
            self.cache = torch.ones(4)
        assert self.cache is not None
        return x * self.scale * self.cache


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (Counting, "calls"),
        (FromNothing, "state"),
        (FirstCall, "is_ready"),
        (DataDependentInitialisation, "is_ready"),
    ],
)
def test_state_that_no_graph_can_hold_is_refused(build: type[nn.Module], name: str) -> None:
    with pytest.raises(TraceError, match=f"the root {build.__name__} keeps '{name}' from call to call.*in a buffer"):
        trace(build(), torch.randn(2, 4))
    with graphnas.recording():
        net = nn.Sequential(nn.Linear(4, 4), build())
    model = trace(net, torch.randn(2, 4))
    assert model.report is not None
    assert [item.path for item in model.report.opaque] == ["1"]


def test_after_its_first_call_such_a_model_is_traced() -> None:
    net = DataDependentInitialisation()
    net(torch.randn(6, 4))
    repeatedly(net, torch.randn(2, 4))


def test_parameters_and_modules_that_are_made_on_the_way_are_refused() -> None:
    class NewParameter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            self.weight = nn.Parameter(self.weight * 2)
            return x * self.weight

    class NewModule(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.linear = nn.Linear(x.shape[1], 2)
            return self.linear(x)  # type: ignore[no-any-return]  # modules are not typed

    with pytest.raises(TraceError, match="a parameter that is bound anew, 'weight'"):
        trace(NewParameter(), torch.randn(2, 4))
    with pytest.raises(TraceError, match=r"a module that is made on the way, 'linear' .call the model once before"):
        trace(NewModule(), torch.randn(2, 4))


def test_only_buffers_can_be_assigned() -> None:
    model = trace(Stateful(), torch.randn(2, 4))
    text = str(model).replace("assign state(", "assign nothing(")
    with pytest.raises(VerificationError, match=r"invariant 6: :.*nothing stands at 'nothing'"):
        verify(parse_model(text))
    text = str(model).replace("assign state(%", "assign state(%x, %")
    with pytest.raises(VerificationError, match=r"invariant 3: .*assign state has 2 arguments, expected one"):
        verify(parse_model(text))


def test_tensors_in_the_same_memory_are_refused_where_one_is_changed() -> None:
    class Shared(nn.Module):
        def __init__(self, *, is_changed: bool) -> None:
            super().__init__()
            self.is_changed = is_changed
            self.register_buffer("whole", torch.ones(4))
            self.whole: Tensor
            self.register_buffer("part", self.whole[:2])
            self.part: Tensor

        def forward(self, x: Tensor) -> Tensor:
            if self.is_changed:
                self.whole += 1
            return x[:, :2] * self.part + self.whole[:2]

    repeatedly(Shared(is_changed=False), torch.randn(2, 4))
    with pytest.raises(TraceError, match=r"'whole' is changed in place and lies in the same memory as 'part'.*keep"):
        trace(Shared(is_changed=True), torch.randn(2, 4))


class Stepping(nn.Module):
    """Changes buffers in place, by numbers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor
        self.steps: Tensor
        self.register_buffer("seen", torch.zeros(4))
        self.register_buffer("steps", torch.zeros(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.steps.mul_(0.5)
        if self.training:
            self.seen += 1
        return x + self.seen + self.steps


@pytest.mark.parametrize("is_leaf", [False, True])
def test_a_trace_leaves_buffers_as_they_are(is_leaf: bool) -> None:
    net = nn.Sequential(Stepping(), nn.Linear(4, 4))
    net[0].get_buffer("steps").fill_(2)
    if is_leaf:
        trace(net, torch.randn(2, 4), is_leaf=lambda module, path: isinstance(module, Stepping))
    else:
        repeatedly(copy.deepcopy(net), torch.randn(2, 4))
        trace(net, torch.randn(2, 4))
    assert net[0].get_buffer("seen").tolist() == [0] * 4
    assert net[0].get_buffer("steps").tolist() == [2] * 4


@pytest.mark.parametrize("named", [False, True])
def test_statistics_that_a_function_keeps_are_kept_though_its_result_is_not_used(named: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("var", torch.ones(3))
            self.mean: Tensor
            self.var: Tensor

        def forward(self, x: Tensor) -> Tensor:
            before = self.mean * 2
            if named:
                F.batch_norm(x, running_mean=self.mean, running_var=self.var, training=self.training)
            else:
                F.batch_norm(x, self.mean, self.var, training=True)
            return x - self.mean + before

    repeatedly(Net(), torch.randn(4, 3))
