"""Inpainting in memory: a transform that edits real samples in a data loader or a training loop."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from lldm_aug.anatomy.declaration import Anatomy, default_anatomy, read_anatomy
from lldm_aug.blending.epoch import SharedEpoch
from lldm_aug.blending.leakage import Leak
from lldm_aug.config.schema import SamplingSettings
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.errors import ConfigError, InvalidVolume, LabelError
from lldm_aug.inpainting import DEFAULT_MARGIN_MM, REGIONS
from lldm_aug.inpainting.diffusion_inpainter import DiffusionInpainter
from lldm_aug.inpainting.hosts import Hosts
from lldm_aug.inpainting.inpainter import Inpainter
from lldm_aug.inpainting.mask_edits import MaskEdits
from lldm_aug.inpainting.region_choice import choose_region
from lldm_aug.inpainting.sample import DEFAULT_LAYOUT, SampleLayout, open_sample
from lldm_aug.inpainting.sampling import inpainting_sampling
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.edited import TRIES_PER_CASE
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.models.config_file import generator_folder
from lldm_aug.models.generator import Generator
from lldm_aug.pool.provenance import GeneratorProvenance
from lldm_aug.resources import pretrained_dir
from lldm_aug.seeds import Part, derive_seed, numpy_rng

Item = int | str


class InpaintWarning(UserWarning):
    """A sample stays as it is, because it could not be edited."""


class Inpaint:
    """Edits the lesions of real samples and paints the region around the edits anew; nothing is written to disk.

    Called with a sample it returns one of the same kind: a `Case`, a pair (image, mask, ...), a dictionary of arrays,
    tensors or MetaTensors, or a TorchIO subject. Outside of the region every voxel, its type and the affine stay as
    they are; the sample that was given is not changed. Samples that are not chosen (see ``probability``), and those in
    which no edit succeeds, come back as they are.

    Which samples are edited, and how, is a pure function of (seed, epoch, item): the number of workers, their start
    method and the order of access change nothing. Call `set_epoch` before each epoch; it reaches workers that are
    already running. Pass whole volumes, before they are cropped, normalised or deformed.

    Examples:
        ::

            inpaint = Inpaint("runs/x", "Dataset700_HBPPhantom", training=training, seed=0)
            edited = inpaint(sample, item="case_07", epoch=3)
            data = inpaint.over(real, names=training)

    Args:
        generator: a generator, its folder or run folder, or any `Inpainter`. None takes the embedded generator.
        labels: what the integers of the masks stand for: the data set or its name, the contents of its
            ``dataset.json``, or a schema.
        anatomy: which structures are lesions, and what they lie in. None takes that of the data set, or of a liver.
        probability: fraction of the samples that are edited.
        region: what is painted. ``edits`` paints the voxels whose label was changed. ``lesions`` and ``organ`` leave
            the mask as it is, and give all lesions, or all structures, a new appearance.
        margin_mm: how far around these voxels the region reaches.
        sampling: solver, steps and guidance. None takes the generator's own, with at most 5 steps for a second-order
            solver and without guidance (see `inpainting_sampling`).
        strength: 1 paints the region from noise alone; below 1 it keeps some of its old appearance.
        seed: decides every random number.
        layout: keys of image and mask, and the voxel size of samples without an affine.
        training: ids of the training cases. If given, no other case is edited; if the data set is known too, lesions
            are measured in the masks of these cases, and copied from them where the anatomy asks for that.
        device: device that the generator is moved to. None leaves it where it is.

    Raises:
        ConfigError: for a value out of range.
        LabelError: when the masks or the generator lack what the region asks for.
        CheckpointError: when the generator's folder is damaged.
    """

    def __init__(
        self,
        generator: Generator | Inpainter | str | Path | None,
        labels: RawDataset | str | Path | LabelSchema | Mapping[str, Any],
        *,
        anatomy: Anatomy | None = None,
        probability: float = 0.5,
        region: str = "edits",
        margin_mm: float = DEFAULT_MARGIN_MM,
        sampling: SamplingSettings | None = None,
        strength: float = 1.0,
        seed: int = 0,
        layout: SampleLayout = DEFAULT_LAYOUT,
        training: Collection[str] | None = None,
        device: str | None = None,
    ) -> None:
        _check_range("probability", probability, 0, 1)
        _check_range("margin_mm", margin_mm, 0, np.inf)
        if region not in REGIONS:
            raise ConfigError(f"unknown region {region!r}", fix=f"use one of {', '.join(REGIONS)}")
        labels = RawDataset.find(labels) if isinstance(labels, (str, Path)) else labels
        self.schema = _schema_of(labels)
        self.anatomy = anatomy or _anatomy_of(labels, self.schema, needed=region != "organ")
        self.probability, self.region, self.margin_mm, self.seed = probability, region, margin_mm, seed
        self.layout = layout
        self.inpainter, provenance = _open_inpainter(generator, self.schema, sampling, strength, device, self.anatomy)
        self.hosts = Hosts(provenance, None if training is None else frozenset(training))
        self._dataset = labels if isinstance(labels, RawDataset) else None
        self._edits = MaskEdits(self.schema, self.anatomy, self._dataset, training) if region == "edits" else None
        self._epoch = SharedEpoch()

    @property
    def epoch(self) -> int:
        """The current epoch, also in workers that are already running."""
        return self._epoch.get()

    def set_epoch(self, epoch: int) -> None:
        """Moves on to an epoch, in all workers."""
        self._epoch.set(epoch)

    def check(
        self,
        validation: Mapping[str, str | None] | Iterable[str],
        dataset: RawDataset | str | None = None,
        *,
        allow: bool = False,
    ) -> tuple[Leak, ...]:
        """The leakage guard: refuses a generator that has seen validation cases, and validation cases as later hosts.

        Args:
            validation: ids of the validation cases, with the SHA-256 of their mask files where these are at hand.
            dataset: the data set that they belong to, or its name; None takes that of the labels.
            allow: whether to warn instead of raising.

        Returns:
            The leaks that were allowed.

        Raises:
            LeakageError: names each stage and its cases.
            ConfigError: without a data set.
        """
        of = dataset if dataset is not None else self._dataset
        if of is None:
            raise ConfigError("the data set of the validation cases is not known", fix="give dataset=, its name")
        self.hosts, leaks = self.hosts.check(validation, of, allow=allow)
        return leaks

    def over(self, data: Any, names: Sequence[str] | None = None) -> InpaintedDataset:
        """A map-style data set whose items are edited.

        Args:
            data: the real data set.
            names: id of each item's case. Without names, items are known by their numbers, and cases only by what the
                samples themselves say.
        """
        return InpaintedDataset(data, self, names)

    def __call__(self, sample: Any, *, item: Item | None = None, epoch: int | None = None) -> Any:
        """An edited sample of the same kind, or the sample itself.

        Args:
            sample: whole volumes.
            item: name or number of the sample, which decides how it is edited. None uses a hash of its voxels. A name
                is also taken as the id of its case, if the sample has none.
            epoch: the epoch; None takes the current one.

        Raises:
            ConfigError, InvalidVolume, LabelError: as `open_sample`; LabelError for a label outside of the schema.
            LeakageError: when the sample is no training case.
        """
        opened = open_sample(sample, self.layout)
        case = opened.case
        named = case.case_id or (item if isinstance(item, str) else "")
        self.hosts.admit(named)
        key = (self.seed, self.epoch if epoch is None else epoch, _fingerprint(case) if item is None else item)
        if numpy_rng("whether to inpaint", *key).random() >= self.probability:
            return sample
        edited = self._edit(Case(named, case.image, case.label, case.grid), key)
        return sample if edited is None else opened.replace(*edited)

    def _edit(self, case: Case, key: tuple[Part, ...]) -> tuple[Case, np.ndarray] | None:
        """A case with a region (X, Y, Z) painted anew, and the region; None where that is not possible."""
        self.schema.check(case.label, case.case_id or "sample")
        label = self._new_label(case, key)
        if label is None:
            return None
        lesions = [name for name in self.schema.names if name in self.anatomy.editable]
        try:
            region = choose_region(
                self.region, case.label, label, self.schema, lesions, case.grid.spacing_mm, self.margin_mm
            )
            painted = self.inpainter.inpaint(case, label, region, derive_seed("inpaint", *key))
        except (InvalidVolume, LabelError) as error:
            warnings.warn(f"a sample stays as it is: {error}", InpaintWarning, stacklevel=3)
            return None
        for donor in painted.donors:
            self.hosts.admit(donor)
        return Case(case.case_id, painted.image, label, case.grid), region

    def _new_label(self, case: Case, key: tuple[Part, ...]) -> np.ndarray | None:
        """(X, Y, Z) the mask to paint for; None if no edit of the case's mask is valid."""
        if self._edits is None:
            return case.label
        if not self._edits.suits(case):
            return None
        site = self._edits.site(case)
        problems: list[str] = []
        for attempt in range(TRIES_PER_CASE):
            label, donors, problems = self._edits.edit(numpy_rng("edit", *key, attempt), case, site)
            if not problems:
                for donor in donors:
                    self.hosts.admit(donor)
                return label
        what = f"no valid edit in {TRIES_PER_CASE} draws; the last: {'; '.join(problems)}"
        warnings.warn(f"a sample stays as it is: {case.case_id or 'unnamed'}: {what}.", InpaintWarning, stacklevel=4)
        return None


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{value} is not between {low:g} and {high:g}", where=name)


