"""The declarative form: what a pattern finds, and what is written in its place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphnas
from graphnas.errors import ConfigError, MutationError
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators import ModelSpace
from graphnas.mutators.patterns import Match, Replace
from tests.mutators.outcomes import model_of, runs, types
from tests.networks import ResNet18, TransformerEncoder


class Spelled(nn.Module):
    """One activation in four spellings, and sums in three."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.gelu = nn.GELU("tanh")

    def forward(self, x: Tensor) -> Tensor:
        a = self.relu(x * 1)
        b = F.relu(x)
        c = torch.relu(x)
        d = x.relu()
        a += b
        return torch.add(a, c) + d + self.gelu(x) + F.gelu(x)  # type: ignore[no-any-return]  # modules are not typed


def relu(x: Tensor) -> Any:
    return F.relu(x)


def tanh_gelu(x: Tensor) -> Any:
    return F.gelu(x, approximate="tanh")


def addition(a: Tensor, b: Tensor) -> Any:
    return a + b


def scaled(x: Tensor) -> Any:
    return x * 2


def found(model: graphnas.Model, pattern: Any, **options: Any) -> list[str]:
    return [match.name for match in Replace(pattern, lambda: None, **options).find(Rewriter(model))]


def test_a_pattern_is_found_however_it_is_spelled() -> None:
    model = model_of(Spelled(), torch.randn(2, 3))
    assert found(model, relu) == [":relu", ":relu_1", ":relu_2", ":relu_3"]
    assert found(model, tanh_gelu) == [":gelu"]
    assert found(model, addition) == [":iadd", ":add", ":add_1", ":add_2", ":add_3"]
    assert found(model, nn.ReLU) == [":relu"]
    assert found(model, (nn.ReLU, nn.GELU)) == [":relu", ":gelu"]


