"""The leakage guard: no synthetic case may descend from a validation case, by any stage or mask, under any name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lldm_aug.errors import LeakageError
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance

SPLIT = "nnU-Net's training"
"""Stage of the real training cases, which may show a validation case's patient."""


class LeakageWarning(UserWarning):
    """Training goes on although validation cases leaked: its validation scores mean nothing."""


@dataclass(frozen=True)
class Leak:
    """Validation cases that one stage, or the masks, have seen.

    Args:
        stage: stage of the generator, ``masks``, ``donors`` (of lesions) or `SPLIT`.
        cases: ids of the validation cases, each with its former name in brackets if it was renamed, or with a remark if
            another case of the same patient was seen.
    """

    stage: str
    cases: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(self.cases[:5]) + (f" and {len(self.cases) - 5} more" if len(self.cases) > 5 else "")
        return f"{self.stage} saw {shown}"


def find_leaks(
    generator: GeneratorProvenance,
    origins: Iterable[MaskOrigin],
    *,
    dataset: str,
    validation: Mapping[str, str | None],
    relatives: Mapping[str, str] = MappingProxyType({}),
    training: Iterable[str] = (),
) -> tuple[Leak, ...]:
    """Where validation cases, or other cases of their patients, went into a generator, into masks or into training.

    Args:
        generator: what each stage was trained on; a generator without stages has learned from nothing.
        origins: where the masks of the synthetic cases came from.
        dataset: name of the data set that is trained on, such as ``Dataset700_HBPPhantom``.
        validation: SHA-256 of the mask file of each validation case and relative, or None where the file is not at
            hand. A case is found by its id in the same data set, and by its mask's hash whatever its name.
        relatives: other cases of the same patients (as ``DATASET/CASE`` if of another data set), each with the
            validation case that it belongs to; see `lldm_aug.data.patients.relatives`.
        training: ids of the real cases that the segmentation network is trained on; they are compared by id alone,
            since masks of different cases may well be equal where they are empty.
    """
    seen: dict[str, list[tuple[str, str, str | None]]] = {}
    for stage in generator.stages:
        seen.setdefault(stage.stage, []).extend((stage.dataset, case, sha256) for case, sha256 in stage.cases.items())
    for origin in origins:
        if origin.source_case is not None or origin.source_sha256 is not None:
            source = (origin.source_dataset or "", origin.source_case or "", origin.source_sha256)
            seen.setdefault("masks", []).append(source)
        donors = ((origin.source_dataset or "", case, sha256) for case, sha256 in origin.donors.items())
        seen.setdefault("donors", []).extend(donors)
    seen.setdefault(SPLIT, []).extend((dataset, case, None) for case in training)
    names = {case: f"{case} (same patient as {relatives[case]})" if case in relatives else case for case in validation}
    by_hash = {sha256: case for case, sha256 in validation.items() if sha256 is not None}
    leaks = {stage: set(_match(cases, dataset, names, by_hash)) for stage, cases in seen.items()}
    return tuple(Leak(stage, tuple(sorted(cases))) for stage, cases in leaks.items() if cases)


def _match(
    seen: Iterable[tuple[str, str, str | None]], dataset: str, names: Mapping[str, str], by_hash: Mapping[str, str]
) -> Iterator[str]:
    for source, case, sha256 in seen:
        known_as = case if source == dataset else f"{source}/{case}"
        if known_as in names:
            yield names[known_as]
        elif sha256 is not None and sha256 in by_hash:
            yield f"{names[by_hash[sha256]]} (as {source}/{case})"


def check_leakage(
    generator: GeneratorProvenance,
    origins: Iterable[MaskOrigin],
    *,
    dataset: str,
    validation: Mapping[str, str | None],
    relatives: Mapping[str, str] = MappingProxyType({}),
    training: Iterable[str] = (),
    allow: bool = False,
) -> tuple[Leak, ...]:
    """Refuses synthetic cases that descend from validation cases or their patients; arguments as `find_leaks`.

    Args:
        generator: what each stage was trained on.
        origins: where the masks came from.
        dataset: name of the data set that is trained on.
        validation: SHA-256 of the mask file of each validation case and relative.
        relatives: other cases of the same patients.
        training: the real cases that the segmentation network is trained on.
        allow: warn instead; the caller has to stamp its results with the leaks that are returned.

    Raises:
        LeakageError: names each stage and its cases.
    """
    leaks = find_leaks(
        generator, origins, dataset=dataset, validation=validation, relatives=relatives, training=training
    )
    if leaks and not allow:
        fix = "use a generator and masks from this fold's training cases only"
        if any(leak.stage == SPLIT for leak in leaks):
            fix = f"delete splits_final.json: lldm_aug makes one that keeps patients together. Then {fix}"
        raise LeakageError(
            "validation cases have leaked: " + "; ".join(map(str, leaks)),
            where=dataset,
            fix=f"{fix} (or, for scores that you will not report, "
            "give --allow-leakage and set LLDM_AUG_ALLOW_LEAKAGE=1)",
        )
    if leaks:
        found = "; ".join(map(str, leaks))
        warnings.warn(f"LEAKAGE ALLOWED, validation scores mean nothing: {found}", LeakageWarning, stacklevel=2)
    return leaks
