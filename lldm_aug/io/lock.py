"""One process at a time in a folder, by a lock that the system lets go when its holder dies."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lldm_aug.errors import FolderInUse

LOCK_FILE = ".lock"
log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within it no other process can lock the folder, on any machine that shares it.

    The folder is made if need be. Its lock file stays there, and is free whenever no process holds it open. Where the
    system has no such locks there is none; where the file system has none, a warning says so.

    Raises:
        FolderInUse: at once, when another process holds it; says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Opened to append: only the holder may empty it.
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as stream:
        _take(stream, folder)
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        # Where this process is killed, a command that it began may live on, and then holds the folder still.
        os.set_inheritable(stream.fileno(), True)
        yield


def _take(stream: TextIO, folder: Path) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.seek(0)
        raise FolderInUse(
            f"{stream.read() or 'another process'} is at work in it",
            where=folder,
            fix="wait until it has ended, or choose another --out",
        ) from error
    except OSError as error:  # some clusters' file systems are mounted without locks
        log.warning("%s cannot be locked (%s): let no second command write to it", folder, error.strerror)
