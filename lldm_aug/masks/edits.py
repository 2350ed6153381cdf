"""Which lesions of a mask to change, and the change, without branches of vessels that it has cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import label
from scipy.spatial.transform import Rotation

from lldm_aug.anatomy.declaration import Numbers
from lldm_aug.anatomy.measures import ANY_NEIGHBOUR, SPECK_VOXELS
from lldm_aug.anatomy.tumour_sizes import ball_diameter_mm
from lldm_aug.masks.implant import implant, implant_at
from lldm_aug.masks.lesion_library import LesionLibrary, Sizes, Specimen, nearest_in_size
from lldm_aug.masks.site import RealTumour, Site
from lldm_aug.masks.tumour_shapes import Blob, Shape
from lldm_aug.masks.wall import plane_axes
from lldm_aug.pool.manifest import TumourEdit

CHANCES = {"kept": 0.35, "moved": 0.2, "resized": 0.25, "removed": 0.2}
"""What happens to each real tumour."""
GROWTH = 0.35
"""Standard deviation of the logarithm of the factor by which a resized tumour's diameter changes."""
LEAST_GROWTH = 0.1
MOST_OF_WALL = 0.6
"""Largest share of a wall that one lesion may take. The infarcts of EMIDEC take up to 0.52 of their myocardium."""
ISOTROPIC = 2.0
"""Copies are turned in any direction if slices are less than this many times as thick as voxels are wide."""


@dataclass(frozen=True)
class Planned:
    """One edit to make.

    Args:
        kind: as in `TumourEdit`.
        value: label of the lesion.
        shape: what to set in; None to remove.
        real: the real tumour that it is about; None for an added one.
        centre: (3,) voxel of the site for its centre; None where a place is to be found.
        donor: id of the case whose lesion an added one copies; None if it copies none.
    """

    kind: str
    value: int
    shape: Shape | None
    real: RealTumour | None
    centre: np.ndarray | None = None
    donor: str | None = None


def plan_edits(
    rng: np.random.Generator, site: Site, sizes: Sizes | Mapping[int, Sizes], library: LesionLibrary | None = None
) -> list[Planned]:
    """What to do to the tumours of a mask; at least one edit.

    Args:
        rng: decides.
        site: the mask.
        sizes: diameters of tumours, or of the tumours with each label.
        library: of real lesions; needed where the anatomy says nothing of their number or wants copies.
    """
    sizes = sizes if isinstance(sizes, Mapping) else dict.fromkeys(site.lesions, sizes)
    numbers = Numbers() if library is None else library.numbers
    if library is not None and numbers is None:
        return _plan_like(rng, site, sizes, library)
    plan = _plan_changes(rng, site, sizes)
    numbers = numbers or Numbers()
    added = min(int(rng.poisson(numbers.mean_added)), numbers.most - _left(site, plan))
    for _ in range(max(added, 0 if plan else 1)):
        value = int(rng.choice(_possible(site)))
        plan.append(_plan_added(rng, site, value, sizes[value].draw(rng, least_mm(site)), library))
    return plan


def _plan_like(
    rng: np.random.Generator, site: Site, sizes: Mapping[int, Sizes], library: LesionLibrary
) -> list[Planned]:
    """Plans changes, then additions that make the lesions like those of a random case; repeated until one is planned.

    Each lesion of the mask that is kept is matched with the lesion of that case that is nearest to it in size. Lesions
    of that case that are not matched are added.
    """
    plan: list[Planned] = []
    while not plan:
        plan = _plan_changes(rng, site, sizes)
        missing = library.pattern(rng)
        removed = [edit.real for edit in plan if edit.kind == "removed"]
        for tumour in site.tumours:
            if missing and not any(tumour is gone for gone in removed):
                missing.remove(nearest_in_size(missing, site.diameter_mm(tumour))[0])
        for real in missing:
            if real.value in _possible(site):
                size = library.size_like(rng, real, least_mm(site))
                plan.append(_plan_added(rng, site, real.value, size, library))
    return plan


def _plan_changes(rng: np.random.Generator, site: Site, sizes: Mapping[int, Sizes]) -> list[Planned]:
    plans = (_plan_one(rng, site, tumour, sizes[tumour.value]) for tumour in site.tumours)
    return [edit for edit in plans if edit is not None]


def _left(site: Site, plan: list[Planned]) -> int:
    """How many tumours are left."""
    return len(site.tumours) - sum(edit.kind == "removed" for edit in plan)


def _possible(site: Site) -> list[int]:
    """Labels of the lesions that the mask can have: it has a structure that they lie in."""
    return [value for value in site.lesions if {*site.roles[value].within} & site.present]


def least_mm(site: Site) -> float:
    """Diameter of the smallest tumour that the grid can show."""
    return ball_diameter_mm(SPECK_VOXELS * site.grid.voxel_volume_mm3)


def _most_mm(site: Site, value: int) -> float:
    """Diameter of the largest tumour that fits into a wall; infinite for lesions that are not cut to one."""
    if not site.roles[value].lesion.cut:
        return np.inf
    return site.organ(value).diameter_mm * float(np.cbrt(MOST_OF_WALL))


def _plan_added(
    rng: np.random.Generator, site: Site, value: int, diameter_mm: float, library: LesionLibrary | None
) -> Planned:
    lesion = site.roles[value].lesion
    diameter = min(diameter_mm, _most_mm(site, value))
    kind = lesion.shapes[int(rng.integers(len(lesion.shapes)))]
    if kind == "blobs" or library is None or not library.named(value):
        return Planned("added", value, Blob.draw(rng, diameter), None)
    real = library.alike(rng, value, diameter)
    mirror = rng.choice([-1.0, 1.0], 3) if lesion.mirror else np.ones(3)
    scale = diameter / real.diameter_mm
    shape = replace(real.copy, scale=scale, mirror=mirror, turn=_turn(rng, site, real))
    return Planned("added", value, shape, None, donor=real.case_id)


