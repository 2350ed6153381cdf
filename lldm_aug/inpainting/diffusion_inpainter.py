"""Inpainting by a generator: the region is sampled, its surroundings are the host's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter

from lldm_aug.anatomy.measures import box_around
from lldm_aug.config.schema import SamplingSettings
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import Scale, measure_scale
from lldm_aug.data.raw import Case
from lldm_aug.data.resample import canonical_grid, from_canonical, inside, resample, to_canonical
from lldm_aug.errors import CheckpointError, InvalidVolume
from lldm_aug.geometry import Box, Grid
from lldm_aug.inpainting.inpainter import Painted, blended, laid_into
from lldm_aug.inpainting.painting_windows import Window, in_batches, painting_grid, plan_windows
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.models.generator import Generator
from lldm_aug.models.surroundings import filled
from lldm_aug.models.texture import FEWEST_VOXELS, high_pass_within, measure_residual, noise_level
from lldm_aug.seeds import derive_seed, numpy_rng, torch_rng
from lldm_aug.volume import Volume

SLOW_VOXELS = 3.0
"""Standard deviation of the Gaussian whose result counts as slow variation, such as shading; the rest is texture."""
FEWEST_AROUND = 200
"""Of a tissue around the region that say how it goes on."""
RIM_VOXELS = 1.5
"""Of the finest axis: nearer to another structure a tissue has something of that one's look, and says nothing."""


def continued(
    shown: np.ndarray,
    seen: np.ndarray,
    tissue: np.ndarray,
    hidden: np.ndarray,
    spacing_mm: tuple[float, float, float],
) -> np.ndarray:
    """An image whose slow variation within a tissue is that of the surroundings, continued into the region.

    A generator that does not see far may paint a hole in a tissue brighter or darker than what is around it. Its
    texture is kept, and so is its rim beside other structures, which is blurred into them.

    Args:
        shown: (C, X, Y, Z) what was painted.
        seen: likewise, the host.
        tissue: (X, Y, Z) booleans of one structure, after the edits.
        hidden: (X, Y, Z) booleans of the region.
        spacing_mm: voxel size.

    Returns:
        (C, X, Y, Z); the image itself where too little of the tissue is around the region.
    """
    depth = distance_transform_edt(tissue, sampling=np.divide(spacing_mm, min(spacing_mm)))
    deep = depth > RIM_VOXELS
    around, inner = deep & ~hidden, deep & hidden
    if not inner.any() or around.sum() < FEWEST_AROUND:
        return shown
    expected = filled(torch.from_numpy(seen)[None].float(), torch.from_numpy(~around)[None])[0].numpy()
    weight = np.maximum(gaussian_filter(inner.astype(np.float32), SLOW_VOXELS), 1e-6)
    off = [gaussian_filter(np.where(inner, error, 0), SLOW_VOXELS) / weight for error in expected - shown]
    continued: np.ndarray = shown + np.where(tissue & hidden, np.stack(off), 0)
    return continued


RING_MM = 12.0
"""Width of the ring around a region in which the noise of its host is measured."""
LEAST_TEXTURE = 0.4
"""Share of a structure's texture that is kept, however much stronger than the host's noise it is."""


def match_noise(
    shown: np.ndarray, real: np.ndarray, mask: Volume, hidden: np.ndarray, cell_mm: float, seed: int
) -> None:
    """Gives a painted region noise as strong as the host's: what lacks is added, what is too much is taken off.

    The host's is measured beyond the latent cells that the region touches, which were sampled as a whole, and in the
    structure that both have most of. Anatomy is no noise: no more is added than the generator's image lacks there.

    Args:
        shown: (C, X, Y, Z) the generator's image; changed in place, in and around the region.
        real: (C, X, Y, Z) the host, scaled.
        mask: that was painted for.
        hidden: (X, Y, Z) the region.
        cell_mm: longest side of a latent cell.
        seed: of the noise.
    """
    spacing_mm = mask.grid.spacing_mm
    reach = np.ceil(np.divide(cell_mm + RING_MM, spacing_mm)).astype(int).tolist()
    box = box_around(hidden, reach)
    real, near, label, inner = real[:, *box], shown[:, *box], mask.data[box], hidden[box]
    distance_mm = distance_transform_edt(~inner, sampling=spacing_mm)
    ring = (distance_mm > cell_mm) & (distance_mm <= cell_mm + RING_MM) & (real != near).any(axis=0)
    if not ring.any():
        return
    tissue = _common_tissue(label, ring, inner)
    around, within = (part & tissue if (part & tissue).sum() >= FEWEST_VOXELS else part for part in (ring, inner))
    for wanted, channel in zip(real, near, strict=True):
        _calm(channel, noise_level(channel, within) ** 2 - noise_level(wanted, around) ** 2, label, inner)
    residual_noise = measure_residual(real, near, around, within)
    near += residual_noise.draw(numpy_rng(seed, "residual noise"), np.zeros_like(label))


