"""The one tree of errors: every message says what is wrong, where, and what to do."""

from __future__ import annotations


class LldmAugError(Exception):
    """Base of every error that this package raises on purpose.

    Args:
        what: what is wrong, one sentence without a final stop.
        where: the file, case or setting that it is about.
        fix: what the user can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, fix: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        place = "" if self.where is None else f"{self.where}: "
        advice = "" if fix is None else f". {fix[0].upper()}{fix[1:]}"
        super().__init__(f"{place}{what}{advice}.")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(kind: type[LldmAugError], what: str, where: str | None, fix: str | None) -> LldmAugError:
    return kind(what, where=where, fix=fix)


class ConfigError(LldmAugError):
    """A setting that is unknown, of the wrong type or out of range."""

    exit_code = 2


class InvalidVolume(LldmAugError):
    """A volume file that is damaged, implausible or on the wrong grid."""


class LabelError(LldmAugError):
    """A label map that does not fit its schema."""


class DatasetError(LldmAugError):
    """A data set, fold or case that is missing or inconsistent."""


class CheckpointError(LldmAugError):
    """A generator folder or training checkpoint that is damaged or does not fit."""


class IncompatibleResume(LldmAugError):
    """An output folder that was begun with other inputs or settings."""


class FolderInUse(LldmAugError):
    """An output folder that another process is writing to."""


class PoolError(LldmAugError):
    """A pool of synthetic cases that is damaged or inconsistent."""


class LeakageError(LldmAugError):
    """Validation cases that a generator, or a synthetic case's mask, has seen."""


class TrainingError(LldmAugError):
    """A training run that cannot go on, such as after repeated non-finite losses."""
