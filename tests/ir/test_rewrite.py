from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphnas.errors import MutationError, VerificationError
from graphnas.ir.graph import Graph, Operation
from graphnas.ir.invariants import Invariant
from graphnas.ir.literal import FrozenDict, Value
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, Forward, ModuleSpec, Tie
from graphnas.ir.rewrite import Edit, Rewriter
from graphnas.ir.verify import verify
from tests.ir.models import block, chain, definition, function, graph, images, leaf, model_of, module, node, resnet


def body(model: Model | Rewriter, path: str) -> Definition:
    found = model[path]
    assert isinstance(found, Definition)
    return found


def names(model: Model | Rewriter, path: str) -> list[str]:
    return [item.name for item in body(model, path).graphs[0].nodes]


def test_refused_kernel_change_names_node_and_shapes_and_leaves_the_base_alone() -> None:
    model = resnet()
    key = model.key
    edit = Rewriter(model)
    edit.update_module("layer1.0.conv1", kernel_size=5)
    with pytest.raises(VerificationError, match=r"layer1\.0:add.*%bn2: f32\[2, 8, 6, 6\], %x: f32\[2, 8, 8, 8\]"):
        edit.freeze()
    assert edit.result is None
    assert (model.key, Model(model.root).key) == (key, key)
    edit.update_module("layer1.0.conv1", padding=2)
    assert edit.freeze().key != key


def test_refused_width_change_names_expected_and_got() -> None:
    model = resnet()
    edit = Rewriter(model)
    edit.update_module("layer2.1.conv1", out_channels=16)
    with pytest.raises(VerificationError, match=r"layer2\.1:bn1: BatchNorm2d\(8\).*f32\[2, 16, 8, 8\]") as error:
        edit.freeze()
    assert error.value.site == "layer2.1:bn1"


def test_only_the_edited_path_is_copied() -> None:
    model = resnet()
    with Rewriter(model) as edit:
        edit.update_module("layer1.0.conv1", kernel_size=5, padding=2)
    child = edit.result
    assert child is not None
    for path in ("layer2", "layer2.0", "layer1.1", "layer1.0.conv2", "stem", "head"):
        assert child[path] is model[path], path
    assert model["layer1.0"] is model["layer1.1"]
    assert child["layer1.0"] is not child["layer1.1"]
    verify(child)


def test_update_keeps_form_and_leaves_defaults_out() -> None:
    edit = Rewriter(resnet())
    edit.update_module("stem", kernel_size=1, stride=2, bias=False)
    assert edit["stem"] == leaf("Conv2d", 3, 8, 1, stride=2, padding=1, bias=False)
    edit.update_module("stem", stride=1, bias=True, padding=0)
    assert edit["stem"] == leaf("Conv2d", 3, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"kernel_siz": 3}, "did you mean 'kernel_size'"), ({"kernel_size": object()}, "neither a value nor a literal")],
)
def test_update_refuses_what_the_constructor_does_not_take(arguments: dict[str, object], message: str) -> None:
    edit = Rewriter(resnet())
    with pytest.raises(MutationError, match=message):
        edit.update_module("stem", **arguments)
    with pytest.raises(MutationError, match="not a leaf"):
        edit.update_module("layer1", **arguments)
    assert edit.edits == ()
    assert edit.root is edit.base.root


@pytest.mark.parametrize("after", [True, False])
def test_insertion_keeps_a_chain_a_chain(after: bool) -> None:
    model = resnet()
    with Rewriter(model) as edit:
        insert = edit.insert_after if after else edit.insert_before
        site = insert("layer1:_1", leaf("ReLU"))
        edit.append("layer2", leaf("Identity"))
    child = edit.result
    assert child is not None
    assert site.name == "layer1:relu"
    assert list(body(child, "layer1").children) == (["0", "1", "relu"] if after else ["0", "relu", "1"])
    assert list(body(child, "layer2").children) == ["0", "1", "2"]
    assert body(child, "layer1").is_chain
    assert body(child, "layer2").is_chain


def test_insertion_rewires_users_and_knows_the_type() -> None:
    edit = Rewriter(resnet())
    site = edit.insert_after("layer1.0:conv1", leaf("MaxPool2d", 2))
    assert site.node.type == images(2, 8, 4, 4)
    assert body(edit, "layer1.0").graphs[0]["bn1"].args == (Value("max_pool2d"),)
    assert list(body(edit, "layer1.0").children)[:2] == ["conv1", "max_pool2d"]
    before = edit.insert_before("layer1.0:add", Operation("function", "torch:tanh"))
    assert before.node.args == (Value("bn2"),)
    assert body(edit, "layer1.0").graphs[0]["add"].args == (Value("tanh"), Value("x"))


