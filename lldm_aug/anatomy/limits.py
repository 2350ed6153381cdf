"""Limits for structures of a mask that come from no real mask; those of real masks can widen them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np
from scipy.ndimage import label

from lldm_aug.anatomy.declaration import LESIONS, LIVER, VESSELS
from lldm_aug.anatomy.measures import (
    ANY_NEIGHBOUR,
    SPECK_VOXELS,
    component_sizes,
    exposed_shares,
    largest_share,
    touching_share,
)
from lldm_aug.labels import LabelSchema
from lldm_aug.record import Record

__all__ = ["DEFAULT_LIMITS", "LESIONS", "LIVER", "VESSELS", "Limits"]


class Limits(Record):
    """Bounds for the structures of a mask. The defaults hold for phantoms; experts' masks are often rougher.

    Args:
        specks: largest share of a structure in specks (connected components of fewer than 4 voxels beside its largest;
            of a lesion, components of one voxel).
        tree: least share of a vessel in its largest connected component.
        touching: largest share of the smaller of two vessels that neighbours the other.
        exposed: largest share of the surface of a vessel, or of one lesion, that faces the background.
        needed: structures that no mask may lack.
    """

    specks: float = 0.0
    tree: float = 0.9
    touching: float = 0.05
    exposed: float = 0.5
    needed: tuple[str, ...] = ()

    def widened(self, masks: Iterable[np.ndarray], schema: LabelSchema) -> Limits:
        """Limits that these real masks keep too: what was learned from them cannot be asked to be better.

        All but lesions that each of them has is needed from then on.
        """
        limits, common = self, {*schema.names} - LESIONS
        for mask in masks:
            common &= {name for name, value in schema.values.items() if (mask == value).any()}
            specks = max((_speck_share(mask, schema, name, LESIONS) for name in schema.names), default=0.0)
            vessels = _vessels(mask, schema)
            tree = min(map(largest_share, vessels.values()), default=1.0)
            touching = max((touching_share(*pair) for pair in combinations(vessels.values(), 2)), default=0.0)
            exposed = max((share for _, share in _exposures(mask, schema, frozenset(schema.names))), default=0.0)
            found = {"specks": specks, "touching": touching, "exposed": exposed}
            wider = {name: max(value, getattr(limits, name)) for name, value in found.items()}
            limits = Limits(tree=min(tree, limits.tree), **wider)
        return limits.model_copy(update={"needed": tuple(name for name in schema.names if name in common)})

    def problems(
        self,
        mask: np.ndarray,
        schema: LabelSchema,
        names: frozenset[str],
        *,
        in_liver: bool,
        lesions: frozenset[str] = LESIONS,
    ) -> list[str]:
        """What is beyond these limits.

        Args:
            mask: (X, Y, Z) integers.
            schema: what they stand for.
            names: structures to look at.
            in_liver: whether vessels and lesions belong into a liver that the mask has.
            lesions: names of structures of which two voxels are no speck.
        """
        found = [f"no {n}" for n in self.needed if n in names and not (mask == schema.value(n)).any()]
        specks = {n: _speck_share(mask, schema, n, lesions) for n in schema.names if n in names}
        found += [f"{n} has specks" for n, share in specks.items() if share > self.specks]
        vessels = {n: voxels for n, voxels in _vessels(mask, schema).items() if n in names}
        for name, voxels in vessels.items():
            share = largest_share(voxels)
            if share < self.tree:
                found.append(f"only {100 * share:.0f} % of {name} hangs together")
        for (one, a), (other, b) in combinations(vessels.items(), 2):
            share = touching_share(a, b)
            if share > self.touching:
                found.append(f"{one} and {other} touch along {100 * share:.0f} % of the smaller")
        for name, share in _exposures(mask, schema, names) if in_liver else ():
            if share > self.exposed:
                found.append(f"{100 * share:.0f} % of the surface of {name} lies outside the liver")
        return found


DEFAULT_LIMITS = Limits()


def _speck_share(mask: np.ndarray, schema: LabelSchema, name: str, lesions: frozenset[str]) -> float:
    sizes = component_sizes(mask == schema.value(name))
    specks = sizes[sizes < 2] if name in lesions else sizes[1:][sizes[1:] < SPECK_VOXELS]
    return float(specks.sum() / max(1, sizes.sum()))


def _vessels(mask: np.ndarray, schema: LabelSchema) -> dict[str, np.ndarray]:
    found = {n: mask == value for n, value in schema.values.items() if n in VESSELS}
    return {n: voxels for n, voxels in found.items() if voxels.any()}


def _exposures(mask: np.ndarray, schema: LabelSchema, names: frozenset[str]) -> Iterator[tuple[str, float]]:
    for name, value in schema.values.items():
        if name in names & (VESSELS | LESIONS):
            voxels = mask == value
            components = label(voxels, ANY_NEIGHBOUR)[0] if name in LESIONS else voxels.astype(np.int32)
            yield from ((name, float(share)) for share in exposed_shares(components, mask))
