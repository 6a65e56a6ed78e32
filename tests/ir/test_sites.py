"""How nodes are found: by name, by conditions, in groups."""

from __future__ import annotations

from typing import Any

import pytest

from graphnas.errors import MutationError
from graphnas.ir.model import Model
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Conditions
from tests.ir.handmade import resnet

MODEL = resnet()


def names(model: Model, **conditions: Any) -> list[str]:
    return [site.name for site in model.find(**conditions)]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"type": "MaxPool2d"}, [":maxpool"]),
        ({"type": "BasicBlock", "path": "layer1"}, ["layer1:_0", "layer1:_1"]),
        ({"type": "iadd", "path": "layer2"}, ["layer2.0:iadd", "layer2.1:iadd"]),
        ({"operation": "torch:flatten"}, [":flatten"]),
        ({"operation": "torch.nn:AdaptiveAvgPool2d"}, [":avgpool"]),
        (
            {"kind": "function", "path": ""},
            ["layer1.0:iadd", "layer1.1:iadd", "layer2.0:iadd", "layer2.1:iadd", ":flatten"],
        ),
        ({"label": "stem"}, [":conv1"]),
        ({"module": "layer1.0.relu"}, ["layer1.0:relu", "layer1.0:relu_1"]),
        (
            {"where": lambda site: len(site.uses) == 0, "kind": "module", "path": "layer2.0.downsample"},
            ["layer2.0.downsample:_1"],
        ),
        ({"path": "layer"}, []),
    ],
)
def test_conditions(conditions: dict[str, Any], found: list[str]) -> None:
    assert names(MODEL, **conditions) == found


def test_an_open_edit_answers_as_a_model_does() -> None:
    edit = Rewriter(MODEL)
    assert [site.name for site in edit.find(type="Conv2d", path="layer1.1")] == ["layer1.1:conv1", "layer1.1:conv2"]


def test_an_unknown_condition_is_refused() -> None:
    wrong: Any = {"name": "conv1"}
    with pytest.raises(TypeError, match=r"find\(\) has no condition 'name'; there are type, operation, kind, label"):
        MODEL.find(**wrong)
    assert "where" in Conditions.__annotations__


def test_sites_by_name() -> None:
    site = MODEL.site("layer2.0:iadd")
    assert [node.name for node in site.operands] == ["bn2", "downsample"]
    assert [node.name for node in site.uses] == ["relu_1"]
    assert MODEL.site(":conv1").operands == ()
    with pytest.raises(MutationError, match=r"no node .layer2.0.downsample:x.; the graphs at .* have _0, _1"):
        MODEL.site("layer2.0.downsample:x")
    with pytest.raises(MutationError, match="no module at 'layer9'"):
        MODEL.site("layer9:conv1")


def test_groups_come_in_the_order_of_execution() -> None:
    assert list(MODEL) == list(MODEL.sites)
    types = MODEL.by_type()
    assert list(types)[:6] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Sequential", "BasicBlock"]
    assert sum(map(len, types.values())) == len(MODEL.sites)
    assert [site.name for site in MODEL.by_operation()["operator:iadd"]][:1] == ["layer1.0:iadd"]
    assert list(MODEL.by_label()) == ["stem"]