def test_new_names_never_collide() -> None:
    edit = Rewriter(resnet())
    first = edit.insert_after("layer1.0:bn1", leaf("ReLU"), name="relu")
    second = edit.insert_after(first, leaf("ReLU"), name="train")
    assert first.node.name == "relu_2"
    assert second.node.operation.target == "train_1"
    edit.replace_all_uses_with(second, first)
    edit.erase(second)
    third = edit.insert_after(first, Operation("function", "torch:relu"), name="train_1")
    assert third.node.name != "train_1"
    with pytest.raises(MutationError, match=r"no node layer1\.0:train_1 is left"):
        edit.erase(second)
    edit.freeze()


def test_calls_without_rewiring() -> None:
    edit = Rewriter(resnet())
    scale = edit.call_function("torch:sigmoid", [Value("add")], after="layer1.0:add")
    shape = edit.call_method("mean", [scale, (2, 3)], {"keepdim": True}, after=scale)
    again = edit.call_module("layer1.0.conv2", [Value("add")], after=shape)
    joined = edit.call_function("operator:mul", [again, shape], after=again)
    edit.replace_input("layer1.0:relu_1", "layer1.0:add", joined)
    child = edit.freeze()
    assert child.find(path="layer1.0", type="mul")[0].node.type == images(2, 8, 8, 8)
    with pytest.raises(MutationError, match="exactly one of after= and before="):
        edit.call_function("torch:sigmoid", [Value("add")])


def test_erase_is_refused_while_used_and_takes_the_module_along() -> None:
    edit = Rewriter(resnet())
    with pytest.raises(MutationError, match=r"layer1\.0:bn1 is used by relu"):
        edit.erase("layer1.0:bn1")
    edit.replace_all_uses_with("layer1.0:bn1", "layer1.0:conv1")
    edit.erase("layer1.0:bn1")
    assert "bn1" not in body(edit, "layer1.0").children
    assert "bn1" in body(edit, "layer1.1").children
    edit.replace_all_uses_with("layer1.0:bn2", "layer1.0:conv2")
    edit.erase("layer1.0:bn2", keep_module=True)
    assert "bn2" in body(edit, "layer1.0").children
    edit.remove_module("layer1.0.bn2")
    edit.freeze()


def test_module_that_is_called_twice_survives_the_erasure_of_one_call() -> None:
    nodes = [module("a", "act", "%x"), module("b", "act", "%a")]
    model = model_of(definition("M", {"act": leaf("ReLU")}, graph("x", nodes, "%a")), images(2))
    edit = Rewriter(model)
    edit.erase(":b")
    assert "act" in edit.root.children
    with pytest.raises(MutationError, match=r"'act' is used by :a"):
        edit.remove_module("act")


def test_replace_operation_drops_or_adds_the_module() -> None:
    edit = Rewriter(resnet())
    relu = edit.replace_operation("layer1.0:relu", leaf("PReLU"))
    assert relu.node.operation == Operation("module", "prelu")
    edit.replace_operation(relu, Operation("function", "torch.nn.functional:gelu"))
    assert "prelu" not in body(edit, "layer1.0").children
    edit.replace_operation("layer1.0:bn1", leaf("GroupNorm", 2, 8))
    assert edit["layer1.0.bn1"] == leaf("GroupNorm", 2, 8)
    edit.freeze()


def test_order_of_execution_is_respected() -> None:
    edit = Rewriter(resnet())
    with pytest.raises(MutationError, match=r"layer1\.0:bn1 cannot take %add, which is not computed before it"):
        edit.replace_input("layer1.0:bn1", "layer1.0:conv1", "layer1.0:add")
    with pytest.raises(MutationError, match="%nothing"):
        edit.insert_after("layer1.0:bn1", leaf("ReLU"), args=[Value("nothing")])
    assert edit.root is edit.base.root