def conv_norm_relu(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Any:
    return F.relu(norm(conv(x)))


def with_dropout(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Any:
    return nn.Dropout(0.1 if conv.out_channels > 64 else 0.0)(F.gelu(norm(conv(x)) * 2))


def test_a_function_of_values_and_modules_takes_the_place_of_another() -> None:
    x = torch.randn(2, 3, 32, 32)
    model = model_of(ResNet18(), x)
    child = Replace(conv_norm_relu, with_dropout, sites="all", label="act").apply(model, {})
    assert [site.name for site in child.find(type="gelu")] == [
        ":gelu",
        *(f"layer{stage}.{block}:gelu" for stage in range(1, 5) for block in range(2)),
    ]
    rates = [site.spec.kwargs["p"] for site in child.find(type="Dropout")]  # type: ignore[union-attr]  # a leaf
    assert rates == [0.0] * 3 + [0.1] * 6
    module = runs(child, x)
    assert set(ResNet18().state_dict()) == set(module.state_dict())


def test_operands_of_a_sum_may_be_swapped_but_not_those_of_a_difference() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x.sin()
            return (y + x) * (x - y) * (y - x)

    def skip(x: Tensor) -> Any:
        return x + x.sin()

    def difference(x: Tensor) -> Any:
        return x - x.sin()

    model = model_of(Net(), torch.randn(2))
    assert found(model, skip) == []  # the sine is used elsewhere
    assert found(model, difference) == []

    class Single(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.sin() + x) * (x.sin() - x)

    model = model_of(Single(), torch.randn(2))
    assert found(model, skip) == [":add"]
    assert found(model, difference) == []


def test_values_that_stand_twice_must_be_the_same_and_literals_equal() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.cat([x * x, x * y, x * 2, x * 2.0], dim=1)

    def square(x: Tensor) -> Any:
        return x * x

    def joined(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Any:
        return torch.cat([a, b, c, d], dim=1)

    model = model_of(Net(), torch.randn(2, 2), torch.randn(2, 2))
    assert found(model, square) == [":mul"]
    assert found(model, scaled) == [":mul_2"]
    assert found(model, joined) == [":cat"]


def test_matches_do_not_overlap_and_where_sees_modules_and_types() -> None:
    def twice(x: Tensor) -> Any:
        return x.sin().sin()

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sin().sin().sin().sin().sin()

    assert found(model_of(Net(), torch.randn(2)), twice) == [":sin_1", ":sin_3"]

    def wide(match: Match) -> bool:
        return bool(match["conv"].kernel_size == (1, 1) and match.type.shape[1] == 128)  # type: ignore[union-attr]

    def projection(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Any:
        return norm(conv(x))

    model = model_of(ResNet18(), torch.randn(2, 3, 32, 32))
    assert [match.name for match in Replace(projection, relu_of_x, where=wide)._places(Rewriter(model)).values()] == [
        "layer2.0.downsample:n1"
    ]


def relu_of_x(x: Tensor) -> Any:
    return F.relu(x)


def test_a_class_is_replaced_by_what_a_function_makes_of_the_module() -> None:
    tokens = torch.randint(0, 50, (2, 12))
    model = model_of(TransformerEncoder(), tokens)
    options = {
        "silu": lambda old: nn.SiLU(),
        "block": lambda old: nn.Sequential(nn.Tanh(), nn.Dropout(0.1)),
    }
    space = ModelSpace(model, [Replace(nn.GELU, options, sites="each", label="act")])
    assert space.size() == 4
    labels = [f"@act/layers.{index}.mlp:n1/by" for index in range(2)]
    assert list(space.domains) == labels
    child = space.freeze(dict(zip(labels, ("silu", "block"), strict=True)))
    assert {"SiLU", "Tanh"} <= set(types(child))
    assert "GELU" not in types(child)
    runs(child, tokens)


def test_a_module_that_is_called_twice_is_replaced_where_it_matched() -> None:
    x = torch.randn(2, 3, 32, 32)
    model = model_of(ResNet18(), x)
    mutator = Replace(nn.ReLU, lambda old: nn.ELU(), label="act")
    child = mutator.apply(model, {"@act/site": "layer1.0:relu_1"})
    assert [site.type for site in child.find(path="layer1.0") if "relu" in site.node.name] == ["ReLU", "ELU"]
    runs(child, x)


def test_a_replacement_may_return_what_it_was_given() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) + self.b(x)  # type: ignore[no-any-return]

    def both(x: Tensor, a: nn.Linear, b: nn.Linear) -> Any:
        return a(x) + b(x)

    def first(x: Tensor, a: nn.Linear) -> Any:
        return a(x)

    model = model_of(Net(), torch.randn(2, 4))
    child = Replace(both, first).apply(model, {"@Replace/site": ":add"})
    assert list(child.root.children) == ["a"]
    assert Replace(both, lambda x: x).apply(model, {"@Replace/site": ":add"}).sites == ()


def test_the_replaced_initialisation_goes_with_what_it_initialised() -> None:
    with graphnas.recording():
        net = ResNet18()
    x = torch.randn(2, 3, 32, 32)
    mutator = Replace(nn.Conv2d, lambda old: nn.Sequential(nn.Identity(), nn.Conv2d(3, 64, 7, 2, 3)), label="stem")
    child = mutator.apply(model_of(net, x), {"@stem/site": ":conv1"})
    assert any(edit.startswith("Dropped the initialisation") for edit in child.history[-1].edits)
    runs(child, x)


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (3, relu, "pattern: expected a class of modules, a tuple of them, or a function, got 3"),
        (lambda x: x, relu, "pattern: it returns what it is given"),
        (lambda x: (x, x), relu, r"pattern: .*<lambda> returned \(Proxy.*, expected one value"),
        (lambda x: x if x.sum() > 0 else -x, relu, "pattern: .*<lambda> cannot be recorded: .*control flow"),
        (lambda *x: x[0] + 1, relu, r"pattern: .*<lambda> takes \*x, expected parameters by name"),
        (relu, lambda x, y: x, "replacement: it takes 'y'; the pattern has x"),
        (relu, [], r"replacement: expected functions, got \[\]"),
        (relu, {"a": 1}, "replacement: expected functions, got {'a': 1}"),
    ],
)
def test_what_makes_no_rule_is_refused_at_once(pattern: Any, replacement: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Replace(pattern, replacement)


def test_what_cannot_be_put_in_place_is_refused_with_the_place() -> None:
    model = model_of(ResNet18(), torch.randn(2, 3, 32, 32))
    site = {"@Replace/site": ":fc"}
    with pytest.raises(MutationError, match="'Replace' finds no place in ResNet18: a LayerNorm"):
        Replace(nn.LayerNorm, lambda old: nn.Identity()).apply(model, {})
    with pytest.raises(MutationError, match="finds no place that `where` lets through in ResNet18"):
        Replace(nn.Linear, lambda old: nn.Identity(), where=lambda match: False).apply(model, site)
    with pytest.raises(MutationError, match=":fc: got None, expected a module"):
        Replace(nn.Linear, lambda old: None).apply(model, site)
    with pytest.raises(graphnas.VerificationError, match=r":fc .*Linear\(3, 10\) cannot be applied to"):
        Replace(nn.Linear, lambda old: nn.Linear(3, 10)).apply(model, site)
