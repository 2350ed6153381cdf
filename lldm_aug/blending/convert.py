"""Conversions of a pool's case into the samples of common libraries, for ``convert=``.

`functools.partial` gives keys other names, such as ``partial(as_monai, image="t1", label="mask")``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lldm_aug.data.raw import Case
from lldm_aug.errors import ConfigError

if TYPE_CHECKING:
    import torch


def as_dictionary(case: Case) -> dict[str, Any]:
    """The default sample: image (C, X, Y, Z) float32, label (1, X, Y, Z) int16, affine (4, 4), case_id."""
    return {"image": case.image, "label": case.label[None], "affine": case.grid.affine, "case_id": case.case_id}


def as_pair(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Tensors of the image (C, X, Y, Z) float32 and the mask (X, Y, Z) int64."""
    import torch

    return torch.from_numpy(case.image), torch.from_numpy(case.label).long()


def as_row(case: Case, *, image: str = "image", label: str = "label") -> dict[str, torch.Tensor]:
    """A row of a Hugging Face data set in the format ``torch``: image (C, X, Y, Z) float32, mask (X, Y, Z) int64.

    Args:
        case: the case.
        image: column of the image.
        label: column of the mask.
    """
    return dict(zip((image, label), as_pair(case), strict=True))


def as_monai(case: Case, *, image: str = "image", label: str = "label", track_meta: bool = True) -> dict[str, Any]:
    """MONAI's dictionary: a MetaTensor (C, X, Y, Z) and one (1, X, Y, Z), float32, with affine and name.

    They are what ``LoadImaged`` and ``EnsureChannelFirstd`` make of a case's files, with those entries of the header
    that MONAI uses.

    Args:
        case: the case.
        image: key of the image.
        label: key of the mask.
        track_meta: whether they are MetaTensors; false gives plain tensors, as ``PersistentDataset`` has in its files.
    """
    import torch
    from monai.data import MetaTensor
    from monai.utils import MetaKeys, SpaceKeys

    def volume(tensor: torch.Tensor) -> Any:
        if not track_meta:
            return tensor
        affine = torch.tensor(case.grid.affine)
        meta = {
            "filename_or_obj": case.case_id,
            MetaKeys.ORIGINAL_AFFINE: case.grid.affine.copy(),
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.SPATIAL_SHAPE: list(case.grid.shape),
        }
        return MetaTensor(tensor, affine=affine, meta=meta)

    picture, mask = as_pair(case)
    return {image: volume(picture), label: volume(mask[None].float())}


def as_subject(case: Case, *, image: str = "image", label: str = "label") -> Any:
    """TorchIO's Subject: a ScalarImage (C, X, Y, Z) float32 and a LabelMap (1, X, Y, Z) int16, with affine.

    Args:
        case: the case.
        image: name of the image.
        label: name of the mask.

    Raises:
        ConfigError: when TorchIO is not installed.
    """
    import torch

    try:
        import torchio
    except ImportError as error:
        raise ConfigError("TorchIO is not installed", where="as_subject", fix="run 'pip install torchio'") from error
    affine = case.grid.affine
    picture = torchio.ScalarImage(tensor=torch.from_numpy(case.image), affine=affine)
    mask = torchio.LabelMap(tensor=torch.from_numpy(case.label[None]), affine=affine)
    return torchio.Subject({image: picture, label: mask})
