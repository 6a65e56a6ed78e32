"""Generated source on disk and in memory: `save` and `to_module`."""

from __future__ import annotations

import itertools
import linecache
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from graphnas.codegen.emit import Constants, emit
from graphnas.codegen.layout import broken
from graphnas.errors import CodegenError
from graphnas.ir.literal import Literal
from graphnas.ir.model import Model

_NUMBERS = itertools.count(1)


def to_module(model: Model) -> nn.Module:
    """Return a freshly initialised module of the generated class.

    Its class lives in a module of its own, whose source `inspect` finds.

    Raises:
        CodegenError: The model cannot be written, or the class cannot be built.
    """
    source = emit(model)
    name = f"graphnas_generated_{next(_NUMBERS)}"
    file = f"<{name}>"
    module = types.ModuleType(name)
    module.__file__ = file
    text = source.text
    if source.constants:
        # In memory the tensors are handed over; only the line that reads the file gives way.
        lines = text.splitlines(keepends=True)
        text = "".join("\n" if line.startswith("CONSTANTS = ") else line for line in lines)
        module.__dict__["CONSTANTS"] = _tensors(source.constants)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[name] = module
    exec(compile(text, file, "exec"), module.__dict__)
    built = getattr(module, source.class_name)()
    if not isinstance(built, nn.Module):
        raise CodegenError(f"class {source.class_name} is no torch.nn.Module; please report this model")
    return built


def save(
    model: Model,
    path: str | os.PathLike[str],
    *,
    decisions: Mapping[str, Literal] | None = None,
    inline: bool = False,
    format: bool = True,
) -> Path:
    """Write the source of a model and return its path; a file that is there is replaced in one step.

    Tensors that are too large for source go to a `.safetensors` file of the same name beside it.

    Args:
        model: The model.
        path: The `.py` file.
        decisions: Named in the header, in addition to those of the history.
        inline: Carry the code of basic units and opaque parts into the file, as `to_source` does.
        format: Lay out lines with `ruff format`; where ruff is not installed, long lines are broken at brackets.

    Raises:
        CodegenError: The model cannot be written.
    """
    target = Path(path)
    beside = target.with_suffix(".safetensors")
    source = emit(model, decisions=decisions, constants_file=beside.name, inline=inline)
    text = _formatted(source.text) if format else source.text
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.constants:
        partial = beside.with_name(f".{beside.name}.{os.getpid()}.partial")
        save_file(_tensors(source.constants), partial)
        partial.replace(beside)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(target)
    return target


def _tensors(constants: Constants) -> dict[str, torch.Tensor]:
    return {
        name: torch.frombuffer(bytearray(item.data), dtype=item.type.dtype).reshape(item.type.shape)
        for name, item in constants.items()
    }


def _formatted(text: str) -> str:
    beside = Path(sys.executable).with_name("ruff")
    ruff = str(beside) if beside.exists() else shutil.which("ruff")
    if ruff is None:
        return broken(text)
    command = [ruff, "format", "--isolated", "--stdin-filename", "model.py", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", check=False)
    return done.stdout if done.returncode == 0 else text
