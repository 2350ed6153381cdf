"""What `gpu.paper` trains: the stages at the sizes of configs/paper.yaml, on cases of random tissue, step by step."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lldm_aug.config.load import load_config, with_overrides
from lldm_aug.config.schema import Config
from lldm_aug.data.conform import compression_for
from lldm_aug.data.intensity import IntensityModel, Scale
from lldm_aug.io.atomic import atomic_file, write_json
from lldm_aug.io.weights import save_tensors
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.seeds import numpy_rng
from lldm_aug.training.autoencoder_stage import AutoencoderConfig, AutoencoderStage
from lldm_aug.training.controlnet import ControlNetConfig, ControlNetStage
from lldm_aug.training.diffusion_stage import DiffusionConfig, DiffusionStage, network_facts
from lldm_aug.training.export import Export, StageRecord
from lldm_aug.training.inpainting import Surroundings
from lldm_aug.training.latents import LatentCache, cache_latents
from lldm_aug.training.loop import time_steps
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, CaseSetRecord
from lldm_aug.training.segmenter_stage import SegmenterConfig, SegmenterStage
from lldm_aug.training.stage import Loss, Stage

STAGES = ("diffusion", "controlnet", "autoencoder", "segmenter")
"""In the order in which they are measured."""
GPUS = 8
"""That share a batch of configs/paper.yaml."""
CASES = 6
COUNTED, COUNTED_CROPS = 3, 10
"""Steps whose operations are counted; the ControlNet's show crops of many sizes, those of the others are alike."""
MOST_STEPS = 24
"""That are timed."""
SPACING_MM = (1.5, 1.5, 2.0)
LABELS = {"background": 0, "liver": 1, "portal_vein": 2, "hepatic_vein": 3, "hcc": 4}
TINY = (
    "grid.shape=[32, 32, 32]",
    "autoencoder.channels=[16, 32]",
    "autoencoder.head_channels=16",
    "autoencoder.norm_groups=8",
    "autoencoder.num_res_blocks=1",
    "denoiser.channels=[16, 16, 32, 32]",
    "denoiser.norm_groups=8",
    "denoiser.num_res_blocks=1",
    "denoiser.head_channels=16",
    "denoiser.mask_channels=16",
    "segmenter.filters=8",
    "train.precision=no",
    "train.segmenter.patch=[16, 16, 16]",
    "train.autoencoder.patch=[16, 16, 16]",
)
"""Settings of a rehearsal."""


def paper_config(rehearse: bool) -> Config:
    """The settings of configs/paper.yaml, with latents as wide as the data make them."""
    config = load_config("paper", TINY if rehearse else ())
    sizes = config.autoencoder.resolved(compression_for(SPACING_MM), 1)
    return config.model_copy(update={"autoencoder": sizes})


def case_record(config: Config) -> CaseSetRecord:
    """What preparing the cases would say of them."""
    channel = {"scales": (Scale(low=(0.0,), high=(1.0,)),), "minimum": (0.0,), "maximum": (1.0,)}
    return CaseSetRecord(
        request=str(config.grid.shape),
        dataset="Dataset720_Random",
        dataset_json={"channel_names": {"0": "MR"}, "labels": LABELS, "file_ending": ".nii.gz"},
        fold=0,
        split_hash="0" * 64,
        cases={f"case_{index:02d}": "0" * 64 for index in range(CASES)},
        shape=config.grid.shape,
        spacing_mm=SPACING_MM,
        compression=compression_for(SPACING_MM),
        intensity=IntensityModel(limit=config.intensity.limit, integer=False, zero_background=True, **channel),
        lesions=("hcc",),
    )


def random_tissue(shape: tuple[int, int, int], index: int) -> dict[str, torch.Tensor]:
    """One prepared case, as it lies on disk: a body of noise, a liver with two vessels, and three tumours."""
    rng = numpy_rng("paper", index)
    axes = [torch.linspace(-1, 1, n).view([-1 if a == axis else 1 for a in range(3)]) for axis, n in enumerate(shape)]

    def ball(centre: np.ndarray, radius: np.ndarray) -> torch.Tensor:
        parts = [((x - float(c)) / float(r)) ** 2 for x, c, r in zip(axes, centre, radius, strict=True)]
        return parts[0] + parts[1] + parts[2] < 1

    middle = rng.uniform(-0.15, 0.15, 3)
    label = ball(middle, rng.uniform(0.4, 0.6, 3)).short()
    for value in (2, 3):  # as thin as vessels are
        label[ball(middle + rng.uniform(-0.2, 0.2, 3), rng.permutation([0.35, 0.03, 0.03]))] = value
    for _ in range(3):
        label[ball(middle + rng.uniform(-0.3, 0.3, 3), np.full(3, rng.uniform(0.05, 0.12)))] = 4
    body = ball(np.zeros(3), np.full(3, 0.95))
    noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    image = torch.where(body, 0.3 * label - 0.6 + 0.1 * noise, torch.tensor(-1.0))
    return {"image": image[None].half(), "label": label, "foreground": body.half()}


