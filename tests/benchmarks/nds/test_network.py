"""The networks of NDS are those of its published records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import graphnas
from graphnas.benchmarks.nds import network
from graphnas.benchmarks.nds.architecture import from_decisions, to_decisions
from graphnas.benchmarks.nds.constants import OPERATIONS
from graphnas.benchmarks.nds.designs import CELL_DESIGNS
from graphnas.benchmarks.nds.operations import OPERATIONS as BUILDERS
from graphnas.errors import BenchmarkError, UnknownArchitectureError

RESNET = {"ds": [1, 2, 1, 1], "ss": [1, 1, 2, 2], "ws": [16, 16, 24, 40]}


@pytest.fixture(scope="module")
def records(shared_data: Path) -> dict[str, dict[str, Any]]:
    """Return a published record of each family on CIFAR-10."""
    found: dict[str, dict[str, Any]] = {}
    blocks = json.loads((shared_data / "nni_documented_queries.json").read_text(encoding="utf-8"))["blocks"]
    for block in blocks:
        for record in block["output"] if isinstance(block["output"], list) else []:
            if isinstance(record, dict) and "model_family" in record.get("config", {}):
                found[record["config"]["model_family"]] = record
    return found


def cost_of(net: nn.Module) -> int:
    """Return what NDS counts as FLOPs: multiply-adds, biases, and five operations for each normalised number."""
    total = 0

    def count(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output.numel() * (module.in_features + 1)
        elif isinstance(module, nn.BatchNorm2d):
            total += 5 * output.numel()

    for module in net.modules():
        module.register_forward_hook(count)
    net.eval()(torch.zeros(1, 3, 32, 32, device="meta"))
    return total


@pytest.mark.parametrize("family", ["vanilla", "residual_basic", "residual_bottleneck", "nas_cell"])
def test_parameters_and_flops_are_those_of_the_record(records: dict[str, dict[str, Any]], family: str) -> None:
    record = records[family]
    config = record["config"]
    decisions = to_decisions(config["proposer"], config["model_spec"], config["cell_spec"])
    assert from_decisions(config["proposer"], decisions) == (config["model_spec"], config["cell_spec"])
    space = network.space(config["proposer"])
    with torch.device("meta"):
        net = space.instantiate(decisions)
    assert sum(map(torch.Tensor.numel, net.parameters())) == round(record["parameters"] * 1e6)
    if family != "nas_cell":  # how the rest of these was counted is not known: convolutions are 98.6 % of it
        assert cost_of(net) == round(record["flops"] * 1e6)


@pytest.mark.parametrize(
    ("proposer", "size"),
    [("vanilla", 1_259_712), ("resnet", 1_259_712), ("resnext-a", 11_390_625), ("resnext-b", 52_734_375)],
)
def test_spaces_are_as_large_as_published(proposer: str, size: int) -> None:
    space = network.space(proposer)
    assert space.size() == size
    assert graphnas.ModelSpace.from_json(space.to_json() or {}).domains == space.domains


def test_every_point_of_a_staged_space_computes() -> None:
    space = network.space("resnext-a")
    for seed in range(5):
        decisions = space.sample(seed)
        with torch.device("meta"):
            assert space.instantiate(decisions).eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
        assert to_decisions("resnext-a", *from_decisions("resnext-a", decisions)) == decisions


@pytest.mark.parametrize("proposer", CELL_DESIGNS)
def test_every_point_of_a_cell_space_is_a_record_and_back(proposer: str) -> None:
    with torch.device("meta"):
        space = graphnas.ModelSpace(network.CellNetwork(proposer, widths=(16,), depths=(4,)))
    decisions = space.sample(0)
    with torch.device("meta"):
        assert space.instantiate(decisions).eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert to_decisions(proposer, *from_decisions(proposer, decisions)) == decisions


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_operations_keep_channels_and_take_strides(name: str, stride: int) -> None:
    module = BUILDERS[name](8, stride).eval()
    assert module(torch.randn(1, 8, 9, 9)).shape == (1, 8, (9 + stride - 1) // stride, (9 + stride - 1) // stride)


@pytest.mark.parametrize(
    ("proposer", "spec", "message"),
    [
        ("resnet", {**RESNET, "ss": [1, 2, 2, 2]}, r"'ss': expected \[1, 1, 2, 2\], got \[1, 2, 2, 2\]"),
        ("resnet", {"ds": [1, 2]}, "expected the fields of a published record"),
        ("resnext-a", RESNET, "expected a decision for 'bottleneck_1'"),
        ("amoeba", {"width": 16, "depth": 4}, "expected the fields of a published record"),
    ],
)
def test_records_of_another_kind_are_refused(proposer: str, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownArchitectureError, match=message):
        to_decisions(proposer, spec)


def test_an_unknown_proposer_is_refused() -> None:
    with pytest.raises(BenchmarkError, match=r"proposer: expected one of nasnet, .*, got 'vgg'"):
        network.space("vgg")
    with pytest.raises(BenchmarkError, match=r"proposer: expected one of vanilla, .*, got 'vgg'"):
        network.StagedNetwork("vgg")
    with pytest.raises(BenchmarkError, match=r"proposer: expected one of nasnet, .*, got 'vgg'"):
        to_decisions("vgg", {})