def tied() -> Model:
    nodes = [
        module("a", "first", "%x"),
        module("b", "first", "%a"),
        module("c", "third", "%b"),
    ]
    steps = [
        node("w", Operation("attribute", "third.weight")),
        function("n", "torch.nn.init:ones_", "%w"),
        node("v", Operation("attribute", "first.weight")),
        function("m", "torch.nn.init:zeros_", "%v"),
    ]
    children = {"first": leaf("Linear", 4, 4), "second": leaf("Linear", 4, 4), "third": leaf("Linear", 4, 4)}
    root = definition("M", dict(children), graph("x", nodes, "%c"))
    ties = (Tie("second", "first"), Tie("third.weight", "first.weight"))
    return model_of(replace(root, ties=ties, init=graph("", steps, None)), images(2, 4))


def test_shared_module_changes_at_both_paths() -> None:
    with Rewriter(tied()) as edit:
        edit.update_module("second", bias=False)
    assert edit["first"] == edit["second"] == leaf("Linear", 4, 4, bias=False)


def test_ties_and_initialisation_of_a_lost_module_go_with_a_note() -> None:
    edit = Rewriter(tied())
    edit.set_module("third", leaf("Identity"))
    assert edit.root.ties == (Tie("second", "first"),)
    assert [item.name for item in edit.root.init.nodes] == ["v", "m"]
    assert edit.edits[1:] == (
        "Dropped the tie of third.weight to first.weight, since there is no third.weight any more.",
        "Dropped the initialisation torch.nn.init:ones_(%w, ...).",
    )
    edit.freeze()


def two_modes() -> Model:
    nodes = [module("y", "fc", "%x"), function("z", "torch:relu", "%y")]
    train = graph("x", [*nodes, function("d", "torch:neg", "%z")], "%d")
    root = definition("M", {"fc": leaf("Linear", 4, 4)}, graph("x", nodes, "%z"))
    return model_of(replace(root, forwards=(Forward(root.graphs[0], train),)), images(2, 4))


def test_node_edit_reaches_the_train_graph_but_not_the_other_way_round() -> None:
    edit = Rewriter(two_modes())
    edit.insert_after(":y", leaf("LayerNorm", 4), name="norm")
    both = [[item.name for item in found.nodes] for found in edit.root.graphs]
    assert both == [["y", "norm", "z"], ["y", "norm", "z", "d"]]
    train = next(site for site in edit.sites if site.node.name == "z" and site.graph is edit.root.graphs[1])
    edit.replace_operation(train, Operation("function", "torch:tanh"))
    assert [found["z"].operation.target for found in edit.root.graphs] == ["torch:relu", "torch:tanh"]
    edit.freeze()


def test_listeners_and_history() -> None:
    model = resnet()
    heard: list[Edit] = []
    edit = Rewriter(model)
    edit.subscribe(heard.append)
    edit.update_module("stem", kernel_size=1, padding=0)
    edit.insert_after("layer1:_0", leaf("ReLU"))
    child = edit.freeze(mutator="Demo", label="demo", decisions={"@demo": [1, 2]})
    assert [(item.kind, item.site) for item in heard] == [("update_module", "stem"), ("insert_after", "layer1:relu")]
    (mutation,) = child.history
    assert (mutation.mutator, mutation.label, mutation.parent) == ("Demo", "demo", model.fingerprint)
    assert mutation.sites == ("stem", "layer1:relu")
    assert mutation.edits == (
        "Changed stem from Conv2d(3, 8, 3, padding=1) to Conv2d(3, 8, 1).",
        "Inserted ReLU() as layer1:relu after layer1:_0.",
    )
    assert model.history == ()


def test_a_failed_block_gives_nothing_and_a_closed_edit_takes_nothing() -> None:
    edit = Rewriter(resnet())
    edit.update_module("stem", bias=False)
    with pytest.raises(MutationError, match="no module at 'step'"), edit:
        edit.update_module("step", bias=False)
    assert edit.result is None
    with pytest.raises(MutationError, match="closed"):
        edit.update_module("stem", bias=True)


def test_modules_can_be_added_to_lists_and_called() -> None:
    nodes = [module("a", "layers.0", "%x")]
    layers = Definition("ModuleList", "list", FrozenDict({"0": leaf("Linear", 4, 4)}))
    model = model_of(definition("M", {"layers": layers}, graph("x", nodes, "%a")), images(2, 4))
    edit = Rewriter(model)
    path = edit.append("layers", leaf("Linear", 4, 6))
    assert path == "layers.1"
    called = edit.call_module(path, [Value("a")], after=":a")
    edit.replace_all_uses_with(":a", called)
    child = edit.freeze()
    assert child.root.graphs[0].output == called.node.value
    with pytest.raises(MutationError, match="is taken"):
        edit.add_module("layers.0", leaf("ReLU"))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(0, 40),
        st.integers(0, 40),
        st.sampled_from(
            [leaf("ReLU"), leaf("Conv2d", 4, 4, 3), leaf("BatchNorm2d", 4), leaf("Flatten"), chain(leaf("Tanh"))]
        ),
    ),
    max_size=6,
)


