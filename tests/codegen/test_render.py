"""Trees as text: parentheses where they are needed, and nowhere else."""

from __future__ import annotations

import libcst as cst
import pytest

from graphnas.codegen import CodegenError, syntax
from graphnas.codegen.render import Renderer
from graphnas.codegen.syntax import Tree

A, B, C = map(syntax.identifier, "abc")


def text(tree: Tree) -> str:
    return cst.Module([]).code_for_node(Renderer({":0": "Net", "torch.nn:ReLU": "nn.ReLU"}).expression(tree))


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (syntax.binary("*", syntax.binary("+", A, B), C), "(a + b) * c"),
        (syntax.binary("-", A, syntax.binary("-", B, C)), "a - (b - c)"),
        (syntax.binary("**", A, syntax.integer(-1)), "a**-1"),
        (syntax.binary("**", syntax.integer(-2), A), "(-2) ** a"),
        (syntax.attribute(syntax.integer(2), "real"), "(2).real"),
        (syntax.unary("not", syntax.comparison("is", A, B)), "not a is b"),
        (
            syntax.conditional(A, syntax.comparison(">", B, C), syntax.conditional(B, A, C)),
            "a if b > c else b if a else c",
        ),
        (syntax.conditional(syntax.conditional(A, B, C), A, B), "(a if b else c) if a else b"),
        (syntax.binary("+", syntax.conditional(A, B, C), A), "(a if b else c) + a"),
        (syntax.tuple_of([A]), "(a,)"),
        (syntax.subscript(A, [syntax.slice_of(None, B, None), syntax.literal("...")]), "a[:b, ...]"),
        (syntax.call(A, [syntax.starred(syntax.comprehension(B, C, A))], [("key", B)]), "a(*[b for c in a], key=b)"),
        (syntax.call(A, [], [("is", B)]), 'a(**{"is": b})'),
        (syntax.call(syntax.reference(":0"), [syntax.reference("torch.nn:ReLU")]), "Net(nn.ReLU)"),
    ],
)
def test_parentheses(tree: Tree, expected: str) -> None:
    assert text(tree) == expected


def test_names_and_targets_are_checked() -> None:
    with pytest.raises(CodegenError, match="'not a name' cannot be written"):
        syntax.identifier("not a name")
    with pytest.raises(CodegenError, match="nothing can be assigned to a call"):
        syntax.assign(syntax.call(A), B)
