"""The one training loop, on Accelerate: mixed precision, accumulation, clipping, EMA, checkpoints, resume, trackers."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from lldm_aug.config.stages import StageSettings
from lldm_aug.errors import ConfigError, TrainingError
from lldm_aug.interrupt import Interrupted, StopRequest, stop_requests
from lldm_aug.io.atomic import append_json_line
from lldm_aug.training.checkpoint import Ema, load_checkpoint, save_checkpoint
from lldm_aug.training.choice import BestWeights, forget_lines_after
from lldm_aug.training.order import Row, batch_rows
from lldm_aug.training.stage import AdversarialStage, AdversarialUpdate, HalfLabelledStage, ScoredStage, Stage

MAX_BAD_STEPS = 10
OnStep = Callable[[int, dict[str, float]], None]


def train_stage(
    stage: Stage | AdversarialStage, accelerator: Accelerator, folder: Path, seed: int, on_step: OnStep
) -> None:
    """Trains a stage to its last step, from its newest checkpoint if there is one, and exports it.

    What is exported are averaged weights: those that scored best of a `ScoredStage`, else the last.

    Args:
        stage: what to train.
        accelerator: processes, device and precision.
        folder: the stage's own folder: ``stats.jsonl``, ``checkpoints/``, ``samples/``.
        seed: of the run; order, noise and drop-out are pure functions of it and the step.
        on_step: called after each step with its number and figures.

    Raises:
        TrainingError: after ten steps in a row whose loss or gradient is not finite.
        Interrupted: on SIGTERM or SIGINT, after a checkpoint was saved.
        ConfigError: when the batch cannot be shared evenly.
    """
    with stop_requests() as request:
        _Run(stage, accelerator, folder, seed, on_step, request).go()


def time_steps(stage: Stage | AdversarialStage, accelerator: Accelerator, seed: int, count: int) -> list[float]:
    """Seconds of each of the first steps of a stage, which is of no use afterwards; nothing is written."""
    run = _Run(stage, accelerator, Path(), seed, lambda step, figures: None, StopRequest())
    run.begin()
    seconds = []
    for step in range(count):
        began = time.perf_counter()
        run.step(step)
        seconds.append(time.perf_counter() - began)
    return seconds


@dataclass
class _Run:
    stage: Stage | AdversarialStage
    accelerator: Accelerator
    folder: Path
    seed: int
    on_step: OnStep
    request: StopRequest

    def begin(self) -> int:
        """Networks and optimiser on the device, as the newest checkpoint has them; returns its step."""
        stage, settings = self.stage, self.stage.settings
        _check_batch(settings, self.accelerator)
        stage.module.to(self.accelerator.device)
        groups = [
            {
                "params": [p for p in update.part.parameters() if p.requires_grad],
                "rate": update.rate,
                "betas": update.betas,
            }
            for update in self._updates()
        ]
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.ema = Ema(stage.module, settings.ema_decay)
        self.best = BestWeights(self.folder)
        if isinstance(
            stage, AdversarialStage
        ):  # its parts take turns, for which there is no wrapper: see _average_gradients
            self.model, self.optimizer = stage.module, self.accelerator.prepare(optimizer)
        else:
            self.model, self.optimizer = self.accelerator.prepare(stage.module, optimizer)
        self.bad_steps = 0
        # Last, for Accelerate moves what it prepares: Adam's step counters, each read in each step, stay on the CPU.
        return load_checkpoint(self.folder / "checkpoints", stage.module, self.ema, optimizer)

    def go(self) -> None:
        """Trains and exports."""
        start, steps = self.begin(), self.stage.settings.steps
        self._forget_after(start)
        for step in range(start, steps):
            began = time.perf_counter()
            figures = self.step(step)
            self._record(step + 1, {**figures, "seconds": time.perf_counter() - began})
            if self._stopped():
                if self.accelerator.is_main_process:
                    self._save(step + 1)
                raise Interrupted.by(self.request.signal, step + 1, self.folder)
        self._finish(steps)

    def step(self, step: int) -> dict[str, float]:
        """One step: an update of the network, or of each part of a game in turn."""
        rate = learning_rate(self.stage.settings, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        parts = self._parts(step)
        totals: dict[str, float] = {}
        norms = [self._update(update, parts, totals) for update in self._updates()]
        if all(map(math.isfinite, norms)):  # a loss that is not finite makes the norm so on every process
            self.bad_steps = 0
            self.ema.update(self.stage.module, step)
        else:
            self._count_bad_step(step)
        return {**totals, "gradient_norm": norms[-1], "learning_rate": rate}

    def _updates(self) -> tuple[AdversarialUpdate, ...]:
        stage = self.stage
        if isinstance(stage, AdversarialStage):
            return stage.updates
        return (AdversarialUpdate(stage.module, lambda rows, device: stage.loss(self.model, rows, device)),)

    def _update(self, update: AdversarialUpdate, parts: list[list[Row]], totals: dict[str, float]) -> float:
        """One update, unless its gradient is not finite; adds figures to the totals, returns the gradient's norm."""
        accelerator, game = self.accelerator, isinstance(self.stage, AdversarialStage)
        if game:
            self.stage.module.requires_grad_(False)
            update.part.requires_grad_(True)
        for i, rows in enumerate(parts):
            last = i == len(parts) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
                with accelerator.autocast() if game else contextlib.nullcontext():  # a prepared model does so itself
                    loss, figures = update.loss(rows, accelerator.device)
                accelerator.backward(loss / len(parts))
            for name, value in {"loss": loss.item(), **figures}.items():
                totals[name] = totals.get(name, 0.0) + value / len(parts)
        if game:
            self._average_gradients(update.part)
        part = update.part if game else self.model
        norm = float(accelerator.clip_grad_norm_(part.parameters(), self.stage.settings.clip_norm))
        if math.isfinite(norm):
            self.optimizer.step()  # of what has a gradient: this turn's part
        self.optimizer.zero_grad()
        return norm

    def _average_gradients(self, part: torch.nn.Module) -> None:
        """Over processes."""
        if self.accelerator.num_processes > 1:
            for parameter in part.parameters():
                if parameter.grad is not None:
                    parameter.grad.copy_(self.accelerator.reduce(parameter.grad, reduction="mean"))

    def _parts(self, step: int) -> list[list[Row]]:
        """This process's rows of the step's batch, in the parts that are accumulated."""
        stage, world = self.stage, self.accelerator.num_processes
        unlabelled = stage.unlabelled_ids if isinstance(stage, HalfLabelledStage) else ()
        rows = batch_rows(stage.case_ids, self.seed, stage.name, step, stage.settings.batch_size, unlabelled)
        mine = rows[self.accelerator.process_index :: world]
        size = len(mine) // stage.settings.accumulate
        return [mine[i : i + size] for i in range(0, len(mine), size)]

    def _count_bad_step(self, step: int) -> None:
        self.bad_steps += 1
        if self.bad_steps >= MAX_BAD_STEPS:
            raise TrainingError(
                f"loss or gradient was not finite in {self.bad_steps} steps in a row, the last {step + 1}",
                where=self.folder,
                fix="lower the learning rate, or set train.precision=no; the last checkpoint is kept",
            )

    def _record(self, step: int, figures: dict[str, float]) -> None:
        settings, last = self.stage.settings, step == self.stage.settings.steps
        if self.accelerator.is_main_process:
            if step % settings.log_every == 0 or last:
                append_json_line(self.folder / "stats.jsonl", {"step": step, **figures})
                self.accelerator.log(figures, step=step)
            self._score(step)  # before the checkpoint: a restart from it does not come by here again
            if step % settings.checkpoint_every == 0 or last:
                self._save(step)
            if settings.preview_every and step % settings.preview_every == 0 and not last:
                with self._average():
                    self._preview(step)
        self.on_step(step, figures)

    def _score(self, step: int) -> None:
        stage = self.stage
        if not isinstance(stage, ScoredStage) or not stage.score_every:
            return
        if step % stage.score_every == 0 or step == stage.settings.steps:
            with self._average():
                score = stage.score()
            if score is not None:
                self.best.offer(step, score, self.ema.average)
                self.accelerator.log({"score": score.value, **score.figures}, step=step)

    def _stopped(self) -> bool:
        """Whether any process was asked to stop: then all of them stop, after the same step."""
        flag = torch.tensor(self.request.signal, device=self.accelerator.device)
        if self.accelerator.num_processes > 1:
            flag = self.accelerator.reduce(flag.float(), reduction="sum").int()
        if not flag.item():
            return False
        self.request.signal = self.request.signal or signal.SIGTERM  # the signal went to another process
        return True

    def _finish(self, step: int) -> None:
        if self.accelerator.is_main_process:
            self.best.fill(self.ema.average)
            with self._average():
                self._preview(step)
                self.stage.export(self.folder / "export")
        self.accelerator.wait_for_everyone()

    @contextlib.contextmanager
    def _average(self) -> Iterator[None]:
        """Within it, the module has the averaged weights and is in evaluation mode."""
        with self.ema.applied_to(self.stage.module):
            self.stage.module.eval()
            yield
            self.stage.module.train()

    def _preview(self, step: int) -> None:
        self.stage.preview(self.folder / "samples" / f"step_{step:08d}.png")

    def _save(self, step: int) -> None:
        save_checkpoint(
            self.folder / "checkpoints",
            step,
            self.stage.module,
            self.ema,
            self.optimizer.optimizer,
            self.stage.settings.keep_checkpoints,
        )

    def _forget_after(self, step: int) -> None:
        """Drops the statistics of steps that were lost with the last interruption and come again."""
        if self.accelerator.is_main_process:
            forget_lines_after(self.folder / "stats.jsonl", step)
            self.best.forget_after(step)


def learning_rate(settings: StageSettings, step: int) -> float:
    """Linear warm-up, then a cosine to a hundredth of the peak."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def _check_batch(settings: StageSettings, accelerator: Accelerator) -> None:
    shares = accelerator.num_processes * settings.accumulate
    if settings.batch_size % shares:
        raise ConfigError(
            f"batch_size {settings.batch_size} is not a multiple of {accelerator.num_processes} processes "
            f"times accumulate {settings.accumulate}",
            fix="the batch is that of the whole step, over all processes",
        )
