"""Everything that a study's networks are shown, brought to its grid once and kept in its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path

import torch

from lldm_aug.blending.blend import MapStyle
from lldm_aug.blending.convert import as_pair
from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.data.conform import Frame
from lldm_aug.data.intensity import likely_foreground, measure_scale
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.evaluation.utility.arms import AUTOENCODED
from lldm_aug.evaluation.utility.cases import INTENSITY, Pair, PreparedCases, RealPairs, StudyGrid
from lldm_aug.evaluation.utility.cell import Cell
from lldm_aug.evaluation.utility.engine import other_engine
from lldm_aug.evaluation.utility.plan import Source, StudyPlan
from lldm_aug.io.hashing import sha256_file, sha256_json
from lldm_aug.io.weights import check_sums
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.generator import Generator
from lldm_aug.pool.dataset import PoolDataset
from lldm_aug.volume import Volume

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
