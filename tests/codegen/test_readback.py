"""What is read back: every form of source, and every way in which text can differ from it."""

from __future__ import annotations

import ast

import pytest

from graphnas.codegen.readback import says_class
from graphnas.codegen.syntax import Function, Parameter, Tree, identifier, literal, reference

SPELLED = {"torch.nn:Module": "nn.Module", "torch:cat": "torch.cat"}
X, Y = identifier("x"), identifier("y")

FORMS: tuple[tuple[Tree, str, str], ...] = (
    (Tree("expression", "", (Tree("call", "", (reference("torch:cat"), X)),)), "torch.cat(x)", "torch.cat(y)"),
    (Tree("return", "", (Tree("attribute", "shape", (X,)),)), "return x.shape", "return x.T"),
    (
        Tree("return", "", (Tree("binary", "*", (Tree("binary", "+", (X, Y)), Y)),)),
        "return (x + y) * y",
        "return x + y * y",
    ),
    (
        Tree("return", "", (Tree("boolean", "and", (Tree("boolean", "and", (X, Y)), X)),)),
        "return x and y and x",
        "return x and (y and x)",
    ),
    (Tree("return", "", (Tree("boolean", "or", (X, Y)),)), "return x or y", "return x and y"),
    (Tree("return", "", (Tree("unary", "-", (X,)),)), "return -x", "return +x"),
    (Tree("return", "", (Tree("comparison", "is not", (X, Y)),)), "return x is not y", "return x is y"),
    (Tree("return", "", (Tree("conditional", "", (X, Y, X)),)), "return x if y else x", "return y if x else x"),
    (Tree("return", "", (literal("1e-05"),)), "return 0.00001", "return 1e-06"),
    (Tree("return", "", (literal("-1"),)), "return -1", "return 1"),
    (Tree("return", "", (literal("True"),)), "return True", "return 1"),
    (Tree("return", "", (Tree("subscript", "", (X, X, Y)),)), "return x[x, y]", "return x[x][y]"),
    (
        Tree("return", "", (Tree("subscript", "", (X, Tree("slice", "", (X, Tree("absent"), Y)))),)),
        "return x[x::y]",
        "return x[x:y]",
    ),
    (
        Tree("return", "", (Tree("call", "", (X, Tree("star", "*", (Y,)), Tree("keyword", "a", (X,)))),)),
        "return x(*y, a=x)",
        "return x(y, a=x)",
    ),
    (Tree("return", "", (Tree("call", "", (X, Tree("star", "**", (Y,)))),)), "return x(**y)", "return x(*y)"),
    (Tree("return", "", (Tree("call", "", (X, Tree("binary", "**", (X, Y)))),)), "return x(x**y)", "return x(**y)"),
    (Tree("return", "", (Tree("tuple", "bare", (X, Y)),)), "return x, y", "return [x, y]"),
    (Tree("return", "", (Tree("list", "", (X,)),)), "return [x]", "return [x, x]"),
    (Tree("return", "", (Tree("dict", "", (Tree("pair", "", (X, Y)),)),)), "return {x: y}", "return {y: x}"),
    (
        Tree("return", "", (Tree("comprehension", "", (X, X, Y)),)),
        "return [x for x in y]",
        "return [x for x in y if x]",
    ),
    (Tree("assign", "", (X, Y)), "x = y", "x += y"),
    (Tree("assign", "+=", (X, Y)), "x += y", "x -= y"),
    (Tree("pass"), "pass", "return"),
    (
        Tree("if", "", (X, Tree("block", "", (Tree("pass"),)), Tree("block", "", (Tree("assign", "", (X, Y)),)))),
        "if x:\n            pass\n        else:\n            x = y",
        "if x:\n            pass",
    ),
    (
        Tree("for", "", (X, Y, Tree("block", "", (Tree("assign", "", (X, Y)),)))),
        "for x in y:\n            x = y",
        "for y in x:\n            x = y",
    ),
    (Tree("with", "", (X, Tree("block"))), "with x:\n            pass", "with x as y:\n            pass"),
)


def says(text: str, body: Tree) -> bool:
    function = Function("forward", (Parameter("x", None, literal("1")),), (body,))
    found = ast.parse(f'class Net(nn.Module):\n    """Net."""\n\n    def forward(self, x=1):\n        {text}\n').body[0]
    return says_class(found, "Net", reference("torch.nn:Module"), [function], SPELLED)


@pytest.mark.parametrize(("tree", "same", "other"), FORMS)
def test_every_form_is_told_from_others(tree: Tree, same: str, other: str) -> None:
    assert says(same, tree)
    assert not says(other, tree)


@pytest.mark.parametrize(
    "text",
    [
        'class Other(nn.Module):\n    """."""\n    def forward(self, x=1): pass',
        'class Net(nn.ReLU):\n    """."""\n    def forward(self, x=1): pass',
        'class Net(nn.Module):\n    """."""\n    def forward(self, x): pass',
        'class Net(nn.Module):\n    """."""\n    def forward(self, *, x=1): pass',
        'class Net(nn.Module):\n    """."""\n    def forward(self, x: int = 1): pass',
        'class Net(nn.Module):\n    """."""\n    def forward(self, x=1) -> int: pass',
        'class Net(nn.Module):\n    """."""\n    def forward(self, x=1, **kwargs): pass',
        'class Net(nn.Module):\n    """."""\n    @property\n    def forward(self, x=1): pass',
        'class Net(nn.Module):\n    """."""\n    def forward(self, x=1): pass\n    def more(self): pass',
        "class Net(nn.Module):\n    1\n    def forward(self, x=1): pass",
        "x = 1",
    ],
)
def test_another_class_is_told_apart(text: str) -> None:
    function = Function("forward", (Parameter("x", None, literal("1")),), (Tree("pass"),))
    good = ast.parse('class Net(nn.Module):\n    """."""\n    def forward(self, x=1): pass').body[0]
    assert says_class(good, "Net", reference("torch.nn:Module"), [function], SPELLED)
    assert not says_class(ast.parse(text).body[0], "Net", reference("torch.nn:Module"), [function], SPELLED)
