"""What commands that run in several processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from lldm_aug.errors import FolderInUse
from lldm_aug.io.lock import locked

if TYPE_CHECKING:
    from accelerate import Accelerator

PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: one may prepare all cases, or have made its share long before."""


@contextmanager
def held_by_main(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """`locked` for several processes that work together: the main one holds the lock for all.

    Raises:
        FolderInUse: in each of them, when another command holds it.
    """
    from accelerate.utils import broadcast_object_list

    refusal: list[FolderInUse | None] = [None]
    with ExitStack() as stack:
        if accelerator.is_main_process:
            try:
                stack.enter_context(locked(folder))
            except FolderInUse as error:
                refusal = [error]
        (refused,) = broadcast_object_list(refusal)
        if refused is not None:
            raise refused
        yield
