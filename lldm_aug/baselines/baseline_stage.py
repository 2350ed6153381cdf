"""What the stages of all baselines have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from lldm_aug.baselines.image_network import BaselineDescription, BaselineSizes, ImageNetwork
from lldm_aug.baselines.model import Baseline
from lldm_aug.config.part import LatentConfig, Optimisation
from lldm_aug.config.schema import BaselineSettings, IntensitySettings, SamplingSettings
from lldm_aug.config.stages import ConcatenatedTrainSettings
from lldm_aug.diffusion.objective import make_objective
from lldm_aug.models.condition import drop_structures
from lldm_aug.models.texture import Correlation, ResidualNoise
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.training.diffusion_stage import Clean, draw_latents
from lldm_aug.training.losses import counted_mean, structure_weights
from lldm_aug.training.missing_texture import measure_texture, samples_of
from lldm_aug.training.order import Row, kept_structures
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase, check_sides
from lldm_aug.training.preview import write_shown
from lldm_aug.training.stage import Loss


class BaselineConfig(LatentConfig[Optimisation]):
    """Settings of a baseline.

    Args:
        intensity: how a case's intensities are scaled.
        baselines: sizes of those that have no latents, and what all share.
    """

    intensity: IntensitySettings
    baselines: BaselineSettings


class BaselineStage(ABC):
    """A baseline in training: its samples are drawn for previews, and it is exported as a `Baseline`.

    What it is named, how it is optimised and its ``module`` are for each to say; see `lldm_aug.training.stage`. As in
    the generator's last stage, half of each batch are cases without a mask if there are any.

    Args:
        cases: training cases.
        config: its settings.
    """

    name: ClassVar[str]
    noise_shape: tuple[int, int, int, int]

    def __init__(self, cases: CaseSet, config: BaselineConfig[Any]) -> None:
        self.cases, self.config = cases, config
        self.labelled = cases.labelled()
        self.case_ids, self.unlabelled_ids = self.labelled.case_ids, cases.unlabelled_ids
        self.channels = len(cases.record.dataset_json["channel_names"])

    @property
    @abstractmethod
    def image_network(self) -> ImageNetwork:
        """What makes images, with the weights as they are now."""

    @property
    def sizes(self) -> BaselineSizes:
        """What decides its networks."""
        return BaselineSizes.model_validate({name: getattr(self.config, name) for name in BaselineSizes.model_fields})

    @property
    def sampling(self) -> SamplingSettings:
        """How it is sampled."""
        return self.config.sampling

    @abstractmethod
    def reconstruct(self, case_id: str, case: PreparedCase) -> torch.Tensor:
        """A training case's image (C, X, Y, Z) as it comes out of the networks when it is put in."""

    @property
    def correlations(self) -> list[Correlation]:
        """Of the residual noise that reconstructions lack."""
        return [residual_noise.correlation for residual_noise in measure_texture(self.labelled, self.reconstruct)]

    @property
    def texture(self) -> tuple[ResidualNoise, ...]:
        """What samples lack, measured and put back as for the generator: residual noise is not what they shall differ
        by."""
        if not self.config.baselines.texture:
            return ()
        show = samples_of(self.baseline(), self.labelled, self.config.seed, self.name)
        return measure_texture(self.labelled, show, self.correlations)

    @property
    def stages(self) -> tuple[StageProvenance, ...]:
        """What it has seen."""
        return (self.cases.provenance(self.name),)

    @property
    def latent_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of its latents' channels, if it has latents."""
        return (), ()

    def cells(self, factors: Sequence[int], where: str) -> tuple[int, int, int]:
        """Sides of the grid that is coarser by these factors.

        Raises:
            ConfigError: when the sides of the grid are not multiples of them.
        """
        shape, (a, b, c) = self.cases.record.shape, factors
        check_sides(shape, (a, b, c), 1, where)
        x, y, z = (side // factor for side, factor in zip(shape, factors, strict=True))
        return x, y, z

    def baseline(self) -> Baseline:
        """The baseline as it is now, without texture."""
        record, (mean, std) = self.cases.record, self.latent_statistics
        description = record.describe(
            BaselineDescription,
            scaling=self.config.intensity,
            kind=self.name,
            config=self.sizes,
            sampling=self.sampling,
            noise_shape=self.noise_shape,
            latent_mean=mean,
            latent_std=std,
            stages=self.stages,
        )
        return Baseline(description, self.image_network)

    def preview(self, path: Path) -> None:
        """Samples for real masks."""
        write_shown(path, self.labelled, samples_of(self.baseline(), self.labelled, self.config.seed, self.name))

    def export(self, folder: Path) -> None:
        """The baseline, with its texture."""
        made = self.baseline()
        description = made.description.model_copy(update={"texture": self.texture})
        Baseline(description, made.image_network).save(folder)


ConcatenatedConfig = BaselineConfig[ConcatenatedTrainSettings]


class ConcatenatedBaseline(BaselineStage):
    """Trains a denoiser by the generator's own objective, places with structures weighing more, as they do there.

    Args:
        cases: training cases.
        config: its settings.
    """

    def __init__(self, cases: CaseSet, config: ConcatenatedConfig) -> None:
        super().__init__(cases, config)
        self.settings = config.train
        self.objective = make_objective(config.objective)

    @property
    @abstractmethod
    def clean(self) -> Clean:
        """What is learnt."""

    @abstractmethod
    def occupancy(self, condition: torch.Tensor) -> torch.Tensor:
        """The condition (B, S, X, Y, Z) on the grid of what is learnt."""

    def loss(self, model: nn.Module, rows: list[Row], device: torch.device) -> Loss:
        """See `Stage.loss`."""
        boxes = self.cases.drawn(rows, self.config.seed, self.name)
        drawn = draw_latents(self.clean, self.objective, rows, self.config.seed, self.name, device, boxes)
        noised = self.objective.noised(*drawn)
        labels = torch.stack([self.cases.load_label(row.case_id, box) for row, box in zip(rows, boxes, strict=True)])
        condition = self.cases.condition([row.case_id for row in rows], labels.to(device))
        kept = kept_structures(len(self.cases.schema.names), self.settings, self.config.seed, self.name, rows)
        prediction = model(noised.noisy, noised.times, drop_structures(condition, kept.to(device)))
        error = self.objective.error(prediction, noised)
        weights = structure_weights(self.occupancy(condition), self.settings.structure_weight)
        counted = self.cases.counted(rows, boxes)
        counted = None if counted is None else self.occupancy(counted.to(device))
        return counted_mean(weights * error, counted), {"unweighted": counted_mean(error, counted).item()}
