"""Settings of a blended training: environment > plans' configuration > prepared set > class attributes > nnU-Net's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from lldm_aug.blending.schedule import Schedule
from lldm_aug.errors import ConfigError
from lldm_aug.record import Record

PLANS_KEY = "lldm_aug"
VARIABLES = {
    "LLDM_AUG_RATIO": "ratio",
    "LLDM_AUG_SEED": "seed",
    "LLDM_AUG_SET": "set_name",
    "LLDM_AUG_LABEL_FRACTION": "label_fraction",
    "LLDM_AUG_LABEL_FRACTION_SEED": "label_fraction_seed",
    "LLDM_AUG_PREVIOUS_TRAINER": "previous_trainer",
    "LLDM_AUG_ALLOW_LEAKAGE": "allow_leakage",
    "LLDM_AUG_EPOCHS": "num_epochs",
    "LLDM_AUG_ITERATIONS": "num_iterations_per_epoch",
    "LLDM_AUG_VAL_ITERATIONS": "num_val_iterations_per_epoch",
}
"""Environment variable of each setting."""


def _ratio_or_schedule(value: Any) -> float | str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("neither a number nor a schedule")
    try:
        schedule = Schedule.parse(value, num_epochs=1)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return schedule.first if schedule.kind == "constant" else str(value)


class Settings(Record):
    """One layer of settings; None leaves a setting to the next layer.

    Args:
        ratio: share of synthetic cases in the training batches, 0..1, or a schedule (see `Schedule.parse`).
        seed: seed of the choice of cases.
        set_name: name of the prepared set; may be left out where the fold has only one.
        label_fraction: of the fold's training cases that are trained on, as of `LabelFraction`; all by default.
        label_fraction_seed: decides which.
        previous_trainer: trainer of a cascade's previous stage; nnU-Net expects the same as the cascade's.
        allow_leakage: train although the generator has seen validation cases (the record says so).
        num_epochs: epochs, for trying things out.
        num_iterations_per_epoch: training batches an epoch, for trying things out.
        num_val_iterations_per_epoch: validation batches an epoch, for trying things out.
    """

    ratio: Annotated[float | str, BeforeValidator(_ratio_or_schedule)] | None = None
    seed: int | None = Field(default=None, ge=0)
    set_name: str | None = None
    label_fraction: float | None = Field(default=None, gt=0, le=1)
    label_fraction_seed: int | None = Field(default=None, ge=0)
    previous_trainer: str | None = None
    allow_leakage: bool | None = None
    num_epochs: int | None = Field(default=None, ge=1)
    num_iterations_per_epoch: int | None = Field(default=None, ge=1)
    num_val_iterations_per_epoch: int | None = Field(default=None, ge=1)

    def over(self, lower: Settings) -> Settings:
        """This layer on top of a lower one."""
        return Settings(**{**lower.given(), **self.given()})

    def given(self) -> dict[str, Any]:
        """The settings that this layer decides."""
        return self.model_dump(exclude_none=True)


def from_environment(variables: Mapping[str, str] | None = None) -> Settings:
    """The layer of the ``LLDM_AUG_*`` environment variables; empty ones count as unset.

    Raises:
        ConfigError: for a value of the wrong type or out of range.
    """
    variables = os.environ if variables is None else variables
    given = {field: variables[name] for name, field in VARIABLES.items() if variables.get(name)}
    names = {field: name for name, field in VARIABLES.items()}
    return _validated(given, lambda field: f"environment variable {names.get(field, field)}")


def from_plans(configuration: Mapping[str, Any], name: str) -> Settings:
    """The layer of ``plans["configurations"][name]["lldm_aug"]``.

    Raises:
        ConfigError: for an unknown setting, or a value of the wrong type or out of range.
    """
    given = configuration.get(PLANS_KEY, {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"{PLANS_KEY!r} is not a mapping of settings", where=f"plans, configuration {name}")
    return _validated(given, lambda field: f"plans, configuration {name}, {PLANS_KEY}.{field}")


def _validated(given: Mapping[str, Any], where: Any) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        field = ".".join(map(str, first["loc"]))
        known = ", ".join(Settings.model_fields)
        raise ConfigError(
            f"{message} (got {first['input']!r})", where=where(field), fix=f"the settings are {known}"
        ) from error
