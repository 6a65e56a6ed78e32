"""What a trace makes of models: hierarchy, guards, modes, sharing, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphnas.errors import TraceError
from graphnas.ir.graph import Graph
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, ModuleSpec, Tie
from graphnas.ir.record import basic_unit, recording
from graphnas.ir.trace import trace
from graphnas.ir.types import TensorType
from tests.networks import ResNet18, TransformerEncoder


def definition(model: Model, path: str = "") -> Definition:
    found = model.root.child(path)
    assert isinstance(found, Definition)
    return found


def graph(model: Model, path: str = "") -> Graph:
    return definition(model, path).forwards[0].eval


def operations(graph: Graph) -> list[str]:
    return [node.operation.target for node in graph.nodes]


def test_hierarchy_of_a_resnet_is_kept() -> None:
    with recording():
        net = ResNet18()
    model = trace(net, torch.randn(2, 3, 64, 64))
    assert model.name == "ResNet18"
    block = graph(model, "layer2.0")
    assert operations(block) == ["conv1", "bn1", "relu", "conv2", "bn2", "downsample", "operator:iadd", "relu"]
    assert [node.hint for node in block.nodes][-4:] == ["out", "identity", "out", ""]
    assert block.nodes[0].type == TensorType((2, 128, 8, 8), torch.float32)
    assert definition(model, "layer1.0") == definition(model, "layer1.1")
    conv = model["layer2.0.conv1"]
    assert isinstance(conv, ModuleSpec)
    assert (conv.args, dict(conv.kwargs)) == (
        (64, 128),
        {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
    )
    assert model.report is not None
    assert model.report.editable == 1.0
    assert model.report.notes == ()


def test_a_second_build_is_equal_and_has_the_same_fingerprint() -> None:
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with recording():
            net = TransformerEncoder()
        models.append(trace(net, torch.randint(0, 50, (2, 8))))
    assert models[0] == models[1]
    assert models[0].fingerprint == models[1].fingerprint


def test_tracing_changes_neither_model_nor_random_state() -> None:
    with recording():
        net = TransformerEncoder().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    trace(net, torch.randint(0, 50, (2, 8), generator=torch.Generator()))
    assert torch.equal(state, torch.random.get_rng_state())
    assert net.training
    assert all(module.training is True for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_decisions_by_shape_are_guards() -> None:
    model = trace(TransformerEncoder(), torch.randint(0, 50, (2, 8)))
    root = graph(model)
    [guard] = root.guards
    assert guard.outcome is False
    assert root[guard.value].operation.target == "operator:gt"
    assert guard.location.rpartition(":")[0].endswith("networks.py")
    assert model.report is not None
    reported = model.report.guards[0]
    assert (reported.expression, reported.outcome, reported.paths) == ("tokens.shape[1] > 16", "False", ("",))
    assert reported.location == guard.location


def test_the_batch_size_stays_symbolic() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(x.shape[0], -1) + torch.zeros(x.size(0), 1, dtype=x.dtype)

    root = graph(trace(Net(), torch.randn(2, 3, 4)))
    assert operations(root).count("shape") == 2
    assert root.guards == ()


def test_shapes_decide_control_flow() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, flag: bool) -> Tensor:
            if flag and x.shape[1] == 3 and isinstance(x, Tensor):
                for row in x:
                    x = x + row
            first, *rest = x.unbind(0)
            return first * len(rest) if x.dim() == 2 else x

    model = trace(Net(), (torch.randn(2, 3), True))
    root = graph(model)
    assert [item.name for item in root.inputs] == ["x"]
    assert operations(root).count("operator:add") == 2
    assert [guard.outcome for guard in root.guards] == [True, False, 2, 2, True]


def test_training_stays_a_value_and_splits_graphs_only_as_a_condition() -> None:
    class Value(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5, self.training)

    class Condition(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = Value()

        def forward(self, x: Tensor) -> Tensor:
            x = self.value(x)
            return x + 1 if self.training else x * 2

    model = trace(Condition(), torch.randn(2, 3))
    [forward] = definition(model).forwards
    assert operations(forward.eval) == ["value", "operator:mul"]
    assert forward.train is not None
    assert operations(forward.train) == ["value", "operator:add"]
    [inner] = definition(model, "value").forwards
    assert inner.train is None
    assert [node.operation.kind for node in inner.eval.nodes] == ["training", "function"]


def test_a_module_called_twice_has_one_graph_for_one_way_of_calling() -> None:
    class Scale(nn.Module):
        def forward(self, x: Tensor, by: float) -> Tensor:
            return x * by

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = Scale()

        def forward(self, x: Tensor) -> Tensor:
            return self.scale(self.scale(x, 2.0), 2.0) + self.scale(x, 3.0)  # type: ignore[no-any-return]

    model = trace(Net(), torch.randn(2, 3))
    assert len(definition(model, "scale").forwards) == 2
    assert [node.operation.forward for node in graph(model).nodes] == [0, 0, 1, 0]


def test_shared_modules_and_tied_parameters_stay_shared() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
            self.second = nn.Sequential(self.first[0], nn.Linear(4, 4))
            self.second[1].weight = self.first[0].weight

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))  # type: ignore[no-any-return]  # modules are not typed

    ties = definition(trace(Net(), torch.randn(2, 4))).ties
    assert ties == (Tie("second.0", "first.0"), Tie("second.1.weight", "first.0.weight"))


def test_values_of_enclosing_and_inner_graphs_find_their_way() -> None:
    class Reader(nn.Module):
        def __init__(self, holder: list[Tensor]) -> None:
            super().__init__()
            self.holder = holder

        def forward(self, x: Tensor) -> Tensor:
            return x + self.holder[-1]

    class Writer(nn.Module):
        def __init__(self, holder: list[Tensor]) -> None:
            super().__init__()
            self.holder = holder

        def forward(self, x: Tensor) -> Tensor:
            self.holder.append(x * 3)
            return x * 2

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            holder: list[Tensor] = []
            self.writer, self.reader = Writer(holder), Reader(holder)

        def forward(self, x: Tensor) -> Tensor:
            return self.reader(self.writer(x))  # type: ignore[no-any-return]  # modules are not typed

    model = trace(Net(), torch.randn(2, 4))
    assert operations(graph(model)) == ["operator:mul", "operator:mul", "reader"]
    assert len(graph(model, "reader").inputs) == 2


def test_a_submodule_that_resists_is_an_opaque_leaf() -> None:
    class Resists(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.sum() > 0 else x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)
            self.resists = Opaque()

        def forward(self, x: Tensor) -> Tensor:
            return self.resists(self.linear(x))  # type: ignore[no-any-return]  # modules are not typed

    with recording():
        net = Net()
    model = trace(net, torch.randn(2, 4))
    spec = model["resists"]
    assert isinstance(spec, ModuleSpec)
    assert spec.opaque
    assert model.report is not None
    [opaque] = model.report.opaque
    assert opaque.path == "resists"
    assert "depends on data" in opaque.reason
    assert "test_trace.py" in opaque.location
    with pytest.raises(
        TraceError, match=r"test_trace.py:\d+: the root Resists decides by Tensor.__bool__.*torch.where"
    ):
        trace(Resists(), torch.randn(2, 4))


class Opaque(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


@basic_unit
class Unit(nn.Module):
    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.scale  # type: ignore[no-any-return]  # modules are not typed


def test_basic_units_are_leaves_with_their_recorded_arguments() -> None:
    with recording():
        net = nn.Sequential(Unit(4, scale=2.0))
    spec = trace(net, torch.randn(2, 4))["0"]
    assert isinstance(spec, ModuleSpec)
    assert (spec.target, spec.args, dict(spec.kwargs)) == ("tests.ir.test_trace:Unit", (4,), {"scale": 2.0})
    with pytest.raises(TraceError, match=r"Unit at '0'.*were not recorded; construct the model inside"):
        trace(nn.Sequential(Unit(4)), torch.randn(2, 4))


@pytest.mark.parametrize(
    ("module", "args", "kwargs"),
    [
        (nn.Conv2d(3, 4, 3, padding="same"), (3, 4), {"kernel_size": 3, "padding": "same"}),
        (nn.MaxPool2d(2, ceil_mode=True), (2,), {"ceil_mode": True}),
        (nn.AvgPool2d(2, 1), (2,), {"stride": 1}),
        (nn.LayerNorm((4, 5), bias=False), ((4, 5),), {"bias": False}),
        (nn.Unflatten(1, (2, 2)), (1, (2, 2)), {}),
        (nn.Identity(), (), {}),
        (nn.Dropout(0.5), (), {}),
        (nn.LSTM(4, 5, num_layers=2, batch_first=True), (4, 5), {"num_layers": 2, "batch_first": True}),
        (nn.Upsample(scale_factor=2.0, mode="bilinear"), (), {"scale_factor": 2.0, "mode": "bilinear"}),
        (nn.Linear(4, 2).half(), (4, 2), {"dtype": torch.float16}),
        (nn.MultiheadAttention(8, 2, bias=False), (8, 2), {"bias": False}),
    ],
)
def test_constructor_calls_of_torch_leaves(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    from graphnas.ir.trace.leaf import spec_of

    spec = spec_of(module, "leaf")
    assert (spec.args, dict(spec.kwargs)) == (args, kwargs)


def test_changes_after_construction_win() -> None:
    with recording():
        conv2d, batch_norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        net = nn.Sequential(conv2d, batch_norm)
    conv2d.stride = (2, 2)
    batch_norm.momentum = 0.5
    conv2d.get_parameter("bias").requires_grad_(False)
    model = trace(net, torch.randn(1, 3, 8, 8))
    conv, norm = model["0"], model["1"]
    assert isinstance(conv, ModuleSpec)
    assert isinstance(norm, ModuleSpec)
    assert conv.kwargs["stride"] == 2
    assert conv.frozen == ("bias",)
    assert dict(norm.kwargs) == {"momentum": 0.5}


def test_a_model_on_the_meta_device_is_traced() -> None:
    with torch.device("meta"), recording():
        net = ResNet18()
    with recording():
        real = trace(ResNet18(), torch.randn(2, 3, 64, 64))
    for device in ("meta", "cpu"):
        assert trace(net, torch.randn(2, 3, 64, 64, device=device)) == real


def test_a_list_with_named_items_is_a_dictionary() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.items = nn.ModuleList()
            self.items.add_module("first", nn.Linear(2, 2))

        def forward(self, x: Tensor) -> Tensor:
            for item in self.items:
                x = item(x)
            return x

    items = definition(trace(Net(), torch.randn(1, 2)), "items")
    assert (items.kind, list(items.children)) == ("dict", ["first"])


def test_modules_that_are_not_registered_are_traced_inline() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.ZeroPad2d(1)(x)  # type: ignore[no-any-return]  # modules are not typed

    assert operations(graph(trace(Net(), torch.randn(1, 1, 2, 2)))) == ["torch.nn.functional:pad"]


def test_hooks_and_wrappers_are_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].register_forward_hook(lambda *_: None)
    with pytest.raises(TraceError, match="Linear at '0' has forward hooks"):
        trace(net, torch.randn(1, 2))
    with pytest.raises(TraceError, match="got str; construct the model first"):
        trace("net", torch.randn(1, 2))  # type: ignore[arg-type]  # the error under test


def test_inputs_that_do_not_fit_are_named() -> None:
    with pytest.raises(
        TraceError, match=r"the root Sequential failed while being traced: RuntimeError.*example inputs"
    ):
        trace(nn.Sequential(nn.Linear(4, 2)), torch.randn(1, 3))
    with pytest.raises(TraceError, match=r"Sequential\.forward missing a required argument: 'input'"):
        trace(nn.Sequential(nn.Linear(4, 2)), ())
