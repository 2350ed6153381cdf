"""A digital hepatobiliary-phase phantom: anatomy in millimetres, imaged by a simulated spoiled gradient echo."""

from lldm_aug.phantom.phantom_dataset import write_phantom_dataset
from lldm_aug.phantom.render_case import DEFAULT_GRID, phantom_case, phantom_labels

__all__ = ["DEFAULT_GRID", "phantom_case", "phantom_labels", "write_phantom_dataset"]
