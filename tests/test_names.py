"""Names that become parts of paths cannot leave their folder, on any system."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lldm_aug.data.names import safe_name
from lldm_aug.errors import DatasetError

LEAVING = ("..", "../x", "x/..", "/etc/passwd", "a/b", "a\\b", "..\\x", "C:x", "C:\\x", "\\\\host\\share", "a..b", "~")
ODD = ("", ".", "x\0y", "x\ny", "x\n", ".hidden", "-rf", " x", "x ", "x.", "$HOME", "a*b", "a?b", 'a"b', "a|b", "<a>")
DEVICES = ("CON", "nul.txt", "COM1")
LONG = ("a" * 201, "é" * 150)


@pytest.mark.parametrize("name", LEAVING + ODD + DEVICES + LONG)
def test_hostile_names_are_refused(name):
    with pytest.raises(DatasetError, match="not a plain name"):
        safe_name(name)


@pytest.mark.parametrize("name", ["case_001", "a", "7", "Case 1.5mm", "x+y-z", "_a", "Müller_01", "console", "a" * 200])
def test_plain_names_are_kept(name):
    assert safe_name(name) == name


@given(st.text())
def test_whatever_is_accepted_is_one_component_everywhere(name):
    try:
        safe_name(name)
    except DatasetError:
        return
    assert PurePosixPath("root", name).parent == PurePosixPath("root")
    windows = PureWindowsPath("root", name)
    assert windows.parent == PureWindowsPath("root")
    assert not windows.drive


def test_what_is_named_in_the_message():
    with pytest.raises(DatasetError, match=r"pool name '\.\./x'"):
        safe_name("../x", "pool name")
