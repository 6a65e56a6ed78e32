"""What operations call their arguments."""

from __future__ import annotations

import sys

import pytest

from graphnas.codegen.signatures import operand_name
from graphnas.ir.graph import Operation


@pytest.mark.parametrize(
    ("operation", "position", "name"),
    [
        (Operation("function", "torch.nn.functional:conv2d"), 3, "stride"),
        (Operation("method", "mean"), 1, "dim"),
        (Operation("module", "linear"), 0, "value"),
    ],
)
def test_arguments_are_called_what_the_signature_calls_them(operation: Operation, position: int, name: str) -> None:
    assert operand_name(operation, position) == name


def test_a_child_with_the_name_of_a_module_of_python_imports_nothing() -> None:
    sys.modules.pop("this", None)
    assert operand_name(Operation("module", "this"), 0) == "value"
    assert "this" not in sys.modules
