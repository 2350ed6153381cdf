"""Everything that a study's networks are shown, brought to its grid once and kept in its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import torch

from lldm_aug.blending.blend import MapStyle
from lldm_aug.blending.convert import as_pair
from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.config.schema import IntensitySettings
from lldm_aug.config.section import Triple
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import Scale, likely_foreground, measure_scale
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.data.resample import canonical_grid, from_canonical, resample_labels
from lldm_aug.evaluation.utility.cell import AUTOENCODED, Cell
from lldm_aug.evaluation.utility.engine import other_engine
from lldm_aug.evaluation.utility.study_plan import Source, StudyPlan
from lldm_aug.geometry import Grid
from lldm_aug.io.atomic import atomic_file
from lldm_aug.io.hashing import sha256_file, sha256_json
from lldm_aug.io.weights import check_sums, load_tensors, save_tensors
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.generator import Generator
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.volume import Volume

AIR = -1.0
"""What scaled images are continued with."""
INTENSITY = IntensitySettings()
Spacing = tuple[float, float, float]
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class StudyGrid:
    """How cases are brought to networks, and predictions back.

    Args:
        spacing_mm: voxel size.
        scale: of all cases where one serves all (CT); None scales each by its own voxels.
    """

    spacing_mm: Spacing
    scale: Scale | None

    def frame(self, native: Grid) -> Frame:
        """A field of view that covers a case."""
        canonical = canonical_grid(native)
        x, y, z = (
            max(1, int(np.ceil(round(n * s / step, 3))))
            for n, s, step in zip(canonical.shape, canonical.spacing_mm, self.spacing_mm, strict=True)
        )
        return Frame.around(Volume(np.zeros(native.shape, np.int16), native), (x, y, z), self.spacing_mm)

    def conform(self, case: Case) -> Case:
        """A case on the grid: scaled image, and a mask in which each structure keeps its volume."""
        frame = self.frame(case.grid)
        scale = self.scale or measure_scale(case.image, INTENSITY)
        image = scale.apply(frame.image_in(case.image), INTENSITY.limit)
        return Case(case.case_id, image, frame.label_in(case.label), frame.grid)

    def back(self, label: np.ndarray, native: Grid) -> np.ndarray:
        """An integer (X, Y, Z) prediction on a case's own grid."""
        frame = self.frame(native)
        return from_canonical(resample_labels(label, frame.grid, frame.canonical), native)


class PreparedCases:
    """A map-style data set of prepared cases.

    Args:
        folder: one file a case; they are made on demand.
        case_ids: names, in their order.
        make: reads a case and brings it to the grid.
    """

    def __init__(self, folder: Path, case_ids: Sequence[str], make: Callable[[str], Case]) -> None:
        self.folder, self.case_ids, self.make = folder, tuple(case_ids), make

    def __len__(self) -> int:
        return len(self.case_ids)

    def __getitem__(self, index: int) -> Case:
        return self.load(self.case_ids[index])

    def load(self, case_id: str) -> Case:
        """One case; it is prepared if it was not before."""
        path = self.folder / f"{case_id}.safetensors"
        if not path.exists():
            self._write(path, self.make(case_id))
        tensors = load_tensors(path)
        image, label = tensors["image"].float().numpy(), tensors["label"].numpy()
        return Case(case_id, image, label, Grid.regular(label.shape, (1.0, 1.0, 1.0)))

    def prepare(self) -> None:
        """Makes all that are missing."""
        for case_id in self.case_ids:
            path = self.folder / f"{case_id}.safetensors"
            if not path.exists():
                self._write(path, self.make(case_id))

    def _write(self, path: Path, case: Case) -> None:
        # Half precision keeps a scaled intensity to 0.0005, far below its noise.
        tensors = {"image": torch.from_numpy(case.image).half(), "label": torch.from_numpy(case.label)}
        with atomic_file(path) as temporary:
            save_tensors(temporary, tensors)


