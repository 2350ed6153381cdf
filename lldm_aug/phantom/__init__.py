"""A digital hepatobiliary-phase phantom: anatomy in millimetres, imaged by a simulated spoiled gradient echo."""

from lldm_aug.phantom.case import DEFAULT_GRID, phantom_case, phantom_labels
from lldm_aug.phantom.dataset import write_phantom_dataset

__all__ = ["DEFAULT_GRID", "phantom_case", "phantom_labels", "write_phantom_dataset"]