def make_cases(config: Config, folder: Path) -> CaseSet:
    """The cases, made now or found there."""
    record = case_record(config)

    def make(index: int) -> None:
        with atomic_file(folder / f"case_{index:02d}.safetensors") as temporary:
            save_tensors(temporary, random_tissue(record.shape, index))

    if not (folder / "cases.json").exists():
        with ThreadPoolExecutor(CASES) as executor:
            list(executor.map(make, range(CASES)))
        write_json(folder / "cases.json", record.model_dump(mode="json"))
    return CaseSet(folder, record)


class Unwritten(Export):
    """A finished stage that is nowhere on disk: networks that build on it keep the weights that they begin with."""

    def fill(self, name: str, module: nn.Module) -> None:
        """Nothing to fill."""


@dataclass(frozen=True)
class Maker:
    """Builds stages with batches of one GPU's share.

    Args:
        config: all settings.
        work: scratch.
        device: where networks go.
        most: steps of a stage that are watched.
    """

    config: Config
    work: Path
    device: torch.device
    most: int = MOST_STEPS

    def batch(self, name: str) -> int:
        """One GPU's share of the batch that the settings name."""
        return max(1, int(getattr(self.config.train, name).batch_size) // GPUS)

    def stage(self, name: str, batch: int) -> Stage:
        """A stage that nothing of which is trained yet."""
        parts = min(batch, getattr(self.config.train, name).accumulate)
        sized = [f"train.{name}.batch_size={batch}", f"train.{name}.accumulate={parts}"]
        config, cases = with_overrides(self.config, sized), make_cases(self.config, self.work / "cases")
        if name == "segmenter":
            return SegmenterStage(cases, SegmenterConfig.of(config, name))
        if name == "autoencoder":
            return AutoencoderStage(cases, AutoencoderConfig.of(config, name))
        first = self._unwritten({"autoencoder": config.autoencoder.model_dump(mode="json"), "initial": None})
        latents = self._latents(cases, first)
        with self.device:  # weights are drawn where they stay
            if name == "diffusion":
                return DiffusionStage(cases, DiffusionConfig.of(config, name), first, latents)
            facts = network_facts(config.denoiser, config.objective)
            second = self._unwritten({**facts, "autoencoder_hash": first.hash, "initial": None})
            return ControlNetStage(cases, ControlNetConfig.of(config, name), first, second, latents)

    def _latents(self, cases: CaseSet, first: Export) -> LatentCache:
        record = cases.record
        with self.device:
            autoencoder = Autoencoder(1, len(cases.schema.names), record.compression, self.config.autoencoder).eval()
        return cache_latents(cases, first, autoencoder, self.work / "latents")

    def _unwritten(self, facts: dict[str, Any]) -> Export:
        return Unwritten(self.work, "untrained", StageRecord(facts=facts, stages=()))


class Enough(Exception):
    """As many steps as were asked for, or as time allowed."""


@dataclass
class Watch:
    """Notes the steps of a stage from outside: of each its seconds, those until its tensors are there, and operations.

    Args:
        device: that is waited for.
        most: steps to note.
        until: time of the process's clock after which no step is begun, once there are two.
        counter: of operations, if they are counted.
    """

    device: torch.device
    most: int
    until: float
    counter: FlopCounterMode | None = None
    begun: list[tuple[int, float, float]] = field(default_factory=list)
    step: int = -1
    computing: float = 0.0
    data: float = 0.0

    def now(self) -> float:
        """Seconds, with nothing left to do on the device."""
        synchronize(self.device)
        return time.perf_counter()

    def note(self) -> None:
        """The end of one step, and the beginning of the next."""
        done = 0 if self.counter is None else self.counter.get_total_flops()
        self.begun.append((done, self.now(), self.data))
        if len(self.begun) > self.most or (len(self.begun) > 2 and time.monotonic() > self.until):
            raise Enough

    @property
    def steps(self) -> list[tuple[int, float, float]]:
        """Operations, seconds, and seconds of data of each step but the first, which is slower than all others."""
        pairs = list(zip(self.begun, self.begun[1:], strict=False))[1:]
        return [(b[0] - a[0], b[1] - a[1], b[2] - a[2]) for a, b in pairs]

    @contextmanager
    def on(self, stage: Stage) -> Iterator[None]:
        """Watches a stage."""
        loss, clean = stage.loss, Surroundings.clean

        def noted_loss(model: nn.Module, rows: list[Row], device: torch.device) -> Loss:
            if rows[0].step != self.step:
                self.step = rows[0].step
                self.note()
            began, self.computing = self.now(), 0.0

            def tensors_are_there(*_: object) -> None:
                self.data += self.now() - began - self.computing

            handle = stage.module.register_forward_pre_hook(tensors_are_there)
            try:
                return loss(model, rows, device)
            finally:
                handle.remove()

        def noted_clean(*args: Any) -> torch.Tensor:  # an encoder's work, not data that is waited for
            began = self.now()
            result = clean(*args)
            self.computing += self.now() - began
            return result

        with patch.object(stage, "loss", noted_loss), patch.object(Surroundings, "clean", noted_clean):
            yield


def measure_stage(maker: Maker, name: str, until: float, peak_tflops: float) -> dict[str, Any]:
    """Figures of one stage, at the largest batch that fits: one GPU's share, or half of it, and so on.

    Args:
        maker: of the stage.
        name: of the stage.
        until: when to end, on the clock of `time.monotonic`.
        peak_tflops: of the device.

    Raises:
        torch.OutOfMemoryError: when not even a batch of one fits.
    """
    batch = maker.batch(name)
    while True:
        try:
            return {"batch": batch, **_measure(maker, name, batch, until, peak_tflops)}
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        batch //= 2
        release(maker.device)


def _measure(maker: Maker, name: str, batch: int, until: float, peak_tflops: float) -> dict[str, Any]:
    stage, crops = maker.stage(name, batch), name == "controlnet"
    accelerator = Accelerator(mixed_precision=maker.config.train.precision, cpu=maker.device.type == "cpu")
    middle = time.monotonic() + (until - time.monotonic()) / 2
    most = min(maker.most, COUNTED_CROPS if crops else COUNTED)
    counted = _watched(stage, accelerator, most, middle, counting=True)
    if maker.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    timed = _watched(stage, accelerator, len(counted) + 1 if crops else maker.most, until, counting=False)
    peak_memory = peak_mib(maker.device)
    operations = float(np.mean([flops for flops, _, _ in counted[: len(timed)]]))
    del stage, accelerator
    release(maker.device)
    return {"peak_memory_mib": peak_memory, **stage_figures(timed, operations, peak_tflops)}


def _watched(
    stage: Stage, accelerator: Accelerator, most: int, until: float, counting: bool
) -> list[tuple[int, float, float]]:
    counter = FlopCounterMode(display=False) if counting else None
    watch = Watch(accelerator.device, most, until, counter)
    try:
        with watch.on(stage), counter or nullcontext():
            time_steps(stage, accelerator, 0, most + 1)
    except Enough:
        pass
    accelerator.free_memory()
    return watch.steps


def stage_figures(steps: list[tuple[int, float, float]], operations: float, peak_tflops: float) -> dict[str, Any]:
    """What steps say of a stage.

    Args:
        steps: operations (not used), seconds, and seconds of data of each.
        operations: of a step, on average.
        peak_tflops: of the device.
    """
    seconds = [whole for _, whole, _ in steps]
    each = sum(seconds) / len(seconds)
    return {
        "steps": len(seconds),
        "seconds_a_step": each,
        "median_seconds_a_step": float(np.median(seconds)),
        "steps_a_second": 1 / each,
        "tflop_a_step": operations / 1e12,
        "share_of_peak": operations / 1e12 / each / peak_tflops,
        "share_waiting_for_data": sum(data for _, _, data in steps) / sum(seconds),
    }


def synchronize(device: torch.device) -> None:
    """Waits until a device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_mib(device: torch.device) -> float | None:
    """Memory in MiB that tensors took at most since it was last reset; None on the CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def release(device: torch.device) -> None:
    """Gives memory back that nothing refers to."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
