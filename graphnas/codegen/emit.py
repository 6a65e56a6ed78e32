"""The whole file: header, imports, classes; and the check that the text says what was meant."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import libcst as cst

from graphnas.codegen import syntax
from graphnas.codegen.carry import carry
from graphnas.codegen.forward import forget_forwards
from graphnas.codegen.imports import Imports
from graphnas.codegen.initialise import forget_initialisations
from graphnas.codegen.readback import says_class
from graphnas.codegen.render import Renderer, Statement
from graphnas.codegen.sharing import ClassPlan, forget_variants
from graphnas.codegen.signatures import parameter_names
from graphnas.codegen.structure import forget_classes, plan_classes
from graphnas.codegen.syntax import Function, Tree
from graphnas.errors import CodegenError
from graphnas.ir.graph import Graph
from graphnas.ir.literal import Literal, format_literal
from graphnas.ir.lru import LRU
from graphnas.ir.model import Model
from graphnas.ir.module import TensorData
from graphnas.version import __version__

Constants = dict[str, TensorData]
"""Tensors that need a file beside the source, by a name that is unique in it."""


@dataclass(frozen=True)
class Source:
    """A generated file: its text, the class of the model, and the tensors that go beside it."""

    text: str
    class_name: str
    constants: Constants = field(default_factory=dict)


_WRITTEN: LRU[str] = LRU(2048)
"""Classes written and read back so far, by what they are made of and the names they use."""

_METHODS: LRU[str] = LRU(8192)
"""Methods written so far, in the same way."""

_STATEMENTS: LRU[str] = LRU(32768)
"""Statements of methods, in the same way: a changed method has few that are new."""


def to_source(model: Model, *, decisions: Mapping[str, Literal] | None = None, inline: bool = False) -> str:
    """Return the source of a model: one file that needs torch, and the user's own modules for basic units.

    Args:
        model: The model; no decision in it may be open.
        decisions: Named in the header, in addition to those of the history.
        inline: Carry the code of basic units and opaque parts into the file, with what it needs of its project,
            instead of importing it; its origin and licence are named there.

    Raises:
        CodegenError: The model cannot be written, or holds tensors too large for source; `save` writes those beside.
    """
    source = emit(model, decisions=decisions, inline=inline)
    if source.constants:
        names = ", ".join(source.constants)
        raise CodegenError(
            f"{model.name} holds tensors that are too large for source: {names}; use graphnas.save(model, path), "
            "which writes them to a .safetensors file beside it"
        )
    return source.text


def emit(
    model: Model,
    *,
    decisions: Mapping[str, Literal] | None = None,
    constants_file: str = "",
    inline: bool = False,
) -> Source:
    """Return source and constants; `constants_file` is the name under which the source looks for them."""
    plans = plan_classes(model.root)
    names = [plan.name for plan in plans]
    imports = Imports(frozenset(names))
    constants: Constants = {}
    texts = [_class(plan, names, imports, constants) for plan in plans]
    preamble = _constants_preamble(constants_file, imports) if constants else []
    carried = carry(imports, names) if inline else []
    head = cst.Module([*imports.statements(), *preamble, *carried]).code
    docstring = _docstring(_header(model, decisions))
    _parse(docstring)
    _check_head(head)
    return Source("\n\n".join([f"{docstring}\n{head}", *texts]), names[-1], constants)


def _class(plan: ClassPlan, names: list[str], imports: Imports, constants: Constants) -> str:
    """Return the text of a class, read back and found to say what was meant."""
    functions = tuple(
        item._replace(body=tuple(_named(part, plan.name, constants) for part in item.body)) for item in plan.functions
    )
    paths = dict.fromkeys([plan.base.text, *(path for item in functions for path in item.references)])
    spelled = {path: names[int(path[1:])] if path.startswith(":") else imports.reference(path) for path in paths}
    docstring = _docstring(_describe(plan), 1)
    key = (plan.name, functions, docstring, tuple(spelled.items()))
    known = _WRITTEN.get(key)
    if known is not None:
        return known
    base = cst.Module([]).code_for_node(Renderer(spelled).expression(plan.base))
    methods = [_method(item, spelled) for item in functions]
    text = "\n".join([f"class {plan.name}({base}):\n{docstring}", *methods])
    found = _parse(text)
    if len(found) != 1 or not says_class(found[0], plan.name, plan.base, functions, spelled):
        raise CodegenError(f"the source of class {plan.name} reads otherwise than meant; please report this model")
    _WRITTEN.put(key, text)
    return text


def _method(function: Function, spelled: Mapping[str, str]) -> str:
    """Return the text of a method, indented."""
    key = (function, tuple([spelled[path] for path in function.references]))
    text = _METHODS.get(key)
    if text is None:
        body = "".join([_statement(item, spelled) for item in function.body or (Tree("pass"),)])
        head = cst.Module([Renderer(spelled).function(function._replace(body=()))]).code.removesuffix("    pass\n")
        text = textwrap.indent(head + textwrap.indent(body, "    "), "    ")
        _METHODS.put(key, text)
    return text


def _statement(tree: Tree, spelled: Mapping[str, str]) -> str:
    """Return the text of a statement, not indented."""
    key = (tree, tuple([spelled[path] for path in syntax.references_in(tree)]))
    text = _STATEMENTS.get(key)
    if text is None:
        text = cst.Module([Renderer(spelled).statement(tree)]).code
        _STATEMENTS.put(key, text)
    return text


@syntax.remembered
def _has_tensors(tree: Tree) -> bool:
    return bool(syntax.texts_of("tensor", tree))


def _named(tree: Tree, owner: str, constants: Constants) -> Tree:
    """Return a tree in which tensors that do not fit into source are read from the file beside it."""
    if not _has_tensors(tree):
        return tree
    if tree.kind != "tensor":
        return tree.with_parts([_named(part, owner, constants) for part in tree.parts])
    name, number = f"{owner}.{tree.text}", 2
    while constants.get(name, tree.note) != tree.note:
        name, number = f"{owner}.{tree.text}{number}", number + 1
    constants[name] = tree.note
    return syntax.subscript(syntax.identifier("CONSTANTS"), [syntax.string(name)])


def _parse(text: str) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except SyntaxError as error:
        raise CodegenError(f"the generated source does not parse: {error}; please report this model") from error


@lru_cache(maxsize=1024)
def _check_head(text: str) -> None:
    """Raise if the text does not parse, once for each; what it parses to is not kept."""
    _parse(text)


def _constants_preamble(file: str, imports: Imports) -> list[Statement]:
    path = syntax.call(syntax.reference("pathlib:Path"), [syntax.identifier("__file__")])
    beside = syntax.call(syntax.attribute(path, "with_name"), [syntax.string(file)])
    loaded = syntax.call(syntax.reference("safetensors.torch:load_file"), [beside])
    statement = syntax.assign(syntax.identifier("CONSTANTS"), loaded)
    spelled = {path: imports.reference(path) for path in syntax.references_in(statement)}
    node = Renderer(spelled).statement(statement)
    return [node.with_changes(leading_lines=[cst.EmptyLine(indent=False)])]


def _header(model: Model, decisions: Mapping[str, Literal] | None) -> list[str]:
    lines = [f"{model.name}, generated by graphnas {__version__}.", "", f"Fingerprint: {model.fingerprint}"]
    merged = {label: value for mutation in model.history for label, value in mutation.decisions.items()}
    merged.update(decisions or {})
    if merged:
        lines += ["Decisions:", *(f"    {label}: {format_literal(value)}" for label, value in merged.items())]
    return [*lines, "", f"Usage: model = {model.name}()"]


def _describe(plan: ClassPlan) -> list[str]:
    definition = plan.original
    lines = [f"{plan.name}."]
    if definition.forwards:
        graph = definition.forwards[0].eval
        names = [item.name for item in graph.inputs]
        if all(item.name != "forward" for item in plan.functions):  # it is inherited, and has its own names
            names = list(parameter_names(f"{plan.base.text}.forward")[1:])
        inputs = ", ".join(f"{name}: {item.type}" for name, item in zip(names, graph.inputs, strict=True))
        lines = [f"{inputs or 'nothing'} -> {_output(graph)}."]
    return lines


def _output(graph: Graph) -> str:
    types = {value.name: str(graph.type_of(value)) for value in graph.output_values}
    return ", ".join(types.values()) or "None"


def _docstring(lines: list[str], indent: int = 0) -> str:
    """Return a docstring; whatever the lines hold, they cannot end it."""
    pad = "    " * indent
    safe = ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in item) for item in lines]
    safe = [
        item.replace("\\", "\\\\").replace('"', '\\"' if item.endswith('"') or '"""' in item else '"') for item in safe
    ]
    if len(safe) == 1:
        return f'{pad}"""{safe[0]}"""\n'
    return (
        f'{pad}"""' + "\n".join([safe[0], *(f"{pad}{item}" if item else "" for item in safe[1:]), f'{pad}"""']) + "\n"
    )


def clear_cache() -> None:
    """Forget the classes that were generated so far, as a measurement of a cold start wants it."""
    _WRITTEN.clear()
    _METHODS.clear()
    _STATEMENTS.clear()
    _check_head.cache_clear()
    forget_classes()
    forget_variants()
    forget_forwards()
    forget_initialisations()
