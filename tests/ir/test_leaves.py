"""Plain layers on meta tensors give what they give on fake ones, or leave the question to these."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from graphnas.ir.abstract import TensorMeta, abstract, concrete
from graphnas.ir.leaves import is_plain, plain_result
from graphnas.ir.types import TensorType

IMAGE = TensorMeta.contiguous(TensorType((2, 8, 6, 6), torch.float32))
LAYERS = [
    (nn.Conv2d, (8, 4, 3)),
    (nn.ConvTranspose2d, (8, 4, 3)),
    (nn.BatchNorm2d, (8,)),
    (nn.GroupNorm, (2, 8)),
    (nn.LayerNorm, (6,)),
    (nn.InstanceNorm2d, (8,)),
    (nn.Linear, (6, 5)),
    (nn.GELU, ()),
    (nn.ReLU, (True,)),
    (nn.MaxPool2d, (2,)),
    (nn.AdaptiveAvgPool2d, (1,)),
    (nn.Dropout, (0.5,)),
    (nn.Flatten, ()),
    (nn.ZeroPad2d, (1,)),
    (nn.Identity, ()),
]


@pytest.mark.parametrize(("kind", "args"), LAYERS, ids=[kind.__name__ for kind, _ in LAYERS])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_plain_layer_gives_what_fake_tensors_give(
    kind: type[nn.Module], args: tuple[object, ...], training: bool
) -> None:
    with torch.device("meta"):
        module = kind(*args).train(training)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, torch.no_grad():
        expected = abstract(kind(*args).train(training)(concrete(IMAGE, mode, {})))
    assert is_plain(module)
    assert plain_result(module, (IMAGE,), {}) == expected


def test_refused_call_is_left_to_fake_tensors() -> None:
    assert plain_result(nn.Conv2d(3, 4, 3, device="meta"), (IMAGE,), {}) is None


@pytest.mark.parametrize(
    "given",
    [
        IMAGE._replace(stride=(288, 1, 48, 8)),
        IMAGE._replace(device="meta"),
        IMAGE._replace(leaf_grad=True),
        "no tensor",
    ],
    ids=["channels last", "other device", "parameter", "no tensor"],
)
def test_what_is_not_plain_is_left_to_fake_tensors(given: object) -> None:
    assert plain_result(nn.ReLU(), (given,), {}) is None


@pytest.mark.parametrize("kind", [nn.LSTM, nn.Embedding], ids=["LSTM", "Embedding"])
def test_layers_of_other_kinds_are_not_plain(kind: type[nn.Module]) -> None:
    assert not is_plain(kind(4, 4))


def test_lazy_layer_is_not_plain() -> None:
    assert not is_plain(nn.LazyLinear(4))
