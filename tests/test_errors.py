"""One tree of errors, each saying what, where and what to do, and able to cross processes."""

from __future__ import annotations

import pickle

import pytest

from lldm_aug import errors
from lldm_aug.errors import ConfigError, InvalidVolume, LldmAugError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LldmAugError)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", [None, "file.nii.gz"])
@pytest.mark.parametrize("fix", [None, "copy it again"])
def test_pickle_round_trip(kind, where, fix):
    error = kind("it is broken", where=where, fix=fix)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (str(back), back.what, back.where, back.fix) == (str(error), "it is broken", where, fix)


def test_message_says_what_where_and_what_to_do():
    error = InvalidVolume("truncated", where="a.nii.gz", fix="copy the file again")
    assert str(error) == "a.nii.gz: truncated. Copy the file again."
    assert str(InvalidVolume("truncated")) == "truncated."


def test_exit_codes():
    assert ConfigError("x").exit_code == 2
    assert {kind.exit_code for kind in KINDS if kind is not ConfigError} == {1}
