"""What a run of ``lldm-aug generate`` is to make: generator, masks, seed; resolved and refused early."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lldm_aug.anatomy.declaration import Anatomy, read_anatomy
from lldm_aug.config.schema import SamplingSettings, check_sampling
from lldm_aug.data.partial import PARTIAL_FILE, read_partial_labels
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, LabelFraction, Split, load_split, patients_of
from lldm_aug.errors import ConfigError, DatasetError, LabelError
from lldm_aug.inpainting.sampling import inpainting_sampling
from lldm_aug.io.hashing import sha256_json
from lldm_aug.io.weights import check_sums
from lldm_aug.labels import LabelSchema
from lldm_aug.masks import make_mask_source, real_mask_source
from lldm_aug.masks.relabelling import ReducedMasks
from lldm_aug.masks.source import MaskSource
from lldm_aug.models.description import Description
from lldm_aug.models.image_model import ImageDescription
from lldm_aug.models.mask_description import MaskDescription, mask_model_folder
from lldm_aug.phantom.phantom_dataset import PHANTOM_VERSION
from lldm_aug.pool.manifest import PoolInfo
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance
from lldm_aug.version import __version__

if TYPE_CHECKING:
    import torch

    from lldm_aug.synthesis.inpainting_plan import InpaintingSettings
    from lldm_aug.synthesis.quality_filter import QualityFilter

WITHOUT_DATA = ("learned", "procedural")


@dataclass(frozen=True)
class MaskRequest:
    """Which masks to draw.

    Args:
        kind: one of `lldm_aug.masks.KINDS`.
        dataset: data set whose training masks are the source; None for learned and procedural masks.
        split: the fold of it whose training cases may be used.
        model: folder of the mask model, for learned masks.
        left_out: structures that are taken out of the masks.
    """

    kind: str
    dataset: RawDataset | None
    split: Split | None
    model: Path | None = None
    left_out: tuple[str, ...] = ()

    def schema(self, description: ImageDescription) -> LabelSchema:
        """The structures of the masks as a pool has them; those that the generator has besides are unknown to it.

        Raises:
            LabelError: when a structure that is left out is not there, or none stays.
        """
        drawn = description.labels if self.dataset is None else self.dataset.schema
        return drawn.without(self.left_out)

    @property
    def cases(self) -> tuple[str, ...]:
        """Ids of the cases whose masks may be used: those of the fold that lack nothing but what is left out.

        Raises:
            DatasetError: when there are none.
        """
        if self.split is None or self.dataset is None:
            return ()
        partial = read_partial_labels(self.dataset)
        whole = tuple(c for c in self.split.train if {*partial.get(c, ())} <= {*self.left_out})
        if not whole:
            raise DatasetError(
                f"{PARTIAL_FILE} leaves no mask with all structures",
                where=self.dataset.folder,
                fix="leave out with --unknown what the masks lack",
            )
        return whole

    def source(self, description: ImageDescription, device: torch.device | str = "cpu") -> MaskSource:
        """The source itself, for a generator; learned masks are drawn on a device."""
        return self._reduced(
            make_mask_source(
                self.kind,
                description.labels,
                dataset=self.dataset,
                cases=self.cases,
                grid=description.grid,
                model=self.model,
                device=device,
            )
        )

    def host_source(self) -> MaskSource:
        """The source itself, of masks that are made from real cases."""
        assert self.dataset is not None
        return self._reduced(real_mask_source(self.kind, self.dataset, self.cases))

    def _reduced(self, source: MaskSource) -> MaskSource:
        return ReducedMasks(source, source.schema.without(self.left_out)) if self.left_out else source


def choose_sampling(
    description: Description, steps: int | None, guidance: float | None, *, inpainting: bool = False
) -> SamplingSettings:
    """The generator's own sampling, or that of its inpainting, with what the user asks for.

    Raises:
        ConfigError: when its solver cannot take so many steps.
    """
    asked = {"steps": steps, "guidance": guidance}
    own = inpainting_sampling(description) if inpainting else description.sampling
    sampling = own.model_copy(update={k: v for k, v in asked.items() if v is not None})
    try:
        check_sampling(description.objective, sampling)
    except ValueError as error:
        raise ConfigError(str(error), where="--steps", fix="ask for fewer") from error
    return sampling


def request_masks(
    description: Description,
    kind: str,
    data: str | None,
    fold: Fold | None,
    *,
    model: Path | None = None,
    left_out: Collection[str] = (),
    labelled: LabelFraction | None = None,
    write_split: bool = True,
) -> MaskRequest:
    """Fills in what the user left open with the data set and fold that the generator was trained on.

    Args:
        description: of the generator.
        kind: one of `lldm_aug.masks.KINDS`.
        data: the user's data set, if any.
        fold: the user's fold, if any.
        model: the generator's or run's folder, which may hold a mask model.
        left_out: structures to take out of the masks.
        labelled: the share of the fold's training cases whose masks may be used; all if left out.
        write_split: whether a split that the data set lacks is made and written.

    Raises:
        DatasetError: when real masks are asked for and the data set or fold cannot be found.
        ConfigError: when a data set or share is given for masks that come from none, or what is to be left out cannot
            be.
        LabelError: when the data set has a structure that the generator does not know.
        CheckpointError: when learned masks are asked for and there is no mask model.
    """
    trained = description.stages[-1]
    if kind in WITHOUT_DATA:
        for option, given in (("--data", data), ("--label-fraction", labelled)):
            if given is not None:
                what = f"masks of kind {kind!r} come from no data set"
                raise ConfigError(what, where=option, fix="leave one of them out")
        folder = mask_model_folder(model) if kind == "learned" and model is not None else None
        return MaskRequest(kind, None, None, folder, check_left_out(description.labels, left_out))
    dataset = RawDataset.find(data if data is not None else trained.dataset)
    if fold is None:
        if trained.dataset != dataset.name:
            raise DatasetError("masks would come from an unknown fold", where=dataset.folder, fix="give --fold")
        fold = trained.fold
    _check_known(dataset, description.labels)
    left_out = check_left_out(dataset.schema, left_out, edited_anatomy(kind, dataset))
    split = _labelled(load_split(dataset, fold, write=write_split), dataset, trained, labelled)
    return MaskRequest(kind, dataset, split, left_out=left_out)


def _labelled(split: Split, dataset: RawDataset, trained: StageProvenance, share: LabelFraction | None) -> Split:
    """What masks may be drawn from: those of the share that is asked for, of which a generator that was trained on a
    share of the same labels allows its own alone."""
    usable = split.train if share is None else share.labelled(split.train, patients_of(dataset))
    if (trained.dataset, trained.fold) == (dataset.name, split.fold):
        seen = tuple(case for case in usable if case in trained.labelled)
        if share is not None and not seen:
            what = "none of the share's cases is among those whose labels the generator was trained on"
            raise DatasetError(
                what, where=dataset.folder, fix="give the --label-fraction and --label-fraction-seed of its training"
            )
        usable = seen or usable
    return split if usable == split.train else Split(split.fold, usable, split.val)


def _check_known(dataset: RawDataset, known: LabelSchema) -> None:
    """Raises LabelError when a data set has a structure, or an ignore label, that a generator knows nothing of."""
    schema = dataset.schema
    if not {*schema.names} <= {*known.names}:
        raise LabelError(
            f"the generator knows {', '.join(known.names)}, not {', '.join(schema.names)}",
            where=dataset.folder,
            fix="use masks of structures that it knows, or a generator trained on this data set",
        )
    if schema.ignore is not None and known.ignore is None:
        raise LabelError(
            "the masks have an ignore label, of which the generator knows nothing",
            where=dataset.folder,
            fix="use a generator trained on this data set",
        )


def edited_anatomy(kind: str, dataset: RawDataset) -> Anatomy | None:
    """The anatomy that decides what masks of a kind look like, if one does; errors as `read_anatomy`."""
    return read_anatomy(dataset) if kind == "edited" else None


def check_left_out(schema: LabelSchema, names: Collection[str], anatomy: Anatomy | None = None) -> tuple[str, ...]:
    """The names of structures to leave out, each once and in the order of the masks' schema.

    Args:
        schema: of the masks.
        names: what to leave out.
        anatomy: what is edited in them, if anything is.

    Raises:
        ConfigError: when masks lack one, none stays, or edited masks would lose what was edited.
    """
    try:
        schema.without(names)
    except LabelError as error:
        raise ConfigError(error.what, where="--unknown") from error
    if anatomy is not None and anatomy.editable & {*names}:
        fix = "use masks of kind 'real' or 'deformed'"
        raise ConfigError("edited masks are about tumours, which would be left out", where="--unknown", fix=fix)
    return tuple(name for name in schema.names if name in names)


def make_filter(
    description: Description, masks: MaskRequest, segmenter: Path, device: torch.device | str = "cpu"
) -> QualityFilter:
    """The quality filter of a generator and masks with the evaluation segmenter in a folder (see `load_segmenter`).

    Raises:
        CheckpointError: when there is no evaluation segmenter, or the generator says nothing of real cases.
        LabelError: when they do not fit each other.
    """
    from lldm_aug.synthesis.evaluation_segmenter import load_segmenter
    from lldm_aug.synthesis.quality_filter import QualityFilter

    return QualityFilter.of(description, load_segmenter(segmenter, device), masks.schema(description))


def mask_settings(masks: MaskRequest) -> dict[str, Any]:
    """What decides the masks, for ``pool.json``."""
    dataset = masks.dataset
    settings: dict[str, Any] = {
        "masks": masks.kind,
        "mask_dataset": None if dataset is None else dataset.name,
        "mask_cases": {c: dataset.label_hash(c) for c in masks.cases} if dataset else {},
    }
    if dataset is not None and (anatomy := edited_anatomy(masks.kind, dataset)) is not None:
        settings["anatomy"] = anatomy.sha256
    return settings


def describe_pool(
    description: ImageDescription,
    generator_hash: str,
    masks: MaskRequest,
    seed: int,
    sampling: SamplingSettings,
    quality_filter: QualityFilter | None = None,
    inpainting: InpaintingSettings | None = None,
) -> PoolInfo:
    """The pool's ``pool.json``; what a mask model or the quality filter's evaluation segmenter saw counts as seen by
    the generator."""
    dataset_json, stages = {**description.dataset_json}, description.stages
    settings: dict[str, Any] = {
        "generator": generator_hash,
        "seed": seed,
        **mask_settings(masks),
        "sampling": sampling.model_dump(mode="json"),
    }
    if inpainting is not None:
        settings["inpainting"] = inpainting.recorded(masks)
    if (schema := masks.schema(description)) != description.labels:
        settings["labels"] = dataset_json["labels"] = schema.to_dataset_json()
        dataset_json.pop("regions_class_order", None)
    if masks.kind == "procedural":
        settings["phantom_version"] = PHANTOM_VERSION
    if masks.model is not None:
        settings["mask_model"] = check_sums(masks.model)
        stages += MaskDescription.read(masks.model).stages
    if quality_filter is not None:
        settings["quality_filter"] = quality_filter.settings
        stages += quality_filter.segmenter.stages
    return pool_info(masks, dataset_json, GeneratorProvenance(hash=generator_hash, stages=stages), settings)


def pool_info(
    masks: MaskRequest, dataset_json: dict[str, Any], generator: GeneratorProvenance, settings: dict[str, Any]
) -> PoolInfo:
    """The ``pool.json`` of pairs for some masks; settings are all that decides the pairs, the seed among them."""
    dataset, split = masks.dataset, masks.split
    return PoolInfo(
        lldm_aug_version=__version__,
        seed=settings["seed"],
        mask_source=masks.kind,
        mask_dataset=None if dataset is None else dataset.name,
        fold=None if split is None else split.fold,
        split_hash=None if split is None else split.hash,
        dataset_json={**dataset_json, "file_ending": ".nii.gz"},
        generator=generator,
        settings_hash=sha256_json(settings),
        settings=settings,
    )
