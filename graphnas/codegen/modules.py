"""A module of the user's as source: its top-level statements, what they bind, and what they use of each other.

Modules are read and parsed, never run. Which statements are wanted is decided in `graphnas.codegen.carry`.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import libcst as cst
from libcst import matchers
from libcst.metadata import ExpressionContextProvider, MetadataWrapper, PositionProvider, ScopeProvider

from graphnas.codegen.render import Statement
from graphnas.codegen.scoping import Names, References, Rewrite, Stores
from graphnas.errors import CodegenError

_TOOL = "graphnas"
_LIBRARIES = frozenset({"torch", "safetensors", "builtins", "__future__"})
_INSTALLED = ("site-packages", "dist-packages")
_TYPE_CHECKING = matchers.Name("TYPE_CHECKING") | matchers.Attribute(attr=matchers.Name("TYPE_CHECKING"))


@dataclass(frozen=True)
class Imported:
    """What an import binds: a module, or with `name` an attribute of it.

    `import a.b` binds `a`, and `loads` says that `a.b` is to be there.
    """

    module: str
    name: str = ""
    loads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Binding:
    """A global name: the statements that bind it, and what it is if that is a plain import."""

    statements: tuple[int, ...]
    imported: Imported | None = None


def is_library(module: str) -> bool:
    """Tell whether generated source imports a module in any case: torch, the standard library, safetensors."""
    top = module.partition(".")[0]
    return top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")


def is_tool(module: str) -> bool:
    """Tell whether a module is one of graphnas."""
    return module.partition(".")[0] == _TOOL


def belongs(module: str, to: str) -> bool:
    """Tell whether a module is of the same project as another: the same package, or not installed at all."""
    if is_library(module) or is_tool(module):
        return False
    if module.partition(".")[0] == to.partition(".")[0]:
        return True
    path = _path(module)
    return path is not None and not any(part in _INSTALLED for part in path.parts)


@lru_cache(maxsize=256)
def read_module(name: str) -> SourceModule:
    """Return a module as source.

    Raises:
        CodegenError: Its source cannot be had or read.
    """
    path = _path(name)
    try:
        text = path.read_text(encoding="utf-8") if path is not None else inspect.getsource(sys.modules[name])
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    except (OSError, TypeError, KeyError, UnicodeDecodeError, cst.ParserSyntaxError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CodegenError(
            f"the source of module {name} cannot be read: {reason}; generate without inline=True, so that the module "
            "is imported instead"
        ) from error
    return SourceModule(name, "" if path is None else str(path), wrapper)


def _path(name: str) -> Path | None:
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            spec = None
        file = None if spec is None else spec.origin
    path = None if file is None else Path(file)
    return path if path is not None and path.suffix == ".py" and path.exists() else None


class SourceModule:
    """The source of one module.

    Attributes:
        name: Import path of the module.
        file: Its file, the empty string where it has none.
        tree: Its syntax tree.
        statements: Its top-level statements, in order.
        bindings: Its global names.
    """

    def __init__(self, name: str, file: str, wrapper: MetadataWrapper) -> None:
        self.name = name
        self.file = file
        self.tree = wrapper.module
        self.statements = tuple(self.tree.body)
        self._scopes: Mapping[cst.CSTNode, Any] = wrapper.resolve(ScopeProvider)
        self._contexts: Mapping[cst.CSTNode, Any] = wrapper.resolve(ExpressionContextProvider)
        self._positions = wrapper.resolve(PositionProvider)
        self.bindings = self._bindings()
        self._references = [self._references_of(statement) for statement in self.statements]

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Every name that occurs in the module, but for what follows a dot or is imported."""
        found = Names()
        self.tree.visit(found)
        return frozenset(found.values)

    @property
    def postpones_annotations(self) -> bool:
        """Whether annotations are not evaluated in this module."""
        known = self.bindings.get("annotations")
        return known is not None and known.imported == Imported("__future__", "annotations")

    def location(self, index: int) -> str:
        """Return `file:line` of a statement."""
        return self._location(self.statements[index])

    def _location(self, node: cst.CSTNode) -> str:
        return f"{self.file or self.name}:{self._positions[node].start.line}"

    def bound_by(self, index: int) -> tuple[str, ...]:
        """Return the global names that a statement binds."""
        return tuple(name for name, binding in self.bindings.items() if index in binding.statements)

    def uses(self, index: int) -> dict[str, tuple[str, ...]]:
        """Return the global names that a statement uses, each with the attributes taken of it, '' for the name alone.

        Raises:
            CodegenError: It uses a name that nothing in the module binds, or imports from its project on the way.
        """
        found: dict[str, dict[str, None]] = {}
        for name, attribute, node in self._references[index]:
            if name in self.bindings:
                found.setdefault(name, {})[attribute] = None
            elif node is not None:
                raise CodegenError(
                    f"{self._location(node)}: {name!r} is bound by no statement of {self.name}, so it cannot be "
                    "carried into the source; import it by name, or generate without inline=True"
                )
        for module in self._inner_imports(index):
            if belongs(module, self.name) or is_tool(module):
                raise CodegenError(
                    f"{self.location(index)}: {module} is imported inside the statement, which cannot be carried into "
                    "the source; import it at the top of the module, or generate without inline=True"
                )
        return {name: tuple(attributes) for name, attributes in found.items()}

    def _inner_imports(self, index: int) -> tuple[str, ...]:
        """Return the modules that are imported somewhere inside a statement."""
        found: list[str] = []
        for part in matchers.findall(self.statements[index], matchers.Import() | matchers.ImportFrom()):
            if isinstance(part, cst.ImportFrom):
                found.append(_origin(part, self.name, self.file))
            elif isinstance(part, cst.Import):
                found += [alias.evaluated_name for alias in part.names]
        return tuple(found)

    def written(self, index: int, spelled: Mapping[str, str], replaced: Mapping[str, Mapping[str, str]]) -> Statement:
        """Return a statement as it stands in the generated file.

        Args:
            index: Number of the statement.
            spelled: Global names, to what they are called there.
            replaced: Names of modules, to what stands there for each of their attributes.
        """
        statement = self.statements[index]
        changes: dict[cst.CSTNode, cst.CSTNode] = {}
        for name, attribute, node in self._references[index]:
            if node is None:
                continue
            if name in replaced and isinstance(node, cst.Attribute):
                changes[node] = cst.Name(replaced[name][attribute])
            elif spelled.get(name, name) != name:
                plain = node
                while isinstance(plain, cst.Attribute):
                    plain = plain.value
                changes[plain] = cst.Name(spelled[name])
        if isinstance(statement, (cst.ClassDef, cst.FunctionDef)) and spelled.get(statement.name.value):
            changes[statement.name] = cst.Name(spelled[statement.name.value])
        changed = statement.visit(Rewrite(changes, self._is_own_decorator))
        assert isinstance(changed, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
        return changed

    def _bindings(self) -> dict[str, Binding]:
        found: dict[str, Binding] = {}

        def bind(name: str, index: int, imported: Imported | None = None) -> None:
            known = found.get(name)
            if known is None:
                found[name] = Binding((index,), imported)
            else:
                both = None if imported is None or known.imported is None else _both(known.imported, imported)
                found[name] = Binding(tuple(dict.fromkeys((*known.statements, index))), both)

        for index, statement in enumerate(self.statements):
            if isinstance(statement, (cst.ClassDef, cst.FunctionDef)):
                bind(statement.name.value, index)
                continue
            lines = _import_lines(statement)
            for line in lines:
                for name, imported in _imports(line, self.name, self.file).items():
                    bind(name, index, imported)
            if not lines:
                stores = Stores(self._scopes, self._contexts)
                statement.visit(stores)
                for name in stores.found:
                    bind(name, index)
        return found

    def _references_of(self, statement: cst.CSTNode) -> list[tuple[str, str, cst.BaseExpression | None]]:
        collector = References(self._scopes, self._contexts, self._is_own_decorator)
        statement.visit(collector)
        return collector.found

    def _is_own_decorator(self, node: cst.Decorator) -> bool:
        """Tell whether a decorator is one of graphnas, which carried code does without."""
        expression = node.decorator.func if isinstance(node.decorator, cst.Call) else node.decorator
        while isinstance(expression, cst.Attribute):
            expression = expression.value
        known = self.bindings.get(expression.value) if isinstance(expression, cst.Name) else None
        return known is not None and known.imported is not None and is_tool(known.imported.module)


def _both(known: Imported | None, more: Imported | None) -> Imported | None:
    """Return two imports under one name as one, None if they bind different things."""
    if known is None or more is None:
        return known or more
    if (known.module, known.name) != (more.module, more.name):
        return None
    return Imported(known.module, known.name, tuple(dict.fromkeys((*known.loads, *more.loads))))


def _import_lines(statement: cst.CSTNode) -> tuple[cst.SimpleStatementLine, ...]:
    """Return the lines of a statement that does nothing but import; annotations may need `if TYPE_CHECKING:` too."""
    lines: Sequence[cst.CSTNode] = (statement,)
    if isinstance(statement, cst.If) and statement.orelse is None and matchers.matches(statement.test, _TYPE_CHECKING):
        lines = statement.body.body
    found = tuple(line for line in lines if isinstance(line, cst.SimpleStatementLine) and _is_import(line))
    return found if len(found) == len(lines) else ()


def _is_import(line: cst.SimpleStatementLine) -> bool:
    return all(isinstance(part, (cst.Import, cst.ImportFrom)) for part in line.body)


def _imports(line: cst.SimpleStatementLine, module: str, file: str) -> dict[str, Imported | None]:
    found: dict[str, Imported | None] = {}
    for part in line.body:
        if isinstance(part, cst.Import):
            for alias in part.names:
                if alias.asname is None:
                    top = alias.evaluated_name.partition(".")[0]
                    loads = (alias.evaluated_name,) if alias.evaluated_name != top else ()
                    found[top] = _both(found.get(top), Imported(top, loads=loads))
                else:
                    found[alias.evaluated_alias or ""] = Imported(alias.evaluated_name)
        elif isinstance(part, cst.ImportFrom) and not isinstance(part.names, cst.ImportStar):
            origin = _origin(part, module, file)
            for alias in part.names:
                name = alias.evaluated_name
                inner = f"{origin}.{name}"
                is_module = not is_library(origin) and not is_tool(origin) and _is_module(inner, origin, name)
                imported = Imported(inner) if is_module else Imported(origin, name)
                found[alias.evaluated_alias or name] = imported
    return found


def _origin(statement: cst.ImportFrom, module: str, file: str) -> str:
    """Return the absolute name of the module that a statement imports from."""
    named = cst.Module([]).code_for_node(statement.module) if statement.module is not None else ""
    level = len(statement.relative)
    if not level:
        return named
    parts = module.split(".")
    if Path(file).name != "__init__.py":
        parts = parts[:-1]
    parts = parts[: len(parts) - level + 1]
    return ".".join([*parts, *([named] if named else [])])


def _is_module(path: str, origin: str, name: str) -> bool:
    """Tell whether an import of a name gives a module: one that lies there, unless the package binds the name."""
    if _path(path) is None:
        return False
    loaded = sys.modules.get(origin)
    return loaded is None or inspect.ismodule(getattr(loaded, name, None))
