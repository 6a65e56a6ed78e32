"""Parameters and buffers by name, against those of real modules."""

from __future__ import annotations

import torch
from torch import nn

import graphnas
from graphnas.ir.state import state_of
from tests.ir.handmade import language_model
from tests.networks import ResNet18, TransformerEncoder


def expected(net: nn.Module) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {name: (tuple(item.shape), item.dtype) for name, item in net.state_dict().items()}


def test_saved_tensors_are_those_of_the_state_dict() -> None:
    class Same(nn.Conv2d):
        """Derives from a class of torch, whose parameters it inherits."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.conv2d(x, self.weight, self.bias, padding=1)

    image, tokens = torch.randn(2, 3, 32, 32), torch.randint(0, 50, (2, 12))
    wrapped = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)), nn.BatchNorm1d(2), nn.LSTM(2, 3))
    for net, x in ((ResNet18(), image), (TransformerEncoder(), tokens), (nn.Sequential(Same(3, 4, 3)), image)):
        found = state_of(graphnas.trace(net, (x,)).root)
        assert {name: (t.type.shape, t.type.dtype) for name, t in found.items() if t.is_saved} == expected(net)
        trained = {name for name, tensor in found.items() if tensor.trained and not tensor.source}
        assert trained == {name for name, item in net.named_parameters() if item.requires_grad}
    found = state_of(graphnas.trace(wrapped, (torch.randn(2, 4),)).root)
    assert {name: (t.type.shape, t.type.dtype) for name, t in found.items() if t.is_saved} == expected(wrapped)


def test_temporary_buffers_are_told_apart_and_ties_name_their_source() -> None:
    found = state_of(graphnas.trace(TransformerEncoder(), (torch.randint(0, 50, (2, 12)),)).root)
    assert found["sinusoids"].storage == "temporary"
    assert found["head.weight"].source == "embedding.weight"
    assert found["embedding.weight"].source == ""
    assert state_of(language_model().root)["head.weight"].source == "embed.weight"
