"""How source reaches what stands at a dotted path: `layer1.0.conv` is `self.layer1[0].conv`."""

from __future__ import annotations

import keyword

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Expression
from graphnas.ir.module import Child, Definition


def path_expression(definition: Definition, path: str, base: str = "self") -> Expression:
    """Return the expression for a child, parameter or buffer at `path` below `definition`, which is called `base`."""
    node: Expression = syntax.identifier(base)
    here: Child | None = definition
    for name in path.split(".") if path else ():
        node = _step(node, here, name)
        here = here.children.get(name) if isinstance(here, Definition) else None
    return node


def is_position(definition: Definition, name: str) -> bool:
    """Tell whether a child of an `nn.Sequential` or `nn.ModuleList` goes by its position."""
    return name.isdecimal() and definition.places[name] == int(name)


def is_attribute(name: str) -> bool:
    """Tell whether a name can follow a dot."""
    return name.isidentifier() and not keyword.iskeyword(name)


def _step(node: Expression, here: Child | None, name: str) -> Expression:
    if isinstance(here, Definition) and name in here.children:
        if here.kind in ("list", "sequential") and is_position(here, name):
            return syntax.subscript(node, [syntax.integer(int(name))])
        if here.kind == "dict":
            return syntax.subscript(node, [syntax.string(name)])
    elif name.isdecimal():
        return syntax.subscript(node, [syntax.integer(int(name))])
    if is_attribute(name):
        return syntax.attribute(node, name)
    return syntax.call(syntax.identifier("getattr"), [node, syntax.string(name)])
