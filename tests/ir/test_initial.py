"""How tensors are built of which nobody recorded how they were."""

from __future__ import annotations

import pytest
import torch

from graphnas.ir.initial import initial_buffer, initial_parameter
from graphnas.ir.module import BufferSpec, ParameterSpec
from graphnas.ir.trace.definitions import tensor_data
from graphnas.ir.trace.evaluate import evaluate
from graphnas.ir.types import TensorType


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 0),
        torch.zeros(2, 3),
        torch.ones(4, dtype=torch.bool),
        torch.tensor(3.5, dtype=torch.float64),
        torch.tensor(-0.0),
        torch.tensor([-0.0, -0.0]),
        torch.arange(5),
        torch.tensor([[1, 2], [3, 5]], dtype=torch.int32),
        torch.tensor([0.1, -2.0]),
        torch.tensor([1j, -1j, 0.5 - 2j]),
    ],
    ids=str,
)
def test_short_data_is_written_out_bit_by_bit(tensor: torch.Tensor) -> None:
    data = tensor_data(tensor)
    graph = initial_buffer(BufferSpec(data.type, "temporary", None, data))
    assert graph is not None
    built = evaluate(graph)
    assert built is not None
    assert tensor_data(built) == data


def test_data_that_is_large_or_not_known_has_no_expression() -> None:
    data = tensor_data(torch.rand(65))
    assert initial_buffer(BufferSpec(data.type, "temporary", None, data)) is None
    assert initial_buffer(BufferSpec(data.type, "plain")) is None
    assert initial_buffer(BufferSpec(data.type, "persistent")) is not None


def test_vectors_that_nobody_recorded_start_as_zeros_and_matrices_as_noise() -> None:
    torch.manual_seed(0)
    bias, weight = (
        evaluate(initial_parameter(ParameterSpec(TensorType(shape, torch.float64)))) for shape in ((3,), (50, 40))
    )
    assert bias is not None
    assert weight is not None
    assert bias.tolist() == [0.0, 0.0, 0.0]
    assert (weight.dtype, weight.shape) == (torch.float64, (50, 40))
    assert weight.std().item() == pytest.approx(0.02, rel=0.1)
