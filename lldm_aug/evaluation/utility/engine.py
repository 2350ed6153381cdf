"""What trains the networks of a study: the common loop, or nnU-Net."""

from __future__ import annotations

from collections.abc import Sequence

from lldm_aug.data.raw import RawDataset
from lldm_aug.evaluation.utility.arms import Arm
from lldm_aug.evaluation.utility.networks import check_networks
from lldm_aug.evaluation.utility.settings import MONAI, StudySettings


def check_engine(dataset: RawDataset, settings: StudySettings, networks: Sequence[str], arms: Sequence[Arm]) -> None:
    """Refuses what the engine of a study lacks; nnU-Net's plans get configurations of the networks.

    Raises:
        ConfigError: for networks or arms that it lacks.
        DatasetError: when nnU-Net, or the preprocessed data set, is missing.
    """
    if settings.engine == MONAI:
        check_networks(networks, settings.width)
        return
    from nnunet_integration.utility import check_study

    check_study(dataset, settings, networks, arms)
