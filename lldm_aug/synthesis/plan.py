"""What a run of ``lldm-aug generate`` is to make: generator, masks, seed; resolved and refused early."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lldm_aug import __version__
from lldm_aug.config.schema import SamplingSettings, check_sampling
from lldm_aug.data.partial import PARTIAL_FILE, read_partial_labels
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import Fold, Split, load_split
from lldm_aug.errors import CheckpointError, ConfigError, DatasetError, LabelError
from lldm_aug.io.hashing import sha256_json
from lldm_aug.io.weights import check_sums
from lldm_aug.masks import make_mask_source
from lldm_aug.masks.source import MaskSource
from lldm_aug.models.config_file import CONFIG_FILE
from lldm_aug.models.description import Description
from lldm_aug.models.mask_description import mask_model_folder, read_mask_description
from lldm_aug.phantom.dataset import PHANTOM_VERSION
from lldm_aug.pool.manifest import PoolInfo
from lldm_aug.pool.provenance import GeneratorProvenance

if TYPE_CHECKING:
    import torch

    from lldm_aug.synthesis.gate import Gate

WITHOUT_DATA = ("learned", "procedural")


@dataclass(frozen=True)
class MaskRequest:
    """Which masks to draw.

    Args:
        kind: one of `lldm_aug.masks.KINDS`.
        dataset: data set whose training masks are the source; None for learned and procedural masks.
        split: the fold of it whose training cases may be used.
        model: folder of the mask model, for learned masks.
    """

    kind: str
    dataset: RawDataset | None
    split: Split | None
    model: Path | None = None

    @property
    def cases(self) -> tuple[str, ...]:
        """Ids of the cases whose masks may be used: those of the fold that lack no structure.

        Raises:
            DatasetError: when there are none.
        """
        if self.split is None or self.dataset is None:
            return ()
        partial = read_partial_labels(self.dataset)
        whole = tuple(case_id for case_id in self.split.train if case_id not in partial)
        if not whole:
            raise DatasetError(f"{PARTIAL_FILE} leaves no mask with all structures", where=self.dataset.folder)
        return whole

    def source(self, description: Description, device: torch.device | str = "cpu") -> MaskSource:
        """The source itself, for a generator; learned masks are drawn on a device.

        Raises:
            LabelError: when generator and data set name different structures.
        """
        schema = description.labels
        if self.dataset is not None and self.dataset.schema != schema:
            raise LabelError(
                f"the generator knows {', '.join(schema.names)}, not {', '.join(self.dataset.schema.names)}",
                where=self.dataset.folder,
                fix="use masks of the same structures, or a generator trained on this data set",
            )
        return make_mask_source(
            self.kind,
            schema,
            dataset=self.dataset,
            cases=self.cases,
            grid=description.grid,
            model=self.model,
            device=device,
        )


def generator_folder(path: Path) -> Path:
    """A generator's folder, given it or the run folder that holds it.

    Raises:
        CheckpointError: when there is none.
    """
    for folder in (path, path / "generator"):
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise CheckpointError("no generator", where=path, fix="finish 'lldm-aug train controlnet', or give another folder")


def choose_sampling(description: Description, steps: int | None, guidance: float | None) -> SamplingSettings:
    """The generator's own sampling with what the user asks for.

    Raises:
        ConfigError: when its solver cannot take so many steps.
    """
    asked = {"steps": steps, "guidance": guidance}
    sampling = description.sampling.model_copy(update={k: v for k, v in asked.items() if v is not None})
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
    write_split: bool = True,
) -> MaskRequest:
    """Fills in what the user left open with the data set and fold that the generator was trained on.

    Args:
        description: of the generator.
        kind: one of `lldm_aug.masks.KINDS`.
        data: the user's data set, if any.
        fold: the user's fold, if any.
        model: the generator's or run's folder, which may hold a mask model.
        write_split: whether a split that the data set lacks is made and written.

    Raises:
        DatasetError: when real masks are asked for and the data set or fold cannot be found.
        ConfigError: when a data set is given for masks that come from none.
        CheckpointError: when learned masks are asked for and there is no mask model.
    """
    trained = description.stages[-1]
    if kind in WITHOUT_DATA:
        if data is not None:
            raise ConfigError(
                f"masks of kind {kind!r} come from no data set", where="--data", fix="leave one of them out"
            )
        folder = mask_model_folder(model) if kind == "learned" and model is not None else None
        return MaskRequest(kind, None, None, folder)
    dataset = RawDataset.find(data if data is not None else trained.dataset)
    if fold is None:
        if trained.dataset != dataset.name:
            raise DatasetError("masks would come from an unknown fold", where=dataset.folder, fix="give --fold")
        fold = trained.fold
    return MaskRequest(kind, dataset, load_split(dataset, fold, write=write_split))


def make_gate(description: Description, referee: Path, device: torch.device | str = "cpu") -> Gate:
    """The gate of a generator with the referee in a folder (see `load_referee`).

    Raises:
        CheckpointError: when there is no referee, or the generator says nothing of real cases.
        LabelError: when they do not fit each other.
    """
    from lldm_aug.synthesis.gate import Gate
    from lldm_aug.synthesis.referee import load_referee

    return Gate.of(description, load_referee(referee, device))


def describe_pool(
    description: Description,
    generator_hash: str,
    masks: MaskRequest,
    seed: int,
    sampling: SamplingSettings,
    gate: Gate | None = None,
) -> PoolInfo:
    """The pool's ``pool.json``; what a mask model or the gate's referee saw counts as seen by the generator."""
    dataset, split, stages = masks.dataset, masks.split, description.stages
    settings: dict[str, Any] = {
        "generator": generator_hash,
        "seed": seed,
        "masks": masks.kind,
        "mask_dataset": None if dataset is None else dataset.name,
        "mask_cases": {c: dataset.label_hash(c) for c in masks.cases} if dataset else {},
        "sampling": sampling.model_dump(mode="json"),
    }
    if masks.kind == "procedural":
        settings["phantom_version"] = PHANTOM_VERSION
    if masks.model is not None:
        settings["mask_model"] = check_sums(masks.model)
        stages += read_mask_description(masks.model).stages
    if gate is not None:
        settings["gate"] = gate.settings
        stages += gate.referee.stages
    return PoolInfo(
        lldm_aug_version=__version__,
        seed=seed,
        mask_source=masks.kind,
        mask_dataset=None if dataset is None else dataset.name,
        fold=None if split is None else split.fold,
        split_hash=None if split is None else split.hash,
        dataset_json={**description.dataset_json, "file_ending": ".nii.gz"},
        generator=GeneratorProvenance(hash=generator_hash, stages=stages),
        settings_hash=sha256_json(settings),
        settings=settings,
    )
