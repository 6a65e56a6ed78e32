"""The flat graph of networkx."""

from __future__ import annotations

import networkx as nx
from hypothesis import given

from graphnas.ir.convert import to_networkx
from graphnas.ir.model import Model
from tests.ir.handmade import language_model, resnet
from tests.strategies import models


@given(models())
def test_every_model_gives_an_acyclic_graph_in_the_order_of_execution(model: Model) -> None:
    graph = to_networkx(model)
    order = nx.get_node_attributes(graph, "order")
    assert sorted(order.values()) == list(range(len(graph)))
    assert all(order[source] < order[target] for source, target in graph.edges())
    assert graph.in_degree(":output") == 1


def test_definitions_are_expanded_in_place() -> None:
    graph = to_networkx(resnet())
    convolutions = [
        data["path"] for _, data in graph.nodes(data=True) if data["spec"] and data["spec"].type == "Conv2d"
    ]
    assert convolutions[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert nx.has_path(graph, "layer1.0:conv1", ":fc")
    assert set(graph.predecessors("layer2.0:iadd")) == {"layer2.0:bn2", "layer2.0.downsample:_1"}
    assert graph.nodes[":conv1"]["label"] == "stem"
    assert graph.nodes[":conv1"]["type"] == "f32[2, 64, 32, 32]"


def test_ports_keep_the_order_of_arguments() -> None:
    graph = to_networkx(language_model())
    ports = [(source, data["port"]) for source, _, data in graph.in_edges(":output", data=True)]
    assert sorted(ports, key=lambda item: item[1]) == [(":head", 0), (":getitem_1", 1)]


def test_a_graph_or_definition_will_do() -> None:
    model = resnet()
    assert len(to_networkx(model.root)) == len(to_networkx(model))
    graph = model.root.forwards[0].eval
    assert len(to_networkx(model.root.forwards[0].eval)) == len(graph.nodes) + 2


def test_a_graph_that_is_not_flat_has_the_modules_of_the_root() -> None:
    graph = resnet().to_networkx(flat=False)
    names = "x conv1 bn1 relu maxpool layer1 layer2 avgpool flatten fc output"
    assert list(graph) == [f":{name}" for name in names.split()]
    assert graph.nodes[":layer1"]["path"] == "layer1"
    assert graph.nodes[":layer1"]["site"].type == "Sequential"
