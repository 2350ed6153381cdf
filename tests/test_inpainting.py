"""Pairs that are a real case but for a region: bytes outside of it, seeds, hosts of the fold, and what is refused."""

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from pools import blob_case
from scipy.ndimage import binary_dilation, gaussian_filter
from tiny import tiny_config, tiny_generator

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import LabelFraction, load_split
from lldm_aug.errors import LabelError
from lldm_aug.geometry import Grid
from lldm_aug.inpainting.diffusion_inpainter import continued, match_noise
from lldm_aug.inpainting.inpainter import blended
from lldm_aug.inpainting.painting_windows import painting_grid, plan_windows
from lldm_aug.inpainting.region_choice import choose_region
from lldm_aug.io.atomic import write_json
from lldm_aug.labels import LabelSchema
from lldm_aug.models.description import Description
from lldm_aug.pool.manifest import PoolCase, read_cases, read_info
from lldm_aug.pool.pool_dataset import verify_pool
from lldm_aug.pool.pool_mosaic import pool_rows
from lldm_aug.volume import Volume

SCHEMA = LabelSchema.from_dataset_json({"labels": {"background": 0, "liver": 1, "hcc": 2}})
SLOPE, INTERCEPT = 0.25, -3.0
FINE = Grid.regular((44, 40, 36), (1.6, 1.6, 2.2))


