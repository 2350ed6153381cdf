"""A run that grows stage by stage, and how far two sets of weights are from each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from tiny import MASKS, STAGE, tiny_config
from torch import nn

from lldm_aug.config.schema import Config
from lldm_aug.data.raw import RawDataset
from lldm_aug.stages.run import train

Seen = set[tuple[str, torch.dtype]]
ORDER = ("segmenter", "masks", "autoencoder", "diffusion", "controlnet")
"""All that a run folder can hold; the mask model and the segmenter travel with the generator."""


def run_config(precision: str = "no", **stage: object) -> Config:
    """A tiny generator of windows that learns to inpaint and is scored, with a segmenter and a mask model.

    Args:
        precision: of training.
        stage: changes all stages.
    """
    tree = tiny_config(**{"steps": 4, "checkpoint_every": 2, **stage}).model_dump(mode="json", exclude_unset=True)
    tree["grid"] = {"shape": (16, 16, 12), "windows": True}
    tree["segmenter"] = {"filters": 8, "blocks": (1, 1), "norm_groups": 4}
    tree["masks"] = MASKS
    every = STAGE | {"steps": 4, "checkpoint_every": 2} | stage
    tree["train"] |= {"precision": precision, "segmenter": every | {"batch_size": 2}}
    tree["train"] |= {"masks_autoencoder": every, "masks_diffusion": every}
    tree["train"]["controlnet"] |= {"inpainting": True, "score_every": 4, "score_cases": 1}
    return Config.model_validate(tree)


@contextmanager
def convolutions() -> Iterator[Seen]:
    """Device and type of what the convolutions of networks that are being trained give."""
    seen: Seen = set()

    def note(module: nn.Module, args: object, out: object) -> None:
        if isinstance(module, nn.Conv3d) and module.training and isinstance(out, torch.Tensor):
            seen.add((out.device.type, out.dtype))

    handle = nn.modules.module.register_module_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


@dataclass(frozen=True)
class Trained:
    """A run folder whose stages are trained when they are asked for.

    Args:
        dataset: what it learns from.
        folder: of the run.
        precision: of training.
        seen: what `convolutions` saw in each stage.
    """

    dataset: RawDataset
    folder: Path
    precision: str
    seen: dict[str, Seen] = field(default_factory=dict)

    def until(self, stage: str) -> Path:
        """Trains a stage and those before it, unless they are finished; returns what the stage left."""
        AcceleratorState._reset_state()  # it keeps the precision of the first training in a process
        for name in ORDER[: ORDER.index(stage) + 1]:
            if not self.result(name).is_dir():
                with convolutions() as self.seen[name]:
                    train(name, run_config(self.precision), self.dataset, 0, self.folder)
        return self.result(stage)

    def result(self, stage: str) -> Path:
        """The folder that a finished stage leaves."""
        return self.folder / "generator" if stage == "controlnet" else self.folder / stage / "export"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All weights in a folder, by file and name."""
    return {f"{p.name}:{k}": v for p in sorted(folder.glob("*.safetensors")) for k, v in load_file(p).items()}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of two sets of weights, as a share of the norm of the second."""
    assert one.keys() == other.keys()
    apart, size = (
        torch.stack([v.double().square().sum() for v in values]).sum().sqrt()
        for values in ([one[k].double() - other[k].double() for k in other], other.values())
    )
    return float(apart / size)
