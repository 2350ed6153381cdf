"""The training cases of one fold on the generator's grid, prepared once and kept in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import Field

from lldm_aug.anatomy.declaration import find_anatomy
from lldm_aug.config.schema import Config
from lldm_aug.data.conform import Frame, compression_for, fitting_spacing, median_spacing
from lldm_aug.data.intensity import (
    IntensityModel,
    Scale,
    background,
    common_scale,
    measure_scale,
    scales_by_dataset,
)
from lldm_aug.data.partial import PARTIAL_FILE, read_partial_labels
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.data.splits import Fold, LabelFraction, Split, load_split, patients_of
from lldm_aug.errors import ConfigError, DatasetError, IncompatibleResume
from lldm_aug.geometry import Box, Grid
from lldm_aug.io.atomic import atomic_file, write_json
from lldm_aug.io.hashing import sha256_file, sha256_json
from lldm_aug.io.records import read_record
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.labels import LabelSchema
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.config_file import VersionedDescription
from lldm_aug.models.layers import Factors, lowest_cell
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.record import Record
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.order import Row
from lldm_aug.training.window_crops import Outline, Scene, Sides, find_places
from lldm_aug.version import __version__
from lldm_aug.volume import Volume

ZERO_SHARE = 1e-3
"""Share of exactly zero voxels above which a case is said to have a zeroed background."""

In = TypeVar("In")
Out = TypeVar("Out")
AnyDescription = TypeVar("AnyDescription", bound=VersionedDescription)


class CaseSetRecord(Record):
    """What ``cases.json`` holds.

    Args:
        request: hash over everything that decides the prepared cases.
        dataset: name of the data set.
        dataset_json: channels, labels and file ending.
        fold: the fold whose training cases these are.
        split_hash: hash of the split.
        cases: SHA-256 of the mask file by case id.
        shape: voxels of the grid, or of the window.
        spacing_mm: its voxel size.
        compression: voxels per latent cell.
        intensity: scaling and its inverse.
        unknown: structures that were not annotated, by id of the cases that lack any.
        unlabelled: cases whose masks are not used: they are empty here, and all their structures unknown.
        windows: whether the cases are whole, and larger than the grid.
        outlines: what of its voxels each case covers; the folders of earlier versions do not say.
        lesions: structures that are lesions, as the data set says now.
    """

    request: str
    dataset: str
    dataset_json: dict[str, Any]
    fold: int | str
    split_hash: str
    cases: dict[str, str]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    compression: tuple[int, int, int]
    intensity: IntensityModel
    unknown: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()
    windows: bool = False
    outlines: dict[str, Outline] = Field(default_factory=dict)
    lesions: tuple[str, ...] = ()

    def describe(self, kind: type[AnyDescription], /, *settings: object, **more: Any) -> AnyDescription:
        """The description of a model that is trained on these cases.

        Args:
            kind: of description; its fields are looked for here first.
            settings: where they are looked for next.
            more: those that are neither here nor there, or other ones than these.
        """
        shared = ("shape", "spacing_mm", "compression", "dataset_json", "intensity", "windows")
        known = {n: getattr(each, n) for each in settings for n in kind.model_fields if hasattr(each, n)}
        known |= {name: getattr(self, name) for name in shared if name in kind.model_fields}
        return kind(**{"lldm_aug_version": __version__, **known, **more})


@dataclass(frozen=True)
class PreparedCase:
    """One case as networks are trained on it.

    Args:
        image: (C, X, Y, Z) scaled intensities.
        label: (X, Y, Z) integers.
        foreground: (X, Y, Z) share of each voxel that is not exactly zero in the data.
    """

    image: torch.Tensor
    label: torch.Tensor
    foreground: torch.Tensor


class CaseSet:
    """The prepared cases of a run folder; see `prepare_cases`."""

    def __init__(self, folder: Path, record: CaseSetRecord) -> None:
        self.folder = folder
        self.record = record
        self.schema = LabelSchema.from_dataset_json(record.dataset_json)
        self._scenes: dict[str, Scene] = {}

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Sorted ids."""
        return tuple(sorted(self.record.cases))

    def load(self, case_id: str, box: Box | None = None) -> PreparedCase:
        """One prepared case, or a part of it. Of a set of windows, that around its structures is the default part."""
        path, names = _case_file(self.folder, case_id), ("image", "label", "foreground")
        tensors = load_tensors(path, names, box or self._window(case_id))
        return PreparedCase(tensors["image"].float(), tensors["label"], tensors["foreground"].float())

    def load_label(self, case_id: str, box: Box | None = None) -> torch.Tensor:
        """The label of one prepared case alone, or of its part: a fifth of the bytes of `load`."""
        return load_tensors(_case_file(self.folder, case_id), ("label",), box or self._window(case_id))["label"]

    def whole(self, case_id: str) -> Box | None:
        """All of a case for `load`, where that is more than the default."""
        return self.record.outlines[case_id].box if self.record.windows else None

    def _window(self, case_id: str) -> Box | None:
        return self._scene(case_id).fixed(self.record.shape) if self.record.windows else None

    def patch(self, wanted: Sides | None) -> Sides | None:
        """Side lengths of what a stage that asks for such patches is trained on; None for whole cases.

        Patches of a set of windows are windows, or smaller.
        """
        if not self.record.windows:
            return wanted
        x, y, z = (min(n, m) for n, m in zip(wanted or self.record.shape, self.record.shape, strict=True))
        return x, y, z

    def drawn(self, rows: Sequence[Row], seed: int, stage: str, sides: Sides | None = None) -> Sequence[Box | None]:
        """The parts of their cases that the rows of a batch show, None for all: pure functions of seed, stage and row.

        Args:
            rows: of the batch.
            seed: of the run.
            stage: its name.
            sides: voxels of a part; None for those of the window. A case with fewer voxels is shown whole.
        """
        if not self.record.windows:
            return [None] * len(rows)
        return self.crops(rows, seed, stage, sides or self.record.shape)

    def crops(self, rows: Sequence[Row], seed: int, stage: str, sides: Sides) -> list[Box]:
        """Parts of so many voxels of the cases of a batch, as `drawn` draws them, of whole fields of view as well."""
        rngs = [numpy_rng(seed, stage, "window", row.step, row.number) for row in rows]
        pairs = zip(rows, rngs, strict=True)
        return [self._scene(row.case_id).drawn(rng, sides) for row, rng in pairs]

    def _scene(self, case_id: str) -> Scene:
        if case_id not in self._scenes:
            lesions = frozenset(map(self.schema.value, self.record.lesions))
            outline, places = self._outline(case_id), self._places(case_id)
            self._scenes[case_id] = Scene(outline, places, lesions, self.record.compression)
        return self._scenes[case_id]

    def _places(self, case_id: str) -> np.ndarray:
        """See `find_places`."""
        if not self.record.windows:
            return find_places(self.load_label(case_id).numpy(), self.schema)
        return load_tensors(_case_file(self.folder, case_id), ("places",))["places"].numpy()

    def _outline(self, case_id: str) -> Outline:
        shape = self.record.shape
        return self.record.outlines.get(case_id) or Outline(sides=shape, start=(0, 0, 0), stop=shape)

    def inside(self, case_ids: Sequence[str], boxes: Sequence[Box | None]) -> torch.Tensor:
        """Booleans (B, 1, X, Y, Z): which voxels of parts of cases, as `load` gives them, the cases cover."""
        pairs = zip(case_ids, boxes, strict=True)
        return torch.stack([self._inside(case_id, box or self._window(case_id)) for case_id, box in pairs])[:, None]

    def _inside(self, case_id: str, box: Box | None) -> torch.Tensor:
        outline = self._outline(case_id)
        return outline.covers(box or outline.box)

    def counted(self, rows: Sequence[Row], boxes: Sequence[Box | None]) -> torch.Tensor | None:
        """What of the rows' voxels counts in losses, as (B, 1, X, Y, Z) shares; None for all of them.

        Of a window, what lies outside of the case is unknown. A grid that is laid over whole cases shows what a
        generated image has to have, edges continued.
        """
        return self.inside([row.case_id for row in rows], boxes).float() if self.record.windows else None

    def condition(self, case_ids: Sequence[str], labels: torch.Tensor) -> torch.Tensor:
        """The condition (B, S, X, Y, Z) of cases with (B, X, Y, Z) labels: what was not annotated is unknown."""
        unknown = self.record.unknown
        rows = zip(case_ids, labels, strict=True)
        return torch.cat([encode_mask(label[None], self.schema, unknown.get(name, ())) for name, label in rows])

    def fully_annotated(self) -> CaseSet:
        """The cases that lack no structure.

        Raises:
            DatasetError: when there are none.
        """
        whole = {name: digest for name, digest in self.record.cases.items() if name not in self.record.unknown}
        if not whole:
            raise DatasetError(f"{PARTIAL_FILE} leaves no case with all structures", where=self.folder)
        return CaseSet(self.folder, self.record.model_copy(update={"cases": whole}))

    def labelled(self) -> CaseSet:
        """The cases whose masks may be used."""
        cases = {name: digest for name, digest in self.record.cases.items() if name not in self.record.unlabelled}
        return CaseSet(self.folder, self.record.model_copy(update={"cases": cases}))

    @property
    def unlabelled_ids(self) -> tuple[str, ...]:
        """Sorted ids of the cases whose masks may not be used."""
        return tuple(sorted({*self.record.unlabelled} & {*self.record.cases}))

    def provenance(self, stage: str) -> StageProvenance:
        """What a stage that is trained on these cases has seen."""
        r = self.record
        return StageProvenance(
            stage=stage,
            dataset=r.dataset,
            fold=r.fold,
            split_hash=r.split_hash,
            cases=dict(sorted(r.cases.items())),
            unlabelled=self.unlabelled_ids,
        )


