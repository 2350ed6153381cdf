"""First baseline: a 3D alpha-GAN (arXiv 1908.02498) conditioned on the mask, with the logistic loss and R1 penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from lldm_aug.baselines.baseline_stage import BaselineConfig, BaselineStage
from lldm_aug.baselines.gan_networks import FINEST, AlphaGan, Critics, GanGenerator, Maker
from lldm_aug.baselines.image_network import image_of, picture_of
from lldm_aug.config.stages import GanTrainSettings
from lldm_aug.data.conform import compression_for
from lldm_aug.models.layers import lowest_cell
from lldm_aug.seeds import torch_rng
from lldm_aug.training.inputs import StageInputs
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase
from lldm_aug.training.stage import AdversarialUpdate, Loss

SECOND_BETA = 0.99

GanConfig = BaselineConfig[GanTrainSettings]


class GanBaseline(BaselineStage):
    """Trains encoder and generator against two critics.

    The generator learns from real images that are encoded and made again, and from codes that are drawn; one critic
    judges both against real images of the same mask, the other judges whether codes look drawn. It makes images alone:
    the mask that goes with an image is the one that it was told.
    """

    name = "baseline_gan"

    def __init__(self, cases: CaseSet, config: GanConfig) -> None:
        super().__init__(cases, config)
        self.settings = config.train
        sizes, channels, structures = config.baselines.gan, self.channels + 1, len(cases.schema.names)
        stem = compression_for(cases.record.spacing_mm, FINEST)
        coarsest = self.cells(lowest_cell(stem, len(sizes.channels)), "baselines.gan.channels")
        self.noise_shape = (sizes.code_channels, *coarsest)
        critics = Critics(channels, structures, stem, sizes, torch.Size(self.noise_shape).numel())
        self.module = AlphaGan(Maker(channels, structures, stem, sizes), critics)

    @classmethod
    def build(cls, inputs: StageInputs) -> GanBaseline:
        """See `Trainer`."""
        return cls(inputs.cases, inputs.own(GanConfig))

    @property
    def image_network(self) -> GanGenerator:
        """See `BaselineStage`."""
        return self.module.maker.generator

    def reconstruct(self, case_id: str, case: PreparedCase) -> torch.Tensor:
        """Encoded and made again."""
        maker, device = self.module.maker, next(self.module.parameters()).device
        condition = self.cases.condition([case_id], case.label[None].to(device))
        code = maker.encoder(picture_of(case)[None].to(device), condition)
        return image_of(maker.generator(code, condition))[0][0]

    @property
    def updates(self) -> tuple[AdversarialUpdate, ...]:
        """See `AdversarialStage`."""
        betas = (self.settings.momentum, SECOND_BETA)
        return (
            AdversarialUpdate(self.module.critics, self._judge, self.settings.critic_rate, betas),
            AdversarialUpdate(self.module.maker, self._make, 1.0, betas),
        )

    def _judge(self, rows: list[Row], device: torch.device) -> Loss:
        """The critics' loss: to tell real pictures from made ones and drawn codes from found ones, not too steeply."""
        critics, (real, condition) = self.module.critics, self._batch(rows, device)
        drawn, weight = self._draw(rows, device), self.settings.penalty_weight
        with torch.no_grad():
            code = self.module.maker.encoder(real, condition)
            made = self.module.maker.generator(torch.cat([code, drawn.to(code)]), condition.repeat(2, 1, 1, 1, 1))
        genuine = critics.picture(real, condition)
        false = critics.picture(made, condition.repeat(2, 1, 1, 1, 1))
        of_codes = apart(critics.code(drawn), critics.code(code))
        penalty = gradient_penalty(lambda picture: critics.picture(picture, condition), real)
        penalty = penalty + gradient_penalty(critics.code, drawn)
        figures = {"genuine": genuine.mean().item(), "false": false.mean().item(), "penalty": penalty.item()}
        return apart(genuine, false) + of_codes + weight * penalty, figures

    def _make(self, rows: list[Row], device: torch.device) -> Loss:
        """The loss of encoder and generator: to pass for genuine, and to make again what was encoded."""
        critics, (real, condition) = self.module.critics, self._batch(rows, device)
        code = self.module.maker.encoder(real, condition)
        codes = torch.cat([code, self._draw(rows, device).to(code)])
        both = condition.repeat(2, 1, 1, 1, 1)
        made = self.module.maker.generator(codes, both)
        l1 = (made[: len(real)] - real).abs().mean()
        passing = F.softplus(-critics.picture(made, both)).mean() + F.softplus(-critics.code(code)).mean()
        return passing + self.settings.reconstruction_weight * l1, {"l1": l1.item(), "passing": passing.item()}

    def _batch(self, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures and conditions."""
        boxes = self.cases.drawn(rows, self.config.seed, self.name)
        cases = [self.cases.load(row.case_id, box) for row, box in zip(rows, boxes, strict=True)]
        labels = torch.stack([case.label for case in cases])
        condition = self.cases.condition([row.case_id for row in rows], labels)
        return torch.stack([picture_of(case) for case in cases]).to(device), condition.to(device)

    def _draw(self, rows: list[Row], device: torch.device) -> torch.Tensor:
        codes = [torch.randn(self.noise_shape, generator=self._rng("code", row)) for row in rows]
        return torch.stack(codes).to(device)

    def _rng(self, purpose: str, row: Row) -> torch.Generator:
        return torch_rng(self.config.seed, self.name, purpose, row.step, row.number)


def apart(genuine: torch.Tensor, false: torch.Tensor) -> torch.Tensor:
    """Logistic loss of scores (B,) that are to be high where genuine and low where false."""
    return F.softplus(-genuine).mean() + F.softplus(false).mean()


def gradient_penalty(critic: Callable[[torch.Tensor], torch.Tensor], points: torch.Tensor) -> torch.Tensor:
    """Half the mean squared norm of a critic's gradient at real points (R1, arXiv 1801.04406), in full precision.

    The norm is that of the root of mean squares, so that a weight means the same on every grid: where a score changes
    by 1 when all coordinates change by 1, alike by each, the norm is 1.

    Args:
        critic: maps (B, ...) to (B,) scores.
        points: (B, ...) where the gradient is taken.
    """
    with torch.autocast(points.device.type, enabled=False):
        points = points.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return gradient.square().flatten(1).sum(1).mean() * points[0].numel() / 2
