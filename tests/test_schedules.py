"""Every curve against torch.optim.lr_scheduler where it has one, else against a closed form."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from support import basic
from torch.optim import lr_scheduler

from sknnopt import NNClassifier, schedules
from sknnopt.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    CosLog,
    Cyclic,
    Exponential,
    FlatCosine,
    FunctionSchedule,
    InverseSqrt,
    Linear,
    MultiStep,
    OneCycle,
    Plateau,
    Polynomial,
    Schedule,
    Step,
    WarmupStableDecay,
    with_warmup,
)

T = 70
PROGRESS = np.arange(T) / T
BASE = 0.3
# OneCycleLR counts its last step as the end, and ends its rise one step early.
INCLUSIVE = np.arange(T) / (T - 1)
RISE = (0.3 * T - 1) / (T - 1)


def by_torch(make):
    """Learning rates of T steps, as factors of the base."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    scheduler = make(optimizer)
    factors = []
    for _ in range(T):
        factors.append(optimizer.param_groups[0]["lr"] / BASE)
        optimizer.step()
        scheduler.step()
    return np.array(factors)


S = lr_scheduler
CURVES = {
    "step": (Step(period=0.1, gamma=0.5), PROGRESS, lambda o: S.StepLR(o, 7, 0.5)),
    "step default": (Step(), PROGRESS, lambda o: S.StepLR(o, 21, 0.1)),
    "multistep": (
        MultiStep(milestones=(0.3, 0.7), gamma=0.2),
        PROGRESS,
        lambda o: S.MultiStepLR(o, [21, 49], 0.2),
    ),
    "multistep unsorted": (
        MultiStep(milestones=[0.7, 0.3]),
        PROGRESS,
        lambda o: S.MultiStepLR(o, [21, 49], 0.1),
    ),
    "exponential": (Exponential(), PROGRESS, lambda o: S.ExponentialLR(o, 0.01 ** (1 / T))),
    "polynomial": (Polynomial(power=3), PROGRESS, lambda o: S.PolynomialLR(o, T, power=3)),
    "linear": (Linear(end_factor=0.2), PROGRESS, lambda o: S.LinearLR(o, 1.0, 0.2, T)),
    "cosine": (Cosine(end_factor=0.1), PROGRESS, lambda o: S.CosineAnnealingLR(o, T, 0.1 * BASE)),
    "cosine_restarts": (CosineRestarts(), PROGRESS, lambda o: S.CosineAnnealingWarmRestarts(o, 10, 2)),
    "cosine_restarts equal": (
        CosineRestarts(n_cycles=7, multiplier=1, end_factor=0.5),
        PROGRESS,
        lambda o: S.CosineAnnealingWarmRestarts(o, 10, 1, 0.5 * BASE),
    ),
    "coslog4": (
        CosLog(),
        PROGRESS,
        lambda o: S.LambdaLR(o, lambda t: math.sin(math.pi * math.log(1 + 15 * t / T, 2)) ** 2),
    ),
    "coslog of 2": (
        CosLog(n_cycles=2),
        PROGRESS,
        lambda o: S.LambdaLR(o, lambda t: math.sin(math.pi * math.log(1 + 3 * t / T, 2)) ** 2),
    ),
    "flat_cosine": (
        FlatCosine(),
        PROGRESS,
        lambda o: S.LambdaLR(o, lambda t: 1.0 if t < T / 2 else 0.5 * (1 + math.cos(math.pi * (2 * t / T - 1)))),
    ),
    "flat_cosine longer": (
        FlatCosine(flat=0.8),
        PROGRESS,
        lambda o: S.SequentialLR(o, [S.ConstantLR(o, 1.0, 1), S.CosineAnnealingLR(o, 14)], milestones=[56]),
    ),
    "one_cycle": (OneCycle(pct_start=RISE), INCLUSIVE, lambda o: S.OneCycleLR(o, BASE, total_steps=T)),
    "one_cycle milder": (
        OneCycle(pct_start=RISE, div_factor=3, final_div_factor=2),
        INCLUSIVE,
        lambda o: S.OneCycleLR(o, BASE, total_steps=T, div_factor=3, final_div_factor=2),
    ),
    "cyclic": (Cyclic(), PROGRESS, lambda o: S.CyclicLR(o, 0.1 * BASE, BASE, 7, cycle_momentum=False)),
    "cyclic halving": (
        Cyclic(mode="triangular2", min_factor=0.3),
        PROGRESS,
        lambda o: S.CyclicLR(o, 0.3 * BASE, BASE, 7, mode="triangular2", cycle_momentum=False),
    ),
    "constant": (Constant(), PROGRESS, lambda o: S.LambdaLR(o, lambda t: 1.0)),
    "inverse_sqrt": (
        InverseSqrt(timescale=0.2),
        PROGRESS,
        lambda o: S.LambdaLR(o, lambda t: (1 + 5 * t / T) ** -0.5),
    ),
    "warmup_stable_decay": (
        WarmupStableDecay(warmup=0.1, decay=0.2, start_factor=0.25),
        PROGRESS,
        lambda o: S.SequentialLR(
            o,
            [S.LinearLR(o, 0.25, 1.0, 7), S.ConstantLR(o, 1.0, 1), S.LinearLR(o, 1.0, 0.0, 14)],
            milestones=[7, 56],
        ),
    ),
    "function": (
        FunctionSchedule(lambda p: math.exp(-p)),
        PROGRESS,
        lambda o: S.ExponentialLR(o, math.exp(-1 / T)),
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
@pytest.mark.parametrize(("schedule", "progress", "make"), CURVES.values(), ids=CURVES)
def test_curve_is_torchs(schedule, progress, make):
    factors = schedule(progress)
    assert factors.dtype == np.float64
    np.testing.assert_allclose(factors, by_torch(make), rtol=1e-9, atol=1e-12)


def test_every_name_has_a_curve():
    kinds = {type(schedule) for schedule, _, _ in CURVES.values()}
    assert {type(schedules.get(name)) for name in schedules.names()} <= kinds | {Plateau}


@pytest.mark.parametrize("name", schedules.names())
def test_pure_and_bounded(name):
    schedule = schedules.get(name)
    progress = np.linspace(0, 1, 10_001)
    whole = schedule(progress)
    assert (whole >= 0).all()
    assert whole.max() == pytest.approx(1)
    np.testing.assert_array_equal(schedule(progress[4000:6000]), whole[4000:6000])
    assert schedule.final_factor() == whole[-1]
    assert schedule(np.empty(0)).shape == (0,)


@pytest.mark.parametrize(
    ("name", "final"),
    [
        ("constant", 1), ("step", 1e-3), ("multistep", 1e-2), ("exponential", 1e-2), ("polynomial", 0),
        ("linear", 0), ("cosine", 0), ("cosine_restarts", 0), ("coslog4", 0), ("flat_cosine", 0),
        ("one_cycle", 4e-6), ("cyclic", 0.1),
        ("inverse_sqrt", 11**-0.5), ("wsd", 0), ("plateau", 1),
    ],
)  # fmt: skip
def test_final_factor(name, final):
    assert schedules.get(name).final_factor() == pytest.approx(final, abs=1e-12)


@pytest.mark.parametrize("steps", [7, 10, 30, 49, 100, 1000])
def test_steps_on_a_boundary_fall_on_its_far_side(steps):
    progress = np.arange(steps) / steps
    drops = Step(period=1 / 7)(progress)
    boundary = np.array([7 * t // steps for t in range(steps)])
    np.testing.assert_allclose(drops, 0.1**boundary)
    restarts = CosineRestarts(n_cycles=7, multiplier=1)(progress)
    on = np.array([7 * t % steps == 0 for t in range(steps)])
    np.testing.assert_allclose(restarts[on], 1.0)


@pytest.mark.parametrize("n_cycles", [1, 4, 6])
def test_each_cosine_is_twice_as_long_as_the_one_before(n_cycles):
    """Zeros at (2^i - 1) / (2^k - 1), the largest value of all at i + 1/2."""
    schedule, exponents = CosLog(n_cycles=n_cycles), np.arange(n_cycles + 1)
    np.testing.assert_allclose(schedule((2.0**exponents - 1) / (2**n_cycles - 1)), 0, atol=1e-12)
    np.testing.assert_allclose(schedule((2.0 ** (exponents[:-1] + 0.5) - 1) / (2**n_cycles - 1)), 1, rtol=1e-12)


def test_wsd_without_its_ends():
    np.testing.assert_array_equal(WarmupStableDecay(warmup=0, decay=0)(PROGRESS), np.ones(T))
    assert WarmupStableDecay(warmup=0, decay=1)(np.array([0.0, 0.5])).tolist() == [1.0, 0.5]


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")  # torch's own SequentialLR, before 2.7
@pytest.mark.parametrize("warmup_steps", [1, 7, 35])
def test_warmup_is_linear_then_the_schedule(warmup_steps):
    def make(o):
        if warmup_steps == 1:
            return S.LinearLR(o, 1.0, 0.0, T - 1)
        rise = S.LinearLR(o, 1 / warmup_steps, 1.0, warmup_steps - 1)
        rest = S.LinearLR(o, 1.0, 0.0, T - warmup_steps)
        return S.SequentialLR(o, [rise, rest], milestones=[warmup_steps])

    factors = with_warmup(Linear(), warmup_steps / T, PROGRESS)
    if warmup_steps == 1:
        factors = factors[1:]
        expected = by_torch(make)[: T - 1]
    else:
        expected = by_torch(make)
    np.testing.assert_allclose(factors, expected, rtol=1e-9)


@pytest.mark.parametrize("name", schedules.names())
@pytest.mark.parametrize("warmup", [0.1, 0.5, 1.0])
def test_warmup_by_pieces_is_warmup_at_once(name, warmup):
    schedule = schedules.get(name)
    whole = with_warmup(schedule, warmup, PROGRESS)
    pieces = [with_warmup(schedule, warmup, PROGRESS[t : t + 1], step=1 / T) for t in range(T)]
    np.testing.assert_allclose(np.concatenate(pieces), whole)
    rise = whole[: int(warmup * T)]
    if schedule(np.zeros(1))[0] > 0:
        assert whole[0] > 0
        assert (np.diff(rise) > 0).all()
    else:  # there is nothing to rise to
        assert name == "coslog4"
        assert (rise == 0).all()


def test_warmup_of_single_steps_still_warms():
    factors = [with_warmup(Constant(), 0.5, np.array([p]))[0] for p in (0.0, 0.25, 0.5, 1.0)]
    np.testing.assert_allclose(factors, [0.01, 0.51, 1, 1])


def test_warmup_ends_where_the_schedule_begins():
    factors = with_warmup(OneCycle(div_factor=4), 0.5, np.arange(8) / 8)
    np.testing.assert_allclose(factors[:5], [0.0625, 0.125, 0.1875, 0.25, 0.25])


def test_no_warmup_is_the_schedule():
    np.testing.assert_array_equal(with_warmup(Cosine(), 0.0, PROGRESS), Cosine()(PROGRESS))


LOSSES = [
    3,
    2,
    1,
    1,
    1,
    1.1,
    1,
    0.5,
    0.49999,
    0.49999,
    0.6,
    0.5,
    0.5,
    math.nan,
    0.5,
    0.5,
    0.1,
    0.2,
    0.2,
    0.2,
    0.2,
]


@pytest.mark.parametrize(
    "plateau",
    [
        Plateau(patience=2),
        Plateau(patience=0, factor=0.5),
        Plateau(patience=1, cooldown=2, factor=0.5),
        Plateau(patience=1, threshold=0.0),
        Plateau(patience=0, min_factor=0.02),
    ],
)
def test_plateau_is_torchs(plateau):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    settings = plateau.get_params()
    reference = S.ReduceLROnPlateau(optimizer, eps=0.0, min_lr=settings.pop("min_factor"), **settings)
    state = plateau.start()
    factors = []
    for loss in LOSSES:
        reference.step(loss)
        factors.append(plateau.observe(state, loss))
        assert factors[-1] == pytest.approx(optimizer.param_groups[0]["lr"])
    assert len(set(factors)) > 1


def test_plateau_states_are_separate():
    plateau = Plateau(patience=0)
    one, other = plateau.start(), plateau.start()
    for _ in range(3):
        plateau.observe(one, 1.0)
    assert one.factor == pytest.approx(0.01)
    assert other == plateau.start()


def test_only_plateau_is_adaptive():
    assert {name for name in schedules.names() if schedules.get(name).adaptive} == {"plateau"}


@pytest.mark.parametrize(
    "schedule",
    [
        Step(period=0),
        Step(gamma=1.5),
        MultiStep(milestones=[0.5, 2]),
        MultiStep(milestones=0.5),
        Exponential(end_factor=0),
        Polynomial(power=0),
        CosineRestarts(n_cycles=0),
        CosineRestarts(multiplier=0.5),
        OneCycle(pct_start=1),
        Cyclic(mode="exp"),
        WarmupStableDecay(warmup=0.7, decay=0.7),
        InverseSqrt(timescale=0),
        CosLog(n_cycles=0),
        FlatCosine(flat=1),
        Plateau(factor=1.0),
        Plateau(patience=-1),
    ],
)
def test_bad_values_are_refused(schedule):
    with pytest.raises(ValueError, match=f"parameters? of {type(schedule).__name__} "):
        schedules.get(schedule)


class Returns(Schedule):
    def __init__(self, value):
        self.value = value

    def __call__(self, progress):
        return self.value(progress)


def test_what_a_new_schedule_lacks_is_named():
    class Mine(Schedule):
        pass

    with pytest.raises(NotImplementedError, match=r"Mine must define __call__\(progress\)"):
        Mine()(PROGRESS)


@pytest.mark.parametrize("warmup", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(
    ("schedule", "got"),
    [
        (FunctionSchedule(lambda p: math.nan), "nan at progress 0.0"),
        (FunctionSchedule(lambda p: None), "nan at progress 0.0"),
        (FunctionSchedule(lambda p: math.inf), "inf at progress 0.0"),
        (FunctionSchedule(lambda p: -0.1), "-0.1 at progress 0.0"),
        (FunctionSchedule(lambda p: [1, 2]), r"\[1, 2\]"),
        (FunctionSchedule(lambda p: "slow"), "'slow'"),
        (Returns(lambda p: None), "None"),
        (Returns(lambda p: 1.0), r"shape \(\) for shape \(\d+,\)"),
        (Returns(lambda p: np.ones((2, len(p)))), r"shape \(2, \d+\) for shape \(\d+,\)"),
        (Returns(lambda p: p - 1), "-1.0 at progress 0.0"),
        (Returns(lambda p: "slow"), "'slow'"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_factors_that_are_none_are_refused(schedule, got, warmup):
    with pytest.raises(ValueError, match=rf"The schedule {type(schedule).__name__}\(.* Got {got}\."):
        with_warmup(schedule, warmup, PROGRESS)


def test_an_error_of_a_function_is_its_own():
    with pytest.raises(ZeroDivisionError):
        with_warmup(FunctionSchedule(lambda p: 1 / p), 0.0, PROGRESS)


def test_rounding_below_zero_is_zero():
    assert with_warmup(FunctionSchedule(lambda p: -1e-17), 0.0, PROGRESS).tolist() == [0.0] * T


def test_milestones_may_be_a_list_or_an_array():
    """Factors that members have in common are remembered by the schedule's parameters, as far as these can be."""
    X, y = load_iris(return_X_y=True)
    rates = []
    for milestones in [(0.25, 0.5), [0.25, 0.5], np.array([0.25, 0.5])]:
        network = basic(NNClassifier, max_epochs=4, learning_rate=0.1, schedule=MultiStep(milestones=milestones))
        rates.append([record["learning_rate"] for record in network.fit(X, y).history_])
    np.testing.assert_allclose(rates, [[0.1, 0.01, 0.001, 0.001]] * 3)
