"""What blended data sets of both kinds have in common: a pool, a ratio, a seed, and the current epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from lldm_aug.blending.convert import as_dictionary
from lldm_aug.blending.epoch import SharedEpoch
from lldm_aug.blending.ratio import added_share, check_ratio
from lldm_aug.data.raw import Case
from lldm_aug.errors import ConfigError
from lldm_aug.pool.pool_dataset import PoolDataset
from lldm_aug.seeds import derive_seed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Mode = Literal["replace", "add"]


class MapStyle(Protocol[T_co]):
    """Whatever has a length and items by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


class Blend(Generic[T]):
    """Base of `SyntheticMixin` and `SyntheticIterable`; see these for the arguments and errors."""

    _reads: ClassVar[str]
    """The method by which real items come; set by each kind of blend, a user's subclass has none of its own."""

    def __init__(
        self,
        *args: Any,
        pool: str | Path | MapStyle[Case],
        ratio: float = 0.5,
        seed: int = 0,
        mode: Mode = "replace",
        convert: Callable[[Case], Any] = as_dictionary,
        **kwargs: Any,
    ) -> None:
        self._wrapped: Any = None
        kind, behind = self._anatomy()
        if any(self._reads in vars(base) for base in behind):
            super().__init__(*args, **kwargs)
            self._check_names()
        elif len(args) == 1 and not kwargs:
            self._wrapped = args[0]
            behind = type(args[0]).__mro__
        else:
            raise ConfigError(f"{kind.__name__} needs one data set to wrap, or a class to be mixed into")
        self._check_kind(behind)
        if mode not in ("replace", "add"):
            raise ConfigError(f"mode {mode!r} is neither 'replace' nor 'add'")
        if not callable(convert):
            fix = "give a function of a Case, such as those of lldm_aug.blending.convert"
            raise ConfigError(f"{convert!r} is no function", where="convert", fix=fix)
        self.pool = PoolDataset(pool) if isinstance(pool, (str, Path)) else pool
        self.ratio = check_ratio(ratio)
        self._rate = added_share(1, self.ratio) if mode == "add" else self.ratio  # synthetic ones to each real item
        self.blend_seed = seed
        self.mode = mode
        self.convert = convert
        self._epoch = SharedEpoch()

    @property
    def epoch(self) -> int:
        """The current epoch, also in workers that are already running."""
        return self._epoch.get()

    def set_epoch(self, epoch: int) -> None:
        """Moves on to an epoch, in all workers; also calls ``set_epoch`` of the real data set, if it has one."""
        self._epoch.set(epoch)
        if hasattr(self._real, "set_epoch"):
            self._real.set_epoch(epoch)

    @classmethod
    def _anatomy(cls) -> tuple[type, tuple[type, ...]]:
        """The kind of blend that this class is, and the classes behind it that are not its own bases."""
        kind = next(base for base in cls.__mro__ if "_reads" in vars(base))
        later = cls.__mro__[cls.__mro__.index(kind) + 1 :]
        return kind, tuple(base for base in later if base not in kind.__mro__)

    @classmethod
    def _check_kind(cls, real: tuple[type, ...]) -> None:
        """Raises ConfigError when real items of these classes would have to be read in another way."""

    def _check_names(self) -> None:
        """Raises ConfigError when a class that this one is mixed into would lose attributes of its own."""
        ours = ("pool", "ratio", "mode", "convert")
        taken = [name for name in ours if name in vars(self) or hasattr(self._real, name)]
        if taken:
            fix = "wrap its instances instead of mixing into it"
            raise ConfigError(f"the class has a {taken[0]!r} of its own", where=type(self).__name__, fix=fix)

    @property
    def _real(self) -> Any:
        """The source of real items: the data set that is wrapped, or the class that this one is mixed into."""
        return super() if self._wrapped is None else self._wrapped

    def choose(self, *place: int) -> int:
        """Index in the pool of the synthetic case for a place, which is (epoch, index) or (stream, epoch, index)."""
        return derive_seed("synthetic case", self.blend_seed, *place) % len(self.pool)

    def _synthetic_item(self, source: int) -> T:
        sample: T = self.convert(self.pool[source])
        return sample
