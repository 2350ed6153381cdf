"""Training with ``train.precision=bf16``: passes run in bfloat16, what is stored stays float32."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_config

from lldm_aug.config.load import resolved_yaml
from lldm_aug.data.raw import RawDataset

CODE = """
import sys
from pathlib import Path

import pytest
import torch
from lldm_aug.config.load import load_config
from lldm_aug.data.raw import RawDataset
from lldm_aug.stages.run import train

kinds = set()
module_call = torch.nn.Conv3d.__call__

def call(self, x):
    out = module_call(self, x)
    kinds.add(str(out.dtype))
    return out

torch.nn.Conv3d.__call__ = call
train("autoencoder", load_config(sys.argv[1], ()), RawDataset(Path(sys.argv[2])), 0, Path(sys.argv[3]))
print(*sorted(kinds))
"""


@pytest.mark.slow
def test_bf16_is_trained_in_and_not_stored(dataset: RawDataset, tmp_path: Path) -> None:
    """In a process of its own: Accelerate keeps the first precision of a process."""
    config = tiny_config(steps=3)
    config = config.model_copy(update={"train": config.train.model_copy(update={"precision": "bf16"})})
    settings = tmp_path / "settings.yaml"
    settings.write_text(resolved_yaml(config))
    command = [sys.executable, "-c", CODE, str(settings), str(dataset.folder), str(tmp_path / "run")]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch.bfloat16" in done.stdout.split()
    stage = tmp_path / "run" / "autoencoder"
    stored = load_file(stage / "export" / "autoencoder.safetensors")
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in stored.values())
    lines = [json.loads(line) for line in (stage / "stats.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert all(math.isfinite(line["loss"]) for line in lines)
