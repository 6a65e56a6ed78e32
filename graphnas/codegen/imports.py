"""What a generated file imports, and under which name the file speaks of an object.

Only torch, the standard library and the user's own modules of basic units and opaque leaves come up here: the paths are
those of the IR. Nothing is imported by this module itself.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Collection

import libcst as cst

from graphnas.errors import CodegenError

RESERVED = frozenset({"F", "OrderedDict", "Tensor", "load_file", "math", "nn", "operator", "self", "super", "torch"})
"""Names that no variable of generated source takes."""

_TORCH_ATTRIBUTES = frozenset({"torch", "torch.fft", "torch.linalg", "torch.special", "torch.nn", "torch.nn.init"})


class Imports:
    """Collects imports while source is written.

    Args:
        taken: Names that the file gives to its own classes.
    """

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self._taken = taken
        self.modules: dict[str, str] = {}
        self.names: dict[tuple[str, str], str] = {}

    def reference(self, path: str) -> str:
        """Return the dotted name for the object at `module:qualname`, and note what it needs.

        Raises:
            CodegenError: Nothing outside the program that runs now could import the object.
        """
        module, _, qualname = path.partition(":")
        if "<locals>" in qualname or not qualname:
            raise _unreachable(qualname or path, module or "no module")
        if module == "builtins" and hasattr(builtins, qualname.partition(".")[0]):
            return qualname
        if path == "torch:Tensor":
            self.names[("torch", "Tensor")] = "Tensor"
            return "Tensor"
        if module == "torch.nn.functional":
            return f"{self._module(module, 'F')}.{qualname}"
        if module in _TORCH_ATTRIBUTES:
            if module.startswith("torch.nn"):
                self.names[("torch", "nn")] = "nn"
                return f"{module.removeprefix('torch.')}.{qualname}"
            self._module("torch", "torch")
            return f"{module}.{qualname}"
        if module in ("math", "operator"):
            return f"{self._module(module, module)}.{qualname}"
        return self._from(module, qualname)

    def bound_names(self) -> set[str]:
        """Return the names that the imports bind."""
        modules = {module.partition(".")[0] if alias == module else alias for module, alias in self.modules.items()}
        return {*modules, *self.names.values()}

    def bind(self, module: str, name: str, preferred: str, taken: Collection[str]) -> str:
        """Import `name` of a module under `preferred`, or a name like it that is free, and return that name."""
        if f"{module}.{name}" in _USUAL:
            return self.bind_module(f"{module}.{name}", preferred, taken)
        known = self.names.get((module, name))
        if known is None:
            known = name if (module, name) in _WELL_KNOWN else self._free(preferred, taken)
            self.names[(module, name)] = known
        return known

    def bind_module(self, module: str, preferred: str, taken: Collection[str]) -> str:
        """Import a module under `preferred`, or a name like it that is free, and return that name."""
        if module == "torch.nn":
            return self.bind("torch", "nn", preferred, taken)
        if module not in self.modules:
            self.modules[module] = _USUAL.get(module) or self._free(preferred, taken)
        return self.modules[module]

    def load(self, module: str) -> None:
        """Import a module by its dotted name, so that its package has it as an attribute."""
        self.modules[module] = module

    def _free(self, preferred: str, taken: Collection[str]) -> str:
        used = {*taken, *self.bound_names()}
        name, number = preferred, 2
        while name in used:
            name, number = f"{preferred}_{number}", number + 1
        return name

    def _module(self, module: str, name: str) -> str:
        self.modules[module] = name
        return name

    def _from(self, module: str, qualname: str) -> str:
        name, _, rest = qualname.partition(".")
        known = self.names.get((module, name))
        if known is None:
            reserved = RESERVED - {name} if (module, name) in _WELL_KNOWN else RESERVED
            known = self._free(name, self._taken | reserved)
            self.names[(module, name)] = known
        return f"{known}.{rest}" if rest else known

    def statements(self) -> list[cst.SimpleStatementLine]:
        """Return the imports: standard library, then third parties, then the rest, each sorted as ruff's isort does."""
        groups: dict[int, list[tuple[tuple[int, str], cst.SimpleStatementLine]]] = {}
        for module, name in self.names:
            if module in ("__main__", "__mp_main__"):
                raise _unreachable(name, module)
        for module, alias in self.modules.items():
            as_name = None if alias == module else cst.AsName(cst.Name(alias))
            item = cst.Import([cst.ImportAlias(_dotted(module), asname=as_name)])
            groups.setdefault(_group(module), []).append(((0, module), cst.SimpleStatementLine([item])))
        by_module: dict[str, list[tuple[str, str]]] = {}
        for (module, name), alias in self.names.items():
            by_module.setdefault(module, []).append((name, alias))
        for module, names in by_module.items():
            aliases = [
                cst.ImportAlias(cst.Name(name), asname=None if alias == name else cst.AsName(cst.Name(alias)))
                for name, alias in sorted(names, key=lambda pair: _name_order(pair[0]))
            ]
            chosen = cst.ImportFrom(module=_dotted(module), names=aliases)
            groups.setdefault(_group(module), []).append(((1, module), cst.SimpleStatementLine([chosen])))
        lines: list[cst.SimpleStatementLine] = []
        for group in sorted(groups):
            for number, (_, statement) in enumerate(sorted(groups[group], key=lambda pair: pair[0])):
                blank = [cst.EmptyLine(indent=False)] if number == 0 and lines else []
                lines.append(statement.with_changes(leading_lines=blank))
        return lines


_USUAL = {"torch.nn.functional": "F", "torch": "torch", "math": "math", "operator": "operator"}
"""Modules that generated source imports under one name, which is kept free for them."""

_WELL_KNOWN = frozenset(
    {("collections", "OrderedDict"), ("safetensors.torch", "load_file"), ("torch", "Tensor"), ("torch", "nn")}
)


def _unreachable(name: str, module: str) -> CodegenError:
    return CodegenError(
        f"{name!r} lives in {module}, which generated source cannot import; move it to the top level of a module of "
        "its own, or carry its code into the source by inline=True"
    )


def _dotted(module: str) -> cst.Name | cst.Attribute:
    first, *rest = module.split(".")
    node: cst.Name | cst.Attribute = cst.Name(first)
    for part in rest:
        node = cst.Attribute(node, cst.Name(part))
    return node


def _group(module: str) -> int:
    if module == "__future__":
        return -1
    return 0 if module.partition(".")[0] in sys.stdlib_module_names else 1


def _name_order(name: str) -> tuple[int, str]:
    """Order of isort inside one import: CONSTANTS, Classes, functions."""
    if name.isupper() and len(name) > 1:
        return (0, name)
    return (1, name) if name[0].isupper() else (2, name)
