"""Weights of one network brought to another data set's channels, structures and compression.

Voxels are folded into channels before the networks see them (see `lldm_aug.models.layers`), so kernels that read or
write folded voxels have one slice a sub-voxel. They are adapted so that what is constant over the merged or split
sub-voxels gives the same as before:

- fewer sub-voxels (a thicker slice): weights that read them are summed, those that write them averaged;
- more sub-voxels: weights that read them are shared out evenly, those that write them repeated.

Structures are matched by name; a new one starts as if it were unknown, with weights of zero. Image channels are matched
by name too; if the names differ, or one stands for several channels, by place if there are as many, and else each
starts as the mean of the known ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from lldm_aug.models.layers import Factors

Weights = Mapping[str, torch.Tensor]
Direction = Literal["read", "written"]

ENCODER_INPUT = "core.encoder.blocks.0.conv.weight"
HEAD_INPUT = "head.0.weight"
HEAD_OUTPUT = ("head.4.weight", "head.4.bias")
MASK_INPUT = "embedding.layers.0.weight"
DENOISER_OUTPUT = ("out.2.conv.weight", "out.2.conv.bias")
SHORTCUT: tuple[tuple[str, int, Direction], ...] = (
    ("shortcut.read.weight", 1, "read"),
    ("shortcut.write.weight", 0, "written"),
    ("shortcut.write.bias", 0, "written"),
)


@dataclass(frozen=True)
class Layout:
    """What the folded channels of a network stand for.

    Args:
        channels: names of the image channels.
        structures: names of the structures.
        factors: sub-voxels along (X, Y, Z): the autoencoder's stem, or the compression of the mask's embedding.
    """

    channels: tuple[str, ...]
    structures: tuple[str, ...]
    factors: Factors

    @property
    def voxels(self) -> int:
        """Sub-voxels in all."""
        return self.factors[0] * self.factors[1] * self.factors[2]


def adapt_autoencoder(weights: Weights, old: Layout, new: Layout) -> dict[str, torch.Tensor]:
    """The state of an `Autoencoder` for another layout (factors are those of the stems)."""
    adapted = dict(weights)
    adapted[ENCODER_INPUT] = _image(weights[ENCODER_INPUT], 1, old, new, "read")
    seen = weights[HEAD_INPUT]
    hidden = adapted[HEAD_INPUT].shape[0]  # the head is as wide as what the decoder gives it
    mask = seen[:, hidden:]
    if mask.shape[1]:
        mask = _mask(mask, old, new)
    adapted[HEAD_INPUT] = torch.cat([seen[:, :hidden], mask], dim=1)
    for name in HEAD_OUTPUT:
        image, foreground = torch.split(weights[name], [len(old.channels) * old.voxels, old.voxels])
        image = _image(image, 0, old, new, "written")
        adapted[name] = torch.cat([image, regroup(foreground, 0, old.factors, new.factors, "written")])
    return adapted


def adapt_shortcut(weights: Weights, old: Layout, new: Layout) -> dict[str, torch.Tensor]:
    """The state of an `Autoencoder`'s shortcut, if it has one (factors are those of the compression)."""
    adapted = {}
    for name, dim, direction in SHORTCUT:
        if name in weights:
            adapted[name] = _image(weights[name], dim, old, new, direction)
    return adapted


def adapt_control(
    weights: Weights, old: Layout, new: Layout, knew: bool = False, knows: bool = False
) -> dict[str, torch.Tensor]:
    """The state of a `MaskControl` for another layout (factors are those of the compression).

    Args:
        weights: known.
        old: their layout.
        new: the layout that is wanted.
        knew: whether they read what is around a region, too (see `lldm_aug.models.surroundings.with_surroundings`).
        knows: whether that is wanted; if it is new, it is read with weights of zero, and learns.
    """
    kernel, sizes = weights[MASK_INPUT], [len(old.structures) * old.voxels, len(old.channels) * old.voxels, old.voxels]
    mask, *around = torch.split(kernel, sizes if knew else sizes[:1], dim=1)
    parts = [_mask(mask, old, new)]
    if knows and knew:
        parts += [_image(around[0], 1, old, new, "read"), regroup(around[1], 1, old.factors, new.factors, "read")]
    elif knows:
        unread = (len(new.channels) + 1) * new.voxels
        parts.append(kernel.new_zeros(len(kernel), unread, *kernel.shape[2:]))
    return {**weights, MASK_INPUT: torch.cat(parts, dim=1)}


def regroup(weight: torch.Tensor, dim: int, old: Factors, new: Factors, direction: Direction) -> torch.Tensor:
    """Changes the sub-voxels of a folded dimension (n * fx * fy * fz); factors are powers of two.

    Args:
        weight: any tensor.
        dim: which dimension is folded.
        old: its factors.
        new: those wanted.
        direction: whether the dimension is read (sums are kept) or written (values are kept).
    """
    folded = weight.movedim(dim, 0)
    rest = folded.shape[1:]
    folded = folded.reshape(-1, *old, *rest)
    for axis, (before, after) in enumerate(zip(old, new, strict=True), start=1):
        if after < before:
            sides = folded.shape
            groups = folded.reshape(*sides[:axis], after, before // after, *sides[axis + 1 :])
            folded = groups.sum(axis + 1) if direction == "read" else groups.mean(axis + 1)
        elif after > before:
            times = after // before
            folded = folded.repeat_interleave(times, axis) / (times if direction == "read" else 1)
    return folded.reshape(-1, *rest).movedim(0, dim).contiguous()


def _image(weight: torch.Tensor, dim: int, old: Layout, new: Layout, direction: Direction) -> torch.Tensor:
    weight = regroup(weight, dim, old.factors, new.factors, direction).movedim(dim, 0)
    channels = weight.reshape(len(old.channels), new.voxels, *weight.shape[1:])
    if len({*old.channels}) == len(old.channels) and sorted(old.channels) == sorted(new.channels):
        channels = channels[[old.channels.index(name) for name in new.channels]]
    elif len(old.channels) != len(new.channels):
        # Read: what is alike in all channels must sum up to the same. Written: every channel as before.
        share = len(old.channels) / len(new.channels) if direction == "read" else 1.0
        channels = (channels.mean(0, keepdim=True) * share).repeat_interleave(len(new.channels), 0)
    return channels.flatten(0, 1).movedim(0, dim).contiguous()


def _mask(weight: torch.Tensor, old: Layout, new: Layout) -> torch.Tensor:
    """A kernel (out, S * sub-voxels, ...) that reads the mask."""
    by_structure = torch.split(regroup(weight, 1, old.factors, new.factors, "read"), new.voxels, dim=1)
    known = dict(zip(old.structures, by_structure, strict=True))
    return torch.cat([known.get(name, torch.zeros_like(by_structure[0])) for name in new.structures], dim=1)


def grow_outputs(weights: Weights, wanted: Weights) -> Weights:
    """A denoiser's weights for one with more outputs: the further ones are zero, and learn.

    Args:
        weights: known.
        wanted: those of the new denoiser; only their shapes are looked at.
    """
    grown = dict(weights)
    for name in DENOISER_OUTPUT:
        known = weights[name]
        if known.shape[1:] == wanted[name].shape[1:] and len(known) < len(wanted[name]):
            grown[name] = torch.cat([known, known.new_zeros(len(wanted[name]) - len(known), *known.shape[1:])])
    return grown
