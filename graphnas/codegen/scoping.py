"""Scoping of Python in syntax trees: the global names that a statement binds and uses, and statements with others.

What belongs here looks at one statement. Which modules and statements there are is read in `graphnas.codegen.modules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import libcst as cst
from libcst.metadata import ExpressionContext, GlobalScope, Scope

Skips: TypeAlias = Callable[[cst.Decorator], bool]
"""Tells decorators that are left out."""


class Names(cst.CSTVisitor):
    """Collects names; what follows a dot, or is imported, is none."""

    def __init__(self) -> None:
        super().__init__()
        self.values: set[str] = set()

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        node.value.visit(self)
        return False

    def visit_ImportAlias(self, node: cst.ImportAlias) -> bool:
        return False

    def visit_Name(self, node: cst.Name) -> None:
        self.values.add(node.value)


class Stores(cst.CSTVisitor):
    """Finds the global names that a statement binds."""

    def __init__(self, scopes: Mapping[cst.CSTNode, Any], contexts: Mapping[cst.CSTNode, Any]) -> None:
        super().__init__()
        self.scopes = scopes
        self.contexts = contexts
        self.found: dict[str, None] = {}

    def visit_Name(self, node: cst.Name) -> None:
        if self.contexts.get(node) is ExpressionContext.STORE and isinstance(self.scopes.get(node), GlobalScope):
            self.found[node.value] = None

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        if isinstance(self.scopes.get(node), GlobalScope):
            self.found[node.name.value] = None
        return False

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        if isinstance(self.scopes.get(node), GlobalScope):
            self.found[node.name.value] = None
        return False

    def visit_ImportAlias(self, node: cst.ImportAlias) -> bool:
        self.found[node.evaluated_alias or node.evaluated_name.partition(".")[0]] = None
        return False


class References(cst.CSTVisitor):
    """Finds the global names that a statement uses: name, first attribute taken of it, and the node."""

    def __init__(self, scopes: Mapping[cst.CSTNode, Any], contexts: Mapping[cst.CSTNode, Any], skips: Skips) -> None:
        super().__init__()
        self.scopes = scopes
        self.contexts = contexts
        self.skips = skips
        self.found: list[tuple[str, str, cst.BaseExpression | None]] = []
        self._below: set[cst.CSTNode] = set()
        self._annotations = 0

    def visit_Decorator(self, node: cst.Decorator) -> bool:
        return not self.skips(node)

    def visit_Annotation(self, node: cst.Annotation) -> None:
        self._annotations += 1

    def leave_Annotation(self, original_node: cst.Annotation) -> None:
        self._annotations -= 1

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        if self._annotations and isinstance(node.evaluated_value, str):
            try:
                quoted = cst.parse_expression(node.evaluated_value)
            except cst.ParserSyntaxError:
                return
            names = Names()
            quoted.visit(names)
            self.found += [(name, "", None) for name in sorted(names.values)]

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if isinstance(node.value, cst.Name) and self._is_global(node.value):
            self.found.append((node.value.value, node.attr.value, node))
            self._below.add(node.value)

    def visit_Name(self, node: cst.Name) -> None:
        if node not in self._below and self.contexts.get(node) is not None and self._is_global(node):
            self.found.append((node.value, "", node))

    def _is_global(self, node: cst.Name) -> bool:
        """Tell whether a name is looked up in the module: bound there, or nowhere at all."""
        scope = self.scopes.get(node)
        if not isinstance(scope, Scope):
            return False
        known = scope[node.value]
        return not known or any(isinstance(assignment.scope, GlobalScope) for assignment in known)


class Rewrite(cst.CSTTransformer):
    """Puts nodes in the place of others, and leaves decorators of graphnas out."""

    def __init__(self, changes: Mapping[cst.CSTNode, cst.CSTNode], skips: Skips) -> None:
        super().__init__()
        self.changes = changes
        self.skips = skips

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        if isinstance(original_node, cst.Decorator) and self.skips(original_node):
            return cst.RemoveFromParent()
        return self.changes.get(original_node, super().on_leave(original_node, updated_node))
