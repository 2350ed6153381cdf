"""What a run of ``lldm-aug generate --inpaint`` is to make: hosts, masks, and what paints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from lldm_aug.anatomy.declaration import find_anatomy, read_anatomy
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, LabelFraction, Split, load_split, patients_of
from lldm_aug.errors import ConfigError, DatasetError
from lldm_aug.inpainting import DEFAULT_MARGIN_MM
from lldm_aug.io.hashing import sha256_file, sha256_json
from lldm_aug.pool.manifest import PoolInfo
from lldm_aug.pool.provenance import GeneratorProvenance
from lldm_aug.record import Record
from lldm_aug.synthesis.generation_plan import MaskRequest, check_left_out, edited_anatomy, mask_settings, pool_info
from lldm_aug.synthesis.job import Job, mask_line

if TYPE_CHECKING:
    import torch

    from lldm_aug.inpainting.inpainter import Inpainter
    from lldm_aug.masks.source import MaskSource
    from lldm_aug.synthesis.inpainting_pair import InpaintedPairs

HOST_KINDS = ("edited", "deformed", "real")
"""Kinds of masks that are made from a host."""
NO_GENERATOR = GeneratorProvenance(hash="no generator", stages=())


class InpaintingSettings(Record):
    """How regions of hosts are painted anew.

    Args:
        paint: what gives them new contents.
        region: see `lldm_aug.inpainting.region_choice.choose_region`.
        margin_mm: likewise.
        strength: see `lldm_aug.models.generator.Generator.inpaint`.
    """

    paint: Literal["diffusion", "copy-paste"] = "diffusion"
    region: Literal["edits", "lesions", "organ"] = "edits"
    margin_mm: Annotated[float, Field(ge=0, le=100)] = DEFAULT_MARGIN_MM
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def mask_kind(self) -> str:
        """The kind of masks that suits the region."""
        return "edited" if self.region == "edits" else "real"

    def pairs(self, dataset: RawDataset, source: MaskSource, inpainter: Inpainter) -> InpaintedPairs:
        """What makes the pairs.

        Raises:
            LabelError: when lesions are to be painted and the data set names none.
        """
        from lldm_aug.synthesis.inpainting_pair import InpaintedPairs

        anatomy = read_anatomy(dataset) if self.region == "lesions" else find_anatomy(dataset)
        lesions = tuple(name for name in source.schema.names if name in anatomy.editable)
        return InpaintedPairs(dataset, source, inpainter, self.region, self.margin_mm, lesions, self.strength)

    def recorded(self, masks: MaskRequest) -> dict[str, Any]:
        """What ``pool.json`` says of it, with the hashes of all hosts' images."""
        assert masks.dataset is not None
        paths = {case_id: masks.dataset.image_paths(case_id) for case_id in masks.cases}
        hosts = {case_id: [sha256_file(path) for path in images] for case_id, images in paths.items()}
        anatomy = find_anatomy(masks.dataset).sha256
        return {**self.model_dump(mode="json"), "hosts": sha256_json(hosts), "anatomy": anatomy}


def check_hosts(kind: str) -> None:
    """Raises ConfigError for masks that are made from no host."""
    if kind not in HOST_KINDS:
        what = f"masks of kind {kind!r} have no host to paint in"
        raise ConfigError(what, where="--masks", fix=f"use {', '.join(HOST_KINDS)}")


def request_hosts(
    kind: str,
    data: str | None,
    fold: Fold | None,
    *,
    left_out: tuple[str, ...] = (),
    labelled: LabelFraction | None = None,
    write_split: bool = True,
) -> MaskRequest:
    """Hosts and masks where no generator says what it was trained on.

    Raises:
        ConfigError: for structures that cannot be left out.
        DatasetError: when data set or fold are not known.
    """
    if data is None:
        raise DatasetError("no data set to take hosts from", fix="give --data and --fold")
    dataset = RawDataset.find(data)
    if fold is None:
        raise DatasetError("hosts would come from an unknown fold", where=dataset.folder, fix="give --fold")
    split = load_split(dataset, fold, write=write_split)
    if labelled is not None:
        split = Split(split.fold, labelled.labelled(split.train, patients_of(dataset)), split.val)
    left_out = check_left_out(dataset.schema, left_out, edited_anatomy(kind, dataset))
    return MaskRequest(kind, dataset, split, left_out=left_out)


def describe_copy_paste(masks: MaskRequest, settings: InpaintingSettings, seed: int) -> PoolInfo:
    """The ``pool.json`` of a pool that no generator has a part in."""
    dataset = masks.dataset
    assert dataset is not None
    keep = ("channel_names", "labels", "regions_class_order")
    described = {key: dataset.description[key] for key in keep if key in dataset.description}
    if masks.left_out:
        described["labels"] = dataset.schema.without(masks.left_out).to_dataset_json()
        described.pop("regions_class_order", None)
    chosen = {"seed": seed, **mask_settings(masks), "inpainting": settings.recorded(masks)}
    return pool_info(masks, described, NO_GENERATOR, chosen)


@dataclass(frozen=True)
class CopyPastePlan:
    """A run in which lesions of other cases are pasted into hosts; see `lldm_aug.synthesis.job.JobPlan`.

    Args:
        masks: hosts and masks.
        settings: what is painted.
        seed: of the run.
    """

    masks: MaskRequest
    settings: InpaintingSettings
    seed: int

    def lines(self) -> Iterator[str]:
        """See `JobPlan`."""
        yield "generator  none"
        yield mask_line(self.masks)
        yield f"inpainting {self.settings.model_dump()}"

    @property
    def hosts(self) -> RawDataset | None:
        """See `JobPlan`."""
        return self.masks.dataset

    def begin(self, device: torch.device) -> Job:
        """See `JobPlan`."""
        from lldm_aug.inpainting.copy_paste import CopyPasteInpainter

        assert self.masks.dataset is not None
        source = self.masks.host_source()
        inpainter = CopyPasteInpainter.of(self.masks.dataset, self.masks.cases, source.schema)
        make = self.settings.pairs(self.masks.dataset, source, inpainter).make
        return Job(describe_copy_paste(self.masks, self.settings, self.seed), make, None)
