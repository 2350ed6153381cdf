"""From measurements to figures, each with its bound and verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np

from lldm_aug.evaluation import goals
from lldm_aug.evaluation.bench_run import Measured
from lldm_aug.evaluation.copies import Neighbours, decorrelation, euclidean, nearest
from lldm_aug.evaluation.faithfulness import StructureScore, structure_score
from lldm_aug.evaluation.feature_cache import CaseFeatures
from lldm_aug.evaluation.kid import KernelSums, jackknife_error
from lldm_aug.evaluation.measurement import Fingerprint, Measurement
from lldm_aug.evaluation.signal import signal_shift
from lldm_aug.labels import LabelSchema
from lldm_aug.report.criterion import Criterion, finite, judge, ratio

SUSPICIOUS = 5
"""How many of the nearest pairs are named."""

Figures = tuple[list[Criterion], dict[str, Any]]
"""Verdicts, and the numbers behind them in JSON's types."""


def all_figures(measured: Measured, schema: LabelSchema) -> Figures:
    """Every figure: the list of criteria, and details by name of the figure."""
    parts: dict[str, Figures] = {
        "faithfulness": faithfulness_figures(measured, schema),
        "kid": kid_figures(measured),
        "texture": texture_figures(measured),
        "signal": signal_figures(measured, schema),
        "liver_to_vessel": ratio_figures(measured),
        "copies": copy_figures(measured),
        "learned": learned_figures(measured, schema),
        "seconds": speed_figures(measured),
    }
    return [c for criteria, _ in parts.values() for c in criteria], {name: d for name, (_, d) in parts.items()}


def faithfulness_figures(measured: Measured, schema: LabelSchema) -> Figures:
    """Referee's Dice on synthetic over that on real images, by structure, with the pure-noise control beside."""
    criteria, detail = [], {}
    for name in schema.names:
        sets = {"real": measured.real, "synthetic": measured.synthetic, "control": measured.control}
        scores = {key: _score(cases, name) for key, cases in sets.items()}
        detail[name] = {key: None if s is None else _json(asdict(s)) for key, s in scores.items()}
        real, synthetic, control = scores["real"], scores["synthetic"], scores["control"]
        if real is None or synthetic is None or control is None:
            criteria.append(judge("mask faithfulness", goals.FAITHFULNESS, None, structure=name, note="no referee"))
            continue
        beside = {
            "dice_synthetic": synthetic.mean,
            "dice_real": real.mean,
            "control": ratio(control.mean, real.mean),
        }
        value = ratio(synthetic.mean, real.mean)
        note = f"{real.cases} cases" if real.cases else "no held-out mask holds it"
        criteria.append(judge("mask faithfulness", goals.FAITHFULNESS, value, structure=name, beside=beside, note=note))
    return criteria, detail


def kid_figures(measured: Measured) -> Figures:
    """KID of synthetic (and control) to set B over KID of set A to set B: mean over planes, and by plane."""
    planes = sorted(measured.others[0])
    sums = {
        key: {plane: _sums(cases, measured.others, plane) for plane in planes}
        for key, cases in {"synthetic": measured.synthetic, "floor": measured.real, "control": measured.control}.items()
    }

    def mean_kid(key: str, without: int | None = None) -> float:
        return float(np.mean([sums[key][plane].kid(without) for plane in planes]))

    def error(figure: Callable[[int | None], float]) -> float:
        return jackknife_error([figure(i) for i in range(len(measured.others))])

    def over_floor(without: int | None = None) -> float:
        return ratio(mean_kid("synthetic", without), mean_kid("floor", without))

    values = {key: mean_kid(key) for key in sums}
    beside = {
        "kid": values["synthetic"],
        "floor": values["floor"],
        "control": ratio(values["control"], values["floor"]),
        "standard_error": error(over_floor),
    }
    note = "" if values["floor"] > 0 else "the floor is not above zero: too few cases"
    by_plane = {plane: {key: finite(sums[key][plane].kid()) for key in sums} for plane in planes}
    errors = {key: finite(error(lambda i, key=key: mean_kid(key, i))) for key in sums}  # type: ignore[misc]
    slices = {plane: int(sum(len(case[plane]) for case in measured.others)) for plane in planes}
    detail = {"mean": _json(values), "standard_error": errors, "by_plane": by_plane, "slices": slices}
    return [judge("KID over real-vs-real floor", goals.KID, over_floor(), beside=beside, note=note)], detail


