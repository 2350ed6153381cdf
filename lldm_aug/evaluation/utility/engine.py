"""What trains the networks of a study: the common loop, or an engine that a package above this one brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import DatasetError
from lldm_aug.evaluation.utility.cell import Arm, Cell
from lldm_aug.evaluation.utility.study_networks import check_networks
from lldm_aug.evaluation.utility.study_plan import MONAI, StudyPlan, StudySettings
from lldm_aug.plugins import ENGINES, plugins


class Engine(Protocol):
    """Trains and scores the cells of a study in its own way."""

    def check(self, dataset: RawDataset, settings: StudySettings, networks: Sequence[str], arms: Sequence[Arm]) -> None:
        """Refuses what it lacks.

        Raises:
            LldmAugError: for networks or arms that it lacks, or a data set that it cannot use.
        """

    def plans_hash(self, plan: StudyPlan, cell: Cell) -> str:
        """SHA-256 of what decides a cell beside the study's settings."""

    def run(self, plan: StudyPlan, cell: Cell, device: str) -> None:
        """Trains and scores a cell; a training that was interrupted goes on."""


def other_engine(settings: StudySettings) -> Engine | None:
    """The engine of a study; None for the common loop.

    Raises:
        DatasetError: when it is not installed.
    """
    if settings.engine == MONAI:
        return None
    for name, engine in plugins(ENGINES):
        if name == settings.engine:
            found: Engine = engine()
            return found
    raise DatasetError(f"no engine {settings.engine!r} is installed", fix="pip install lldm_aug again")


def check_engine(dataset: RawDataset, settings: StudySettings, networks: Sequence[str], arms: Sequence[Arm]) -> None:
    """Refuses what the engine of a study lacks; nnU-Net's plans get configurations of the networks.

    Raises:
        ConfigError: for networks or arms that it lacks.
        DatasetError: when nnU-Net, or the preprocessed data set, is missing.
    """
    engine = other_engine(settings)
    if engine is None:
        check_networks(networks, settings.width)
    else:
        engine.check(dataset, settings, networks, arms)
