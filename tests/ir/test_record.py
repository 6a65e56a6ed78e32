"""What recording keeps of constructors and of initialisation."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module
from graphnas.errors import DecisionError
from graphnas.ir.context import ContextStack, ModelNamespace, NoContextError
from graphnas.ir.graph import Graph
from graphnas.ir.record import NotKept, basic_unit, is_basic_unit, model_wrapper, record_of, recording
from graphnas.ir.trace import trace
from graphnas.ir.trace.evaluate import evaluate
from graphnas.ir.verify import verify
from tests.networks import ResNet18, TransformerEncoder


def calls(graph: Graph) -> list[tuple[str, str]]:
    """Return path and function of each initialisation of a parameter."""
    paths = {node.name: node.operation.target for node in graph.nodes if node.operation.kind == "attribute"}
    return [
        (paths[node.inputs[0].name], node.operation.target.rpartition(":")[2])
        for node in graph.nodes
        if node.operation.kind != "attribute"
    ]


class Stand:
    """Stands for a plain value, as a choice does."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __graphnas_resolve__(self) -> Any:
        return self.value


def test_arguments_are_recorded_and_nothing_outside_the_block() -> None:
    with recording():
        inside = nn.Linear(4, 2, bias=False)
    outside = nn.Linear(4, 2)
    record = record_of(inside)
    assert record is not None
    assert (record.cls, record.args, record.kwargs) == (nn.Linear, (4, 2), {"bias": False})
    assert record_of(outside) is None


def test_leaf_constructors_see_through_what_stands_for_a_value() -> None:
    with recording():
        conv = nn.Conv2d(3, Stand(8), (Stand(3), 5))  # type: ignore[arg-type]  # what recording is for
    assert conv.weight.shape == (8, 3, 3, 5)
    with pytest.raises(DecisionError, match=r"Conv2d was given .*Stand"):
        nn.Conv2d(3, Stand(8), 3)  # type: ignore[arg-type]  # refused outside


def test_constructors_are_as_they_were_after_the_block() -> None:
    before = nn.Conv2d.__init__
    with recording():
        assert nn.Conv2d.__init__ is not before
    assert nn.Conv2d.__init__ is before


def test_initialisation_of_a_resnet_is_recorded_in_order() -> None:
    with recording():
        record = record_of(ResNet18())
    assert record is not None
    found = calls(record.findings.init)
    assert found[:3] == [("conv1.weight", "kaiming_normal_"), ("bn1.weight", "ones_"), ("bn1.bias", "zeros_")]
    assert len(found) == 20 + 2 * 20
    kaiming = record.findings.init.nodes[1]
    assert dict(kaiming.kwargs) == {"mode": "fan_out", "nonlinearity": "relu"}


def test_own_tensors_are_recorded_as_expressions() -> None:
    with recording():
        model = TransformerEncoder()
    record = record_of(model)
    assert record is not None
    sinusoids = evaluate(record.findings.initial["sinusoids"])
    assert sinusoids is not None
    assert torch.equal(sinusoids, model.get_buffer("sinusoids"))
    assert [node.operation.target for node in record.findings.initial["cls_token"].nodes] == [
        "torch:randn",
        "operator:mul",
    ]
    assert "rate" in {node.hint for node in record.findings.initial["sinusoids"].nodes}


def test_initialisation_functions_that_call_others_are_one_call() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)
            nn.init.orthogonal_(self.linear.weight, gain=2.0)
            with torch.no_grad():
                self.linear.bias.uniform_(0, 1)

    with recording():
        record = record_of(Net())
    assert record is not None
    assert calls(record.findings.init) == [("linear.weight", "orthogonal_"), ("linear.bias", "uniform_")]


def test_a_fill_that_is_overwritten_unread_is_left_out() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = (nn.Linear(2, 2) for _ in range(3))
            for parameter in self.parameters():
                parameter.data.fill_(0.0)
            with torch.no_grad():
                self.second.weight.copy_(self.first.bias + 1)  # reads what would be left out
            nn.init.ones_(self.first.weight)
            nn.init.normal_(self.first.weight)
            nn.init.normal_(self.first.weight)  # draws, so both stay
            nn.init.ones_(self.first.bias)
            self.second.bias.data[0] = 1.0  # not all of it

        def forward(self, x: Tensor) -> Tensor:
            return self.third(self.second(self.first(x)))  # type: ignore[no-any-return]  # modules are not typed

    with recording():
        net = Net()
    record = record_of(net)
    assert record is not None
    assert [item for item in calls(record.findings.init) if item[0].startswith("first")] == [
        ("first.bias", "zeros_"),
        ("first.bias", "add"),
        ("first.weight", "normal_"),
        ("first.weight", "normal_"),
        ("first.bias", "ones_"),
    ]
    torch.manual_seed(0)
    expected = Net().state_dict()
    torch.manual_seed(0)
    rebuilt = to_module(trace(net, torch.zeros(1, 2))).state_dict()
    assert all(torch.equal(rebuilt[name], tensor) for name, tensor in expected.items())


