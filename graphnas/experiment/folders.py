"""Experiments as folders: found by id, by the beginning of an id or by path; listed; removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from graphnas.errors import StoreError
from graphnas.experiment.config import experiments_home
from graphnas.experiment.store.place import DATABASE_NAME, LOCK_NAME, take_lock

TRIALS_NAME = "trials"


def home_of(working_directory: str | None) -> Path:
    """Return the absolute folder in which experiments are looked for."""
    return experiments_home() if working_directory is None else Path(working_directory).expanduser().absolute()


def find_experiment(identifier: str, working_directory: str | None = None) -> Path:
    """Return the folder of an experiment, given by its id, the beginning of its id, or the path of the folder.

    Raises:
        StoreError: There is no experiment under any of these, or several begin so.
    """
    home = home_of(working_directory)
    folders = (Path(os.path.abspath(Path(identifier).expanduser())), home / identifier)
    for folder in folders if identifier else ():
        if (folder / DATABASE_NAME).is_file():
            return folder
    begun = [folder for folder in list_experiments(home) if folder.name.startswith(identifier)] if identifier else []
    if len(begun) > 1:
        raise StoreError(
            f"experiment {identifier!r}: {len(begun)} experiments begin so: "
            f"{', '.join(folder.name for folder in begun[:5])}{', ...' if len(begun) > 5 else ''}; give more of the id"
        )
    if begun:
        return begun[0]
    raise StoreError(
        f"experiment {identifier!r}: there is no {DATABASE_NAME} in {folders[0]} nor in {folders[1]}, and no "
        "experiment there begins so; give the id, its beginning, or the path of the experiment's folder"
    )


def list_experiments(home: Path) -> list[Path]:
    """Return the folders of the experiments in `home`, in the order of their names, so of their beginnings."""
    try:
        return sorted(folder for folder in home.iterdir() if (folder / DATABASE_NAME).is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{home}: the folder of the experiments cannot be read: {error.strerror or error}") from error


def remove_experiment(folder: Path) -> tuple[str, ...]:
    """Delete what an experiment wrote, and its folder if nothing else is in it; return the names of what is left.

    Raises:
        StoreError: A process runs it, or something cannot be deleted.
    """
    lock = take_lock(folder)
    try:
        with lock:
            if (folder / TRIALS_NAME).exists():
                shutil.rmtree(folder / TRIALS_NAME)
            for suffix in ("-wal", "-shm", ""):  # the database last: until then it is an experiment that can be removed
                (folder / f"{DATABASE_NAME}{suffix}").unlink(missing_ok=True)
            (folder / LOCK_NAME).unlink(missing_ok=True)
        left = tuple(sorted(path.name for path in folder.iterdir()))
        if not left:
            folder.rmdir()
    except OSError as error:
        raise StoreError(f"{folder}: the experiment cannot be deleted: {error}") from error
    return left
