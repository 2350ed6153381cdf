"""Every other trainer with a blend: ``-tr nnUNetTrainerDA5LLDMAug`` is found without a line of code.

This module has, by name, a class for every trainer that nnU-Net finds: that trainer's name with ``LLDMAug`` behind it.
"""

from __future__ import annotations

import inspect
import sys
from functools import cache
from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from lldm_aug.errors import ConfigError
from nnunet_integration.loader import LOADER_NAME
from nnunet_integration.trainer import LLDMAugMixin

SUFFIX = "LLDMAug"


def blended(trainer: type[nnUNetTrainer], module: str | None = None) -> type[nnUNetTrainer]:
    """A trainer class with the blend, named like the given one with ``LLDMAug`` behind it.

    Args:
        trainer: any trainer whose loaders are nnU-Net's own.
        module: ``__name__`` of the module that binds the class to its name; the calling one by default.

    Raises:
        ConfigError: for a class that cannot be blended; says why.

    Examples:
        In a module on nnU-Net's search path::

            nnUNetTrainerMineLLDMAug = blended(nnUNetTrainerMine)
    """
    problem = _problem(trainer)
    if problem is not None:
        raise ConfigError(f"{trainer.__name__} cannot be blended: {problem}")
    if module is None:
        module = str(sys._getframe(1).f_globals["__name__"])  # as the standard library's named tuples do
    name, words = f"{trainer.__name__}{SUFFIX}", f"{trainer.__name__} on a blend of real and synthetic cases."
    return type(name, (LLDMAugMixin, trainer), {"__module__": module, "__doc__": words})


def _problem(trainer: Any) -> str | None:
    if not issubclass(trainer, nnUNetTrainer):
        return "it is no nnUNetTrainer"
    if issubclass(trainer, LLDMAugMixin):
        return "it is blended already"
    makes_loaders = inspect.unwrap(trainer.get_dataloaders).__code__
    if LOADER_NAME not in makes_loaders.co_names and "super" not in makes_loaders.co_names:
        return f"its get_dataloaders makes no {LOADER_NAME}, and does not call nnUNetTrainer's"
    return None


@cache  # one class for one name, or it would not pickle
def _by_name(name: str) -> type[nnUNetTrainer] | None:
    try:
        found = recursive_find_trainer_class_by_name(name)
    except (RuntimeError, AssertionError):  # no class of this name, or none of a trainer
        return None
    return blended(found, __name__)


def __getattr__(name: str) -> Any:
    original = name.removesuffix(SUFFIX)
    found = _by_name(original) if original and original != name else None
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found