def test_initialisation_from_a_tensor_that_was_changed_on_the_way() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3, bias=False)
            table = torch.arange(9.0).view(3, 3)
            table[:, 0].mul_(10)
            table += 1
            with torch.no_grad():
                self.linear.weight.copy_(table)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)  # type: ignore[no-any-return]  # modules are not typed

    with recording():
        net = Net()
    rebuilt = to_module(trace(net, torch.zeros(1, 3)))
    assert torch.equal(rebuilt.get_parameter("linear.weight"), net.linear.weight)


def test_what_cannot_be_said_is_noted() -> None:
    outside = torch.randn(4, 4)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)
            with torch.no_grad():
                self.linear.weight.copy_(outside)

    with recording():
        record = record_of(Net())
    assert record is not None
    assert record.findings.notes == ("Net: copy_ of linear.weight is not kept: it takes a tensor from elsewhere",)


def test_changes_of_a_buffer_from_outside_are_not_part_of_its_expression() -> None:
    class Norm(nn.BatchNorm2d):
        pass

    with recording():
        norm = Norm(3)
        mean = norm.get_buffer("running_mean")
        mean.copy_(torch.randn(3, generator=torch.Generator()))
    record = record_of(norm)
    assert record is not None
    rebuilt = evaluate(record.findings.initial["running_mean"])
    assert rebuilt is not None
    assert torch.equal(rebuilt, torch.zeros(3))


def test_copies_and_pickles_keep_their_records() -> None:
    with recording():
        layer = nn.Linear(4, 2)
    for clone in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        record = record_of(clone)
        assert record is not None
        assert record.args == (4, 2)


