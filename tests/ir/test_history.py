"""Back to ancestors, and which mutation made what."""

from __future__ import annotations

import pickle

import pytest

from graphnas.errors import MutationError
from graphnas.ir.diff import diff
from graphnas.ir.graph import Operation
from graphnas.ir.history import blame, undo
from graphnas.ir.json_form import dump_json, from_json
from graphnas.ir.model import Model
from graphnas.ir.parser import parse_model
from graphnas.ir.rewrite import Rewriter
from tests.ir.models import block, chain, leaf, resnet


def grown() -> tuple[Model, Model, Model]:
    """A model, one with a block more, and one in which parts of that changed."""
    base = resnet()
    with Rewriter(base) as edit:
        edit.insert_after("layer1:_1", block(8), name="extra")
    one = edit.result
    assert one is not None
    edit = Rewriter(one)
    edit.update_module("layer1.extra.conv1", kernel_size=5, padding=2)
    edit.replace_operation(":head", chain(leaf("Linear", 8, 4), leaf("Linear", 4, 10)))
    edit.replace_operation("layer2.0:relu", Operation("function", "torch:tanh"))
    return base, one, edit.freeze(mutator="Tune", label="tune", decisions={"@tune/size": 5})


def test_undo_goes_back_by_one_or_several() -> None:
    base, one, two = grown()
    assert undo(two) is one
    assert undo(two, 2) is base
    assert undo(two, 0) is two
    assert not diff(undo(two, 2), base)
    for n in (3, -1, 1.0):
        with pytest.raises(MutationError, match=f"Net has 2 mutations, so {n} cannot be taken back"):
            undo(two, n)  # type: ignore[arg-type]  # wrong on purpose


def test_a_model_from_elsewhere_has_its_history_and_not_its_ancestors() -> None:
    two = grown()[2]
    for copy in (from_json(dump_json(two)), pickle.loads(pickle.dumps(two)), parse_model(str(two))):
        assert copy == two
        assert copy.history == two.history
        assert copy.parent is None
        with pytest.raises(MutationError, match=r"before mutation 2 is not at hand.*history\[:0\], mutators"):
            undo(copy, 2)


def test_blame_names_who_made_a_place_and_who_changed_it() -> None:
    _, one, two = grown()
    first, second = two.history
    assert first.created == ("layer1:extra", "layer1.extra")
    assert second.created == ("head",)
    for place in ("layer1:extra", "layer1.extra", "layer1.extra:bn1", "layer1.extra.bn1"):
        assert (blame(two, place).made_by, blame(two, place).changed_by) == (first, ()), place
    for place in ("layer1.extra:conv1", "layer1.extra.conv1"):
        assert (blame(two, place).made_by, blame(two, place).changed_by) == (first, (second,)), place
        assert blame(one, place).changed_by == ()
    for place in ("head.0", "head:_1", "head"):
        assert blame(two, place).made_by == second, place
    assert (blame(two, ":head").made_by, blame(two, ":head").changed_by) == (None, (second,))
    assert blame(two, two.site("layer2.0:relu")).changed_by == (second,)
    assert str(blame(two, "layer2.0:relu")) == (
        "layer2.0:relu: made by the trace, changed by Tune 'tune' (@tune/size=5)"
    )
    assert str(blame(two, "stem")) == "stem: made by the trace"
    with pytest.raises(MutationError, match=r"has no node 'layer2\.0:nothing'"):
        blame(two, "layer2.0:nothing")
    with pytest.raises(MutationError, match="has no module at 'layer9'"):
        blame(two, "layer9")
