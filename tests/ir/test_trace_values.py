"""How values are carried through a trace: sizes in caches and tables, shared modules, tensors kept on the side."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module, to_source
from graphnas.errors import TraceError
from graphnas.ir.literal import freeze
from graphnas.ir.module import Definition
from graphnas.ir.record import recording
from graphnas.ir.trace import trace
from tests.codegen.roundtrip import roundtrip
from tests.ir.test_trace import Opaque, Unit, definition, graph, operations


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


class Lengths(nn.Module):
    """Reads a length from the data, and checks it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        if lengths.max().item() > x.shape[1]:  # pytest rewrites an assert
            raise ValueError("longer than the batch")
        if not (lengths > 0).all():
            raise ValueError("an empty sequence")
        longest = int(lengths.max().item())
        mask = torch.arange(longest) < lengths.unsqueeze(1)
        return self.linear(x[:, :longest]) * mask.unsqueeze(-1)  # type: ignore[no-any-return]  # modules are not typed


def test_lengths_stay_symbolic_and_checks_of_data_are_left_out() -> None:
    x = torch.randn(2, 5, 3)
    source = roundtrip(Lengths, x, torch.tensor([4, 2]))
    assert "= lengths.max().item()" in source
    with recording():
        net = Lengths()
    model = trace(net, (x, torch.tensor([4, 2])))
    assert model.report is not None
    assert len([note for note in model.report.notes if "a check that hangs on data" in note]) == 2
    module = to_module(model)
    module.load_state_dict(net.state_dict())
    assert torch.equal(module(x, torch.tensor([3, 1])), net(x, torch.tensor([3, 1])))
    assert "int" not in globals()


def test_nothing_is_decided_by_a_number_that_was_read_from_data() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            return x + 1 if lengths.max().item() > 3 else x

    with pytest.raises(TraceError, match="decides by a number that was read from a tensor, which depends on data"):
        trace(Net(), (torch.randn(2, 5), torch.tensor([4, 2])))


def test_what_hangs_on_shapes_alone_is_computed_and_guarded() -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return x * 2 if (mask & (mask > 0)).any().item() else x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            mask = torch.zeros(x.shape, dtype=torch.bool)
            mask[:, 1] = True
            return self.inner(x, mask)  # type: ignore[no-any-return]  # modules are not typed

    model = trace(Net(), torch.randn(2, 3))
    assert "operator:mul" in operations(graph(model, "inner"))
    assert [guard.outcome for guard in graph(model, "inner").guards] == [True]


def test_the_length_of_a_batch_stays_symbolic() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(len(x), -1) + len([1, 2])

    model = trace(Net(), torch.randn(2, 3, 4))
    assert graph(model).guards == ()
    assert "len" not in globals()
    assert to_module(model)(torch.ones(5, 3, 4)).shape == (5, 12)


def test_strides_of_a_batch_stay_symbolic() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.transpose(0, 1).contiguous()  # now the step between rows is the size of the batch
            steps = list(x.stride())
            return x.as_strided((x.size(0) - 1, 2, x.size(1)), (steps[0], steps[0], steps[1]))

    module = to_module(trace(Net(), torch.randn(2, 5)))
    x = torch.randn(3, 5)
    assert torch.equal(module(x), Net()(x))


def test_a_leaf_of_torch_is_opened_if_its_parts_are_called() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.softmax = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [4])

        def forward(self, x: Tensor) -> Tensor:
            return self.softmax.log_prob(x)

    with recording():
        net = Net()
    model = trace(net, torch.randn(2, 8))
    assert isinstance(model.root.children["softmax"], Definition)
    assert any(target.startswith("softmax.tail.0") for target in operations(graph(model)))
    roundtrip(Net, torch.randn(2, 8))


def test_a_leaf_of_the_users_is_not_opened() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unit = Unit(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.unit.linear(x)  # type: ignore[no-any-return]  # modules are not typed

    with recording():
        net = Net()
    with pytest.raises(TraceError, match="Unit at 'unit' is a leaf, but the model calls a part of it"):
        trace(net, torch.randn(2, 4))


def test_operations_that_fake_tensors_cannot_execute_are_learnt_from_ones() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            window = torch.hann_window(16)
            spectrum = torch.stft(x, 16, window=window, return_complex=True)
            return torch.istft(spectrum, 16, window=window)  # checks that the windows overlap

    roundtrip(Net, torch.randn(2, 64))


def test_lists_and_dictionaries_of_parameters_are_containers() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.ParameterList([nn.Parameter(torch.randn(4, 2)) for _ in range(3)])
            self.shifts = nn.ParameterDict({"low": nn.Parameter(torch.zeros(2)), "in": nn.Parameter(torch.ones(2))})
            for weight in self.weights:
                nn.init.xavier_uniform_(weight)

        def forward(self, x: Tensor) -> Tensor:
            y = x @ self.weights[0]
            for weight in list(self.weights)[1:]:
                y = y + x @ weight
            return y * self.shifts["in"] + self.shifts["low"]  # type: ignore[no-any-return]  # modules are not typed

    source = roundtrip(Net, torch.randn(3, 4))
    assert "nn.ParameterList([*[nn.Parameter(torch.randn(4, 2)) for _ in range(3)]])" in source or (
        "nn.ParameterList([nn.Parameter(torch.randn(4, 2)) for _ in range(3)])" in source
    )


def test_modules_that_a_function_on_the_model_closes_over_are_those_of_the_model() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({"linear": nn.Linear(4, 4), "dropout": nn.Dropout(0.5)})
            parts = self.parts
            self.body = lambda x: parts["dropout"](parts["linear"](x))  # as in minGPT

        def forward(self, x: Tensor) -> Tensor:
            return x + self.body(x)  # type: ignore[no-any-return, no-untyped-call]  # modules are not typed

    assert operations(graph(trace(Net(), torch.randn(2, 4))))[:2] == ["parts.linear", "parts.dropout"]
    roundtrip(Net, torch.randn(2, 4))
