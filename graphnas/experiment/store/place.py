"""Where a store is: its folder, the lock on it, and the connection to its database."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO
from urllib.parse import quote

import peewee

from graphnas.errors import StoreError

DATABASE_NAME = "experiment.db"
LOCK_NAME = "experiment.lock"

_BUSY_TIMEOUT_S = 30
_MOUNTS = Path("/proc/self/mounts")

_NETWORK_FILE_SYSTEMS = frozenset(
    {
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "fuse.beegfs",
        "fuse.ceph",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.lustre",
        "fuse.mount-s3",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "wekafs",
    }
)


def check_is_local(directory: Path, mounts: Path | None = None) -> None:
    """Refuse to keep a database on a network file system.

    SQLite's write-ahead log is shared memory between processes of one machine, and locks of network file systems are
    known to let two writers in; either tears the file.

    Args:
        directory: Where the database is to be.
        mounts: The kernel's table of mounts; where there is none, as on macOS, nothing is refused.

    Raises:
        StoreError: The folder is on a network file system.
    """
    try:
        lines = (mounts or _MOUNTS).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    place = directory.resolve()
    found, kind = Path("/"), ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # Of several mounts on one point the last one is seen.
        if place.is_relative_to(point) and len(point.parts) >= len(found.parts):
            found, kind = point, fields[2]
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{directory}: is on a network file system ({kind}, mounted at {found}), where SQLite cannot lock its "
            "database, so that two writers would tear it; put the experiment on a local disk with "
            "experiment_working_directory=... or $GRAPHNAS_HOME, and copy the folder when it has ended"
        )


def connect_writer(directory: Path, *, durable: bool) -> peewee.SqliteDatabase:
    """Return a database that can be written; with `durable`, what is committed survives a loss of power."""
    pragmas = {"journal_mode": "wal", "synchronous": "full" if durable else "normal", "foreign_keys": 1}
    return peewee.SqliteDatabase(str(directory / DATABASE_NAME), pragmas=pragmas, timeout=_BUSY_TIMEOUT_S)


def connect_reader(directory: Path) -> peewee.SqliteDatabase:
    """Return a database that can only be read, also where its folder cannot be written."""
    path = directory / DATABASE_NAME
    log = path.with_name(f"{DATABASE_NAME}-wal")
    # Beside a database with a log SQLite makes a file of shared memory, unless it is told that nothing will change.
    is_still = not os.access(directory, os.W_OK) and not (log.is_file() and log.stat().st_size)
    address = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if is_still else ''}"
    return peewee.SqliteDatabase(address, uri=True, timeout=_BUSY_TIMEOUT_S)


def take_lock(directory: Path) -> IO[bytes]:
    """Return the open lock of an experiment, which the end of the process gives up, however it ends.

    Raises:
        StoreError: Another process holds it, or the folder cannot be written.
    """
    import fcntl  # not on every platform, and only a writer needs it

    try:
        handle = (directory / LOCK_NAME).open("a+b")
    except OSError as error:
        raise StoreError(f"{directory}: the folder of the experiment cannot be written: {error}") from error
    for patience_s in (0.02, 0.08, 0.2, None):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if patience_s is not None:
                time.sleep(patience_s)  # somebody may only ask whether it is locked, as a listing does
                continue
            handle.seek(0)
            owner = handle.read(32).decode(errors="replace").strip() or "unknown"
            handle.close()
            raise StoreError(
                f"{directory}: another process (pid {owner}) runs this experiment; wait for it, or stop it first"
            ) from error
    try:
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n".encode())
        handle.flush()
    except OSError as error:
        handle.close()
        raise StoreError(f"{directory}: the folder of the experiment cannot be written: {error}") from error
    return handle


def is_locked(directory: Path) -> bool:
    """Tell whether a process runs the experiment of a folder now."""
    import fcntl

    try:
        with (directory / LOCK_NAME).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
