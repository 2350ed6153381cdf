"""What the tests of this folder share: the device, the data, and runs that are trained as far as they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import tiny_dataset

from gpu.trained import Trained
from lldm_aug.data.raw import RawDataset

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """CUDA, or the CPU in a rehearsal."""
    if os.environ.get("LLDM_AUG_REHEARSE"):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device (LLDM_AUG_REHEARSE=1 rehearses on the CPU)")
    return torch.device("cuda", 0)


@pytest.fixture(scope="session")
def dataset(device: torch.device, tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """Six blob cases; not made where there is no device."""
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def trained(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run in full precision."""
    return Trained(dataset, tmp_path_factory.mktemp("runs") / "no", "no")


@pytest.fixture(scope="session")
def trained_bf16(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run in mixed precision."""
    return Trained(dataset, tmp_path_factory.mktemp("runs") / "bf16", "bf16")


@pytest.fixture
def full_precision() -> Iterator[None]:
    """Within it no convolution is rounded to TF32, as cuDNN does by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        yield
