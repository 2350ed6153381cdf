"""First baseline: a 3D alpha-GAN with gradient penalty, told the mask (arXiv 1908.02498)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lldm_aug.baselines.gan_networks import AlphaGan, Critics, GanGenerator, Maker
from lldm_aug.baselines.picture import image_of, picture_of
from lldm_aug.baselines.stage import BaselineStage, stem_of
from lldm_aug.config.schema import Config, GanStage
from lldm_aug.seeds import torch_rng
from lldm_aug.training.cases import CaseSet, PreparedCase
from lldm_aug.training.order import Row
from lldm_aug.training.stage import Loss, Turn

FINEST = 2
"""Voxels of a block along the finest axis."""
SECOND_BETA = 0.9


class GanBaseline(BaselineStage):
    """Trains encoder and generator against two critics.

    The generator learns from real images that are encoded and made again, and from codes that are drawn; one critic
    judges both against real images of the same mask, the other judges whether codes look drawn. It makes images alone:
    the mask that goes with an image is the one that it was told.
    """

    name = "baseline_gan"

    def __init__(self, cases: CaseSet, config: Config) -> None:
        super().__init__(cases, config)
        self.settings: GanStage = config.train.baseline_gan
        sizes, channels, structures = config.baselines.gan, self.channels + 1, len(cases.schema.names)
        stem = stem_of(cases.record, FINEST)
        coarsest = self.cells([f * 2 ** (len(sizes.channels) - 1) for f in stem], "baselines.gan.channels")
        self.noise_shape = (sizes.code_channels, *coarsest)
        critics = Critics(channels, structures, stem, sizes, torch.Size(self.noise_shape).numel())
        self.module = AlphaGan(Maker(channels, structures, stem, sizes), critics)

    @property
    def painter(self) -> GanGenerator:
        """See `BaselineStage`."""
        return self.module.maker.generator

    def reconstruct(self, case_id: str, case: PreparedCase) -> torch.Tensor:
        """Encoded and made again."""
        maker, device = self.module.maker, next(self.module.parameters()).device
        condition = self.cases.condition([case_id], case.label[None].to(device))
        code = maker.encoder(picture_of(case)[None].to(device), condition)
        return image_of(maker.generator(code, condition))[0][0]

    @property
    def turns(self) -> tuple[Turn, ...]:
        """See `GameStage`."""
        betas = (self.settings.momentum, SECOND_BETA)
        return (
            Turn(self.module.critics, self._judge, self.settings.critic_rate, betas),
            Turn(self.module.maker, self._make, 1.0, betas),
        )

    def _judge(self, rows: list[Row], device: torch.device) -> Loss:
        """The critics' loss: Wasserstein distances of pictures and of codes, with gradient penalties."""
        critics, (real, condition) = self.module.critics, self._batch(rows, device)
        drawn = self._draw(rows, device)
        with torch.no_grad():
            code = self.module.maker.encoder(real, condition)
            again = self.module.maker.generator(code, condition)
            made = self.module.maker.generator(drawn, condition)
        scores = critics.picture(torch.cat([real, again, made]), condition.repeat(3, 1, 1, 1, 1)).view(3, -1)
        distance = 2 * scores[0].mean() - scores[1].mean() - scores[2].mean()
        code_distance = critics.code(drawn).mean() - critics.code(code).mean()
        point = self._between(rows, (real, again, made))
        penalty = gradient_penalty(lambda x: critics.picture(x, condition), point)
        penalty = penalty + gradient_penalty(critics.code, self._between(rows, (drawn, code)))
        figures = {"distance": distance.item(), "code_distance": code_distance.item(), "penalty": penalty.item()}
        return self.settings.penalty_weight * penalty - distance - code_distance, figures

    def _make(self, rows: list[Row], device: torch.device) -> Loss:
        """The loss of encoder and generator: to pass for real, and to make again what was encoded."""
        critics, (real, condition) = self.module.critics, self._batch(rows, device)
        code = self.module.maker.encoder(real, condition)
        codes = torch.cat([code, self._draw(rows, device).to(code)])
        both = condition.repeat(2, 1, 1, 1, 1)
        made = self.module.maker.generator(codes, both)
        l1 = (made[: len(real)] - real).abs().mean()
        score = 2 * critics.picture(made, both).mean() + critics.code(code).mean()
        return self.settings.reconstruction_weight * l1 - score, {"l1": l1.item()}

    def _batch(self, rows: list[Row], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures and conditions."""
        cases = [self.cases.load(row.case_id) for row in rows]
        labels = torch.stack([case.label for case in cases])
        condition = self.cases.condition([row.case_id for row in rows], labels)
        return torch.stack([picture_of(case) for case in cases]).to(device), condition.to(device)

    def _draw(self, rows: list[Row], device: torch.device) -> torch.Tensor:
        codes = [torch.randn(self.noise_shape, generator=self._rng("code", row)) for row in rows]
        return torch.stack(codes).to(device)

    def _between(self, rows: list[Row], points: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """A random mean of each row's points, all weights alike likely."""
        draws = torch.stack([torch.rand(len(points), generator=self._rng("between", row)) for row in rows])
        weights = -draws.clamp(min=1e-12).log()  # exponential: normalised, they are uniform on the simplex
        weights = (weights / weights.sum(1, keepdim=True)).to(points[0])
        shape = (-1, *[1] * (points[0].ndim - 1))
        means = [weights[:, i].view(shape) * point for i, point in enumerate(points)]
        return torch.stack(means).sum(0)

    def _rng(self, purpose: str, row: Row) -> torch.Generator:
        return torch_rng(self.config.seed, self.name, purpose, row.step, row.number)


def gradient_penalty(critic: Callable[[torch.Tensor], torch.Tensor], points: torch.Tensor) -> torch.Tensor:
    """Mean squared distance from 1 of the norm of a critic's gradient (WGAN-GP, arXiv 1704.00028), in full precision.

    Args:
        critic: maps (B, ...) to (B,) scores.
        points: where the gradient is taken.
    """
    with torch.autocast(points.device.type, enabled=False):
        points = points.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        penalty: torch.Tensor = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
        return penalty
