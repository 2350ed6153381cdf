"""The leakage guard for one fold of a data set in nnU-Net."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lldm_aug.blending.leakage import Leak, check_leakage
from lldm_aug.data.patients import relatives
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance
from nnunet_integration.target import Target


def guard(
    target: Target,
    generator: GeneratorProvenance,
    origins: Iterable[MaskOrigin],
    *,
    training: Sequence[str],
    validation: Sequence[str],
    allow: bool,
) -> tuple[Leak, ...]:
    """Refuses synthetic cases, and a split, that have seen a validation case or another case of its patient.

    Args:
        target: the data set.
        generator: what each stage was trained on.
        origins: where the masks came from.
        training: ids of the real training cases.
        validation: ids of the validation cases.
        allow: warn instead.

    Returns:
        The leaks that were allowed.

    Raises:
        LeakageError: names each stage and its cases.
        DatasetError: when ``patients.json`` is no such file.
    """
    others = relatives(validation, target.patients())
    return check_leakage(
        generator,
        origins,
        dataset=target.name,
        validation=target.label_hashes([*validation, *others]),
        relatives=others,
        training=training,
        allow=allow,
    )