def write_hosts(folder: Path, cases: int = 6) -> RawDataset:
    """Blobs as scanners write them: scaled int16, left-handed axes, a description and an extension in the header."""
    affine = FINE.affine @ np.diag([-1, 1, 1, 1])
    for index in range(cases):
        image, label = blob_case(0, index, FINE)
        image = image * 4 - 100 * (index % 2)  # of another range in every second case
        scan = nib.Nifti1Image(np.zeros(FINE.shape, np.int16), affine)
        scan.header["descrip"] = f"scan {index}"
        scan.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept"))
        scan.header.set_xyzt_units("mm", "sec")
        stored = np.rint((np.where(image == 0, 0, image) - INTERCEPT) / SLOPE).astype(np.int16)
        write_scan(folder / "imagesTr" / f"case_{index:02d}_0000.nii.gz", scan, stored, (SLOPE, INTERCEPT))
        mask = nib.Nifti1Image(label.astype(np.uint8), affine)
        write_scan(folder / "labelsTr" / f"case_{index:02d}.nii.gz", mask, label.astype(np.uint8), (1.0, 0.0))
    labels = {"background": 0, "liver": 1, "hcc": 2}
    write_json(
        folder / "dataset.json",
        {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": cases, "file_ending": ".nii.gz"},
    )
    return RawDataset(folder)


def write_scan(path: Path, scan: nib.Nifti1Image, stored: np.ndarray, scaling: tuple[float, float]) -> None:
    """Stored voxels with an intensity scaling, which nibabel would choose anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = scan.to_bytes()
    header = nib.Nifti1Header(raw[:348], check=False)
    header["scl_slope"], header["scl_inter"] = scaling
    before = header.binaryblock + raw[348 : int(header["vox_offset"])]
    path.write_bytes(gzip.compress(before + stored.tobytes(order="F"), mtime=0))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    return write_hosts(tmp_path_factory.mktemp("data") / "Dataset996_Hosts")


@pytest.fixture(scope="module")
def run(hosts: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generator(hosts, tmp_path_factory.mktemp("runs") / "x", tiny_config(steps=2))


def command(run: Path, hosts: RawDataset, out: Path, n: int, *more: str) -> list[str]:
    base = ["generate", "--inpaint", "--model", str(run), "--data", str(hosts.folder), "--fold", "0"]
    return [*base, "--n", str(n), "--out", str(out), *more]


def generate(run: Path, hosts: RawDataset, out: Path, n: int, *more: str) -> dict[str, PoolCase]:
    result = CliRunner().invoke(main, command(run, hosts, out, n, *more))
    assert result.exit_code == 0, result.output
    verify_pool(out)
    return read_cases(out)


def refused(run: Path, hosts: RawDataset, out: Path, *more: str) -> str:
    result = CliRunner().invoke(main, command(run, hosts, out, 2, *more))
    assert result.exit_code in (1, 2), result.output
    assert not (out / "manifest.jsonl").exists()
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def pool(run: Path, hosts: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pools") / "p"
    generate(run, hosts, out, 4)
    return out


def raw_of(path: Path) -> tuple[nib.Nifti1Header, bytes, np.ndarray]:
    raw = gzip.decompress(path.read_bytes())
    header = nib.Nifti1Header(raw[:348], check=False)
    start = int(header["vox_offset"])
    voxels = np.frombuffer(raw[start:], header.get_data_dtype()).reshape(header.get_data_shape(), order="F")
    return header, raw[:start], voxels


def test_outside_of_the_region_files_are_the_hosts_bit_for_bit(pool: Path, hosts: RawDataset) -> None:
    for case in read_cases(pool).values():
        (host_image,), host_mask = hosts.image_paths(case.mask.source_case), hosts.label_path(case.mask.source_case)
        before, head, real = raw_of(host_image)
        _, pair_head, made = raw_of(pool / f"images/{case.case_id}_0000.nii.gz")
        assert pair_head == head  # data type, scaling, orientation, description, extension
        assert float(before["scl_slope"]) == SLOPE
        x, y, z = (slice(*side) for side in case.inpainting.box)
        outside = np.ones(real.shape, bool)
        outside[x, y, z] = False
        assert np.array_equal(made[outside], real[outside])
        assert 0 < (made != real).sum() <= case.inpainting.voxels
        _, mask_head, labels = raw_of(pool / f"labels/{case.case_id}.nii.gz")
        _, real_head, real_labels = raw_of(host_mask)
        assert mask_head == real_head
        assert np.array_equal(labels[outside], real_labels[outside])
        assert (labels != real_labels).any()


def test_painted_voxels_have_the_range_and_air_of_their_host(pool: Path, hosts: RawDataset) -> None:
    for case in read_cases(pool).values():
        real = hosts.load(case.mask.source_case).image
        made = nib.load(pool / f"images/{case.case_id}_0000.nii.gz").get_fdata(dtype=np.float32)[None]
        assert made.min() >= real.min() - SLOPE
        assert made.max() <= real.max() + SLOPE
        assert np.array_equal(made == 0, real == 0)


def test_hosts_are_training_cases_of_the_fold_or_share(
    pool: Path, run: Path, hosts: RawDataset, tmp_path: Path
) -> None:
    train = load_split(hosts, 0).train
    assert {case.mask.source_case for case in read_cases(pool).values()} <= {*train}
    few = generate(run, hosts, tmp_path / "few", 3, "--label-fraction", "0.5")
    assert {c.mask.source_case for c in few.values()} <= {*LabelFraction(fraction=0.5).labelled(train)}


def test_the_pools_picture_shows_each_pair_below_its_host(pool: Path, hosts: RawDataset) -> None:
    rows = pool_rows(pool, hosts)
    assert [row.caption.split(":")[0] for row in rows] == ["host", "inpainted"] * 3
    for host, pair in zip(rows[::2], rows[1::2], strict=True):
        assert np.array_equal(host.slices_from, host.image != pair.image)
    assert {row.caption.split(":")[0] for row in pool_rows(pool)} == {"synthetic"}


def content(pool: Path) -> dict[str, str]:
    return {name: r.sha256 for case in read_cases(pool).values() for name, r in case.files.items()}


def test_parts_restarts_and_processes_give_the_same_pairs(
    pool: Path, run: Path, hosts: RawDataset, tmp_path: Path
) -> None:
    for part in ("1", "0"):
        generate(run, hosts, tmp_path / "p", 4, "--num-parts", "2", "--part-id", part)
    assert content(tmp_path / "p") == content(pool)
    generate(run, hosts, tmp_path / "q", 2)
    generate(run, hosts, tmp_path / "q", 4)
    assert content(tmp_path / "q") == content(pool)


def test_the_pool_says_how_it_was_made_and_refuses_to_go_on_otherwise(
    pool: Path, run: Path, hosts: RawDataset, tmp_path: Path
) -> None:
    assert read_info(pool).settings["inpainting"].items() >= {"region": "edits", "paint": "diffusion"}.items()
    result = CliRunner().invoke(main, command(run, hosts, pool, 5, "--margin-mm", "9"))
    assert result.exit_code == 1
    assert "inpainting" in result.stderr


@pytest.mark.parametrize(("region", "masks"), [("lesions", "real"), ("organ", "real"), ("organ", "deformed")])
def test_other_regions_paint_lesions_or_all_that_is_labelled(
    run: Path, hosts: RawDataset, tmp_path: Path, region: str, masks: str
) -> None:
    (case,) = generate(run, hosts, tmp_path / "p", 1, "--region", region, "--masks", masks, "--margin-mm", "0").values()
    label = hosts.load_label(case.mask.source_case).data
    wanted = (label == 2) if region == "lesions" else label > 0
    assert case.inpainting.voxels >= wanted.sum()
    if masks == "real":
        assert case.inpainting.voxels == wanted.sum()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--masks", "procedural"], "have no host"),
        (["--masks", "learned"], "have no host"),
        (["--masks", "real"], "no label changed"),
        (["--unknown", "hcc"], "would be left out"),
        (["--paint", "copy-paste", "--steps", "3"], "--model, --steps: of no effect with --paint copy-paste"),
    ],
)
def test_what_cannot_be_painted_is_refused(
    run: Path, hosts: RawDataset, tmp_path: Path, more: list[str], message: str
) -> None:
    assert message in refused(run, hosts, tmp_path / "p", *more)


def test_a_host_that_cannot_be_read_is_named_and_not_passed_over(run: Path, tmp_path: Path) -> None:
    hosts = write_hosts(tmp_path / "Dataset996_Hosts")
    (image,) = hosts.image_paths(min(load_split(hosts, 0).train))
    image.write_bytes(image.read_bytes()[:2000])
    result = CliRunner().invoke(main, command(run, hosts, tmp_path / "p", 6))
    assert result.exit_code == 1
    assert image.name in result.stderr


def test_options_of_inpainting_need_it(run: Path, hosts: RawDataset, tmp_path: Path) -> None:
    asked = [word for word in command(run, hosts, tmp_path / "p", 1, "--margin-mm", "3") if word != "--inpaint"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert "--margin-mm" in result.stderr


def test_a_region_is_what_changed_and_a_margin_in_millimetres() -> None:
    before = np.zeros((20, 20, 8), np.int16)
    before[4:16, 4:16, 2:6] = 1
    after = before.copy()
    after[10, 10, 3] = 2
    spacing = (1.0, 2.0, 10.0)
    region = choose_region("edits", before, after, SCHEMA, ("hcc",), spacing, 4.0)
    assert region.any(axis=(1, 2)).nonzero()[0].tolist() == list(range(6, 15))
    assert region.any(axis=(0, 2)).nonzero()[0].tolist() == [8, 9, 10, 11, 12]
    assert region.any(axis=(0, 1)).nonzero()[0].tolist() == [3]  # the next slice is 10 mm away
    with pytest.raises(LabelError, match="no label changed"):
        choose_region("edits", before, before, SCHEMA, ("hcc",), spacing)
    with pytest.raises(LabelError, match="neither mask has a lesion"):
        choose_region("lesions", before, before, SCHEMA, ("hcc",), spacing)


def test_a_border_is_soft_and_keeps_the_texture() -> None:
    rng = np.random.default_rng(0)
    host, painted = rng.normal(size=(2, 1, 40, 40, 40)).astype(np.float32)
    region = np.zeros((40, 40, 40), bool)
    region[10:30, 10:30, 10:30] = True
    out = blended(host, painted + 4, region, (1.0, 1.0, 1.0))
    assert np.array_equal(out[:, ~region], host[:, ~region])
    layers = [out[0, 10 + d, 14:26, 14:26] for d in range(8)]
    means = [float(layer.mean()) for layer in layers]
    assert all(a < b + 0.2 for a, b in itertools.pairwise(means))
    assert means[0] < 2.5 < 3.7 < means[-1]
    assert all(float(layer.std()) > 0.7 for layer in layers)  # plain blending would leave 0.7 of it halfway, or less


def cover(shape: tuple[int, int, int], region: np.ndarray, run: Path, windows: bool) -> list[tuple[int, ...]]:
    """Checks that the cores cover a region once; returns the windows' shapes."""
    description = Description.read(run / "generator").model_copy(update={"windows": windows})
    grid = Grid.regular(shape, description.spacing_mm)
    times = np.zeros(shape, int)
    shapes = []
    for window in plan_windows(region, grid, description):
        shapes.append(window.grid.shape)
        assert all(n % 8 == 0 for n in window.grid.shape[:2])
        start = np.rint(grid.to_voxels(window.core.affine[:3, 3])).astype(int)
        times[tuple(slice(a, a + n) for a, n in zip(start, window.core.shape, strict=True))] += 1
        first = np.rint(grid.to_voxels(window.grid.affine[:3, 3])).astype(int)
        assert (start >= first).all()
        assert (start + window.core.shape <= first + window.grid.shape).all()
    assert (times[region] > 0).all()
    return shapes


def test_windows_cover_every_region_with_its_surroundings(run: Path) -> None:
    shape = (16, 16, 12)
    region = np.zeros(shape, bool)
    region[3:5, 3:5, 3:5] = True
    assert cover(shape, region, run, windows=False) == [shape]
    large = np.zeros((60, 18, 12), bool)
    large[4:55, 4:9, 3:7] = True
    assert len(cover((60, 18, 12), large, run, windows=True)) > 3  # several windows that overlap
    apart = np.zeros((60, 18, 12), bool)
    apart[5, 5, 5] = apart[40, 5, 5] = True
    assert cover((60, 18, 12), apart, run, windows=True) == [shape, shape]
    wide = np.zeros((32, 28, 24), bool)  # larger than a window along each axis: what remains is no box
    wide[6:26, 8:20, 6:18] = True
    assert len(cover((32, 28, 24), wide, run, windows=True)) > 3
    small = np.ones((10, 9, 4), bool)  # a case smaller than a window
    assert {*cover((10, 9, 4), small, run, windows=True)} == {shape}


def test_a_generator_of_windows_looks_at_a_hosts_own_voxels(run: Path) -> None:
    description = Description.read(run / "generator").model_copy(
        update={"windows": True, "spacing_mm": (1.61, 3.2, 2.2)}
    )
    grid = painting_grid(Volume(np.zeros(FINE.shape, np.int16), FINE), description)
    assert grid.spacing_mm == pytest.approx((1.6, 3.2, 2.2))
    assert grid.shape == (44, 20, 36)
    assert np.allclose(FINE.to_voxels(grid.affine[:3, 3])[[0, 2]], 0)


def test_tissue_goes_on_as_it_is_around_the_region_and_keeps_its_texture() -> None:
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.linspace(-0.5, 0.5, 32, dtype=np.float32)[:, None, None], (1, 32, 32, 32))
    texture = rng.normal(0, 0.05, ramp.shape).astype(np.float32)
    seen, tissue = ramp + texture, np.ones((32, 32, 32), bool)
    tissue[:, :, :4] = False
    hidden = np.zeros((32, 32, 32), bool)
    hidden[8:24, 8:24, 8:24] = True
    painted = np.where(hidden, seen - 0.6, seen)  # a hole that is far too dark
    out = continued(painted, seen, tissue, hidden, (1.0, 1.0, 1.0))
    assert np.array_equal(out[:, ~hidden], painted[:, ~hidden])
    assert np.abs((out - seen)[0, hidden]).mean() < 0.12
    assert float((out - seen)[0, 12:20, 12:20, 12:20].std()) < 0.05
    nothing_around = hidden & tissue
    assert continued(painted, seen, nothing_around, hidden, (1.0, 1.0, 1.0)) is painted


