"""Measured times."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import graphnas


class Slow(nn.Module):
    """Counts its calls, and what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((self.training, torch.is_grad_enabled()))
        return x + 1


def test_runs_are_measured_after_a_warm_up_in_eval_mode_without_gradients() -> None:
    net = Slow().train()
    found = graphnas.latency(net, inputs=(torch.zeros(1),), runs=4, warmup=3)
    assert net.calls == [(False, False)] * 7
    assert net.training
    assert len(found.times_ms) == 4
    assert min(found.times_ms) == found.fastest_ms <= found.median_ms <= max(found.times_ms)
    assert str(found).endswith(f"on cpu (median of 4, {found.fastest_ms:.3f} at best)")


def test_a_model_is_built_and_given_inputs_of_its_types() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(4, 8), nn.Linear(8, 2)

        def forward(self, tokens: Tensor, scale: Tensor, flags: dict[str, Tensor]) -> Tensor:
            return self.head(self.embedding(tokens) * scale).where(flags["keep"], 0.0)  # type: ignore[no-any-return]

    inputs = (torch.ones(2, 3, dtype=torch.long), torch.ones(1), {"keep": torch.ones(2, 3, 2, dtype=torch.bool)})
    assert graphnas.latency(graphnas.trace(Net(), inputs), runs=2, warmup=0).median_ms > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": 0}, "runs: expected at least 1, got 0"),
        ({"warmup": -1}, "warmup: expected at least 0, got -1"),
        ({"device": "nowhere"}, "device: nowhere is not there: "),
        ({}, r"a module does not record its inputs; give inputs=\(tensor, ...\)"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(graphnas.ConfigError, match=message):
        graphnas.latency(nn.Linear(1, 1), **arguments)  # type: ignore[arg-type]  # wrong on purpose