def texture_figures(measured: Measured) -> Figures:
    """High-pass deviation of parenchyma, synthetic over real, means over cases."""
    sets = {"real": measured.real, "synthetic": measured.synthetic, "control": measured.control}
    values = {key: np.array([m.texture for m in cases]) for key, cases in sets.items()}
    means = {key: _mean(v) for key, v in values.items()}
    detail = {key: {"mean": finite(means[key]), "median": finite(_median(v))} for key, v in values.items()}
    value = ratio(means["synthetic"], means["real"])
    beside = {
        "synthetic": means["synthetic"],
        "real": means["real"],
        "of_medians": ratio(_median(values["synthetic"]), _median(values["real"])),
        "control": ratio(means["control"], means["real"]),
    }
    note = "" if np.isfinite(values["real"]).any() else "too little parenchyma away from other structures"
    return [judge("parenchyma texture over real", goals.TEXTURE, value, beside=beside, note=note)], detail


def signal_figures(measured: Measured, schema: LabelSchema) -> Figures:
    """Differences of mean and deviation by structure and channel, in deviations of the real voxels."""
    real, synthetic, control = (
        [m.signal for m in cases] for cases in (measured.real, measured.synthetic, measured.control)
    )
    channels = max((len(means) for case in real for means in case.mean.values()), default=1)
    criteria, detail = [], {}
    for channel, name in product(range(channels), schema.names):
        shift = signal_shift(real, synthetic, name, channel)
        noise = signal_shift(real, control, name, channel)
        structure = name if channels == 1 else f"{name}, channel {channel}"
        detail[structure] = {"synthetic": _json(asdict(shift)), "control": _json(asdict(noise))}
        note = "" if shift.real_cases else "no held-out mask holds it"
        of_mean = {"in_deviations_between_cases": shift.mean_between_cases, "control": noise.mean}
        criteria += [
            judge("signal mean", goals.SIGNAL, shift.mean, structure=structure, beside=of_mean, note=note),
            judge(
                "signal deviation",
                goals.SIGNAL,
                shift.deviation,
                structure=structure,
                beside={"control": noise.deviation},
                note=note,
            ),
        ]
    return criteria, detail


def ratio_figures(measured: Measured) -> Figures:
    """Share of samples whose liver : vessel signal ratio is adequate."""
    sets = {"real": measured.real, "synthetic": measured.synthetic, "control": measured.control}
    values = {key: _known([m.liver_to_vessel for m in cases]) for key, cases in sets.items()}
    shares = {key: _mean(v > goals.ADEQUATE_RATIO) for key, v in values.items()}
    beside = {"real": shares["real"], "control": shares["control"], "median": _median(values["synthetic"])}
    detail = {
        key: {
            "cases": len(v),
            "share": finite(shares[key]),
            "median": finite(_median(v)),
            "lowest": finite(float(v.min())) if len(v) else None,
        }
        for key, v in values.items()
    }
    name = f"share with liver : vessel above {goals.ADEQUATE_RATIO:g}"
    note = "" if len(values["synthetic"]) else "no liver with vessels"
    return [judge(name, goals.ADEQUATE_SHARE, shares["synthetic"], beside=beside, note=note)], detail


def copy_figures(measured: Measured) -> Figures:
    """Mean distance to the nearest training case, synthetic over held-out real, in two spaces."""
    figure = "distance to nearest training case over held-out"
    return _image_copies(figure, measured, measured.synthetic)


