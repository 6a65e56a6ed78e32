"""Which of the places that a mutator finds are edited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphnas.errors import ConfigError, MutationError
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.mutators import ModelSpace
from graphnas.mutators.library import ChangeActivation, RemoveOperation
from graphnas.mutators.sited import SiteMutator
from tests.mutators.outcomes import model_of

MODEL = model_of(nn.Sequential(nn.ReLU(), nn.Tanh(), nn.GELU()), torch.randn(2, 4))
SITES = (":n0", ":n1", ":n2")


def activation(**options: Any) -> ModelSpace:
    return ModelSpace(MODEL, [ChangeActivation(("silu", "elu"), label="a", **options)])


def kinds(space: ModelSpace, decisions: dict[str, Any]) -> list[str]:
    return [site.type for site in space.freeze(decisions).sites]


def test_one_place_is_a_choice() -> None:
    space = activation()
    assert space.domains["@a/site"].grid(3) == SITES
    assert kinds(space, {"@a/site": ":n1", "@a/to": "elu"}) == ["ReLU", "ELU", "GELU"]


def test_some_places_are_a_subset_and_decide_apart() -> None:
    assert kinds(activation(sites="some"), {"@a/sites": []}) == ["ReLU", "Tanh", "GELU"]
    decisions = {"@a/sites": [":n0", ":n2"], "@a/:n0/to": "elu", "@a/:n2/to": "silu"}
    assert kinds(activation(sites="some"), decisions) == ["ELU", "Tanh", "SiLU"]
    assert kinds(activation(sites=2), decisions) == ["ELU", "Tanh", "SiLU"]
    assert activation(sites=2).domains["@a/sites"].size == 1 + 3 + 3
    assert activation(sites=9).domains["@a/sites"].size == 8


def test_each_place_decides_apart_and_all_alike() -> None:
    space = activation(sites="each")
    assert list(space.domains) == [f"@a/{name}/to" for name in SITES]
    assert kinds(space, {f"@a/{name}/to": to for name, to in zip(SITES, ("elu", "silu", "elu"), strict=True)}) == [
        "ELU",
        "SiLU",
        "ELU",
    ]
    assert list(activation(sites="all").domains) == ["@a/to"]
    assert kinds(activation(sites="all", where=lambda site: site.type != "Tanh"), {"@a/to": "elu"}) == [
        "ELU",
        "Tanh",
        "ELU",
    ]


class Vanishing(SiteMutator[Site]):
    """Removes a node and the one behind it."""

    def find(self, model: Rewriter) -> Iterable[Site]:
        return model.sites

    def edit(self, model: Rewriter, place: Site) -> None:
        for name in [place.node.name, *(node.name for node in place.uses)]:
            site = next(site for site in model.sites if site.node.name == name)
            model.replace_all_uses_with(site, site.node.inputs[0])
            model.erase(site.name)


def test_a_place_that_an_edit_took_away_is_left_out_unless_it_was_asked_for() -> None:
    assert [site.name for site in Vanishing(sites="all").apply(MODEL, {}).sites] == []
    with pytest.raises(MutationError, match="mutator 'Vanishing': :n1 is gone after :n0"):
        Vanishing(sites="some").apply(MODEL, {"@Vanishing/sites": [":n0", ":n1"]})


def test_a_shared_module_is_one_place() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Sequential(nn.ReLU())
            self.b = self.a

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))  # type: ignore[no-any-return]

    model = model_of(Net(), torch.randn(2))
    child = ChangeActivation(("elu",), sites="all").apply(model, {"@ChangeActivation/to": "elu"})
    assert {site.type for site in child.sites if site.path} == {"ELU"}
    assert len([edit for edit in child.history[-1].edits if "ELU" in edit]) == 1


def test_bad_numbers_are_refused_and_no_place_is_said() -> None:
    for sites in (0, -1, "many", True):
        with pytest.raises(ConfigError, match="sites: expected 'one', 'some', 'each', 'all' or a number from 1"):
            RemoveOperation(sites=sites)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(MutationError, match="'Vanishing' finds no place that `where` lets through in Sequential: Rem"):
        Vanishing(where=lambda site: False).apply(MODEL, {})
