"""What a very small generator is described by."""

from __future__ import annotations

from lldm_aug.config.schema import AutoencoderSettings, DenoiserSettings, ObjectiveSettings, SamplingSettings
from lldm_aug.data.intensity import IntensityModel, Scale
from lldm_aug.labels import HBP
from lldm_aug.models.description import Description
from lldm_aug.pool.provenance import StageProvenance

SMALL = DenoiserSettings(channels=(16, 32), attention=(False, True), mask_channels=8, head_channels=16)


def description(**changes: object) -> Description:
    """Of a very small generator."""
    fields: dict[str, object] = {
        "lldm_aug_version": "0",
        "shape": (16, 16, 8),
        "spacing_mm": (4.0, 4.0, 8.0),
        "compression": (4, 4, 2),
        "dataset_json": {"channel_names": {"0": "HBP"}, "labels": HBP.to_dataset_json(), "file_ending": ".nii.gz"},
        "intensity": IntensityModel(
            scales=(Scale(low=(0.0,), high=(100.0,)),),
            limit=1.5,
            minimum=(0.0,),
            maximum=(200.0,),
            integer=True,
            zero_background=True,
        ),
        "autoencoder": AutoencoderSettings(latent_channels=4, channels=(16, 16), head_channels=8),
        "denoiser": SMALL,
        "objective": ObjectiveSettings(),
        "sampling": SamplingSettings(steps=2),
        "latent_mean": (0.0,) * 4,
        "latent_std": (1.0,) * 4,
        "stages": (StageProvenance(stage="autoencoder", dataset="D", fold=0, split_hash="s", cases={"a": "0"}),),
    }
    return Description(**(fields | changes))
