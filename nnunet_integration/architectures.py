"""Other networks as configurations of a data set's plans: they share its preprocessed cases, patch and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lldm_aug.errors import ConfigError, IncompatibleResume
from lldm_aug.io.atomic import write_json
from lldm_aug.io.records import read_json
from lldm_aug.models import segmentation_networks as networks
from lldm_aug.models.segmentation_networks import SingleOutput
from nnunet_integration.target import Target

Arguments = Mapping[str, Any]

_UNETS = "dynamic_network_architectures.architectures.unet"
_SHARED = (
    "n_stages",
    "features_per_stage",
    "conv_op",
    "kernel_sizes",
    "strides",
    "conv_bias",
    "norm_op",
    "norm_op_kwargs",
    "dropout_op",
    "dropout_op_kwargs",
    "nonlin",
    "nonlin_kwargs",
)
_IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")
RESIDUAL_BLOCKS = (1, 3, 4, 6)
"""Blocks of the first stages of nnU-Net's residual encoders (arXiv 2404.09556); deeper ones have as many."""
LEVELS = 5
"""Of UNet++."""
FILTER_GROUPS = 8
"""SegResNet's group normalisation divides its filters by this."""


def _plain(base: Arguments) -> dict[str, Any]:
    stages = base["n_stages"]
    convolutions = {"n_conv_per_stage": [2] * stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}
    return {**{key: base[key] for key in _SHARED}, **convolutions}


def _residual(base: Arguments) -> dict[str, Any]:
    stages = base["n_stages"]
    blocks = [RESIDUAL_BLOCKS[min(stage, len(RESIDUAL_BLOCKS) - 1)] for stage in range(stages)]
    convolutions = {"n_blocks_per_stage": blocks, "n_conv_per_stage_decoder": [1] * (stages - 1)}
    return {**{key: base[key] for key in _SHARED}, **convolutions}


def _attention(base: Arguments) -> dict[str, Any]:
    return {"features_per_stage": base["features_per_stage"], "strides": base["strides"]}


def _plus_plus(base: Arguments) -> dict[str, Any]:
    first, most = base["features_per_stage"][0], max(base["features_per_stage"])
    widths = [min(first * 2**level, most) for level in range(LEVELS)]
    return {"spatial_dims": len(base["strides"][0]), "features": [*widths, first]}


def _filters(base: Arguments) -> dict[str, Any]:
    return {"spatial_dims": len(base["strides"][0]), "init_filters": base["features_per_stage"][0]}


def _no_sizes(base: Arguments) -> dict[str, Any]:
    return {"spatial_dims": len(base["strides"][0])}


def _ours(network: type[SingleOutput]) -> str:
    return f"{networks.__name__}.{network.__name__}"


NETWORKS: dict[str, tuple[str, Callable[[Arguments], dict[str, Any]]]] = {
    "unet": (f"{_UNETS}.PlainConvUNet", _plain),
    "resunet": (f"{_UNETS}.ResidualEncoderUNet", _residual),
    "attunet": (_ours(networks.AttentionUNet), _attention),
    "unetpp": (_ours(networks.UNetPlusPlus), _plus_plus),
    "segresnet": (_ours(networks.SegResNet), _filters),
    "mednext": (_ours(networks.MedNeXt), _filters),
    "vnet": (_ours(networks.VNet), _no_sizes),
}
"""Class of each network, and what its constructor takes, from the arguments of a configuration's U-Net."""


def add_networks(target: Target, names: Iterable[str] = tuple(NETWORKS)) -> tuple[str, ...]:
    """Adds a configuration for each network to the plans, ``<configuration>_<name>``; returns their names.

    Widths, strides and kernels are those of the configuration's U-Net as far as a network has such. Adding the same
    ones again changes nothing.

    Raises:
        ConfigError: for an unknown network, one that the data do not suit, or a configuration that is no U-Net of
            nnU-Net.
        IncompatibleResume: when the plans have another configuration of such a name.
    """
    path = target.folder / f"{target.plans.plans_name}.json"
    plans = read_json(path)
    wanted = {}
    for name in names:
        if name not in NETWORKS:
            raise ConfigError(f"no network {name!r}", fix=f"use {', '.join(NETWORKS)}")
        configuration = {"inherits_from": target.configuration_name, "architecture": _architecture(target, name)}
        wanted[f"{target.configuration_name}_{name}"] = configuration
    there = plans["configurations"]
    for name, configuration in wanted.items():
        if there.get(name, configuration) != configuration:
            raise IncompatibleResume(f"the plans have another configuration {name}", where=path, fix="delete that one")
    if any(name not in there for name in wanted):
        write_json(path, {**plans, "configurations": {**there, **wanted}})
    return tuple(wanted)


def _architecture(target: Target, name: str) -> dict[str, Any]:
    class_name, arguments_of = NETWORKS[name]
    base = target.configuration.network_arch_init_kwargs
    if any(key not in base for key in _SHARED):
        raise ConfigError(
            f"configuration {target.configuration_name} is no U-Net of nnU-Net", fix="add networks to one that is"
        )
    _check_suits(target, name, base["features_per_stage"][0])
    imported = list(_IMPORTED) if class_name.startswith(_UNETS) else []
    return {"network_class_name": class_name, "arch_kwargs": arguments_of(base), "_kw_requires_import": imported}


def _check_suits(target: Target, name: str, filters: int) -> None:
    channels = len(target.dataset_json["channel_names"])
    if name == "vnet" and 16 % channels:
        raise ConfigError(f"vnet takes 1, 2, 4, 8 or 16 image channels; {target.name} has {channels}")
    if name == "segresnet" and filters % FILTER_GROUPS:
        raise ConfigError(f"segresnet needs a multiple of {FILTER_GROUPS} features in the first stage, not {filters}")
