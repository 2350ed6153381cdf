"""Training on the device: every stage, in both precisions, as on the CPU, across a kill, and as a process of many."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import copy_without

from gpu.trained import ORDER, Trained, distance, run_config, weights
from lldm_aug.config.load import resolved_yaml
from lldm_aug.data.raw import RawDataset
from lldm_aug.stages.run import make_stage, open_accelerator, resolved, train
from lldm_aug.stages.table import STAGES
from lldm_aug.training.loop import _Run
from lldm_aug.training.order import batch_rows
from lldm_aug.training.prepared_cases import prepare_cases

SAME_LOSS = 1e-4
"""Relative, of a loss on the device without TF32 and on the CPU."""
SAME_GRADIENT = 1e-3
"""Norm of the difference of both gradients, as a share of their norm."""
SAME_WEIGHTS = 1e-4
"""Distance of weights trained twice on CUDA, whose sums come in any order; on the CPU it is 0."""
KILLED_STEPS = 16
CHILD = """
import json, sys, torch
from pathlib import Path
from lldm_aug.config.load import load_config
from lldm_aug.data.raw import RawDataset
from lldm_aug.stages.run import train
wrapped = set()
def note(module, args):
    if isinstance(module, torch.nn.parallel.DistributedDataParallel):
        wrapped.add(type(module.module).__name__)
torch.nn.modules.module.register_module_forward_pre_hook(note)
found, stages, data, config, out = sys.argv[1:]
if not torch.cuda.is_available():
    torch.distributed.init_process_group("gloo")  # which Accelerate leaves out for one process on the CPU
for stage in stages.split(","):
    train(stage, load_config(config), RawDataset(Path(data)), 0, Path(out))
