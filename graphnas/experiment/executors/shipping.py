"""The user's own modules, packed to travel to machines that have graphnas but not the user's files."""

from __future__ import annotations

import io
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from graphnas.errors import ExperimentError

MAX_BYTES = 32 << 20

_NOT_SHIPPED = ("graphnas", "__main__", "__mp_main__")


def pack_sources() -> bytes:
    """Return a ZIP of the source of every imported module that is not installed, whole packages together.

    A module beside the script travels if it has been imported by now, of a package every `.py` file does. What is
    installed on this machine has to be so on the others too, graphnas among it.

    Raises:
        ExperimentError: There is more source than a project has, so that something else must have been imported.
    """
    packed = io.BytesIO()
    size = 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(set(_sources())):
            data = path.read_bytes()
            size += len(data)
            if size > MAX_BYTES:
                raise ExperimentError(
                    f"{path}: the modules of yours that are imported hold more than {MAX_BYTES >> 20} MiB of source, "
                    "too much to send to the cluster; install them there as a package"
                )
            archive.writestr(name, data)
    return packed.getvalue()


def unpack_sources(packed: bytes, folder: Path) -> None:
    """Write what `pack_sources` returned below `folder`, which then is a place to import from."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(folder)


def _sources() -> Iterator[tuple[str, Path]]:
    """Yield the name in the archive and the path of each file."""
    installed = _installed_folders()
    for name, module in tuple(sys.modules.items()):
        if "." in name or name in _NOT_SHIPPED or not isinstance(module, ModuleType):
            continue
        for root in _package_folders(module):
            if not _is_below(root, installed):
                for path in root.rglob("*.py"):
                    yield f"{name}/{path.relative_to(root).as_posix()}", path
        file = Path(getattr(module, "__file__", None) or "")
        if (
            file.suffix == ".py"
            and file.is_file()
            and not hasattr(module, "__path__")
            and not _is_below(file, installed)
        ):
            yield f"{name}.py", file


def _package_folders(module: ModuleType) -> list[Path]:
    return [Path(folder) for folder in getattr(module, "__path__", ()) if Path(folder).is_dir()]


def _installed_folders() -> list[Path]:
    paths = sysconfig.get_paths()
    folders = [paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [Path(folder).resolve() for folder in (*folders, sys.prefix, sys.base_prefix)]


def _is_below(path: Path, folders: list[Path]) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(folder) for folder in folders) or "site-packages" in resolved.parts