def learned_figures(measured: Measured, schema: LabelSchema) -> Figures:
    """Pairs with learned masks: referee's Dice, adequate phase, copies of masks and of images."""
    learned = measured.learned
    if learned is None:
        return [], {}
    criteria = []
    for name in schema.names:
        real, found = _score(measured.real, name), _score(learned.cases, name)
        value = None if real is None or found is None else ratio(found.mean, real.mean)
        note = f"{found.cases} cases" if found is not None else "no referee"
        criteria.append(judge("learned masks: faithfulness", goals.FAITHFULNESS, value, structure=name, note=note))
    ratios = _known([m.liver_to_vessel for m in learned.cases])
    share = _mean(ratios > goals.ADEQUATE_RATIO)
    criteria.append(judge("learned masks: share with adequate liver : vessel", goals.ADEQUATE_SHARE, share))
    figure, copies = "learned masks: distance to nearest training mask over held-out", learned.copies
    if copies is None:
        criteria.append(judge(figure, goals.COPIES, None, note="no training data at hand"))
    else:
        beside = {"learned": float(copies.candidates.mean()), "real": float(copies.heldout.mean())}
        note = f"{copies.too_close} closer than any held-out mask"
        criteria.append(judge(figure, goals.COPIES, copies.ratio, beside=beside, note=note))
    of_images, detail = _image_copies("learned masks: image distance over held-out", measured, learned.cases)
    return [*criteria, *of_images], {"rejected_masks": learned.rejected, "pairs": len(learned.cases), **detail}


def _image_copies(figure: str, measured: Measured, cases: Sequence[Measurement]) -> Figures:
    spaces: dict[str, Callable[[Sequence[Measurement]], Neighbours]] = {
        "features": lambda m: nearest(
            euclidean([x.fingerprint.pooled for x in m], [t.pooled for t in measured.training])
        ),
        "image": lambda m: nearest(
            decorrelation([x.fingerprint.thumbnail for x in m], [t.thumbnail for t in measured.training])
        ),
    }
    criteria, detail = [], {}
    for name, search in spaces.items():
        if not measured.training:
            criteria.append(judge(f"{figure} ({name})", goals.COPIES, None, note="no training data at hand"))
            continue
        found, real = search(cases), search(measured.real)
        criterion, numbers = _copies(f"{figure} ({name})", found, real)
        criteria.append(criterion)
        detail[name] = {**numbers, "closest": _closest(found, cases, measured.training)}
    return criteria, detail


def _copies(figure: str, found: Neighbours, real: Neighbours) -> tuple[Criterion, dict[str, Any]]:
    n = min(len(found.distances), len(real.distances))
    leaving_out = [
        ratio(float(np.delete(found.distances, i).mean()), float(np.delete(real.distances, i).mean()))
        for i in range(n)
        if n > 1
    ]
    beside = {
        "synthetic": float(found.distances.mean()),
        "real": float(real.distances.mean()),
        "nearest_synthetic": float(found.distances.min()),
        "nearest_real": float(real.distances.min()),
        "standard_error": jackknife_error(leaving_out),
    }
    return judge(figure, goals.COPIES, ratio(beside["synthetic"], beside["real"]), beside=beside), _json(beside)


def _closest(
    found: Neighbours, cases: Sequence[Measurement], training: Sequence[Fingerprint]
) -> list[dict[str, str | float]]:
    order = np.argsort(found.distances, kind="stable")[:SUSPICIOUS]
    return [
        {
            "synthetic": cases[i].fingerprint.case_id,
            "training": training[int(found.nearest[i])].case_id,
            "distance": float(found.distances[i]),
        }
        for i in order
    ]


def speed_figures(measured: Measured) -> Figures:
    """Median seconds of a generated pair, files written."""
    seconds = np.array(measured.seconds)
    detail = {"median": finite(_median(seconds)), "mean": finite(_mean(seconds)), "pairs": len(seconds)}
    return [judge("seconds per generated pair", goals.SECONDS, _median(seconds))], detail


def _score(cases: Sequence[Measurement], structure: str) -> StructureScore | None:
    scores = [m.score for m in cases if m.score is not None]
    return structure_score(scores, structure) if scores else None


def _sums(cases: Sequence[Measurement], others: Sequence[CaseFeatures], plane: str) -> KernelSums:
    return KernelSums.of([m.features[plane] for m in cases], [case[plane] for case in others])


def _known(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]


def _mean(values: np.ndarray) -> float:
    known = _known([*values])
    return float(known.mean()) if len(known) else float("nan")


def _median(values: np.ndarray) -> float:
    known = _known([*values])
    return float(np.median(known)) if len(known) else float("nan")


def _json(values: dict[str, Any]) -> dict[str, Any]:
    return {key: finite(v) if isinstance(v, float) else v for key, v in values.items()}