facts = {"wrapped": sorted(wrapped), "backend": torch.distributed.get_backend()}
open(found, "w").write(json.dumps(facts))
torch.distributed.destroy_process_group()
"""
Note = Callable[[str, object], None]


def check_stage(run: Trained, stage: str, device: torch.device, dtype: torch.dtype) -> None:
    result, seen = run.until(stage), run.seen[stage]
    assert {place for place, _ in seen} == {device.type}
    assert dtype in {kind for _, kind in seen}
    stored = weights(result)
    assert stored
    assert all(tensor.isfinite().all() and tensor.dtype == torch.float32 for tensor in stored.values())
    folder = run.folder / stage
    files = [folder / "stats.jsonl"] if stage != "masks" else [*folder.glob("*/stats.jsonl")]
    assert len(files) == (2 if stage == "masks" else 1)
    for file in files:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3, 4]
        # Some CPUs now and then give NaN as weight gradients of bf16 convolutions; the loop passes over such steps.
        shaky = {"gradient_norm"} if device.type == "cpu" and dtype == torch.bfloat16 else set()
        assert all(math.isfinite(value) for line in lines for name, value in line.items() if name not in shaky)


@pytest.mark.parametrize("stage", ORDER)
def test_every_stage_trains(trained: Trained, device: torch.device, stage: str) -> None:
    check_stage(trained, stage, device, torch.float32)


@pytest.mark.parametrize("stage", ORDER)
def test_every_stage_trains_in_mixed_precision(trained_bf16: Trained, device: torch.device, stage: str) -> None:
    check_stage(trained_bf16, stage, device, torch.bfloat16)


def begun(run: Trained, name: str) -> _Run:
    """A stage as the loop begins it, from its newest checkpoint."""
    config = run_config()
    accelerator = open_accelerator(config, (), run.folder)
    cases = prepare_cases(run.dataset, 0, config, run.folder / "cases")
    stage = make_stage(STAGES[name], resolved(config, cases), run.dataset, cases, run.folder, accelerator, None)
    folder = run.folder / name if not name.startswith("masks") else run.folder / name.replace("_", "/")
    loop = _Run(stage, accelerator, folder, config.seed, lambda step, figures: None, signal_free())
    loop.begin()
    return loop


def signal_free() -> object:
    """Stands for a request to stop that never comes."""
    return type("Never", (), {"signal": 0})()


@pytest.mark.parametrize("name", ["segmenter", "masks_autoencoder", "masks_diffusion", *ORDER[2:]])
def test_loss_and_gradient_are_those_of_the_cpu(
    trained: Trained, device: torch.device, full_precision: None, record_property: Note, name: str
) -> None:
    trained.until("controlnet")
    loop = begun(trained, name)
    stage = loop.stage
    rows = batch_rows(stage.case_ids, 0, stage.name, 0, 2)
    found = []
    for place in (device, torch.device("cpu")):
        stage.module.to(place).zero_grad()
        loss, _ = stage.loss(stage.module, rows, place)
        loss.backward()
        gradient = {n: p.grad.cpu() for n, p in stage.module.named_parameters() if p.grad is not None}
        found.append((loss.item(), gradient))
    (loss, gradient), (expected, reference) = found
    record_property("loss_apart", abs(loss - expected) / expected)
    record_property("gradient_apart", distance(gradient, reference))
    assert loss == pytest.approx(expected, rel=SAME_LOSS)
    assert distance(gradient, reference) < SAME_GRADIENT


def test_resume_gives_the_same_weights(
    trained: Trained, device: torch.device, tmp_path: Path, record_property: Note
) -> None:
    whole = trained.until("controlnet")
    missing = ("generator", "controlnet/export", "controlnet/checkpoints/step_00000004")
    again = Trained(trained.dataset, copy_without(trained.folder, tmp_path / "x", *missing), "no")
    apart = distance(weights(again.until("controlnet")), weights(whole))
    record_property("apart", apart)
    assert apart <= (SAME_WEIGHTS if device.type == "cuda" else 0)
    before, after = (weights(trained.folder / "controlnet" / "checkpoints" / f"step_0000000{n}") for n in (2, 4))
    assert distance(before, after) > 10 * SAME_WEIGHTS  # or the bound would say nothing


def test_adam_counts_on_the_cpu_after_a_resume(trained: Trained, device: torch.device) -> None:
    trained.until("autoencoder")
    loop = begun(trained, "autoencoder")
    assert {state["step"].device.type for state in loop.optimizer.optimizer.state.values()} == {"cpu"}
    assert {state["exp_avg"].device.type for state in loop.optimizer.optimizer.state.values()} == {device.type}


def environment(device: torch.device, **more: str) -> dict[str, str]:
    """Of a child that trains on the device."""
    return {**os.environ, **({} if device.type == "cuda" else {"ACCELERATE_USE_CPU": "true"}), **more}


def options(dataset: RawDataset, out: Path, config: Path) -> list[str]:
    """Of ``lldm-aug train``."""
    return ["--fold", "0", "--data", str(dataset.folder), "--out", str(out), "--config", str(config)]


def test_a_killed_training_goes_on_to_the_same_weights(
    dataset: RawDataset, device: torch.device, tmp_path: Path, record_property: Note
) -> None:
    config, out = run_config(steps=KILLED_STEPS, checkpoint_every=1000, log_every=1), tmp_path / "x"
    (tmp_path / "c.yaml").write_text(resolved_yaml(config))
    command = [sys.executable, "-m", "lldm_aug", "train", "autoencoder", *options(dataset, out, tmp_path / "c.yaml")]
    child = subprocess.Popen(command, env=environment(device), stderr=subprocess.PIPE, text=True)
    stats = out / "autoencoder" / "stats.jsonl"
    while child.poll() is None and not (stats.exists() and stats.read_text().count("\n") >= 3):
        time.sleep(0.002)
    child.send_signal(signal.SIGTERM)
    _, message = child.communicate(timeout=60)
    assert child.returncode == 143, message
    (saved,) = (out / "autoencoder" / "checkpoints").glob("step_*")
    record_property("killed_at", saved.name)
    assert 3 <= int(saved.name.removeprefix("step_")) < KILLED_STEPS
    again, whole = (train("autoencoder", config, dataset, 0, folder) for folder in (out, tmp_path / "y"))
    apart = distance(weights(again), weights(whole))
    record_property("apart", apart)
    assert apart <= (KILLED_STEPS * SAME_WEIGHTS if device.type == "cuda" else 0)
    assert [json.loads(line)["step"] for line in stats.read_text().splitlines()] == [*range(1, KILLED_STEPS + 1)]


def test_one_process_of_many_trains_the_same_networks(
    trained: Trained, device: torch.device, tmp_path: Path, record_property: Note
) -> None:
    """Accelerate wraps networks for several processes only where a launcher has set these variables (not for one)."""
    whole = trained.until("controlnet")
    (tmp_path / "c.yaml").write_text(resolved_yaml(run_config()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launched = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    files = (trained.dataset.folder, tmp_path / "c.yaml", tmp_path / "x")
    command = [sys.executable, "-c", CHILD, str(tmp_path / "facts"), ",".join(ORDER), *map(str, files)]
    done = subprocess.run(command, env=environment(device, **launched, **there), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    facts = json.loads((tmp_path / "facts").read_text())
    assert facts["backend"] == ("nccl" if device.type == "cuda" else "gloo")
    networks = ["Autoencoder", "ControlledDenoiser", "DiffusionModelUNet", "MaskAutoencoder", "SegmentationNet"]
    assert facts["wrapped"] == networks
    for stage in ORDER:
        result = tmp_path / "x" / "generator" if stage == "controlnet" else tmp_path / "x" / stage / "export"
        apart = distance(weights(result), weights(whole if stage == "controlnet" else trained.result(stage)))
        record_property(f"apart_{stage}", apart)
        assert apart <= SAME_WEIGHTS, stage
