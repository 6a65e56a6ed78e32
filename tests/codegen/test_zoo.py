"""Eight networks of the field, generated: they compute the same, and their source is what a review would take."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch

import graphnas
from graphnas.codegen import to_module
from tests.codegen.roundtrip import copies, same
from tests.zoo import ZOO


@lru_cache(maxsize=1)
def traced(name: str) -> tuple[torch.nn.Module, graphnas.Model]:
    build, inputs = ZOO[name]
    torch.manual_seed(0)
    with graphnas.recording():
        net = build()
    return net, graphnas.trace(net, inputs(2))


@pytest.mark.parametrize("name", ZOO)
def test_generated_networks_compute_the_same(name: str) -> None:
    net, model = traced(name)
    generated = to_module(model)
    generated.load_state_dict(net.state_dict(), strict=True)
    for training, batch in ((False, 3), (True, 2)):
        outputs = []
        for module in (net, generated):
            torch.manual_seed(0)
            outputs.append(module.train(training)(*copies(ZOO[name][1](batch))))
        assert same(outputs[0], outputs[1])
