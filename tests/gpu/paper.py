"""The sizes of configs/paper.yaml on a GPU, untrained: seconds a pair beside MONAI's inferer, and steps a second.

A pair is an image for a mask: as the library samples it, convolutions in TF32 where PyTorch does so, and under bf16.
"""

from __future__ import annotations

import copy
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from monai.inferers.inferer import ControlNetLatentDiffusionInferer
from monai.networks.nets.autoencoderkl import AutoencoderKL
from monai.networks.nets.controlnet import ControlNetConditioningEmbedding
from monai.networks.schedulers.rectified_flow import RFlowScheduler
from torch import nn

from gpu.paper_stages import (
    STAGES,
    Maker,
    case_record,
    measure_stage,
    paper_config,
    peak_mib,
    random_tissue,
    release,
    synchronize,
)
from gpu.parts import part_arguments
from lldm_aug import __version__
from lldm_aug.config.schema import Config
from lldm_aug.diffusion.objective import RectifiedFlow, make_flow
from lldm_aug.io.atomic import write_json
from lldm_aug.machine import describe_machine
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.pool.provenance import StageProvenance

PRECISIONS = ("fp32", "bf16")
STEPS, TINY_STEPS = (8, 30), (2, 4)
MOST_CALLS = 5
START_SECONDS = 12.0
"""Of the time are gone when the packages are loaded."""
LEAST_SECONDS = 3.0
"""With less time left nothing is begun."""
PEAK_SIDE, TINY_SIDE = 8192, 256
Measure = Callable[[float], dict[str, Any]]
"""Measures one thing, until a time of `time.monotonic`."""


def main() -> int:
    """Measures what is not in ``paper.json`` yet; 0 if it is all there."""
    arguments = part_arguments("The sizes of configs/paper.yaml.")
    end = time.monotonic() + arguments.seconds - START_SECONDS
    device = torch.device("cuda" if torch.cuda.is_available() and not arguments.rehearse else "cpu")
    config = paper_config(arguments.rehearse)
    if arguments.rehearse:
        bench = Bench(Maker(config, arguments.work, device, most=3), TINY_STEPS)
    else:
        bench = Bench(Maker(config, arguments.work, device), STEPS)
    return bench.run(arguments.out / "paper.json", end)


class Sampler(Protocol):
    """Makes an image for a mask."""

    def image(self, label: torch.Tensor, noise: torch.Tensor, steps: int) -> torch.Tensor:
        """(1, C, X, Y, Z) on the device, for (1, X, Y, Z) integers and (1, L, x, y, z) noise on the CPU."""


class Ours:
    """`Generator.image`."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def image(self, label: torch.Tensor, noise: torch.Tensor, steps: int) -> torch.Tensor:
        """See `Sampler`."""
        sampling = self.generator.description.sampling.model_copy(update={"steps": steps})
        return self.generator.image(label, noise, sampling)[0]


class Velocity(nn.Module):
    """The denoiser as MONAI's scheduler of rectified flows wants it: from noise to what is clean, against ours."""

    def __init__(self, denoiser: nn.Module, flow: RectifiedFlow) -> None:
        super().__init__()
        self.denoiser, self.flow = denoiser, flow

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, context: None = None, **added: Any) -> torch.Tensor:
        """The velocity of latents (B, L, ...)."""
        return -self.flow.velocity(self.denoiser(x, timesteps, **added), x, timesteps)


class Decoder:
    """The generator's autoencoder as MONAI's inferer wants it, for one mask."""

    def __init__(self, generator: Generator, condition: torch.Tensor) -> None:
        self.generator, self.condition = generator, condition

    def decode_stage_2_outputs(self, latent: torch.Tensor) -> torch.Tensor:
        """The image."""
        return self.generator.autoencoder.decode(self.generator.denormalise(latent), self.condition)[0]


class Peer:
    """MONAI's inferer with the generator's networks, and with its own embedding of the mask, sampled at latent cells.

    Args:
        generator: lends its weights.
        autoencoder: decodes instead of the generator's.
    """

    def __init__(self, generator: Generator, autoencoder: AutoencoderKL | None = None) -> None:
        description = generator.description
        flow = make_flow(description.objective)
        assert flow is not None
        self.generator, self.autoencoder = generator, autoencoder
        self.velocity = Velocity(generator.network.denoiser, flow)
        net, sizes = generator.network.control.net, description.denoiser
        self.control = copy.deepcopy(net, {id(p): p for p in net.parameters()})  # the weights themselves are shared
        with generator.device:
            self.control.controlnet_cond_embedding = ControlNetConditioningEmbedding(
                3, len(description.labels.names), sizes.channels[0], (sizes.mask_channels,)
            )

    def image(self, label: torch.Tensor, noise: torch.Tensor, steps: int) -> torch.Tensor:
        """See `Sampler`."""
        device, scheduler = self.generator.device, RFlowScheduler()
        scheduler.set_timesteps(steps)
        condition = encode_mask(label.to(device), self.generator.description.labels)
        image = ControlNetLatentDiffusionInferer(scheduler).sample(
            noise.to(device),
            self.autoencoder or Decoder(self.generator, condition),  # type: ignore[arg-type]
            self.velocity,  # type: ignore[arg-type]
            self.control,
            condition,
            verbose=False,
        )
        assert isinstance(image, torch.Tensor)
        return image


