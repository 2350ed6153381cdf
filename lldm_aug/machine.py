"""What a timing was taken on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from lldm_aug.record import Record


class Machine(Record):
    """A computer, as far as timings need it.

    Args:
        processor: its name.
        cores: that this process may use.
        threads: that PyTorch uses.
        device: where networks ran.
        torch: its version.
    """

    processor: str
    cores: int
    threads: int
    device: str
    torch: str

    def __str__(self) -> str:
        return f"{self.processor}, {self.cores} cores, {self.threads} threads, {self.device}, PyTorch {self.torch}"


def describe_machine(device: str) -> Machine:
    """This computer."""
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        threads=torch.get_num_threads(),
        device=name,
        torch=torch.__version__,
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