def spread(case_ids: Sequence[str], most: int) -> Sequence[str]:
    """At most so many of some cases, spread evenly over them."""
    return case_ids[:: -(-len(case_ids) // most)]


def prepare_cases(
    dataset: RawDataset, fold: Fold, config: Config, folder: Path, labelled: LabelFraction | None = None
) -> CaseSet:
    """Brings the training cases of a fold to the generator's grid, or finds them there from an earlier call.

    Of a label fraction, only its cases are read, or the masks of its cases only.

    Raises:
        IncompatibleResume: when the folder holds cases of another data set, fold or grid, or the data have changed.
        DatasetError: when the fold is missing.
        InvalidVolume, LabelError: for bad cases.
        ConfigError: when the grid does not suit the networks.
    """
    split, unlabelled = _chosen(dataset, load_split(dataset, fold), labelled)
    case_ids = tuple(sorted({*split.train}))  # a split that was written by hand may come in any order
    if not case_ids:
        raise DatasetError(f"fold {fold} has no training cases", where=dataset.folder, fix="choose another --fold")
    hashes = dict(zip(case_ids, _each(dataset.label_hash, case_ids), strict=True))
    partial = read_partial_labels(dataset)
    unknown = {case_id: partial[case_id] for case_id in case_ids if case_id in partial}
    unknown |= dict.fromkeys(unlabelled, dataset.schema.names)
    request = _request(dataset, split, hashes, config, unknown, unlabelled)
    path = folder / "cases.json"
    if path.exists():
        record = read_record(CaseSetRecord, path, error=DatasetError, fix="delete it and run again")
        record = record.model_copy(update={"lesions": lesion_names(dataset)})
        if record.request != request:
            raise IncompatibleResume(
                "holds cases that were prepared from other data, another fold or other grid settings",
                where=folder,
                fix="choose another --out, or delete the folder",
            )
        _check_grid(record.shape, record.compression, config)
        return CaseSet(folder, record)
    record = _measure(dataset, split, hashes, config, request)
    facts = {"unknown": unknown, "unlabelled": unlabelled, "lesions": lesion_names(dataset)}
    record = record.model_copy(update=facts)
    outlines = _each(lambda case_id: _prepare(dataset, case_id, record, folder), case_ids)
    record = record.model_copy(update={"outlines": dict(zip(case_ids, outlines, strict=True))})
    write_json(path, record.model_dump(mode="json"))
    return CaseSet(folder, record)


def lesion_names(dataset: RawDataset) -> tuple[str, ...]:
    """The structures of a data set that are lesions, or lie in lesions and belong to them."""
    lesions = find_anatomy(dataset).editable
    return tuple(name for name in dataset.schema.names if name in lesions)


def _chosen(dataset: RawDataset, split: Split, labelled: LabelFraction | None) -> tuple[Split, tuple[str, ...]]:
    """The split of the cases to prepare, and those of them whose masks are not used."""
    if labelled is None:
        return split, ()
    share = labelled.labelled(split.train, patients_of(dataset))
    if labelled.images == "labelled":
        return Split(split.fold, share, split.val), ()
    return split, tuple(sorted({*split.train} - {*share}))


def _request(
    dataset: RawDataset,
    split: Split,
    hashes: dict[str, str],
    config: Config,
    unknown: dict[str, tuple[str, ...]],
    unlabelled: tuple[str, ...],
) -> str:
    images = _each(lambda case_id: [sha256_file(p) for p in dataset.image_paths(case_id) if p.is_file()], hashes)
    return sha256_json(
        {
            "dataset": dataset.name,
            "labels": dataset.schema.to_dataset_json(),
            "fold": split.fold,
            "split": split.hash,
            "masks": hashes,
            "images": dict(zip(hashes, images, strict=True)),
            "grid": config.grid.model_dump(mode="json", exclude=None if config.grid.windows else {"windows"}),
            "intensity": config.intensity.model_dump(mode="json"),
            "compression": config.autoencoder.compression,
            **({"unknown": unknown} if unknown else {}),
            **({"unlabelled": unlabelled} if unlabelled else {}),
        }
    )


def _measure(dataset: RawDataset, split: Split, hashes: dict[str, str], config: Config, request: str) -> CaseSetRecord:
    facts = _each(lambda case_id: _facts(dataset.load(case_id), config), hashes)
    shape, grids = config.grid.shape, [f.grid for f in facts]
    spacing = config.grid.spacing_mm
    if spacing is None:
        spacing = median_spacing(grids) if config.grid.windows else fitting_spacing(grids, shape)
    compression = config.autoencoder.compression or compression_for(spacing)
    _check_grid(shape, compression, config)
    scales = [f.scale for f in facts]
    if scales_by_dataset(config.intensity, dataset.channel_names):
        scales = [common_scale(scales)]
    intensity = IntensityModel(
        scales=tuple(scales),
        limit=config.intensity.limit,
        minimum=tuple(map(float, np.min([f.minimum for f in facts], axis=0))),
        maximum=tuple(map(float, np.max([f.maximum for f in facts], axis=0))),
        integer=all(f.integer for f in facts),
        zero_background=float(np.median([f.zero_share for f in facts])) > ZERO_SHARE,
    )
    keep = ("channel_names", "labels", "regions_class_order", "file_ending")
    return CaseSetRecord(
        request=request,
        dataset=dataset.name,
        dataset_json={key: dataset.description[key] for key in keep if key in dataset.description},
        fold=split.fold,
        split_hash=split.hash,
        cases=hashes,
        shape=shape,
        spacing_mm=spacing,
        compression=compression,
        intensity=intensity,
        windows=config.grid.windows,
    )


@dataclass(frozen=True)
class _Facts:
    grid: Grid
    scale: Scale
    minimum: np.ndarray
    maximum: np.ndarray
    integer: bool
    zero_share: float


def _facts(case: Case, config: Config) -> _Facts:
    return _Facts(
        grid=case.grid,
        scale=measure_scale(case.image, config.intensity),
        minimum=case.image.min(axis=(1, 2, 3)),
        maximum=case.image.max(axis=(1, 2, 3)),
        integer=bool(np.all(np.rint(case.image) == case.image)),
        zero_share=float(background(case.image).mean()),
    )


def _prepare(dataset: RawDataset, case_id: str, record: CaseSetRecord, folder: Path) -> Outline:
    case = dataset.load(case_id)
    if case_id in record.unlabelled:
        case = replace(case, label=np.zeros_like(case.label))
    for name in record.unknown.get(case_id, ()):
        if (case.label == dataset.schema.value(name)).any():
            raise DatasetError(
                f"{name!r} is said not to be annotated, but the mask has it",
                where=dataset.label_path(case_id),
                fix=f"correct {PARTIAL_FILE}",
            )
    if record.windows:
        frame = Frame.whole(case.grid, record.spacing_mm, record.shape, record.compression)
    else:
        frame = Frame.around(Volume(case.label, case.grid), record.shape, record.spacing_mm)
    scales = record.intensity.scales
    scale = scales[0] if len(scales) == 1 else scales[sorted(record.cases).index(case_id)]
    tensors = {
        # Half precision keeps a scaled intensity to 0.0005, far below its noise, and halves the cache.
        "image": torch.from_numpy(scale.apply(frame.image_in(case.image), record.intensity.limit)).half(),
        "label": torch.from_numpy(frame.label_in(case.label)),
        "foreground": torch.from_numpy(1 - frame.share_in(background(case.image))).half(),
    }
    if record.windows:
        tensors["places"] = torch.from_numpy(find_places(tensors["label"].numpy(), dataset.schema))
    with atomic_file(_case_file(folder, case_id)) as temporary:
        save_tensors(temporary, tensors)
    x, y, z = frame.covered()
    return Outline(sides=frame.grid.shape, start=(x.start, y.start, z.start), stop=(x.stop, y.stop, z.stop))


def _check_grid(shape: Sides, cells: Factors, config: Config) -> None:
    levels, patch = len(config.denoiser.channels), config.train.autoencoder.patch
    check_sides(shape, cells, levels, "grid.shape", patch, "train.autoencoder.patch")


def check_sides(
    shape: Sides, cells: Factors, levels: int, where: str, patch: Sides | None = None, patch_where: str = ""
) -> None:
    """Makes sure that networks can halve a grid, or the crops of it, as often as they are to.

    Args:
        shape: voxels of the grid.
        cells: voxels per cell of the finest level.
        levels: of the network.
        where: the setting that decides one of these.
        patch: voxels of the crops; None for whole grids.
        patch_where: the setting of them.

    Raises:
        ConfigError: when they cannot.
    """
    deepest = lowest_cell(cells, levels)
    if any(side % factor for side, factor in zip(shape, deepest, strict=True)):
        fix = f"{levels} levels on cells of {cells} voxels need that"
        raise ConfigError(f"shape {shape} is not a multiple of {deepest}", where=where, fix=fix)
    if patch and any(min(side, n) % factor for side, n, factor in zip(patch, shape, cells, strict=True)):
        raise ConfigError(f"patch {patch} is not a multiple of {cells}, the voxels of a latent cell", where=patch_where)


def _case_file(folder: Path, case_id: str) -> Path:
    return folder / f"{case_id}.safetensors"


def _each(work: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """The results in order; reading, inflating and matrix products release the interpreter's lock."""
    with ThreadPoolExecutor(max_workers=4) as executor:
        return list(executor.map(work, items))