def _common_tissue(label: np.ndarray, ring: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(X, Y, Z) booleans of the structure that a region has most of, of those of which the ring has enough."""
    counts = {int(value): int((inner & (label == value)).sum()) for value in np.unique(label[inner]) if value > 0}
    known = {value: n for value, n in counts.items() if (ring & (label == value)).sum() >= FEWEST_VOXELS}
    tissue: np.ndarray = label == max(known, key=known.__getitem__, default=0)
    return tissue


def _calm(channel: np.ndarray, excess: float, label: np.ndarray, region: np.ndarray) -> None:
    """Takes a variance off the fine texture of each structure in a region of a (X, Y, Z) image, in place.

    Borders between structures stay as sharp as they are.
    """
    for value in np.unique(label[region]) if excess > 0 else ():
        part = region & (label == value)
        if part.sum() >= FEWEST_VOXELS:
            kept = np.sqrt(max(LEAST_TEXTURE**2, 1 - excess / max(noise_level(channel, part) ** 2, 1e-12)))
            channel[part] -= (1 - kept) * high_pass_within(channel, part)


@dataclass(frozen=True)
class DiffusionInpainter:
    """An `Inpainter` by a generator.

    A generator that was trained on windows sees the host at its own resolution. Others see the part of their field of
    view that holds the region, and what they paint is as coarse as their grid. Either way the host's own noise, as it
    is around the region, is added on the host's grid.

    Args:
        generator: the generator.
        schema: the structures of the masks; those that the generator knows besides are unknown.
        sampling: solver, steps and guidance.
        strength: see `Generator.inpaint`.
        tissues: names of structures that go on in the region as they are around it, such as what lesions lie in.
    """

    generator: Generator
    schema: LabelSchema
    sampling: SamplingSettings
    strength: float = 1.0
    tissues: Collection[str] = ()

    @property
    def kind(self) -> str:
        """See `Inpainter`."""
        return "diffusion"

    def inpaint(self, host: Case, label: np.ndarray, region: np.ndarray, seed: int) -> Painted:
        """See `Inpainter`.

        Raises:
            InvalidVolume: when the region reaches beyond the field of view of a generator of whole fields of view.
            CheckpointError: when the generator gives no finite image.
        """
        axes = canonical_grid(host.grid)
        hidden = to_canonical(region, host.grid)
        grid = painting_grid(Volume(to_canonical(host.label, host.grid), axes), self.generator.description)
        if not inside(grid, axes)[hidden].all():
            raise InvalidVolume(
                "the region reaches beyond the generator's field of view",
                where=host.case_id,
                fix="leave this case out, or use a generator of windows or of a larger field of view",
            )
        image, scale = to_canonical(host.image, host.grid).copy(), self._scale(host)  # the host's own is kept
        box = self._surroundings(hidden, axes)
        real, hidden = scale.apply(image[:, *box], np.inf), hidden[box]
        mask = Volume(to_canonical(label, host.grid)[box], axes.part(box))
        shown = self._paint(real, mask, hidden, grid, seed)
        match_noise(shown, real, mask, hidden, self._cell_mm, seed)
        image[:, *box] = scale.invert(blended(real, shown, hidden, axes.spacing_mm))
        return Painted(laid_into(host, from_canonical(image, host.grid), label, region))

    def _scale(self, host: Case) -> Scale:
        description = self.generator.description
        return description.common_scale or measure_scale(host.image, description.scaling)

    @property
    def _cell_mm(self) -> float:
        """Longest side of a latent cell."""
        description = self.generator.description
        return float(np.multiply(description.compression, description.spacing_mm).max())

    def _surroundings(self, hidden: np.ndarray, axes: Grid) -> Box:
        """The part of a host that windows around its region can show."""
        description = self.generator.description
        reach_mm = np.multiply(description.shape, description.spacing_mm) + RING_MM + self._cell_mm
        return box_around(hidden, np.ceil(reach_mm / axes.spacing_mm).astype(int).tolist())

    def _paint(self, real: np.ndarray, mask: Volume, hidden: np.ndarray, grid: Grid, seed: int) -> np.ndarray:
        """What the generator shows (C, X, Y, Z), scaled, in and around a region; further away the host itself.

        Args:
            real: (C, X, Y, Z) the host, scaled.
            mask: to paint for; its grid is that of all.
            hidden: (X, Y, Z) the region.
            grid: the painting grid.
            seed: of the noise.
        """
        canvas, painted, number = real.copy(), np.zeros_like(hidden), 0
        region = resample(hidden, mask.grid, grid) > 0
        for windows in in_batches(plan_windows(region, grid, self.generator.description)):
            seen, todo = np.where(painted, canvas, real), hidden & ~painted
            seeds = [derive_seed(seed, "window", number + k) for k in range(len(windows))]
            number += len(windows)
            for window, small in zip(windows, self._show(seen, mask, todo, windows, seeds), strict=True):
                view = inside(window.grid, mask.grid) & ~painted
                canvas[:, view] = resample(small, window.grid, mask.grid)[:, view]
                painted |= hidden & inside(window.core, mask.grid)
        return canvas

    def _show(
        self, real: np.ndarray, mask: Volume, hidden: np.ndarray, windows: list[Window], seeds: list[int]
    ) -> np.ndarray:
        """What the generator shows in windows of one size (B, C, X, Y, Z), continuing their surroundings."""
        description = self.generator.description
        known = Relabelling(self.schema, description.labels)
        views = [self._view(real, mask, hidden, window, known) for window in windows]
        seen, shown, label = (torch.from_numpy(np.stack(parts)) for parts in zip(*views, strict=True))
        sides = [n // f for n, f in zip(shown.shape[1:], description.compression, strict=True)]
        shape = (1, description.autoencoder.latents, *sides)
        noise = torch.cat([torch.randn(shape, generator=torch_rng(seed, "noise")) for seed in seeds])
        rng = torch_rng(seeds[0], "ancestral noise")
        out, _ = self.generator.inpaint(label, seen, shown, noise, self.sampling, rng, known.unknown, self.strength)
        out = out.float().cpu()
        if not torch.isfinite(out).all():
            raise CheckpointError("the generator gave NaN or infinity", fix="lower --guidance, or train it anew")
        step = filled(seen - out, shown)  # how far the surroundings are off, continued into the region
        painted = torch.where(shown[:, None], out + step, out)
        rows = zip(painted.numpy(), seen.numpy(), label.numpy(), shown.numpy(), strict=True)
        return np.stack([self._continued(*row) for row in rows])

    def _continued(self, painted: np.ndarray, seen: np.ndarray, label: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """A painted window (C, X, Y, Z) in which tissues go on as they are around the region."""
        for name in self.tissues:
            tissue = label == self.generator.description.labels.value(name)
            painted = continued(painted, seen, tissue, hidden, self.generator.description.spacing_mm)
        return painted

    def _view(
        self, real: np.ndarray, mask: Volume, hidden: np.ndarray, window: Window, known: Relabelling
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image (C, X, Y, Z), region and labels (X, Y, Z) in a window."""
        description = self.generator.description
        frame = Frame(mask.grid, window.grid)
        image = np.clip(frame.image_in(real), -description.intensity.limit, description.intensity.limit)
        region = frame.share_in(hidden) > 0
        if not description.inpainting:
            region &= inside(mask.grid, window.grid)  # it has learned images whose edge was continued
        return image, region, known.apply(frame.label_in(mask.data))
