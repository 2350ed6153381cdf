"""Which tumours of a liver to change, and the change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lldm_aug.masks.implant import implant, implant_at
from lldm_aug.masks.measures import SPECK_VOXELS
from lldm_aug.masks.severed import drop_severed
from lldm_aug.masks.site import RealTumour, Site
from lldm_aug.masks.tumour_shapes import Blob, Copy, Shape
from lldm_aug.masks.tumour_sizes import TumourSizes, ball_diameter_mm
from lldm_aug.pool.manifest import TumourEdit

CHANCES = {"kept": 0.35, "moved": 0.2, "resized": 0.25, "removed": 0.2}
"""What happens to each real tumour."""
MEAN_ADDED = 1.0
"""Mean of the Poisson distribution of how many are added; at least one if nothing else changes."""
MAX_TUMOURS = 8
"""No tumour is added to as many (unless nothing else changes)."""
GROWTH = 0.35
"""Standard deviation of the logarithm of the factor by which a resized tumour's diameter changes."""
LEAST_GROWTH = 0.1


@dataclass(frozen=True)
class Planned:
    """One edit to make.

    Args:
        kind: as in `TumourEdit`.
        value: label of the lesion.
        shape: what to set in; None to remove.
        real: the real tumour that it is about; None for an added one.
        centre: (3,) voxel of the site for its centre; None where a place is to be found.
    """

    kind: str
    value: int
    shape: Shape | None
    real: RealTumour | None
    centre: np.ndarray | None = None


def plan_edits(rng: np.random.Generator, site: Site, sizes: TumourSizes) -> list[Planned]:
    """What to do to the tumours of a liver; at least one edit."""
    plan = [edit for tumour in site.tumours if (edit := _plan_one(rng, site, tumour, sizes)) is not None]
    removed = sum(edit.kind == "removed" for edit in plan)
    added = min(int(rng.poisson(MEAN_ADDED)), MAX_TUMOURS - len(site.tumours) + removed)
    for _ in range(max(added, 0 if plan else 1)):
        shape = Blob.draw(rng, sizes.draw(rng, least_mm(site)))
        plan.append(Planned("added", int(rng.choice(site.lesions)), shape, None))
    return plan


def least_mm(site: Site) -> float:
    """Diameter of the smallest tumour that the grid can show."""
    return ball_diameter_mm(SPECK_VOXELS * site.grid.voxel_volume_mm3)


def _plan_one(rng: np.random.Generator, site: Site, tumour: RealTumour, sizes: TumourSizes) -> Planned | None:
    kind = str(rng.choice([*CHANCES], p=[*CHANCES.values()]))
    if kind == "kept":
        return None
    if kind == "removed":
        return Planned(kind, tumour.value, None, tumour)
    copy = Copy.of(tumour.voxels, site.grid.affine[:3, :3])
    if kind == "moved":
        return Planned(kind, tumour.value, replace(copy, mirror=rng.choice([-1.0, 1.0], 3)), tumour)
    growth = float(np.exp(rng.choice([-1.0, 1.0]) * max(LEAST_GROWTH, abs(rng.normal(0, GROWTH)))))
    low, high = max(sizes.range_mm[0], least_mm(site)), sizes.range_mm[1]
    if growth * copy.diameter_mm > high:
        growth = min(growth, 1 / growth)
    elif growth * copy.diameter_mm < low:
        growth = max(growth, 1 / growth)
    centre = copy.centre_in_tumour + [s.start for s in tumour.box]
    kind = "grown" if growth > 1 else "shrunk"
    return Planned(kind, tumour.value, replace(copy, scale=growth), tumour, centre)


def make_edits(
    rng: np.random.Generator, site: Site, plan: list[Planned]
) -> tuple[np.ndarray, tuple[TumourEdit, ...], list[str]]:
    """The site's labels after the edits, a record of them, and what could not be done.

    Tumours that change give way to liver first; then the new ones are set in, the largest first.
    """
    labels = site.labels.copy()
    for edit in plan:
        if edit.real is not None:
            labels[edit.real.box][edit.real.voxels] = site.liver
    records, problems = [], []
    for edit in sorted(plan, key=lambda e: 0.0 if e.shape is None else -e.shape.diameter_mm):
        was = None if edit.real is None else ball_diameter_mm(edit.real.voxels.sum() * site.grid.voxel_volume_mm3)
        diameter = was if edit.shape is None else _set_in(rng, site, labels, edit, edit.shape)
        if diameter is None:
            problems.append(f"no room for a tumour of {edit.shape.diameter_mm if edit.shape else 0:.0f} mm")
        else:
            records.append(_record(site, edit, diameter, was))
    return labels, tuple(records), problems + drop_severed(site, labels)


def _set_in(rng: np.random.Generator, site: Site, labels: np.ndarray, edit: Planned, shape: Shape) -> float | None:
    if edit.centre is None:
        return implant(rng, site, labels, shape, edit.value)
    return implant_at(site, labels, shape, edit.value, edit.centre)


def _record(site: Site, edit: Planned, diameter_mm: float, was_mm: float | None) -> TumourEdit:
    before = None if was_mm is None else round(was_mm, 2)
    structure = site.schema.names[edit.value - 1]
    return TumourEdit(kind=edit.kind, structure=structure, diameter_mm=round(diameter_mm, 2), was_mm=before)
