"""The label schema, as nnU-Net's dataset.json writes it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lldm_aug.errors import LabelError
from lldm_aug.labels import HBP, LabelSchema


def schema(**labels: object) -> LabelSchema:
    return LabelSchema.from_dataset_json({"labels": labels}, "dataset.json")


def test_hbp_default():
    assert HBP.values == {"liver": 1, "portal_vein": 2, "hepatic_vein": 3, "hcc": 4}
    assert schema(**HBP.to_dataset_json()) == HBP


def test_order_of_names_does_not_matter():
    assert schema(hcc=2, background=0, liver=1).names == ("liver", "hcc")


def test_ignore_is_no_structure():
    found = schema(background=0, liver=1, ignore=2)
    assert found == LabelSchema(("liver",), ignore=2)
    assert found.to_dataset_json() == {"background": 0, "liver": 1, "ignore": 2}


def test_regions_are_resolved_to_their_integers():
    found = schema(background=0, whole=[1, 2, 3], core=[2, 3], enhancing=3)
    assert found.names == ("label_1", "label_2", "enhancing")


@given(st.lists(st.text("abcdefgh_", min_size=1), min_size=1, max_size=20, unique=True))
def test_round_trip(names):
    names = [n for n in names if n not in ("ignore", "background")] or ["liver"]
    made = LabelSchema(tuple(names))
    assert LabelSchema.from_dataset_json({"labels": made.to_dataset_json()}) == made


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "liver": 1, "hcc": 3}, "not consecutive"),
        ({"liver": 1, "hcc": 2}, "not consecutive"),
        ({"background": 0, "liver": "1"}, "integers from 0"),
        ({"background": 0, "liver": 1.0}, "integers from 0"),
        ({"background": 0, "liver": True}, "integers from 0"),
        ({"background": 0, "liver": -1}, "integers from 0"),
        ({"background": 0, "liver": []}, "integers from 0"),
        ({"background": 0, "liver": None}, "integers from 0"),
        ({"background": 0, "liver": 1, "hcc": 1}, "'liver' and 'hcc' are both label 1"),
        ({"background": 0, "ignore": 1, "liver": 2}, "highest"),
        ({"background": 0}, "no structure"),
        ({"background": 0, "ignore": 1}, "no structure"),
        ({}, "not consecutive"),
    ],
)
def test_unusable_schemas(labels, message):
    with pytest.raises(LabelError, match=message):
        schema(**labels)


@pytest.mark.parametrize("dataset", [{}, {"labels": None}, {"labels": [0, 1]}])
def test_missing_labels(dataset):
    with pytest.raises(LabelError, match="no 'labels'"):
        LabelSchema.from_dataset_json(dataset)


def test_values_outside_the_schema_are_named_and_counted():
    mask = np.zeros((4, 4, 4), np.int16)
    mask[0, 0, :3], mask[1, 1, 1] = 5, -2
    with pytest.raises(LabelError, match=r"a\.nii\.gz: .*-2 \(1 voxels\), 5 \(3 voxels\); allowed are 0\.\.4"):
        HBP.check(mask, "a.nii.gz")


def test_ignore_value_is_allowed_in_masks():
    LabelSchema(("liver",), ignore=2).check(np.array([[[0, 1, 2]]]), "mask")
    with pytest.raises(LabelError):
        LabelSchema(("liver",)).check(np.array([[[0, 1, 2]]]), "mask")


def test_unknown_structure():
    assert HBP.value("hcc") == 4
    with pytest.raises(LabelError, match="no structure 'tumour'"):
        HBP.value("tumour")