def _schema_of(labels: RawDataset | LabelSchema | Mapping[str, Any]) -> LabelSchema:
    if isinstance(labels, LabelSchema):
        return labels
    return labels.schema if isinstance(labels, RawDataset) else LabelSchema.from_dataset_json(labels)


def _anatomy_of(labels: RawDataset | LabelSchema | Mapping[str, Any], schema: LabelSchema, *, needed: bool) -> Anatomy:
    """What is known of the structures.

    Raises:
        LabelError: when lesions are needed and there are none.
    """
    if isinstance(labels, RawDataset) and needed:
        return read_anatomy(labels)
    anatomy = default_anatomy(schema)
    if needed and not anatomy.lesions:
        fix = "say by anatomy= which structures are lesions, or use region='organ'"
        raise LabelError(f"none of {', '.join(schema.names)} is known to be a lesion", fix=fix)
    return anatomy


def _open_inpainter(
    generator: Generator | Inpainter | str | Path | None,
    schema: LabelSchema,
    sampling: SamplingSettings | None,
    strength: float,
    device: str | None,
    anatomy: Anatomy,
) -> tuple[Inpainter, GeneratorProvenance]:
    """What paints, and what it was trained on."""
    _check_range("strength", strength, 0, 1)
    if generator is None or isinstance(generator, (str, Path)):
        generator = Generator.load(pretrained_dir() if generator is None else generator_folder(Path(generator)))
    if isinstance(generator, Generator):
        if unknown := Relabelling(schema, generator.description.labels).left_out:
            fix = "use a generator that was trained on this data set"
            raise LabelError(f"the generator does not know {', '.join(unknown)}", fix=fix)
        generator = generator if device is None else generator.to(device)
        sampling = sampling or inpainting_sampling(generator.description)
        generator = DiffusionInpainter(generator, schema, sampling, strength, anatomy.within(schema).tissues)
    model = getattr(generator, "generator", None)
    if isinstance(model, Generator):
        return generator, GeneratorProvenance(hash=model.hash, stages=model.description.stages)
    return generator, GeneratorProvenance(hash="", stages=())


