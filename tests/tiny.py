"""A generator that trains in seconds, the data for it, and what an interruption would leave of it."""

import shutil
from pathlib import Path

from pools import write_dataset

from lldm_aug.config.schema import Config
from lldm_aug.data.raw import RawDataset
from lldm_aug.stages.run import train
from lldm_aug.stages.table import GENERATOR_STAGES

STAGE = {"steps": 6, "batch_size": 4, "checkpoint_every": 3, "preview_every": 0, "log_every": 1, "warmup_steps": 2}

MASKS = {
    "autoencoder": {"channels": (16, 16), "head_channels": 8, "compression": (4, 4, 2), "latent_channels": 4},
    "denoiser": {"channels": (16, 16), "attention": (False, False), "head_channels": 16},
    "sampling": {"steps": 2},
    "examples": 8,
}
"""A mask model as tiny, and what it needs until its masks are not empty."""
MASK_STAGES = {
    "masks_autoencoder": STAGE | {"steps": 60, "checkpoint_every": 40, "learning_rate": 5e-3},
    "masks_diffusion": STAGE | {"steps": 40, "learning_rate": 5e-3, "ema_decay": 0.8},
}


BASELINES = {
    "gan": {"channels": (8, 16), "code_channels": 2, "code_critic": 8, "norm_groups": 4},
    "pixel": {"denoiser": {"channels": (16, 16), "attention": (False, False), "head_channels": 16}},
}
BASELINE_STAGES = ("baseline_gan", "baseline_pixel", "baseline_latent")


def tiny_config(**stage: object) -> Config:
    """Settings of a generator on 16 x 16 x 12 voxels; ``stage`` changes all stages."""
    return Config.model_validate(
        {
            "grid": {"shape": (16, 16, 12)},
            "autoencoder": {"channels": (16, 16), "head_channels": 8, "compression": (4, 4, 2)},
            "denoiser": {"channels": (16, 16), "attention": (False, False), "mask_channels": 8, "head_channels": 16},
            "sampling": {"steps": 2},
            "baselines": BASELINES,
            "train": dict.fromkeys((*GENERATOR_STAGES, *BASELINE_STAGES), STAGE | stage),
        }
    )


def tiny_dataset(folder: Path) -> RawDataset:
    """Six blob cases on disk."""
    return RawDataset(write_dataset(folder / "Dataset998_Blobs", cases=6))


def tiny_generator(dataset: RawDataset, out: Path, config: Config | None = None, fold: int | str = 0) -> Path:
    """A run folder with all three stages done."""
    for name in GENERATOR_STAGES:
        train(name, config or tiny_config(), dataset, fold, out)
    return out


def copy_without(run: Path, out: Path, *missing: str) -> Path:
    """A copy of a run without some of its folders, as if it had been stopped before it had made them."""
    shutil.copytree(run, out)
    for name in missing:
        shutil.rmtree(out / name)
    return out


def segmenter_config(**stage: object) -> Config:
    """The tiny generator's settings with a tiny segmenter."""
    settings = tiny_config().model_dump()
    settings["grid"]["shape"] = (32, 32, 24)
    settings["segmenter"] = {"filters": 8, "blocks": (1, 1), "norm_groups": 4}
    settings["train"]["segmenter"] = {
        **STAGE,
        "steps": 60,
        "batch_size": 2,
        "learning_rate": 1e-2,
        "ema_decay": 0.9,
        **stage,
    }
    return Config.model_validate(settings)


def window_config(shape: tuple[int, int, int] = (16, 16, 12), **stage: object) -> Config:
    """The tiny settings with windows of the blobs' own voxels."""
    tree = tiny_config(**stage).model_dump(mode="json", exclude_unset=True)
    tree["grid"] = {"shape": shape, "windows": True}
    tree["segmenter"] = {"filters": 8, "blocks": (1, 1), "norm_groups": 4}
    return Config.model_validate(tree)