class Bench:
    """All measurements.

    Args:
        maker: of the stages; knows sizes and device.
        steps: of samplers.
    """

    def __init__(self, maker: Maker, steps: tuple[int, ...]) -> None:
        self.maker, self.steps = maker, steps
        self.config, self.device = maker.config, maker.device
        self.results: dict[str, dict[str, Any]] = {}

    @property
    def measures(self) -> dict[str, Measure]:
        """By name, the most wanted first."""
        found: dict[str, Measure] = {"peak": lambda until: measure_peak(self.device)}
        pairs = [(precision, steps) for precision in PRECISIONS for steps in self.steps]
        for who in ("lldm_aug", "monai"):
            for precision, steps in pairs:
                found[f"pair/{who}/{precision}/{steps}"] = self._pair(who, precision, steps)
        for name in STAGES:
            found[f"train/{name}"] = self._stage(name)
        for precision, steps in pairs:
            found[f"pair/monai_plain/{precision}/{steps}"] = self._pair("monai_plain", precision, steps)
        return found

    def run(self, path: Path, end: float) -> int:
        """Makes the measurements that a file lacks, and writes it after each; 0 if none is missing."""
        written = json.loads(path.read_text()) if path.exists() else {}
        self.results = {k: v for k, v in written.get("results", {}).items() if "error" not in v}
        missing = [name for name in self.measures if name not in self.results]
        while missing and end - time.monotonic() > LEAST_SECONDS:
            name = missing.pop(0)
            now = time.monotonic()
            share = (end - now) / (1 + len(missing))
            until = now + (2 * share if name.startswith("train") else share)
            self.results[name] = self._measured(name, min(until, end))
            print(f"{name}: {time.monotonic() - now:.1f} s: {self.results[name]}", flush=True)
            self._write(path, missing)
        self._write(path, missing)
        failed = [name for name, result in self.results.items() if "error" in result]
        print(f"left out: {', '.join(missing) or 'nothing'}; failed: {', '.join(failed) or 'nothing'}")
        return 1 if missing or failed else 0

    def _measured(self, name: str, until: float) -> dict[str, Any]:
        try:
            return self.measures[name](until)
        except Exception as error:  # noqa: BLE001 - one that does not fit must not cost the others
            message = f"{type(error).__name__}: {error}"
        release(self.device)  # only now: the error's own frames held on to what did not fit
        return {"error": message[:2000]}

    def _write(self, path: Path, missing: Sequence[str]) -> None:
        facts = {"machine": machine_facts(self.device), "sizes": self.sizes, "results": self.results}
        write_json(path, {**facts, "left_out": list(missing)})

    @cached_property
    def sizes(self) -> dict[str, Any]:
        """Of the networks."""
        description = describe(self.config)
        with torch.device("meta"):
            empty = Generator.untrained(description)
        network = empty.network
        networks = {"autoencoder": empty.autoencoder, "denoiser": network.denoiser, "control": network.control}
        return {
            "shape": description.shape,
            "compression": description.compression,
            "latent_shape": description.latent_shape,
            "structures": len(description.labels.names),
            "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items()},
        }

    @cached_property
    def generator(self) -> Generator:
        """An untrained one."""
        with self.device:  # weights are drawn where they stay
            generator = Generator.untrained(describe(self.config))
        generator.autoencoder.eval()
        generator.network.eval()
        return generator

    @cached_property
    def label(self) -> torch.Tensor:
        """(1, X, Y, Z) a mask."""
        return random_tissue(self.config.grid.shape, 0)["label"][None]

    def _pair(self, who: str, precision: str, steps: int) -> Measure:
        def measure(until: float) -> dict[str, Any]:
            if who == "lldm_aug":
                sampler: Sampler = Ours(self.generator)
            else:
                sampler = Peer(self.generator, self._plain() if who == "monai_plain" else None)
            return measure_pair(sampler, self.generator, self.label, precision, steps, until)

        return measure

    def _plain(self) -> AutoencoderKL:
        """MONAI's autoencoder without a stem: a level more, half as wide, in front of the generator's."""
        sizes = self.config.autoencoder
        channels = (sizes.channels[0] // 2, *sizes.channels)
        with self.device:
            autoencoder = AutoencoderKL(
                spatial_dims=3,
                in_channels=1,
                out_channels=1,
                channels=channels,
                num_res_blocks=(sizes.num_res_blocks,) * len(channels),
                attention_levels=(False,) * len(channels),
                latent_channels=sizes.latents,
                norm_num_groups=min(sizes.norm_groups, channels[0]),
                with_encoder_nonlocal_attn=False,
                with_decoder_nonlocal_attn=False,
            )
        return autoencoder.eval()

    def _stage(self, name: str) -> Measure:
        def measure(until: float) -> dict[str, Any]:
            self.__dict__.pop("generator", None)  # frees it
            release(self.device)
            peak = self.results.get("peak", {}).get("tflops")
            if peak is None:
                raise RuntimeError("the peak could not be measured")
            return measure_stage(self.maker, name, until, peak)

        return measure


def describe(config: Config) -> Description:
    """A generator of these sizes."""
    record = case_record(config)
    stages = (StageProvenance(stage="autoencoder", dataset=record.dataset, fold=0, split_hash="", cases=record.cases),)
    return Description(
        lldm_aug_version=__version__,
        shape=record.shape,
        spacing_mm=record.spacing_mm,
        compression=record.compression,
        dataset_json=record.dataset_json,
        intensity=record.intensity,
        autoencoder=config.autoencoder,
        denoiser=config.denoiser,
        objective=config.objective,
        sampling=config.sampling,
        latent_mean=(0.0,) * config.autoencoder.latents,
        latent_std=(1.0,) * config.autoencoder.latents,
        inpainting=config.train.controlnet.inpainting,
        stages=stages,
    )


def measure_pair(
    sampler: Sampler, generator: Generator, label: torch.Tensor, precision: str, steps: int, until: float
) -> dict[str, Any]:
    """Seconds of a pair, from a mask on the CPU to an image on the device; the first call does not count."""
    device, description = generator.device, generator.description
    noise = torch.randn(1, *description.latent_shape)
    control = sampler.control if isinstance(sampler, Peer) else generator.network.control.net
    with in_precision(precision, device):
        with evaluations({"denoiser": generator.network.denoiser, "control": control}) as counts:
            image = sampler.image(label, noise, steps)
        finite, shape = bool(torch.isfinite(image).all()), tuple(image.shape)
        del image
        held = allocated_mib(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = timed(lambda: sampler.image(label, noise, steps), device, until)
    return {
        "seconds": float(np.median(seconds)),
        "all_seconds": seconds,
        "steps": steps,
        "evaluations": counts,
        "peak_memory_mib": peak_mib(device),
        "memory_before_mib": held,
        "shape": shape,
        "finite": finite,
    }


def timed(work: Callable[[], object], device: torch.device, until: float, most: int = MOST_CALLS) -> list[float]:
    """Seconds of some calls: one at least, and none that begins too late."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < most and time.monotonic() + seconds[-1] < until):
        synchronize(device)
        began = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return seconds


@contextmanager
def evaluations(networks: dict[str, nn.Module]) -> Iterator[dict[str, int]]:
    """Counts how often networks are called within it."""
    counts = dict.fromkeys(networks, 0)

    def count(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            counts[name] += 1

        return hook

    handles = [network.register_forward_hook(count(name)) for name, network in networks.items()]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def in_precision(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def measure_peak(device: torch.device) -> dict[str, Any]:
    """TFLOP a second of a product of two square bf16 matrices of random numbers: the best of ten, after three."""
    side = PEAK_SIDE if device.type == "cuda" else TINY_SIDE
    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    seconds = timed(lambda: left @ right, device, time.monotonic() + 5, 13)[3:]
    return {"tflops": 2 * side**3 / min(seconds) / 1e12, "side": side, "what": "the best bf16 matrix product of ten"}


def allocated_mib(device: torch.device) -> float | None:
    """Memory in MiB that tensors take now; None on the CPU."""
    return torch.cuda.memory_allocated(device) / 2**20 if device.type == "cuda" else None


def machine_facts(device: torch.device) -> dict[str, Any]:
    """What all this was measured on."""
    packages = ("torch", "monai", "diffusers", "accelerate", "numpy")
    return {
        **describe_machine(str(device)).model_dump(mode="json"),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "convolutions_in_tf32": torch.backends.cudnn.allow_tf32,
        "versions": {name: import_module(name).__version__ for name in packages},
    }


if __name__ == "__main__":
    sys.exit(main())