class RealPairs:
    """Prepared cases as pairs of an image (C, X, Y, Z) and a mask (X, Y, Z)."""

    def __init__(self, cases: PreparedCases) -> None:
        self.cases = cases

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Pair:
        return as_pair(self.cases[index])


def pad_to(image: torch.Tensor, sides: Triple, value: float) -> torch.Tensor:
    """Continues the last three axes with a value, on both ends alike, where they are shorter than ``sides``."""
    missing = [max(0, side - n) for side, n in zip(sides, image.shape[-3:], strict=True)]
    ends = [part for n in reversed(missing) for part in (n // 2, n - n // 2)]
    return torch.nn.functional.pad(image, ends, value=value) if any(missing) else image


def crop_to(image: torch.Tensor, sides: Triple) -> torch.Tensor:
    """The inverse of `pad_to`."""
    starts = [(n - side) // 2 for n, side in zip(image.shape[-3:], sides, strict=True)]
    x, y, z = (slice(start, start + side) for start, side in zip(starts, sides, strict=True))
    return image[..., x, y, z]


PREPARED = "prepared"


class StudyData:
    """The cases of a study.

    Args:
        plan: the study.
        device: where autoencoders run.
    """

    def __init__(self, plan: StudyPlan, device: str) -> None:
        self.plan, self.device = plan, device
        self._hashes: dict[Path, dict[str, list[str]]] = {}

    @cached_property
    def grid(self) -> StudyGrid:
        """Of all of them."""
        dataset = self.plan.dataset
        return StudyGrid(self.plan.settings.spacing_mm, dataset.common_scale(dataset.case_ids, INTENSITY))

    def request(self, cell: Cell) -> dict[str, object]:
        """All that decides a cell's figures, as JSON would give it back."""
        return {
            "settings": self.plan.settings.model_dump(mode="json"),
            "network": cell.network,
            "arm": str(cell.arm),
            "label_fraction": cell.label_fraction,
            "fold": cell.fold,
            "seed": cell.seed,
            "saw": self._source(cell).seen_by(cell.arm),
            "trained_on": self.trained_on(cell),
            "scored_on": sha256_json(self._files(*self.plan.judged(cell.fold))),
            **self._planned(cell),
        }

    def trained_on(self, cell: Cell) -> dict[str, str]:
        """SHA-256 over the real cases of a cell, and its pool or autoencoder if it has one."""
        source = self._source(cell)
        shown: dict[str, object] = {"real": self._files(self.plan.dataset, source.labelled)}
        if cell.arm.synthetic:
            assert source.pool is not None
            shown["pool"] = _pool_identity(source.pool)
        if cell.arm.kind == AUTOENCODED:
            assert source.generator is not None
            shown["autoencoder"] = generator_hash(source.generator)
        return {name: sha256_json(value) for name, value in shown.items()}

    def _planned(self, cell: Cell) -> dict[str, object]:
        """Where nnU-Net trains, the hash of its plans, which decide what the settings leave open."""
        engine = other_engine(self.plan.settings)
        return {} if engine is None else {"plans": engine.plans_hash(self.plan, cell)}

    def training(self, cell: Cell) -> MapStyle[Pair]:
        """What a cell's network is trained on."""
        first, pool = self.sets(cell)
        real = RealPairs(first)
        if pool is None:
            return real
        return SyntheticMixin(real, pool=pool, ratio=cell.arm.ratio, seed=cell.seed, convert=as_pair)

    def sets(self, cell: Cell) -> tuple[PreparedCases, PreparedCases | None]:
        """The labelled cases, real or autoencoded, and those of the pool if the arm has any."""
        source = self._source(cell)
        if cell.arm.kind == AUTOENCODED:
            generator = self._generator(source)
            name = f"autoencoded-{generator.hash[:12]}"
            return self._prepared(name, source.labelled, partial(self._autoencoded, generator)), None
        real = self.real(self.plan.dataset, source.labelled)
        return real, self._pool(source) if cell.arm.synthetic else None

    def real(self, dataset: RawDataset, case_ids: Sequence[str]) -> PreparedCases:
        """Cases of a data set."""
        name = f"real-{sha256_json(self._files(dataset, dataset.case_ids))[:12]}"
        return self._prepared(name, case_ids, lambda case_id: self.grid.conform(dataset.load(case_id)))

    def prepare(self, cell: Cell) -> None:
        """Brings all that a cell needs to the grid."""
        for cases in (self.real(*self.plan.judged(cell.fold)), *self.sets(cell)):
            if cases is not None:
                cases.prepare()

    def _pool(self, source: Source) -> PreparedCases:
        assert source.pool is not None
        pool = PoolDataset(source.pool)
        by_id = {case.case_id: case for case in pool.cases}
        name = f"pool-{_pool_identity(pool.folder)[:12]}"
        return self._prepared(name, sorted(by_id), lambda case_id: self.grid.conform(pool.read(by_id[case_id])))

    def _prepared(self, name: str, case_ids: Sequence[str], make: Callable[[str], Case]) -> PreparedCases:
        grid = sha256_json([self.grid.spacing_mm, self.grid.scale and self.grid.scale.model_dump(mode="json")])[:8]
        return PreparedCases(self.plan.out / PREPARED / f"{name}-{grid}", case_ids, make)

    def _autoencoded(self, generator: Generator, case_id: str) -> Case:
        return self.grid.conform(autoencoded(generator, self.plan.dataset.load(case_id)))

    def _source(self, cell: Cell) -> Source:
        return self.plan.sources[cell.fold, cell.label_fraction]

    def _generator(self, source: Source) -> Generator:
        assert source.generator is not None
        return _load(source.generator, self.device)

    def _files(self, dataset: RawDataset, case_ids: Sequence[str]) -> dict[str, list[str]]:
        known = self._hashes.setdefault(dataset.folder, {})
        for case_id in case_ids:
            if case_id not in known:
                paths = (*dataset.image_paths(case_id), dataset.label_path(case_id))
                known[case_id] = [sha256_file(path) for path in paths]
        return {case_id: known[case_id] for case_id in case_ids}


@cache
def _load(folder: Path, device: str) -> Generator:
    return Generator.load(folder).to(device)


@cache
def generator_hash(folder: Path) -> str:
    """A generator's identity; errors as `check_sums`."""
    return check_sums(folder)


def _pool_identity(folder: Path) -> str:
    pool = PoolDataset(folder)
    return sha256_json({case.case_id: sorted(file.sha256 for file in case.files.values()) for case in pool.cases})


@torch.inference_mode()
def autoencoded(generator: Generator, case: Case) -> Case:
    """A case, encoded and decoded on the generator's grid, and cropped to what that covers.

    The mask goes the same way as that of a synthetic case.
    """
    description = generator.description
    frame = Frame.around(Volume(case.label, case.grid), description.shape, description.spacing_mm)
    intensity = description.intensity
    scale = description.common_scale or measure_scale(case.image, description.scaling)
    scaled = torch.from_numpy(scale.apply(frame.image_in(case.image), intensity.limit))[None].to(generator.device)
    label = frame.label_in(case.label)
    condition = encode_mask(torch.from_numpy(label)[None].to(generator.device), description.labels)
    latent, _ = generator.autoencoder.encode(scaled)
    image, logit = (out.float().cpu().numpy() for out in generator.autoencoder.decode(latent, condition))
    channels = case.image.reshape(len(case.image), -1)  # bounds are the case's own, not those of the training cases
    own = intensity.model_copy(
        update={"minimum": tuple(channels.min(1).tolist()), "maximum": tuple(channels.max(1).tolist())}
    )
    foreground = likely_foreground(frame.image_out(logit)[0])
    restored = own.restore(frame.image_out(image[0]), foreground, scale)
    return replace(case, image=restored.astype("float32"), label=frame.label_out(label), grid=frame.native_view())
