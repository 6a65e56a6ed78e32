"""Templates: what definitions have in common."""

from __future__ import annotations

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Function, Tree
from graphnas.codegen.template import Site, generalise, skeleton

X = syntax.identifier("x")
STRIDE = Site("stride", "conv2d", 2)
PAIR = [syntax.literal("1", STRIDE), syntax.literal("2", STRIDE)]


def returned(value: Tree) -> Function:
    return Function("forward", (), (syntax.return_of(value),))


def conv(stride: Tree) -> Function:
    return returned(syntax.call(syntax.reference("torch.nn.functional:conv2d"), [X], [("stride", stride)]))


def viewed(size: Tree) -> Function:
    return returned(syntax.call(syntax.attribute(X, "view"), [size]))


def test_a_function_of_torch_takes_a_list_for_a_tuple_of_numbers() -> None:
    listed, paired = conv(syntax.list_of(PAIR)), conv(syntax.tuple_of(PAIR))
    assert skeleton(listed) == skeleton(paired)
    assert generalise([listed.body[0], paired.body[0]], [0, 1]) == listed.body[0]


def test_a_list_of_values_and_what_others_are_given_stay_what_they_are() -> None:
    assert skeleton(conv(syntax.list_of([X]))) != skeleton(conv(syntax.tuple_of([X])))
    assert skeleton(viewed(syntax.list_of(PAIR))) != skeleton(viewed(syntax.tuple_of(PAIR)))