def _turn(rng: np.random.Generator, site: Site, real: Specimen) -> np.ndarray:
    """(3, 3) a random rotation from a mask's directions to a real lesion's; within slices if these are thick."""
    spacing = site.grid.spacing_mm
    if max(spacing) < ISOTROPIC * min(spacing):
        any_way: np.ndarray = Rotation.from_quat(rng.normal(size=4)).as_matrix()
        return any_way
    within = Rotation.from_euler("z", rng.uniform(0, 2 * np.pi)).as_matrix()
    turn: np.ndarray = real.plane @ within @ plane_axes(site.grid).T
    return turn


def _plan_one(rng: np.random.Generator, site: Site, tumour: RealTumour, sizes: Sizes) -> Planned | None:
    kind = str(rng.choice([*CHANCES], p=[*CHANCES.values()]))
    if kind == "kept":
        return None
    if kind == "removed":
        return Planned(kind, tumour.value, None, tumour)
    copy = site.copy(tumour)
    if kind == "moved":
        mirror = rng.choice([-1.0, 1.0], 3) if site.roles[tumour.value].lesion.mirror else np.ones(3)
        return Planned(kind, tumour.value, replace(copy, mirror=mirror), tumour)
    growth = float(np.exp(rng.choice([-1.0, 1.0]) * max(LEAST_GROWTH, abs(rng.normal(0, GROWTH)))))
    low, high = max(sizes.range_mm[0], least_mm(site)), min(sizes.range_mm[1], _most_mm(site, tumour.value))
    if growth * copy.diameter_mm > high:
        growth = min(growth, 1 / growth)
    elif growth * copy.diameter_mm < low:
        growth = max(growth, 1 / growth)
    kind = "grown" if growth > 1 else "shrunk"
    return Planned(kind, tumour.value, replace(copy, scale=growth), tumour, site.centre(tumour, copy))


def make_edits(
    rng: np.random.Generator, site: Site, plan: list[Planned]
) -> tuple[np.ndarray, tuple[TumourEdit, ...], list[str]]:
    """The site's labels after the edits, a record of them, and what could not be done.

    First, tumours that change are removed and replaced by what they lie in. Then the new ones are set in, the largest
    first.
    """
    labels = site.labels.copy()
    for edit in plan:
        if edit.real is not None:
            _remove(site, labels, edit.real)
    records, problems = [], []
    for edit in sorted(plan, key=lambda e: 0.0 if e.shape is None else -e.shape.diameter_mm):
        was = None if edit.real is None else site.diameter_mm(edit.real)
        diameter = was if edit.shape is None else _set_in(rng, site, labels, edit, edit.shape)
        if diameter is None:
            within = f"structures of {site.organ(edit.value).diameter_mm:.0f} mm"
            problems.append(f"no room for a tumour of {edit.shape.diameter_mm if edit.shape else 0:.0f} mm in {within}")
        else:
            records.append(_record(site, edit, diameter, was))
    return labels, tuple(records), problems + drop_severed(site, labels)


def _remove(site: Site, labels: np.ndarray, tumour: RealTumour) -> None:
    """Removes a tumour and what it holds: their voxels go to the structures that it lies in."""
    around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in tumour.box)
    voxels = np.zeros(labels.shape, dtype=bool)
    voxels[tumour.box] = tumour.voxels
    site.restore(labels[around], voxels[around], site.roles[tumour.value].within)


def _set_in(rng: np.random.Generator, site: Site, labels: np.ndarray, edit: Planned, shape: Shape) -> float | None:
    if edit.centre is None:
        return implant(rng, site, labels, shape, edit.value)
    return implant_at(site, labels, shape, edit.value, edit.centre)


def _record(site: Site, edit: Planned, diameter_mm: float, was_mm: float | None) -> TumourEdit:
    before = None if was_mm is None else round(was_mm, 2)
    structure = site.schema.names[edit.value - 1]
    return TumourEdit(kind=edit.kind, structure=structure, diameter_mm=round(diameter_mm, 2), was_mm=before)


MAX_LOST = 0.06
"""Largest share of a vessel that tumours may overgrow and cut off together."""


def drop_severed(site: Site, labels: np.ndarray) -> list[str]:
    """Turns the parts that were cut off a vessel into what lesions lie in, and says which vessel has lost too much.

    Args:
        site: the mask as it was.
        labels: (X, Y, Z) as it is with its tumours; changed in place.
    """
    problems = []
    for name, value in site.vessels.items():
        before, after = site.labels == value, labels == value
        total = np.count_nonzero(before)
        if np.count_nonzero(after) == total:
            continue
        site.restore(labels, severed(before, after), site.hosts)
        lost = 1 - np.count_nonzero(labels == value) / total
        if lost > MAX_LOST:
            problems.append(f"tumours cut off {100 * lost:.0f} % of {name}")
    return problems


def severed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(X, Y, Z) what remains of each connected component of a structure, without its largest part.

    Args:
        before: (X, Y, Z) booleans.
        after: (X, Y, Z) booleans, a part of ``before``.
    """
    components, _ = label(before, ANY_NEIGHBOUR)
    parts, count = label(after, ANY_NEIGHBOUR)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    component_of = np.zeros(count + 1, dtype=int)
    component_of[parts[after]] = components[after]
    largest: dict[int, int] = {}
    for part in range(1, count + 1):
        rival = largest.setdefault(int(component_of[part]), part)
        if sizes[part] > sizes[rival]:
            largest[int(component_of[part])] = part
    lost: np.ndarray = after & ~np.isin(parts, list(largest.values()))
    return lost
