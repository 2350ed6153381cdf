"""Samplers against a closed form: for data N(m, s^2) the optimal prediction and the solution are known."""

import numpy as np
import pytest
import torch

from lldm_aug.config.schema import MOST_STEPS, Config, ObjectiveSettings, SamplingSettings, check_sampling
from lldm_aug.diffusion.objective import (
    CleanPrediction,
    NoisePrediction,
    RectifiedFlow,
    SkippedPrediction,
    make_objective,
)
from lldm_aug.diffusion.sampler import Known, sample

MEAN, STD = 0.7, 0.3
NOISE = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
NOISE = (NOISE - NOISE.mean()) / NOISE.std()


def clean_prediction(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Optimal prediction of what is clean on rectified-flow paths, for Gaussian data."""
    t = times.view(-1, 1) / 1000
    return MEAN + (1 - t) * STD**2 / ((1 - t) ** 2 * STD**2 + t**2) * (x - (1 - t) * MEAN)


def velocity(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Optimal velocity for Gaussian data."""
    return (x - clean_prediction(x, times)) / (times.view(-1, 1) / 1000)


def noise_prediction(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Optimal DDPM prediction for Gaussian data."""
    a = NoisePrediction(1000).alphas_cumprod[times.long()].view(-1, 1)
    clean = MEAN + a.sqrt() * STD**2 / (a * STD**2 + 1 - a) * (x - a.sqrt() * MEAN)
    return (x - a.sqrt() * clean) / (1 - a).sqrt()


def skipped_prediction(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Optimal output beside the skip connection, for Gaussian data: that of which F makes what is clean."""
    t, d = times.view(-1, 1) / 1000, ObjectiveSettings().detail
    c = d**2 * (1 - t) ** 2 / (d**2 * (1 - t) ** 2 + t**2)
    passed = d**2 * (1 - t) / (d**2 * (1 - t) ** 2 + t**2) * x
    own = (clean_prediction(x, times) - passed) / (1 - c)
    return torch.cat([own, torch.zeros_like(own)], 1)


OPTIMAL = {"skip": skipped_prediction, "clean": clean_prediction, "flow": velocity, "ddpm": noise_prediction}


def spread_error(solver: str, steps: int, kind: str = "flow") -> float:
    """How far the standard deviation of flow samples is off."""
    out = sample(OPTIMAL[kind], NOISE, ObjectiveSettings(kind=kind), SamplingSettings(solver=solver, steps=steps))
    assert out.mean().item() == pytest.approx(MEAN, abs=0.01)
    return abs(out.std().item() - STD)


@pytest.mark.parametrize("kind", ["skip", "clean", "flow"])
@pytest.mark.parametrize("solver", ["unipc", "dpmpp", "euler"])
def test_flow_converges_to_the_data(solver: str, kind: str) -> None:
    assert spread_error(solver, 100, kind) < 0.01


@pytest.mark.parametrize("kind", ["skip", "clean"])
def test_what_is_clean_and_the_velocity_tell_the_same(kind: str) -> None:
    assert spread_error("unipc", 8, kind) == pytest.approx(spread_error("unipc", 8, "flow"), abs=1e-4)


FROM_CLEAN = [CleanPrediction(), SkippedPrediction()]


@pytest.mark.parametrize("objective", FROM_CLEAN)
def test_errors_of_what_is_clean_count_as_those_of_the_velocity(objective: CleanPrediction) -> None:
    clean, noise, wrong = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([150.0, 400.0, 800.0, 1000.0])
    noised = objective.noised(clean, noise, times)
    told = torch.cat([wrong, clean], 1) if isinstance(objective, SkippedPrediction) else wrong
    velocities = objective.velocity(told, noised.noisy, times)
    torch.testing.assert_close(objective.error(told, noised), RectifiedFlow().error(velocities, noised))


@pytest.mark.parametrize("objective", FROM_CLEAN)
def test_the_error_is_bounded_where_hardly_any_noise_is(objective: CleanPrediction) -> None:
    times = torch.tensor([0.0, 1e-3])
    noised = objective.noised(torch.zeros(2, 4), torch.ones(2, 4), times)
    assert (
        objective.error(torch.ones(2, 8)[:, : 8 if isinstance(objective, SkippedPrediction) else 4], noised).max()
        <= 100
    )


@pytest.mark.parametrize("times", [0.0, 300.0, 1000.0])
def test_where_no_detail_is_told_the_networks_own_guess_counts(times: float) -> None:
    skip, own, noisy = SkippedPrediction(), torch.randn(1, 4), torch.randn(1, 4)
    moment = torch.tensor([times])
    nowhere, everywhere = torch.full((1, 4), -100.0), torch.full((1, 4), 100.0)
    if times:
        torch.testing.assert_close(skip.clean(torch.cat([own, nowhere], 1), noisy, moment), own, rtol=1e-3, atol=1e-3)
    if times < 1000:
        told = skip.clean(torch.cat([own, everywhere], 1), noisy, moment)
        torch.testing.assert_close(told, noisy / (1 - times / 1000), rtol=1e-3, atol=1e-3)


def test_strong_detail_passes_more_of_the_noisy_latent() -> None:
    """The best guess under noise s for detail of deviation d is its share d^2 / (d^2 + s^2)."""
    skip, noisy = SkippedPrediction(detail=0.1), torch.ones(1, 3)
    strength = torch.tensor([[0.0, 1.0, 2.0]])
    share = skip.clean(torch.cat([torch.zeros(1, 3), strength], 1), noisy, torch.tensor([500.0])) / 2
    detail = (0.1 * (strength / 2).exp()) ** 2
    torch.testing.assert_close(share, detail / (detail + 1))


def test_samples_of_less_detail_are_smoother() -> None:
    """Told to take noise for detail of deviation 0.3 about 0, the samples have that deviation, or a share of it."""

    def spread(share: float) -> float:
        nothing = torch.zeros(len(NOISE), 2)
        settings = SamplingSettings(steps=200, detail=share)
        return sample(lambda x, t: nothing, NOISE, ObjectiveSettings(detail=0.3), settings).std().item()

    assert spread(1) == pytest.approx(0.3, rel=0.02)
    assert spread(0.5) == pytest.approx(0.15, rel=0.03)


def test_faint_detail_needs_no_network_where_noise_is_fainter_still() -> None:
    """Detail of deviation d under noise of the same: half the noisy latent is the best guess, without any output."""
    skip = SkippedPrediction(detail=0.25)
    generator = torch.Generator().manual_seed(0)
    clean, noise = 0.25 * torch.randn(1, 50_000, generator=generator), torch.randn(1, 50_000, generator=generator)
    times = torch.tensor([200.0])  # t / (1 - t) is 0.25
    noisy = skip.corrupt(clean, noise, times)
    error = skip.clean(torch.zeros(1, 100_000), noisy, times) - clean
    assert error.var().item() / 0.25**2 == pytest.approx(0.5, abs=0.02)
    alone = CleanPrediction().clean(torch.zeros_like(noisy), noisy, times) - clean
    assert alone.var().item() / 0.25**2 == pytest.approx(1, abs=0.02)


def test_second_order_solvers_beat_euler_by_far() -> None:
    assert spread_error("unipc", 20) < 0.2 * spread_error("euler", 20)
    assert spread_error("dpmpp", 20) < 0.2 * spread_error("euler", 20)


def test_euler_is_of_first_order() -> None:
    assert spread_error("euler", 40) / spread_error("euler", 80) == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize("shift", [0.5, 3.0])
@pytest.mark.parametrize("solver", ["unipc", "dpmpp", "euler"])
def test_shifted_times_lead_to_the_same_data(solver: str, shift: float) -> None:
    objective = ObjectiveSettings(kind="clean", shift=shift)
    out = sample(clean_prediction, NOISE, objective, SamplingSettings(solver=solver, steps=160))
    assert out.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert out.std().item() == pytest.approx(STD, abs=0.01)


def test_what_is_far_stronger_than_noise_needs_shifted_times() -> None:
    """A smooth field's mean, say, which noise blurs only at the very end of the paths."""

    def predict(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        t = times.view(-1, 1) / 1000
        return (1 - t) * 20**2 / ((1 - t) ** 2 * 20**2 + t**2) * x

    def error(shift: float) -> float:
        objective = ObjectiveSettings(kind="clean", shift=shift)
        return abs(sample(predict, NOISE, objective, SamplingSettings(steps=8)).std().item() / 20 - 1)

    assert error(1.0) > 0.25
    assert error(10.0) < 0.1


def test_a_shift_multiplies_the_odds_of_times() -> None:
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    plain, shifted = (
        RectifiedFlow(s).draw_times(g, 9).double() / 1000 for s, g in zip((1, 5), generators, strict=True)
    )
    torch.testing.assert_close(shifted / (1 - shifted), 5 * plain / (1 - plain), rtol=1e-3, atol=1e-3)


def test_a_spread_widens_the_odds_of_times() -> None:
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    narrow, wide = (
        torch.logit(RectifiedFlow(3.0, s).draw_times(g, 9).double() / 1000)
        for s, g in zip((1, 2), generators, strict=True)
    )
    torch.testing.assert_close(wide - np.log(3), 2 * (narrow - np.log(3)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("change", [{"shift": 2}, {"spread": 2}])
def test_only_flows_are_shifted(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="ddpm has a schedule of its own"):
        ObjectiveSettings(kind="ddpm", **change)


def test_ddpm_with_a_thousand_steps_reaches_the_data() -> None:
    settings = SamplingSettings(solver="ddpm", steps=1000)
    out = sample(noise_prediction, NOISE, ObjectiveSettings(kind="ddpm"), settings, torch.Generator().manual_seed(1))
    assert out.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert out.std().item() == pytest.approx(STD, abs=0.02)


def test_flow_paths_end_in_data_and_noise() -> None:
    clean, noise = torch.randn(2, 3), torch.randn(2, 3)
    noised = RectifiedFlow().noised(clean, noise, torch.tensor([0.0, 1000.0]))
    torch.testing.assert_close(noised.noisy, torch.stack([clean[0], noise[1]]))
    assert RectifiedFlow().error(noise - clean, noised).max() == 0


def test_ddpm_keeps_unit_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    objective = make_objective(ObjectiveSettings(kind="ddpm"))
    times = objective.draw_times(generator, 5000)
    noisy = objective.corrupt(
        torch.randn(5000, 8, generator=generator), torch.randn(5000, 8, generator=generator), times
    )
    assert noisy.std().item() == pytest.approx(1, abs=0.02)
    assert 0 <= times.min() < 50 < 950 < times.max() < 1000


@pytest.mark.parametrize(("kind", "solver"), [("clean", "ddpm"), ("flow", "ddpm"), ("ddpm", "euler")])
def test_solver_must_fit_the_objective(kind: str, solver: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Config(objective=ObjectiveSettings(kind=kind), sampling=SamplingSettings(solver=solver))


@pytest.mark.parametrize("kind", ["skip", "clean", "flow", "ddpm"])
@pytest.mark.parametrize("solver", ["unipc", "dpmpp"])
def test_the_most_steps_that_are_allowed_stay_finite(kind: str, solver: str) -> None:
    sampling = SamplingSettings(solver=solver, steps=MOST_STEPS)
    out = sample(OPTIMAL[kind], NOISE[:64], ObjectiveSettings(kind=kind), sampling)
    assert out.mean().item() == pytest.approx(MEAN, abs=0.3)
    with pytest.raises(ValueError, match="more than"):
        check_sampling(ObjectiveSettings(kind=kind), SamplingSettings(solver=solver, steps=MOST_STEPS + 1))


@pytest.mark.parametrize("steps", [1000, 4000])
def test_every_allowed_schedule_ends_in_noise(steps: int) -> None:
    last = NoisePrediction(steps).alphas_cumprod[-1].item()
    assert 0 < last < 1e-3
    with pytest.raises(ValueError, match="ddpm_steps"):
        ObjectiveSettings(kind="ddpm", ddpm_steps=steps // 1000 * 100)


SOLVERS = [("flow", s) for s in ("unipc", "dpmpp", "euler")] + [("skip", "unipc")]
SOLVERS += [("ddpm", s) for s in ("unipc", "dpmpp", "ddpm")]


@pytest.mark.parametrize(("kind", "solver"), SOLVERS)
def test_what_is_known_is_reached_and_the_rest_is_sampled_as_ever(kind: str, solver: str) -> None:
    steps = 1000 if solver == "ddpm" else 50
    settings = ObjectiveSettings(kind=kind), SamplingSettings(solver=solver, steps=steps)
    noise = NOISE[:2000]
    clean = torch.linspace(-2, 2, len(noise))[:, None]
    cells = (torch.arange(len(noise)) % 2 == 0)[:, None]

    def draw(known: Known | None) -> torch.Tensor:
        return sample(OPTIMAL[kind], noise, *settings, torch.Generator().manual_seed(0), known)

    out, without = draw(Known(clean, cells)), draw(None)
    torch.testing.assert_close(out[cells], clean[cells], atol=0.02, rtol=0)
    torch.testing.assert_close(out[~cells], without[~cells])


@pytest.mark.parametrize(("kind", "solver"), SOLVERS)
def test_less_strength_keeps_more_of_what_was_there(kind: str, solver: str) -> None:
    steps = {"flow": 20, "skip": 20, "ddpm": 1000 if solver == "ddpm" else 300}[kind]
    settings = ObjectiveSettings(kind=kind), SamplingSettings(solver=solver, steps=steps)
    noise = NOISE[:2000]
    clean = MEAN + STD * torch.randn(len(noise), 1, generator=torch.Generator().manual_seed(1))
    nowhere = torch.zeros_like(clean, dtype=torch.bool)

    def likeness(strength: float) -> float:
        known = Known(clean, nowhere, strength)
        drawn = sample(OPTIMAL[kind], noise, *settings, torch.Generator().manual_seed(0), known)
        assert drawn.std().item() == pytest.approx(STD, rel=0.1)
        return float(torch.corrcoef(torch.cat([drawn, clean], 1).T)[0, 1])

    little = 0.1 if kind != "ddpm" else 0.01  # its first times are noisier
    assert likeness(little) > 0.75
    assert likeness(little) > likeness(0.4) + 0.1
    assert abs(likeness(1.0)) < 0.1
