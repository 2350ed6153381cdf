"""Build backend: setuptools, whose wheels (editable ones too) additionally get the start-up hook in site-packages.

setuptools has no declared way to install a ``.pth`` file, so the finished wheel is written again with three more files.
Installers list them in RECORD and remove them with the package. ``.start`` is the form from Python 3.15 on (PEP 829).
"""

import base64
import csv
import hashlib
import io
import os
import zipfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

HOOK_FILES = ("_lldm_aug_nnunet.py", "lldm_aug_nnunet.pth", "lldm_aug_nnunet.start")


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 517: a wheel with the hook."""
    return _with_hook(wheel_directory, build_meta.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 660: an editable wheel with the hook."""
    return _with_hook(wheel_directory, build_meta.build_editable(wheel_directory, config_settings, metadata_directory))


def _with_hook(folder, name):
    wheel, copy = Path(folder, name), Path(folder, f"{name}.partial")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                data += _add_hook(target)
            target.writestr(entry, data)
    os.replace(copy, wheel)
    return name


def _add_hook(target):
    """Writes the hook's files into the wheel and returns their lines for RECORD."""
    lines = io.StringIO()
    for name in HOOK_FILES:
        data = Path(__file__).with_name(name).read_bytes()
        target.writestr(name, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        csv.writer(lines, lineterminator="\n").writerow((name, f"sha256={digest}", len(data)))
    return lines.getvalue().encode()
