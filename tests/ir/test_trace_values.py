"""How values are carried through a trace: sizes in caches and tables, shared modules, tensors kept on the side."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module, to_source
from graphnas.errors import TraceError
from graphnas.ir.literal import freeze
from graphnas.ir.record import recording
from graphnas.ir.trace import trace
from tests.codegen.roundtrip import roundtrip
from tests.ir.test_trace import Opaque, definition, graph, operations


@lru_cache
def halves(size: int) -> tuple[int, int]:
    return size // 2, size - size // 2


class Halves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:
            first, _ = halves(x.shape[0])
        except TypeError:  # as einops does it
            first, _ = halves.__wrapped__(x.shape[0])
        return x[:first]


def test_a_cache_of_earlier_calls_does_not_make_sizes_plain() -> None:
    halves(4)
    model = trace(Halves(), torch.randn(4, 3))
    assert graph(model).guards == ()
    assert operations(graph(model)) == ["shape", "operator:getitem", "operator:floordiv", "operator:getitem"]


def test_a_table_indexed_by_a_size_is_read_by_value_and_guarded() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = {2: 0.5, 3: 0.25}

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scales[x.shape[1]] + self.scales.get(x.shape[0], 1.0)

    model = trace(Net(), torch.randn(2, 3))
    assert [node.args[1] for node in graph(model).nodes if node.operation.target == "operator:mul"] == [0.25]
    assert [guard.outcome for guard in graph(model).guards if guard.outcome in (2, 3)] == [3, 2]


def test_a_shared_module_may_be_called_by_any_of_its_names() -> None:
    class Shift(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = Shift()
            self.net = nn.Sequential(nn.Linear(3, 3), self.shift)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)  # type: ignore[no-any-return]  # modules are not typed

    assert operations(graph(trace(Net(), torch.randn(2, 3)), "shift")) == ["operator:add"]
    roundtrip(Net, torch.randn(2, 3))


def test_a_plain_tensor_is_kept_only_if_a_forward_reads_it() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.full((3,), 2.0)
            self.last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.last = x * self.scale
            return self.last

    net = Net()
    net(torch.randn(2, 3))
    assert list(definition(trace(net, torch.randn(2, 3))).buffers) == ["scale"]


def test_numbers_of_numpy_are_plain_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert [type(freeze(item)) for item in (numpy.int64(3), numpy.float32(0.5), numpy.bool_(True))] == [
        int,
        float,
        bool,
    ]
    net = nn.Sequential(nn.Conv2d(numpy.int64(3), 4, 1))
    assert definition(trace(net, torch.randn(1, 3, 2, 2))).children["0"].args == (3, 4)  # type: ignore[union-attr]


def test_an_opaque_module_of_unknown_construction_is_refused_with_both_reasons() -> None:
    with pytest.raises(
        TraceError, match=r"OpaqueWithArgument at '0' can neither be traced \(.*data.*\) nor kept whole \(.*record"
    ):
        trace(nn.Sequential(OpaqueWithArgument(3)), torch.randn(2, 4))


class OpaqueWithArgument(Opaque):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))


class LayerDrop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if not self.training or torch.rand(()) > 0.1:
                x = layer(x)
        return x


def test_a_model_that_only_eval_mode_can_hold_refuses_train_mode() -> None:
    with recording():
        net = LayerDrop().eval()
    model = trace(net, torch.randn(2, 4))
    assert model.report is not None
    assert any("only eval mode was traced" in note and "Tensor.__bool__" in note for note in model.report.notes)
    module = to_module(model).eval()
    module.load_state_dict(net.state_dict())
    x = torch.randn(3, 4)
    assert torch.equal(module(x), net(x))
    with pytest.raises(RuntimeError, match=r"LayerDrop was traced in eval mode only.*call eval\(\) first"):
        module.train()(x)
    assert to_source(trace(to_module(model), torch.randn(2, 4))) == to_source(model)


def test_an_error_in_train_mode_only_is_no_reason_to_drop_it() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout()

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise ValueError("more than one value per channel")
            return x

    with pytest.raises(TraceError, match="failed while being traced: ValueError: more than one value per channel"):
        trace(Net(), torch.randn(1, 4))


def test_a_list_with_an_empty_place_keeps_its_names() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([None, nn.Linear(3, 3)])  # type: ignore[list-item]  # as people do it

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts:
                x = x if part is None else part(x)
            return x

    roundtrip(Net, torch.randn(2, 3))
