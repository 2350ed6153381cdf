"""Only the list of packages, the rest is in setup.cfg: its ``find:`` cannot add the two that map into lldm_aug."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["lldm_aug*", "nnunet_integration*"]), "lldm_aug.configs", "lldm_aug.pretrained"]
)
