"""Scripts as modules: code that lies in a file, not on the import path, loaded once and found again by its file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_FILE_ATTRIBUTE = "__graphnas_script__"


def load_script(path: Path) -> ModuleType:
    """Return the module of a script, run without its `__main__` block; the running script is itself.

    It goes by the name of its file, so that generated source can import from it, or by a made-up one where that name is
    taken. Its folder joins the end of the import path, as what it imports may lie beside it.

    Raises:
        OSError: There is no such file.
        ImportError: It is no Python file.
    """
    path = path.resolve()
    main = sys.modules.get("__main__")
    own = getattr(main, "__file__", None)
    if main is not None and own is not None and Path(own).resolve() == path:
        return main
    name = path.stem if _is_free(path.stem, path) else _made_up_name(path)
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    module.__dict__[_FILE_ATTRIBUTE] = str(path)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def script_of(module: ModuleType) -> Path | None:
    """Return the file by which a module can be loaded again; None for what is imported, and for notebooks."""
    file: str | None = getattr(module, _FILE_ATTRIBUTE, None)
    if module.__name__ in ("__main__", "__mp_main__") and getattr(module, "__spec__", None) is None:
        file = getattr(module, "__file__", None)
    return Path(file).resolve() if file is not None and Path(file).is_file() else None


def _is_free(name: str, path: Path) -> bool:
    """Whether a script can go by the name of its file: nothing else does."""
    if not name.isidentifier() or name in ("__main__", "__mp_main__"):
        return False
    if name in sys.modules:
        return getattr(sys.modules[name], _FILE_ATTRIBUTE, None) == str(path)
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return found is None or (found.origin is not None and Path(found.origin).resolve() == path)


def _made_up_name(path: Path) -> str:
    return f"_graphnas_script_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
