"""A look at an installation: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from lldm_aug.resources import pretrained_dir
from lldm_aug.version import __version__

State = Literal["ok", "note", "fault"]
LIBRARIES = (
    "torch",
    "monai",
    "accelerate",
    "diffusers",
    "safetensors",
    "nibabel",
    "numpy",
    "scipy",
    "pydantic",
    "click",
)
NNUNET_FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
TRAINER = "nnUNetTrainerLLDMAug"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        state: ``ok``; ``note`` for what is missing but not needed for everything; ``fault`` for what has to be mended.
        what: what was looked at.
        found: what was found.
        advice: what to do about it.
    """

    state: State
    what: str
    found: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Looks at versions, device, embedded generator and nnU-Net, in this order; imports torch and nnU-Net."""
    yield Finding("ok", "lldm_aug", f"{__version__} in {Path(__file__).parent}, Python {platform.python_version()}")
    yield from _libraries()
    yield _device()
    yield _pretrained()
    yield from _nnunet()


def _libraries() -> Iterator[Finding]:
    for name in LIBRARIES:
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("fault", name, "not installed", f"pip install {name}")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return Finding("ok", "device", names)
    return Finding("note", "device", "no CUDA GPU", "everything runs on the CPU too, only slower")


def _pretrained() -> Finding:
    weights = sorted(pretrained_dir().rglob("*.safetensors"))
    if not weights:
        return Finding("fault", "embedded generator", f"no weights in {pretrained_dir()}", "install lldm_aug again")
    size = sum(path.stat().st_size for path in weights) / 1e6
    return Finding("ok", "embedded generator", f"{len(weights)} files, {size:.0f} MB in {pretrained_dir()}")


def _nnunet() -> Iterator[Finding]:
    if find_spec("nnunetv2") is None:
        yield Finding("note", "nnunetv2", "not installed", "pip install 'lldm_aug[nnunet]' to train with nnU-Net")
        return
    yield Finding("ok", "nnunetv2", version("nnunetv2"))
    for name in NNUNET_FOLDERS:
        folder = os.environ.get(name)
        advice = f"export {name}=FOLDER before nnU-Net's commands"
        yield Finding("ok", name, folder) if folder else Finding("note", name, "not set", advice)
    yield _hook()
    yield _trainer()


def _hook() -> Finding:
    discover = str(discover_folder())
    if discover in os.environ.get("nnUNet_extTrainer", "").split(os.pathsep):
        return Finding("ok", "nnUNet_extTrainer", os.environ["nnUNet_extTrainer"])
    off = os.environ.get("LLDM_AUG_NO_NNUNET_HOOK")
    why = "the start-up hook is switched off by LLDM_AUG_NO_NNUNET_HOOK" if off else "the start-up hook did not run"
    return Finding("fault", "nnUNet_extTrainer", why, f"export nnUNet_extTrainer={discover}")


def _trainer() -> Finding:
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:
        found = recursive_find_trainer_class_by_name(TRAINER)
    except (RuntimeError, ImportError):
        return Finding("fault", TRAINER, "nnU-Net does not find it", "see nnUNet_extTrainer above")
    return Finding("ok", TRAINER, f"found in {found.__module__}")


def discover_folder() -> Path:
    """The folder that nnU-Net has to search for the trainer."""
    spec = find_spec("nnunet_integration")
    assert spec is not None  # both packages are installed together
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "discover"
