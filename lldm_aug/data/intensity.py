"""Robust intensity scaling to about [-1, 1], and back to the real data's range with its exact zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lldm_aug.config.schema import IntensitySettings
from lldm_aug.record import Record

FAINTEST = 1e-6
"""Share of the range that tells the darkest tissue from air, where intensities are no whole numbers."""


class Scale(Record):
    """Linear scaling of one case.

    Args:
        low: for each channel the intensity that becomes -1.
        high: for each channel the intensity that becomes 1.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def apply(self, image: np.ndarray, limit: float) -> np.ndarray:
        """Scaled (C, X, Y, Z) float32, clipped to [-limit, limit]."""
        low, span = self._columns()
        return np.asarray(np.clip((image - low) / span * 2 - 1, -limit, limit), dtype=np.float32)

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Intensities of a scaled (C, X, Y, Z) image."""
        low, span = self._columns()
        return np.asarray((scaled + 1) / 2 * span + low, dtype=np.float32)

    def _columns(self) -> tuple[np.ndarray, np.ndarray]:
        low = np.asarray(self.low, dtype=np.float32)[:, None, None, None]
        high = np.asarray(self.high, dtype=np.float32)[:, None, None, None]
        return low, np.maximum(high - low, np.float32(1e-6))


class IntensityModel(Record):
    """What the training cases say about intensities.

    Args:
        scales: one for each training case (or one common one).
        limit: bound of scaled values.
        minimum: smallest intensity of each channel in the training cases.
        maximum: largest.
        integer: whether all intensities are whole numbers.
        zero_background: whether most cases hold exact zeros in a share worth keeping (0.1 %).
    """

    scales: tuple[Scale, ...]
    limit: float
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    integer: bool
    zero_background: bool

    def common_scale(self, settings: IntensitySettings, channel_names: Sequence[str]) -> Scale | None:
        """The scale that all cases share; None if each has its own, even where there is but one."""
        return self.scales[0] if scales_by_dataset(settings, channel_names) else None

    def restore(self, scaled: np.ndarray, foreground: np.ndarray, scale: Scale) -> np.ndarray:
        """Intensities in the real data's range: (C, X, Y, Z), exactly zero just where no ``foreground`` (X, Y, Z) is.

        What is darkest of all in the foreground is not zero, or nnU-Net would take it for air. Whole numbers come as
        int16 where they fit.
        """
        shape = (-1, 1, 1, 1)
        low, high = np.reshape(self.minimum, shape), np.reshape(self.maximum, shape)
        image = np.clip(scale.invert(scaled), low, high).astype(np.float32)
        if self.integer:
            image = np.rint(image)
        if self.zero_background:
            darkest = 1.0 if self.integer else FAINTEST * float((high - low).max())
            image[:, foreground & background(image)] = darkest
            image[:, ~foreground] = 0
        fits = self.integer and low.min() >= -32768 and high.max() <= 32767
        return np.asarray(image, dtype=np.int16 if fits else np.float32)


def measure_scale(image: np.ndarray, settings: IntensitySettings) -> Scale:
    """The scaling of one (C, X, Y, Z) case from percentiles of its voxels that are not exactly zero."""
    low, high = [], []
    for channel in image:
        values = channel[channel != 0]
        a, b = np.percentile(values if values.size else channel, settings.percentiles)
        low.append(float(a))
        high.append(float(max(b, a + 1e-6)))
    return Scale(low=tuple(low), high=tuple(high))


def common_scale(scales: Sequence[Scale]) -> Scale:
    """One scaling for all cases: the mean of their percentiles."""
    low = np.mean([s.low for s in scales], axis=0)
    high = np.mean([s.high for s in scales], axis=0)
    return Scale(low=tuple(map(float, low)), high=tuple(map(float, high)))


def background(image: np.ndarray) -> np.ndarray:
    """Boolean (X, Y, Z): exactly zero in every channel (nnU-Net's rule)."""
    return np.asarray((image == 0).all(axis=0))


def likely_foreground(logit: np.ndarray) -> np.ndarray:
    """Boolean (X, Y, Z) from logits that voxels are not exactly zero: as many zeros as expected, the surest first.

    A threshold at 0.5 would make none where zeros are scattered over the air, one voxel in three, as some scanners do.
    """
    expected = round(float((1 / (1 + np.exp(np.clip(logit.astype(np.float64), -50, 50)))).sum()))
    foreground = np.ones(logit.size, dtype=bool)
    foreground[np.argsort(logit, axis=None, kind="stable")[:expected]] = False
    return foreground.reshape(logit.shape)


def scales_by_dataset(settings: IntensitySettings, channel_names: Sequence[str]) -> bool:
    """Whether one scaling serves all cases: as in nnU-Net, for channels called CT."""
    if settings.scope == "auto":
        return all(name.lower() == "ct" for name in channel_names)
    return settings.scope == "dataset"
