"""Naming code by text: an import path, or a script file and a name in it; and finding it again."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from graphnas.errors import ExperimentError


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
    script = getattr(home, "__graphnas_script__", None)
    if module in ("__main__", "__mp_main__"):
        spec = getattr(home, "__spec__", None)
        if spec is not None:  # run by `python -m`
            return {"import": f"{spec.name}:{name}"}
        script = getattr(home, "__file__", None)
        if script is None or not Path(script).is_file():
            return None
    return {"import": f"{module}:{name}"} if script is None else {"script": str(Path(script).resolve()), "name": name}


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


def load_script(path: Path) -> ModuleType:
    """Return the module of a script, run under a name of its own, so that its `__main__` block is left out."""
    main = sys.modules.get("__main__")
    own = getattr(main, "__file__", None)
    if main is not None and own is not None and Path(own).resolve() == path.resolve():
        return main
    name = f"_graphnas_script_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__graphnas_script__"] = str(path)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _attribute(home: Any, qualified_name: str) -> Any:
    for step in qualified_name.split("."):
        home = getattr(home, step, None)
    return home
