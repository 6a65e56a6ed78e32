"""Every mutator of the library on real architectures: what it accepts is sound, is written, runs and trains."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.errors import MutationError, VerificationError
from graphnas.mutators import Mutator
from graphnas.mutators.library import (
    AddSkip,
    ChangeActivation,
    ChangeGroups,
    ChangeKernel,
    ChangeNormalisation,
    ChangeStride,
    DropBlock,
    DuplicateBlock,
    FactorizeLinear,
    InsertModule,
    RemoveOperation,
    RemoveSkip,
    RewireInput,
    SeparateConvolution,
)
from graphnas.mutators.mutator import RandomCandidate
from tests.mutators.outcomes import runs
from tests.networks import ResNet18, TransformerEncoder
from tests.zoo import ZOO

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "ResNet18": (ResNet18, (torch.randn(2, 3, 32, 32),)),
    "TransformerEncoder": (TransformerEncoder, (torch.randint(0, 50, (2, 12)),)),
    "mobilenetv3": (ZOO["mobilenetv3"][0], (torch.randn(2, 3, 32, 32),)),
}

EVERYWHERE = ("ResNet18", "TransformerEncoder", "mobilenetv3")
IMAGES = ("ResNet18", "mobilenetv3")
CASES: list[tuple[Mutator, tuple[str, ...]]] = [
    (ChangeKernel((1, 3, 5, 7)), IMAGES),
    (ChangeStride((1, 2)), IMAGES),
    (ChangeGroups((1, 2, 4)), IMAGES),
    (ChangeActivation(("relu", "gelu", "tanh")), EVERYWHERE),
    (ChangeNormalisation(("batch", "instance", "group", "layer", "none")), IMAGES),
    (ChangeNormalisation(("layer", "rms", "none")), ("TransformerEncoder",)),
    (InsertModule({"tanh": lambda type: nn.Tanh(), "two": lambda type: nn.Sequential(nn.ELU(), nn.Dropout())}), IMAGES),
    (RemoveOperation(), EVERYWHERE),
    (DropBlock(), EVERYWHERE),
    (DuplicateBlock((1, 2)), EVERYWHERE),
    (SeparateConvolution(), IMAGES),
    (FactorizeLinear((0.25, 4)), ("ResNet18", "TransformerEncoder", "mobilenetv3")),
    (AddSkip(), EVERYWHERE),
    (RemoveSkip(), ("ResNet18", "TransformerEncoder", "mobilenetv3")),
    (RewireInput(), EVERYWHERE),
]


@cache
def traced(name: str) -> graphnas.Model:
    build, inputs = NETWORKS[name]
    with graphnas.recording():
        net = build()
    return graphnas.trace(net, inputs)


@pytest.mark.parametrize(
    ("mutator", "name"),
    [pytest.param(mutator, name, id=f"{mutator.label}-{name}") for mutator, names in CASES for name in names],
)
def test_what_is_accepted_runs(mutator: Any, name: str) -> None:
    model = traced(name)
    key = model.key
    refused: list[str] = []
    for seed in range(6):
        try:
            child = mutator.apply(model, RandomCandidate(random.Random(seed)))
        except (MutationError, VerificationError) as error:
            refused.append(error.site)
            continue
        runs(child, *NETWORKS[name][1])
        break
    else:
        pytest.fail(f"nothing was accepted: {refused}")
    assert all(":" in site for site in refused)  # each said where
    assert model.key == key
