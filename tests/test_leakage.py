"""The leakage guard: by id, by hash under another name, in every stage and mask origin."""

import pytest

from lldm_aug.blending.leakage import LeakageWarning, check_leakage, find_leaks
from lldm_aug.errors import LeakageError
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.provenance import GeneratorProvenance, StageProvenance

HASH = {name: name[-1] * 64 for name in ("case_1", "case_2", "case_3")}


def generator(**stages: dict[str, str]) -> GeneratorProvenance:
    made = [
        StageProvenance(stage=name, dataset="Dataset700_A", fold=0, split_hash="s", cases=cases)
        for name, cases in stages.items()
    ]
    return GeneratorProvenance(hash="g", stages=tuple(made))


CLEAN = generator(autoencoder={"case_1": HASH["case_1"]}, diffusion={"case_1": HASH["case_1"]})


def test_a_fold_clean_generator_passes() -> None:
    assert check_leakage(CLEAN, [], dataset="Dataset700_A", validation={"case_2": HASH["case_2"]}) == ()


@pytest.mark.parametrize("stage", ["autoencoder", "diffusion", "controlnet"])
def test_each_stage_counts(stage: str) -> None:
    leaky = generator(**{"autoencoder": {}, "diffusion": {}, stage: {"case_2": "other hash"}})
    with pytest.raises(LeakageError, match=f"{stage} saw case_2"):
        check_leakage(leaky, [], dataset="Dataset700_A", validation={"case_2": None, "case_3": None})


def test_a_renamed_case_is_found_by_its_hash() -> None:
    leaky = generator(diffusion={"patient_x": HASH["case_2"]})
    with pytest.raises(LeakageError, match=r"diffusion saw case_2 \(as Dataset700_A/patient_x\)"):
        check_leakage(leaky, [], dataset="Dataset700_A", validation=HASH)


def test_the_same_id_in_another_data_set_is_another_case() -> None:
    assert find_leaks(CLEAN, [], dataset="Dataset701_B", validation={"case_1": "unlike"}) == ()


def test_the_same_mask_in_another_data_set_is_the_same_case() -> None:
    (leak,) = find_leaks(generator(diffusion={"x": HASH["case_1"]}), [], dataset="Dataset701_B", validation=HASH)
    assert leak.cases == ("case_1 (as Dataset700_A/x)",)


@pytest.mark.parametrize("field", ["id", "hash"])
def test_masks_count(field: str) -> None:
    named = {"source_dataset": "Dataset700_A", "source_case": "case_3"}
    origin = MaskOrigin(kind="deformed", **(named if field == "id" else {"source_sha256": HASH["case_3"]}))
    with pytest.raises(LeakageError, match="masks saw case_3"):
        check_leakage(CLEAN, [origin], dataset="Dataset700_A", validation={"case_3": HASH["case_3"]})


@pytest.mark.parametrize("validation", [{"case_2": None}, {"renamed": HASH["case_2"]}])
def test_cases_whose_lesions_were_copied_count(validation: dict[str, str | None]) -> None:
    donors = {"case_2": HASH["case_2"]}
    origin = MaskOrigin(kind="edited", source_dataset="Dataset700_A", source_case="case_3", donors=donors)
    with pytest.raises(LeakageError, match="donors saw"):
        check_leakage(CLEAN, [origin], dataset="Dataset700_A", validation=validation)


def test_another_case_of_the_same_patient_is_a_leak() -> None:
    known = {"case_1": HASH["case_1"], "case_2": None}
    leaks = find_leaks(CLEAN, [], dataset="Dataset700_A", validation=known, relatives={"case_1": "case_2"})
    assert leaks[0].cases == ("case_1 (same patient as case_2)",)


def test_a_renamed_case_of_the_same_patient_is_a_leak() -> None:
    renamed = generator(diffusion={"x": HASH["case_1"]})
    (leak,) = find_leaks(renamed, [], dataset="Dataset701_B", validation=HASH, relatives={"case_1": "case_2"})
    assert leak.cases == ("case_1 (same patient as case_2) (as Dataset700_A/x)",)


def test_a_case_of_the_same_patient_in_another_data_set_is_a_leak() -> None:
    known = {"case_9": None, "Dataset700_A/case_1": None}
    leaks = find_leaks(CLEAN, [], dataset="Dataset701_B", validation=known, relatives={"Dataset700_A/case_1": "case_9"})
    assert leaks[0].cases == ("Dataset700_A/case_1 (same patient as case_9)",)


def test_a_split_that_tears_a_patient_apart_is_a_leak() -> None:
    known = {"case_2": None, "case_3": None}
    with pytest.raises(LeakageError, match=r"nnU-Net's training saw case_3 \(same patient.*Delete splits_final.json"):
        check_leakage(
            CLEAN,
            [],
            dataset="Dataset700_A",
            validation=known,
            relatives={"case_3": "case_2"},
            training=["case_1", "case_3"],
        )


def test_real_training_cases_with_equal_masks_are_no_leak() -> None:
    leaks = find_leaks(
        generator(), [], dataset="Dataset700_A", validation={"case_2": "same"}, training=["case_1", "case_3"]
    )
    assert leaks == ()


def test_procedural_masks_have_no_source() -> None:
    assert find_leaks(CLEAN, [MaskOrigin(kind="procedural")], dataset="Dataset700_A", validation={"case_2": None}) == ()


def test_every_fault_is_named_at_once() -> None:
    leaky = generator(autoencoder=HASH, diffusion={"case_1": HASH["case_1"]})
    leaks = find_leaks(leaky, [], dataset="Dataset700_A", validation=HASH)
    assert {leak.stage: leak.cases for leak in leaks} == {"autoencoder": tuple(HASH), "diffusion": ("case_1",)}


def test_two_runs_of_one_stage_both_count() -> None:
    tuned = GeneratorProvenance(hash="g", stages=(*CLEAN.stages, *generator(diffusion={"case_2": "-"}).stages))
    assert find_leaks(tuned, [], dataset="Dataset700_A", validation={"case_1": None, "case_2": None})[1].cases == (
        "case_1",
        "case_2",
    )


def test_the_override_is_loud_and_returns_what_leaked() -> None:
    with pytest.warns(LeakageWarning, match="LEAKAGE ALLOWED"):
        leaks = check_leakage(CLEAN, [], dataset="Dataset700_A", validation={"case_1": None}, allow=True)
    assert [leak.stage for leak in leaks] == ["autoencoder", "diffusion"]