def _fingerprint(case: Case) -> str:
    """A hash of the voxels, in place of a sample's name: the same voxels are edited in the same way."""
    digest = hashlib.sha256(case.label.tobytes())
    digest.update(case.image.tobytes())
    return digest.hexdigest()


class InpaintedDataset(Dataset[Any]):
    """Real items, some of which are edited; an item is the same in any worker and order of access.

    Put random transforms around it.

    Args:
        data: map-style data set of what `Inpaint` takes.
        inpaint: the transform.
        names: id of each item's case; None where samples name their cases, or nobody asks.

    Raises:
        ConfigError: when there are not as many names as items.
    """

    def __init__(self, data: Any, inpaint: Inpaint, names: Sequence[str] | None = None) -> None:
        if names is not None and len(names) != len(data):
            raise ConfigError(f"{len(names)} names for {len(data)} items", where="names")
        self.data = data
        self.inpaint = inpaint
        self.names = names

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        place = index + len(self) if index < 0 else index
        item = place if self.names is None else self.names[place]
        return self.inpaint(self.data[index], item=item)

    def set_epoch(self, epoch: int) -> None:
        """Moves on to an epoch, in all workers; tells the real data set too if it has a ``set_epoch``."""
        self.inpaint.set_epoch(epoch)
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)
