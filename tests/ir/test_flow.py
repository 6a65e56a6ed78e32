"""Questions about the flow of values, checked against their definitions on random models."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given

from graphnas.errors import MutationError
from graphnas.ir.model import Model
from tests.ir.handmade import resnet
from tests.strategies import models


@given(models())
def test_a_dominator_is_what_no_path_avoids(model: Model) -> None:
    flow = model.flow
    reached = {name for start in flow.inputs for name in (start, *flow.after(start))}
    for name in flow:
        dominators = flow.dominators(name)
        assert dominators[-1] == name
        if name not in reached:
            assert dominators == (name,)
            continue
        for other in reached - {name}:
            cut = nx.MultiDiGraph(flow.graph)
            cut.remove_node(other)
            avoided = any(start in cut and nx.has_path(cut, start, name) for start in flow.inputs)
            assert (other in dominators) is not avoided


@given(models())
def test_answers_agree_with_each_other(model: Model) -> None:
    flow = model.flow
    order = {name: index for index, name in enumerate(flow)}
    for name in flow:
        assert all(name in flow.after(other) for other in flow.before(name))
        assert all(order[other] < order[name] for other in flow.predecessors(name))
        assert flow.between(name, name) == (name,)
        if name in flow.before(":output"):
            assert flow.post_dominators(name)[-1] == ":output"
            paths = list(flow.paths(name, ":output"))
            assert len(set(paths)) == len(paths) > 0
            assert {step for path in paths for step in path} == set(flow.between(name, ":output"))
            common = [step for step in flow.between(name, ":output") if all(step in path for path in paths)]
            assert list(flow.post_dominators(name)) == common


def test_a_residual_block() -> None:
    flow = resnet().flow
    assert flow.inputs == (":x",)
    assert flow.predecessors("layer2.0:iadd") == ("layer2.0:bn2", "layer2.0.downsample:_1")
    assert flow.successors(":maxpool") == ("layer1.0:conv1", "layer1.0:iadd")
    assert [len(path) for path in flow.paths(":maxpool", "layer1.0:iadd")] == [7, 2]
    assert flow.between(":maxpool", "layer1.0:iadd")[1:-1] == tuple(
        f"layer1.0:{name}" for name in ("conv1", "bn1", "relu", "conv2", "bn2")
    )
    assert flow.between(":fc", ":maxpool") == ()
    assert list(flow.paths(":fc", ":maxpool")) == []
    assert flow.dominators("layer1.0:relu_1") == (
        ":x", ":conv1", ":bn1", ":relu", ":maxpool", "layer1.0:iadd", "layer1.0:relu_1",
    )  # fmt: skip
    assert flow.post_dominators(":avgpool") == (":avgpool", ":flatten", ":fc", ":output")
    assert ":conv1" in flow
    site = flow.site("layer2.0.downsample:_0")
    assert site is not None
    assert (site.module_path, site in flow, flow.site(":x")) == ("layer2.0.downsample.0", True, None)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(MutationError, match="the flow has no node ':conv2'; there are :x, :conv1, :bn1"):
        resnet().flow.before(":conv2")
    with pytest.raises(MutationError, match="the flow has no node 'conv1'; there are :x, :conv1"):
        resnet().flow.before("conv1")