def test_the_rim_of_a_tissue_beside_a_lesion_stays_as_it_is_painted() -> None:
    lesion = np.zeros((40, 40, 40), bool)
    lesion[16:24, 16:24, 16:24] = True
    blurred = gaussian_filter(np.where(lesion, -1.0, 0.5), 1.0)[None].astype(np.float32)
    hidden = np.zeros(lesion.shape, bool)
    hidden[12:28, 12:28, 12:28] = True
    out = continued(blurred, blurred, ~lesion, hidden, (1.0, 1.0, 1.0))
    rim = binary_dilation(lesion) & ~lesion
    assert np.abs((out - blurred)[0, rim]).max() < 0.05


@pytest.mark.parametrize("strength", [0.02, 0.2])
def test_painted_voxels_get_the_noise_of_their_host(strength: float) -> None:
    rng = np.random.default_rng(0)
    label = np.ones((48, 40, 40), np.int16)
    label[20:28, 16:24, 16:24] = 2
    flat = np.where(label == 2, -0.5, 0.5)[None].astype(np.float32)
    host = flat + rng.normal(0, 0.1, flat.shape).astype(np.float32)
    hidden = np.zeros(label.shape, bool)
    hidden[14:34, 10:30, 10:30] = True
    painted = np.where(hidden, flat + rng.normal(0, strength, flat.shape), flat).astype(np.float32)
    match_noise(painted, host, Volume(label, Grid.regular(label.shape, (1.0, 1.0, 1.0))), hidden, 4.0, 7)
    for value in (1, 2):
        part = hidden & (label == value)
        assert float(painted[0, part].std()) == pytest.approx(0.1, rel=0.35)
        assert float(painted[0, part].mean()) == pytest.approx(1 - 0.5 if value == 1 else -0.5, abs=0.03)
