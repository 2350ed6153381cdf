"""Fixtures that several test modules share."""

from importlib.util import find_spec

import pytest

from lldm_aug.data.raw import RawDataset

pytest_plugins = ["nnunet_project"]

if find_spec("hypothesis"):  # the GPU session does without it
    from hypothesis import settings

    settings.register_profile("untimed", deadline=None)  # how long an example takes says how busy the machine is
    settings.load_profile("untimed")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """Six blob cases on disk; a module that needs others defines its own."""
    from tiny import tiny_dataset  # brings torch, which many modules do without

    return tiny_dataset(tmp_path_factory.mktemp("data"))
