"""What nnU-Net finds through ``nnUNet_extTrainer``; the trainers live in an installed package, so that they pickle."""

from importlib.util import find_spec

# Child processes inherit the variable: in an environment without this package the search must not fail here.
if find_spec("nnunet_integration") is not None:
    from nnunet_integration.trainer import *
    from nnunet_integration.variants import __getattr__  # noqa: F401 - nnU-Net asks with hasattr