class Holder(nn.Module):
    """Takes a function, and starts its weight from a number."""

    def __init__(self, width: int, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layer = make(width)
        nn.init.constant_(self.get_parameter("layer.weight"), width)


def test_a_module_that_was_recorded_with_a_lambda_can_still_be_pickled() -> None:
    with recording():
        net = Holder(4, make=lambda width: nn.Linear(width, 2))
    record = record_of(pickle.loads(pickle.dumps(net)))
    assert record is not None
    assert record.args == (4,)
    assert isinstance(record.kwargs["make"], NotKept)
    assert calls(record.findings.init) == [("layer.weight", "constant_")]


def test_recorders_of_threads_do_not_mix() -> None:
    barrier = threading.Barrier(2)
    built: dict[int, nn.Module] = {}

    def build(width: int) -> None:
        with recording():
            barrier.wait()
            net = Holder(width, make=lambda width: nn.Linear(width, 2))
            barrier.wait()
        built[width] = net

    threads = [threading.Thread(target=build, args=(width,)) for width in (3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for width in (3, 5):
        record = record_of(built[width])
        assert record is not None
        assert record.findings.init.nodes[1].args[1:] == (width,)
        assert len(record.findings.init.nodes) == 2


def test_what_is_done_after_construction_counts_for_the_outermost_module() -> None:
    with recording():
        net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
    record, inner = record_of(net), record_of(net[1])
    assert record is not None
    assert inner is not None
    assert calls(record.findings.init) == [
        ("0.weight", "zeros_"),
        ("0.bias", "zeros_"),
        ("1.0.weight", "zeros_"),
        ("1.0.bias", "zeros_"),
    ]
    assert not inner.findings.init.nodes


def test_what_a_module_did_that_gave_its_parts_away_is_kept() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Holder(3, make=lambda width: nn.Linear(width, 2)).layer

    with recording():
        record = record_of(Features())
    assert record is not None
    assert calls(record.findings.init) == [("body.weight", "constant_")]


def test_threads_do_not_mix() -> None:
    built: list[nn.Module] = []
    with recording():
        thread = threading.Thread(target=lambda: built.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
    assert record_of(built[0]) is None


def test_model_wrapper_returns_the_class_and_records_its_instances() -> None:
    class Plain(nn.Module):
        def __init__(self, width: int, *, depth: int = 1) -> None:
            super(Plain, self).__init__()  # noqa: UP008  # the old form must work too
            self.layer = nn.Linear(width, width)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)  # type: ignore[no-any-return]  # modules are not typed

    wrapped = model_wrapper(Plain)
    assert wrapped is Plain
    record = record_of(wrapped(4, depth=2))
    assert record is not None
    assert (record.cls, record.args, record.kwargs) == (Plain, (4,), {"depth": 2})
    with pytest.raises(TypeError, match="already decorated with @model_wrapper"):
        basic_unit(wrapped)
    with pytest.raises(TypeError, match=r"wants a subclass of torch\.nn\.Module"):
        model_wrapper(int)  # type: ignore[type-var]  # the error under test


def test_basic_unit_with_and_without_tag() -> None:
    @basic_unit
    class Unit(nn.Module):
        pass

    @basic_unit(basic_unit_tag=False)
    class Open(nn.Module):
        pass

    class Derived(Unit):
        pass

    assert [is_basic_unit(cls) for cls in (Unit, Open, Derived)] == [True, False, False]


@pytest.mark.parametrize("decorator", [model_wrapper, basic_unit])
def test_a_decorated_class_of_a_notebook_can_be_sent_by_value(decorator: Callable[[type], type]) -> None:
    class Net(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = nn.Linear(width, 1)

    there = cloudpickle.loads(cloudpickle.dumps(decorator(Net)))
    assert there(3).layer.in_features == 3


def test_labels_are_numbered_by_nesting() -> None:
    with ModelNamespace.enter():
        assert ModelNamespace.next_label() == "model_1"
        with ModelNamespace.enter():
            assert ModelNamespace.next_label() == "model_2_1"
        assert ModelNamespace.next_label() == "model_3"
    with pytest.raises(NoContextError, match="decorate the class"):
        ModelNamespace.current_context()
    with pytest.raises(NoContextError, match="no 'fixed' context"):
        ContextStack.top("fixed")


def test_what_is_changed_before_it_is_registered_is_changed_after_it_is_built() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.zeros = nn.ModuleList(), nn.ModuleList()
            for _ in range(2):
                zero = nn.Linear(2, 2)
                nn.init.zeros_(zero.weight)
                self.first.append(nn.Linear(2, 2))
                self.zeros.append(zero)

        def forward(self, x: Tensor) -> Tensor:
            for a, b in zip(self.first, self.zeros, strict=True):
                x = a(x) + b(x)
            return x

    with recording():
        net = Late()
    built = to_module(trace(net, torch.randn(1, 2)))
    assert list(built.state_dict()) == list(net.state_dict())
    assert not any(built.get_parameter(f"zeros.{index}.weight").any() for index in range(2))


def test_what_is_read_from_a_pickle_while_recording_is_no_initialisation() -> None:
    saved = pickle.dumps(nn.Sequential(nn.Linear(3, 3)))
    with recording():
        net = nn.Sequential(pickle.loads(saved))
    built = to_module(trace(net, torch.randn(2, 3)))
    built.load_state_dict(net.state_dict())
    x = torch.randn(4, 3)
    assert torch.equal(built(x), net(x))


def test_an_initialisation_is_named_after_modules_that_are_no_identifiers() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("block1-0", nn.Linear(3, 3))
            nn.init.normal_(self.get_parameter("block1-0.weight"), 0, 0.1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.get_submodule("block1-0")(x)  # type: ignore[no-any-return]

    with recording():
        net = Net()
    model = trace(net, (torch.zeros(1, 3),))
    assert [node.name for node in model.root.init.nodes] == ["block1_0_weight", "normal"]
    verify(model)


def test_lazy_modules_may_get_their_shapes_while_recording() -> None:
    with recording():
        net = nn.Sequential(nn.LazyConv1d(4, 1), nn.LazyBatchNorm1d(), nn.Flatten(), nn.LazyLinear(2))
        net(torch.randn(2, 3, 5))
    model = trace(net, (torch.randn(2, 3, 5),))
    assert [site.type for site in model.sites] == ["Conv1d", "BatchNorm1d", "Flatten", "Linear"]