def step(edit: Rewriter, kind: int, first: int, second: int, what: ModuleSpec | Definition) -> None:
    sites = edit.sites
    if not sites:
        return
    a, b = sites[first % len(sites)], sites[second % len(sites)]
    if kind == 0:
        edit.insert_after(a, what)
    elif kind == 1:
        edit.insert_before(a, what)
    elif kind == 2:
        edit.replace_all_uses_with(a, b)
    elif kind == 3:
        edit.erase(a)
    elif kind == 4:
        edit.replace_operation(a, what)
    elif kind == 5:
        edit.set_module(a.module_path, what)
    else:
        edit.replace_input(a, b, next(iter(a.node.inputs), Value("none")))


def test_a_module_in_the_place_of_another_takes_its_initialisation_only_as_far_as_it_fits() -> None:
    init = graph("", [node("w", Operation("attribute", "a.weight")), function("z", "torch.nn.init:zeros_", "%w")], None)
    net = definition("Net", {"a": leaf("Linear", 4, 4)}, graph("x", [module("a", "a", "%x")], "%a"))
    model = model_of(replace(net, init=init), images(2, 4))
    with Rewriter(model) as edit:
        edit.replace_operation(":a", leaf("LayerNorm", 4))
    assert edit.result is not None
    assert len(edit.result.root.init.nodes) == 2
    with Rewriter(model) as edit:
        edit.replace_operation(":a", chain(leaf("Linear", 4, 2), leaf("Linear", 2, 4)))
    assert edit.result is not None
    assert edit.result.root.init.nodes == ()
    assert edit.edits[-1] == "Dropped the initialisation torch.nn.init:zeros_(%w, ...)."


def test_a_step_of_the_initialisation_that_does_not_fit_a_new_shape_is_dropped() -> None:
    steps = [
        node("w", Operation("attribute", "a.weight")),
        function("e", "torch:empty", (4, 4)),
        node("copy", Operation("method", "copy_"), "%w", "%e"),
        function("z", "torch.nn.init:zeros_", "%w"),
    ]
    types = [images(4, 4)] * 4
    init = graph("", [replace(step, type=type) for step, type in zip(steps, types, strict=True)], None)
    net = definition("Net", {"a": leaf("Linear", 4, 4)}, graph("x", [module("a", "a", "%x")], "%a"))
    model = model_of(replace(net, init=init), images(2, 4))
    with Rewriter(model) as edit:
        edit.update_module("a", out_features=6)
    assert edit.result is not None
    assert [(item.name, str(item.type)) for item in edit.result.root.init.nodes] == [
        ("w", "f32[6, 4]"),
        ("e", "f32[4, 4]"),
        ("z", "f32[6, 4]"),
    ]
    assert edit.edits[1:] == ("Dropped the initialisation copy_(%w, ...), which does not fit f32[6, 4].",)
    with Rewriter(model) as edit:
        edit.update_module("a", bias=False)
    assert edit.result is not None
    assert edit.result.root.init is model.root.init


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_any_sequence_of_edits_verifies_or_changes_nothing(
    steps: list[tuple[int, int, int, ModuleSpec | Definition]],
) -> None:
    head = definition("Net", {"a": block(4), "b": chain(block(4), leaf("ReLU"))}, _two_calls())
    model = model_of(head, images(1, 4, 5, 5))
    key = Model(model.root).key
    edit = Rewriter(model)
    for kind, first, second, what in steps:
        root, done = edit.root, edit.edits
        try:
            step(edit, kind, first, second, what)
        except MutationError:
            assert edit.root is root
            assert edit.edits == done
    root = edit.root
    try:
        verify(edit.freeze())
        refused = None
    except VerificationError as error:
        refused = error.invariant
    if refused is not None:
        # Edits keep the structure sound; what may not fit are arguments of calls and types.
        assert refused in (Invariant.ARITY, Invariant.EXECUTABLE)
        assert edit.root is root
        assert edit.result is None
    assert Model(model.root).key == key


def _two_calls() -> Graph:
    return graph("x", [module("a", "a", "%x"), module("b", "b", "%a")], "%b")
