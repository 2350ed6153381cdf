"""Fixtures that several test modules share."""

import pytest

from lldm_aug.data.raw import RawDataset

pytest_plugins = ["nnunet_project"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """Six blob cases on disk; a module that needs others defines its own."""
    from tiny import tiny_dataset  # brings torch, which many modules do without

    return tiny_dataset(tmp_path_factory.mktemp("data"))
