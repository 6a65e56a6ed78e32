"""Naming code by text: an import path, or a script file and a name in it; and finding it again."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from graphnas.errors import ExperimentError
from graphnas.mutators.scripts import load_script, script_of


def reference_to(target: Any) -> dict[str, str] | None:
    """Return how `target` can be found again, or None where only this process has it.

    A function or class of an importable module is `{"import": "module:name"}`, one of the running script
    `{"script": "/path/of/it.py", "name": "name"}`. Lambdas, closures and what a notebook defines have no such form.
    """
    name = getattr(target, "__qualname__", None)
    module = getattr(target, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str) or "<" in name:
        return None
    home = sys.modules.get(module)
    if home is None or _attribute(home, name) is not target:
        return None
    script = script_of(home)
    if script is not None:
        return {"script": str(script), "name": name}
    if module in ("__main__", "__mp_main__"):
        spec = getattr(home, "__spec__", None)  # there is one where it was run by `python -m`
        return None if spec is None else {"import": f"{spec.name}:{name}"}
    return {"import": f"{module}:{name}"}


def resolve(reference: dict[str, str]) -> Any:
    """Import and return what `reference_to` described. This runs the module's or script's top level.

    Raises:
        ExperimentError: The module, the script or the name is no longer there.
    """
    try:
        if "script" in reference:
            home, name = load_script(Path(reference["script"])), reference["name"]
        else:
            path, _, name = reference["import"].partition(":")
            home = importlib.import_module(path)
    except (ImportError, OSError) as error:
        raise ExperimentError(
            f"{reference.get('script') or reference['import']}: cannot be loaded: {error}; put it back, or hand the "
            "object itself to RetiariiExperiment.resume(...)"
        ) from error
    found = _attribute(home, name)
    if found is None:
        raise ExperimentError(
            f"{reference.get('script') or reference['import']}: there is no {name!r} any more; put it back, or hand "
            "the object itself to RetiariiExperiment.resume(...)"
        )
    return found


def _attribute(home: Any, qualified_name: str) -> Any:
    for step in qualified_name.split("."):
        home = getattr(home, step, None)
    return home
