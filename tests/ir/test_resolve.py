from __future__ import annotations

import math
import operator
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # the name that everyone gives it

from graphnas.errors import GraphNASError
from graphnas.ir.literal import FrozenDict, Symbol
from graphnas.ir.module import ModuleSpec
from graphnas.ir.resolve import instantiate, path_of, resolve

PATHS: list[tuple[object, str]] = [
    (nn.Conv2d, "torch.nn:Conv2d"),
    (nn.Parameter, "torch.nn:Parameter"),
    (F.relu, "torch.nn.functional:relu"),
    (torch.relu, "torch:relu"),
    (F.gelu, "torch.nn.functional:gelu"),
    (F.max_pool2d, "torch.nn.functional:max_pool2d"),
    (F.scaled_dot_product_attention, "torch.nn.functional:scaled_dot_product_attention"),
    (torch.conv2d, "torch.nn.functional:conv2d"),
    (torch.cat, "torch:cat"),
    (torch.einsum, "torch:einsum"),
    (torch.linalg.norm, "torch.linalg:norm"),
    (torch.Tensor.view, "torch:Tensor.view"),
    (nn.init.kaiming_normal_, "torch.nn.init:kaiming_normal_"),
    (operator.add, "operator:add"),
    (operator.iadd, "operator:iadd"),
    (math.ceil, "math:ceil"),
    (len, "builtins:len"),
    (int, "builtins:int"),
]


@pytest.mark.parametrize(("value", "path"), PATHS, ids=[path for _, path in PATHS])
def test_path_is_the_public_name_and_leads_back(value: object, path: str) -> None:
    assert path_of(value) == path
    assert resolve(path) is value


def test_every_module_class_of_torch_is_named_by_its_package() -> None:
    names = [name for name, item in vars(nn).items() if isinstance(item, type) and issubclass(item, nn.Module)]
    assert len(names) > 100
    for name in names:
        assert resolve(path_of(getattr(nn, name))) is getattr(nn, name)
        assert path_of(getattr(nn, name)).startswith("torch.nn:")


def local() -> Callable[[], None]:
    def inside() -> None: ...

    return inside


@pytest.mark.parametrize("value", [lambda: 0, local(), nn.ReLU()], ids=["lambda", "local", "instance"])
def test_what_cannot_be_imported_is_refused(value: object) -> None:
    with pytest.raises(GraphNASError, match="cannot be imported by any name"):
        path_of(value)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_package:thing", "cannot be imported"),
        ("torch.nn:NoSuchLayer", "does not have it"),
        ("not a path", "not of the form"),
    ],
)
def test_unresolvable_path_says_why(path: str, reason: str) -> None:
    with pytest.raises(GraphNASError, match=reason):
        resolve(path)


def test_instantiate_thaws_arguments_and_freezes_parameters() -> None:
    kwargs: FrozenDict[object] = FrozenDict({"kernel_size": (3, 1), "bias": False, "dtype": torch.float16})
    module = instantiate(ModuleSpec("torch.nn:Conv2d", (3, 8), kwargs, frozen=("weight",)), "meta")
    assert isinstance(module, nn.Conv2d)
    assert module.kernel_size == (3, 1)
    assert module.weight.is_meta
    assert module.weight.dtype is torch.float16
    assert not module.weight.requires_grad


def test_instantiate_resolves_symbols() -> None:
    symbol = Symbol("torch.nn.functional:gelu")
    spec = ModuleSpec("torch.nn:TransformerEncoderLayer", (8, 2), FrozenDict({"activation": symbol}))
    module = instantiate(spec, "meta")
    assert isinstance(module, nn.TransformerEncoderLayer)
    assert module.activation is F.gelu


def test_instantiate_says_what_the_constructor_refused() -> None:
    with pytest.raises(GraphNASError, match=r"Conv2d\(3, 8, 3, groups=2\) cannot be constructed: ValueError"):
        instantiate(ModuleSpec("torch.nn:Conv2d", (3, 8, 3), FrozenDict({"groups": 2})))
    with pytest.raises(GraphNASError, match=r"torch\.cat.*expected a subclass of torch\.nn\.Module|torch:cat is"):
        instantiate(ModuleSpec("torch:cat"))
