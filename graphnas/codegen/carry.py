"""Code of the user's own modules, carried into the generated file: basic units, opaque parts and what they need.

Asked for by `inline=True`. A definition is taken over as it is written, with the definitions of its module that it
uses, and theirs in turn. What it imports is imported by the generated file, unless it comes from the same project,
which is carried over as well. What does not belong here: reading a module (`graphnas.codegen.modules`), and what
generated classes look like.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import libcst as cst

from graphnas.codegen import names
from graphnas.codegen.imports import RESERVED, Imports
from graphnas.codegen.licence import notice
from graphnas.codegen.modules import Imported, SourceModule, belongs, is_library, is_tool, read_module
from graphnas.codegen.render import Statement
from graphnas.errors import CodegenError


def carry(imports: Imports, taken: Iterable[str]) -> list[Statement]:
    """Return the statements that take the place of imports of the user's modules, and drop those from `imports`.

    Args:
        imports: What the file imports so far; what the carried code imports is added.
        taken: Names that the file gives to its own classes.

    Raises:
        CodegenError: The source of a definition cannot be had, or it uses what cannot be carried.
    """
    wanted = {pair: name for pair, name in imports.names.items() if not is_library(pair[0])}
    for pair in wanted:
        del imports.names[pair]
    carrier = _Carrier(imports, {*taken, *RESERVED, *wanted.values()})
    for (module, name), alias in wanted.items():
        carrier.want(module, name, alias)
    return carrier.statements()


@dataclass
class _Part:
    """What is carried of one module.

    Attributes:
        module: The module.
        statements: Numbers of its statements.
        spelled: Its global names, to the names that they go by in the file.
        replaced: Its names for other modules of the project, to what stands for each of their attributes.
        needs: Modules of the project from which it takes something.
        aliases: Further names for what goes by another name in the file.
    """

    module: SourceModule
    statements: set[int] = field(default_factory=set)
    spelled: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, dict[str, str]] = field(default_factory=dict)
    needs: dict[str, None] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    @property
    def own(self) -> set[str]:
        """Names in the file of what its statements bind."""
        return {self.spelled[name] for index in self.statements for name in self.module.bound_by(index)}


class _Carrier:
    def __init__(self, imports: Imports, taken: set[str]) -> None:
        self.imports = imports
        self.taken = taken
        self.parts: dict[str, _Part] = {}

    def want(self, module: str, name: str, alias: str = "") -> str:
        """Carry what `name` of a module is bound to; return the name that it goes by in the file."""
        if module not in self.parts:
            self.parts[module] = _Part(read_module(module))
        part = self.parts[module]
        spelled = self._need(part, name, alias)
        if alias and alias != spelled:  # the object is asked for by two paths
            part.aliases[alias] = spelled
        return spelled

    def statements(self) -> list[Statement]:
        """Return what was asked for: modules behind those that they take from, statements in the order of a module."""
        found: list[Statement] = []
        for part in self._ordered():
            written = [part.module.written(index, part.spelled, part.replaced) for index in sorted(part.statements)]
            if written:
                written[0] = written[0].with_changes(
                    leading_lines=[*_BLANK, *notice(part.module), *_comments(written[0])]
                )
            before = [(alias, name) for alias, name in part.aliases.items() if name not in part.own]
            after = [(alias, name) for alias, name in part.aliases.items() if name in part.own]
            found += [*_assigned(before), *written, *_assigned(after)]
        if any(part.module.postpones_annotations for part in self.parts.values()):
            self.imports.names[("__future__", "annotations")] = "annotations"
        return found

    def _ordered(self) -> Iterator[_Part]:
        done: set[str] = set()

        def visit(name: str) -> Iterator[_Part]:
            if name not in done:
                done.add(name)
                for other in self.parts[name].needs:
                    yield from visit(other)
                yield self.parts[name]

        for name in self.parts:
            yield from visit(name)

    def _need(self, part: _Part, name: str, alias: str = "") -> str:
        if name in part.spelled:
            return part.spelled[name]
        binding = part.module.bindings.get(name)
        if binding is None:
            raise CodegenError(
                f"{part.module.name} binds {name!r} by no statement at its top level, so it cannot be carried into the "
                "source; define it there by name, or generate without inline=True"
            )
        if binding.imported is not None:
            spelled = self._apart(part, name, self._need_import(part, name, binding.imported, alias), binding.imported)
        else:
            spelled = alias or self._free(part, name)
        part.spelled[name] = spelled
        self.taken.add(spelled)
        if binding.imported is None:
            for index in binding.statements:
                self._take(part, index)
        return spelled

    def _take(self, part: _Part, index: int) -> None:
        if index in part.statements:
            return
        part.statements.add(index)
        for name in part.module.bound_by(index):
            self._need(part, name)
        for name, attributes in part.module.uses(index).items():
            origin = part.module.bindings[name].imported
            if origin is not None and not origin.name and belongs(origin.module, part.module.name):
                self._need_attributes(part, index, name, origin.module, attributes)
            else:
                self._need(part, name)

    def _need_attributes(self, part: _Part, index: int, name: str, module: str, attributes: tuple[str, ...]) -> None:
        """Carry what is used of a module of the project that is known by a name of its own."""
        if not all(attributes):
            raise CodegenError(
                f"{part.module.location(index)}: the module {module} is used as a whole, which cannot be carried into "
                "the source; take what is needed of it by name, or generate without inline=True"
            )
        part.needs[module] = None
        known = part.replaced.setdefault(name, {})
        for attribute in attributes:
            known[attribute] = self._apart(part, attribute, self.want(module, attribute), Imported(module, attribute))

    def _need_import(self, part: _Part, name: str, origin: Imported, alias: str) -> str:
        if is_tool(origin.module):
            raise CodegenError(
                f"{part.module.name} uses {name!r} of graphnas in code that is to be carried into a file that does "
                "without graphnas; only its decorators can be left out. Generate without inline=True"
            )
        for module in origin.loads:
            self.imports.load(module)
        if not origin.name:
            return self.imports.bind_module(origin.module, name, self.taken)
        if belongs(origin.module, part.module.name):
            part.needs[origin.module] = None
            return self.want(origin.module, origin.name, alias)
        return self.imports.bind(origin.module, origin.name, name, self.taken)

    def _apart(self, part: _Part, name: str, spelled: str, origin: Imported) -> str:
        """Return another name for an import whose name in the file means something else inside this module."""
        binding = part.module.bindings.get(spelled)
        known = None if binding is None else binding.imported
        is_it = known is not None and (known.module, known.name) == (origin.module, origin.name)
        if spelled == name or is_it or (binding is None and spelled not in part.module.identifiers):
            return spelled
        other = self._free(part, name)
        self.taken.add(other)
        part.aliases[other] = spelled
        return other

    def _free(self, part: _Part, name: str) -> str:
        taken = self.taken | self.imports.bound_names()
        return names.free_name(name, taken, part.module.identifiers) if name in taken else name


_BLANK = (cst.EmptyLine(indent=False), cst.EmptyLine(indent=False))


def _comments(statement: Statement) -> list[cst.EmptyLine]:
    """Return what stands above a statement, from the first comment on."""
    lines = list(getattr(statement, "leading_lines", ()))
    return lines[next((at for at, line in enumerate(lines) if line.comment is not None), len(lines)) :]


def _assigned(pairs: Iterable[tuple[str, str]]) -> list[Statement]:
    lines = [
        cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(cst.Name(alias))], cst.Name(name))])
        for alias, name in pairs
    ]
    return [lines[0].with_changes(leading_lines=_BLANK), *lines[1:]] if lines else []
