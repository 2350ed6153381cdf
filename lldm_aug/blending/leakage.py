"""The leakage guard: no synthetic case may descend from a validation case, by any stage or mask, under any name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lldm_aug.errors import LeakageError
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance


class LeakageWarning(UserWarning):
    """Training goes on although validation cases leaked: its validation scores are no estimate of anything."""


@dataclass(frozen=True)
class Leak:
    """Validation cases that one stage, or the masks, have seen.

    Args:
        stage: stage of the generator, or ``masks``.
        cases: ids of the validation cases, each with its former name in brackets if it was renamed.
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
) -> tuple[Leak, ...]:
    """Where validation cases went into a generator or into masks.

    Args:
        generator: what each stage was trained on; a generator without stages has learned from nothing.
        origins: where the masks of the synthetic cases came from.
        dataset: name of the data set that is trained on, such as ``Dataset700_HBPPhantom``.
        validation: SHA-256 of the mask file of each validation case, or None where the file is not at hand. A case
            is found by its id in the same data set, and by its mask's hash whatever its name.
    """
    seen: dict[str, list[tuple[str, str, str | None]]] = {}
    for stage in generator.stages:
        seen.setdefault(stage.stage, []).extend((stage.dataset, case, sha256) for case, sha256 in stage.cases.items())
    for origin in origins:
        if origin.source_case is not None or origin.source_sha256 is not None:
            source = (origin.source_dataset or "", origin.source_case or "", origin.source_sha256)
            seen.setdefault("masks", []).append(source)
    by_hash = {sha256: case for case, sha256 in validation.items() if sha256 is not None}
    leaks = {stage: set(_match(cases, dataset, validation, by_hash)) for stage, cases in seen.items()}
    return tuple(Leak(stage, tuple(sorted(cases))) for stage, cases in leaks.items() if cases)


def _match(
    seen: Iterable[tuple[str, str, str | None]], dataset: str, ids: Mapping[str, object], by_hash: Mapping[str, str]
) -> Iterator[str]:
    for source, case, sha256 in seen:
        if source == dataset and case in ids:
            yield case
        elif sha256 is not None and sha256 in by_hash:
            yield f"{by_hash[sha256]} (as {source}/{case})"


def check_leakage(
    generator: GeneratorProvenance,
    origins: Iterable[MaskOrigin],
    *,
    dataset: str,
    validation: Mapping[str, str | None],
    allow: bool = False,
) -> tuple[Leak, ...]:
    """Refuses synthetic cases that descend from validation cases; arguments as `find_leaks`.

    Args:
        generator: what each stage was trained on.
        origins: where the masks came from.
        dataset: name of the data set that is trained on.
        validation: SHA-256 of the mask file of each validation case.
        allow: warn instead; the caller has to stamp its results with the leaks that are returned.

    Raises:
        LeakageError: names each stage and its cases.
    """
    leaks = find_leaks(generator, origins, dataset=dataset, validation=validation)
    if leaks and not allow:
        raise LeakageError(
            "validation cases have leaked into the synthetic ones: " + "; ".join(map(str, leaks)),
            where=dataset,
            fix="use a generator and masks from this fold's training cases only "
            "(or, for scores that you will not report, give --allow-leakage and set LLDM_AUG_ALLOW_LEAKAGE=1)",
        )
    if leaks:
        found = "; ".join(map(str, leaks))
        warnings.warn(f"LEAKAGE ALLOWED, validation scores mean nothing: {found}", LeakageWarning, stacklevel=2)
    return leaks
