"""Data sets whose real items are their index; synthetic items become negative."""

from collections.abc import Iterator

from torch.utils.data import Dataset, IterableDataset, get_worker_info

from lldm_aug.blending.mixin import SyntheticMixin
from lldm_aug.data.raw import Case


class Numbers(Dataset):
    """A map-style data set."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return index


class NumberStream(IterableDataset):
    """An iterable data set that deals its items out to the workers."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.told = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        return iter(range(worker.id, self.length, worker.num_workers) if worker else range(self.length))

    def set_epoch(self, epoch: int) -> None:
        self.told = epoch


class Blended(SyntheticMixin, Numbers):
    """Mixed into a class."""


def negative(case: Case) -> int:
    return -1 - int(case.case_id.removeprefix("syn_"))
