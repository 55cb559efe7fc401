"""Every loss against torch or sklearn, every hand-written gradient against autograd."""

import numpy as np
import pytest
import torch
from sklearn._loss.loss import HalfGammaLoss, HalfTweedieLoss
from sklearn.metrics import hinge_loss, log_loss, mean_absolute_error, mean_pinball_loss, mean_squared_error
from torch import nn
from torch.nn import functional as F

from sknnopt import losses
from sknnopt.losses import (
    BinaryHinge,
    CrossEntropy,
    Focal,
    FunctionLoss,
    Gamma,
    Hinge,
    Huber,
    LogCosh,
    Loss,
    Poisson,
    Quantile,
    SigmoidCrossEntropy,
    SigmoidFocal,
    Tweedie,
)

MEMBERS, OUTPUTS, ROWS = 3, 5, 37
TASKS = ("classification", "multilabel", "regression")
NAMED = [(name, losses.get(name, task=task), task) for task in TASKS for name in losses.names(task)]
SMOOTHING = torch.tensor([[0.0], [0.1], [0.7]], dtype=torch.float64)
CASES = [(loss, task, {}) for _, loss, task in NAMED]
CASES += [(loss, task, {"smoothing": SMOOTHING}) for _, loss, task in NAMED if loss.smooths]
OBJECTS = {
    "classification": [Focal(gamma=0), Focal(gamma=0.5), Focal(gamma=3.3)],
    "multilabel": [SigmoidFocal(gamma=0), SigmoidFocal(gamma=0.5), SigmoidFocal(gamma=3.3)],
    "regression": [
        Huber(delta=0.3),
        Quantile(quantile=0.9),
        Quantile(quantile=(0.0, 0.2, 0.5, 0.9, 1.0)),
        Tweedie(power=1.01),
        Tweedie(power=1.9),
    ],
}
CASES += [(loss, task, {}) for task, given in OBJECTS.items() for loss in given]
every = pytest.mark.parametrize(
    ("loss", "task", "extra"),
    CASES,
    ids=[f"{loss!r}-{'smooth' if extra else task}" for loss, task, extra in CASES],
)


def problem(task, dtype=torch.float64, n_outputs=OUTPUTS):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(MEMBERS, n_outputs, ROWS, generator=generator, dtype=dtype) * 2
    if task == "classification":
        return output, torch.randint(n_outputs, (MEMBERS, ROWS), generator=generator)
    if task == "multilabel":
        return output, torch.randint(2, (MEMBERS, n_outputs, ROWS), generator=generator).to(dtype)
    return output, torch.rand(MEMBERS, n_outputs, ROWS, generator=generator, dtype=dtype) * 4


def problem_of(loss, task, dtype=torch.float64):
    """Scores of a loss, which may be several for each target."""
    output, target = problem(task, dtype)
    return output, target[:, : OUTPUTS // loss.n_scores(1)] if task == "regression" else target


def by_autograd(loss, output, target, extra):
    leaf = output.clone().requires_grad_()
    loss(leaf, target, **extra).sum().backward()
    return leaf.grad


@every
def test_gradient_is_autograds(loss, task, extra):
    output, target = problem_of(loss, task)
    expected = by_autograd(loss, output, target, extra)
    torch.testing.assert_close(loss.gradient(output, target, **extra), expected)


@every
@pytest.mark.parametrize("layout", ["contiguous", "padded", "in place"])
def test_value_and_gradient(loss, task, extra, layout):
    output, target = problem_of(loss, task)
    value, gradient = loss(output, target, **extra), loss.gradient(output, target, **extra)
    out = {
        "contiguous": torch.empty_like(output),
        "padded": torch.empty(MEMBERS, OUTPUTS * ROWS + 11, dtype=output.dtype)[:, : OUTPUTS * ROWS].view(
            MEMBERS, OUTPUTS, ROWS
        ),
        "in place": output.clone(),
    }[layout]
    given = out if layout == "in place" else output
    got, same = loss.value_and_gradient(given, target, out, **extra)
    assert same is out
    assert got.shape == (MEMBERS, ROWS)
    torch.testing.assert_close(got, value)
    torch.testing.assert_close(out, gradient)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_alone(loss, task, extra, dtype):
    output, target = problem_of(loss, task, dtype)
    extra = {key: value.to(dtype) for key, value in extra.items()}
    value, gradient = loss.value_and_gradient(output, target, torch.empty_like(output), **extra)
    for k in range(MEMBERS):
        own = {key: x[k : k + 1] for key, x in extra.items()}
        alone = loss.value_and_gradient(
            output[k : k + 1].clone(), target[k : k + 1].clone(), torch.empty(1, OUTPUTS, ROWS, dtype=dtype), **own
        )
        assert torch.equal(alone[0][0], value[k])
        assert torch.equal(alone[1][0], gradient[k])


def test_cross_entropy_is_torchs_and_sklearns():
    output, target = problem("classification")
    loss = CrossEntropy()
    torch.testing.assert_close(loss(output, target), F.cross_entropy(output, target, reduction="none"))
    probabilities = loss.predict(output)
    torch.testing.assert_close(probabilities, F.softmax(output, 1))
    for k in range(MEMBERS):
        expected = log_loss(target[k], probabilities[k].T, labels=range(OUTPUTS))
        assert loss(output, target)[k].mean().item() == pytest.approx(expected)


def test_label_smoothing_is_torchs_per_member():
    output, target = problem("classification")
    value = CrossEntropy()(output, target, smoothing=SMOOTHING)
    for k in range(MEMBERS):
        reference = nn.CrossEntropyLoss(reduction="none", label_smoothing=SMOOTHING[k].item())
        torch.testing.assert_close(value[k], reference(output[k].T, target[k]))


def test_label_smoothing_of_labels_moves_the_target():
    output, target = problem("multilabel")
    value = SigmoidCrossEntropy()(output, target, smoothing=SMOOTHING)
    for k in range(MEMBERS):
        s = SMOOTHING[k].item()
        moved = (1 - s) * target[k] + s / 2
        expected = F.binary_cross_entropy(torch.sigmoid(output[k]), moved, reduction="none").sum(0)
        torch.testing.assert_close(value[k], expected)


def test_extreme_scores_stay_finite():
    output = torch.tensor([[[200.0, -200.0], [-200.0, 200.0]]])
    value, gradient = CrossEntropy().value_and_gradient(output, torch.tensor([[1, 1]]), torch.empty(1, 2, 2))
    torch.testing.assert_close(value, torch.tensor([[400.0, 0.0]]))
    torch.testing.assert_close(gradient, torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))


def mean_of(loss, target, output):
    """The mean of one of scikit-learn's losses, without the terms that do not depend on the output."""
    return loss.loss(np.ascontiguousarray(target).ravel(), np.ascontiguousarray(output).ravel()).mean()


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (losses.get("mse", task="regression"), mean_squared_error),
        (losses.get("mae", task="regression"), mean_absolute_error),
        (Quantile(quantile=0.2), lambda t, o: mean_pinball_loss(t, o, alpha=0.2)),
        (Huber(delta=0.5), lambda t, o: nn.HuberLoss(delta=0.5)(torch.tensor(o), torch.tensor(t)).item()),
        (Poisson(), lambda t, o: nn.PoissonNLLLoss()(torch.tensor(o), torch.tensor(t)).item()),
        (LogCosh(), lambda t, o: np.log(np.cosh(o - t)).mean()),
        (Gamma(), lambda t, o: mean_of(HalfGammaLoss(), t, o)),
        (Tweedie(), lambda t, o: mean_of(HalfTweedieLoss(power=1.5), t, o)),
        (Tweedie(power=1.2), lambda t, o: mean_of(HalfTweedieLoss(power=1.2), t, o)),
    ],
    ids=lambda x: repr(x) if isinstance(x, Loss) else "",
)
def test_regression_losses_are_means_over_outputs(loss, reference):
    output, target = problem("regression")
    for k in range(MEMBERS):
        expected = reference(target[k].T.numpy(), output[k].T.numpy())
        assert loss(output, target)[k].mean().item() == pytest.approx(expected)


def test_multilabel_loss_is_the_sum_over_labels():
    output, target = problem("multilabel")
    expected = F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1)
    torch.testing.assert_close(SigmoidCrossEntropy()(output, target), expected)


def test_links():
    output, _ = problem("regression")
    torch.testing.assert_close(Poisson().predict(output), output.exp())
    torch.testing.assert_close(SigmoidCrossEntropy().predict(output), torch.sigmoid(output))
    assert losses.get("huber", task="regression").predict(output) is output


def test_a_tie_of_the_pinball_loss_has_sklearns_gradient():
    tie = torch.zeros(1, 1, 1)
    assert Quantile(quantile=0.3).gradient(tie, tie).item() == pytest.approx(-0.3)


def test_several_quantiles_are_the_mean_of_each():
    output, target = problem("regression", n_outputs=6)
    loss, levels = Quantile(quantile=[0.1, 0.4, 0.8]), (0.1, 0.4, 0.8)
    each = [Quantile(quantile=q)(output[:, i::3], target[:, :2]) for i, q in enumerate(levels)]
    torch.testing.assert_close(loss(output, target[:, :2]), torch.stack(each).mean(0))
    sorted_ = loss.quantiles(output)
    assert sorted_.shape == (MEMBERS, 2, 3, ROWS)
    torch.testing.assert_close(sorted_, output.view(MEMBERS, 2, 3, ROWS).sort(2).values)
    torch.testing.assert_close(loss.predict(output), sorted_[:, :, 1])


@pytest.mark.parametrize(
    ("levels", "nearest"),
    [([0.1, 0.5, 0.9], 1), ([0.1, 0.2], 1), ([0.8, 0.9], 0), ([0.25, 0.75], 0), ([0.3], 0)],
)
def test_the_prediction_is_the_quantile_nearest_to_the_median(levels, nearest):
    loss = Quantile(quantile=levels)
    output = torch.arange(1.0, 1 + len(levels)).view(1, -1, 1)
    assert loss.n_scores(3) == 3 * len(levels)
    assert loss.predict(output).item() == nearest + 1


def test_one_quantile_is_a_sequence_of_one():
    output, target = problem("regression")
    one, sequence = Quantile(quantile=0.3), Quantile(quantile=np.array([0.3]))
    assert one.n_scores(5) == sequence.n_scores(5) == 5
    assert torch.equal(one(output, target), sequence(output, target))
    assert torch.equal(one.gradient(output, target), sequence.gradient(output, target))
    assert torch.equal(one.quantiles(output)[:, :, 0], output)


@pytest.mark.parametrize("quantile", [[0.5, 0.1], [0.2, 0.2], [], [0.1, 1.2], ["a"], [[0.1]], "abc", [np.nan]])
def test_quantiles_that_are_none_are_refused(quantile):
    with pytest.raises(ValueError, match=r"'quantile' parameter of Quantile must be .* Got "):
        losses.get(Quantile(quantile=quantile), task="regression")


@pytest.mark.parametrize("gamma", [0.0, 0.7, 2.0])
def test_focal_is_the_weighed_cross_entropy(gamma):
    output, target = problem("classification")
    p = torch.softmax(output, 1).gather(1, target.unsqueeze(1))[:, 0]
    expected = (1 - p) ** gamma * F.cross_entropy(output, target, reduction="none")
    torch.testing.assert_close(Focal(gamma=gamma)(output, target), expected)
    output, target = problem("multilabel")
    p = torch.where(target == 1, torch.sigmoid(output), 1 - torch.sigmoid(output))
    expected = (1 - p) ** gamma * F.binary_cross_entropy_with_logits(output, target, reduction="none")
    torch.testing.assert_close(SigmoidFocal(gamma=gamma)(output, target), expected.sum(1))


@pytest.mark.parametrize(("task", "plain"), [("classification", CrossEntropy()), ("multilabel", SigmoidCrossEntropy())])
def test_focal_without_gamma_is_the_cross_entropy(task, plain):
    output, target = problem(task)
    focal = losses.get(Focal(gamma=0), task=task)
    for got, expected in zip(
        focal.value_and_gradient(output, target, torch.empty_like(output)),
        plain.value_and_gradient(output, target, torch.empty_like(output)),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_stays_finite_at_extreme_scores(gamma):
    output = torch.tensor([[[200.0, -200.0], [-200.0, 200.0]]])
    value, gradient = Focal(gamma=gamma).value_and_gradient(output, torch.tensor([[1, 1]]), torch.empty(1, 2, 2))
    torch.testing.assert_close(value, torch.tensor([[400.0, 0.0]]))
    torch.testing.assert_close(gradient, torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))
    labels = torch.tensor([[[0.0, 1.0]]])
    value, gradient = SigmoidFocal(gamma=gamma).value_and_gradient(output[:, :1], 1 - labels, torch.empty(1, 1, 2))
    torch.testing.assert_close(value, torch.zeros(1, 2))
    value, gradient = SigmoidFocal(gamma=gamma).value_and_gradient(output[:, :1], labels, torch.empty(1, 1, 2))
    torch.testing.assert_close(value, torch.tensor([[200.0, 200.0]]))
    torch.testing.assert_close(gradient, torch.tensor([[[1.0, -1.0]]]))


@pytest.mark.parametrize("n_classes", [2, OUTPUTS])
def test_hinge_is_sklearns(n_classes):
    output, target = problem("classification", n_outputs=n_classes)
    for k in range(MEMBERS):
        scores = output[k].T.numpy() if n_classes > 2 else (output[k, 1] - output[k, 0]).numpy()
        expected = hinge_loss(target[k].numpy(), scores, labels=np.arange(n_classes))
        assert Hinge()(output, target)[k].mean().item() == pytest.approx(expected)
    torch.testing.assert_close(Hinge(squared=True)(output, target), Hinge()(output, target).square())


def test_binary_hinge_is_sklearns_of_each_label():
    output, target = problem("multilabel")
    for k in range(MEMBERS):
        each = [hinge_loss(target[k, label], output[k, label]) for label in range(OUTPUTS)]
        assert BinaryHinge()(output, target)[k].mean().item() == pytest.approx(sum(each))
    sign = 2 * target - 1
    expected = (1 - output * sign).clamp(min=0).square().sum(1)
    torch.testing.assert_close(BinaryHinge(squared=True)(output, target), expected)


def test_hinge_does_not_ask_for_more_than_the_margin():
    output = torch.tensor([[[3.0, 0.0], [1.0, 2.0]]])
    value, gradient = Hinge().value_and_gradient(output, torch.tensor([[0, 0]]), torch.empty(1, 2, 2))
    torch.testing.assert_close(value, torch.tensor([[0.0, 3.0]]))
    torch.testing.assert_close(gradient, torch.tensor([[[0.0, -1.0], [0.0, 1.0]]]))


def test_log_cosh_neither_overflows_nor_loses_small_differences():
    output, target = torch.tensor([[[1e30, 1e-2, 0.0]]]), torch.zeros(1, 1, 3)
    torch.testing.assert_close(LogCosh()(output, target), torch.tensor([[1e30, 5e-5, 0.0]]), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(LogCosh().gradient(output, target), torch.tensor([[[1.0, 1e-2, 0.0]]]))


def test_tweedie_lies_between_poisson_and_gamma():
    """Their gradients are those of the deviance of power 1 and 2."""
    output, target = problem("regression")
    for power, limit in ((1 + 1e-9, Poisson()), (2 - 1e-9, Gamma())):
        torch.testing.assert_close(Tweedie(power=power).gradient(output, target), limit.gradient(output, target))


@pytest.mark.parametrize("loss", [Poisson(), Tweedie()])
@pytest.mark.parametrize("y", [[1.0, -1.0], [0.0, 0.0]])
def test_a_target_without_likelihood_is_refused(loss, y):
    with pytest.raises(ValueError, match="requires non-negative y and sum"):
        loss.check_target(np.array(y))
    loss.check_target(np.array([0.0, 1.0]))


@pytest.mark.parametrize("y", [[1.0, 0.0], [[1.0, 2.0], [1.0, -0.5]]])
def test_gamma_refuses_what_is_not_positive(y):
    with pytest.raises(
        ValueError, match=r"'gamma' requires strictly positive y; its minimum is (0.0|-0.5)\. With zeros"
    ):
        Gamma().check_target(np.array(y))
    Gamma().check_target(np.array([0.1, 1.0]))


@pytest.mark.parametrize(
    ("given", "face"),
    [
        (CrossEntropy(), SigmoidCrossEntropy()),
        (Focal(gamma=1.5), SigmoidFocal(gamma=1.5)),
        (Hinge(squared=True), BinaryHinge(squared=True)),
        ("focal", SigmoidFocal()),
        ("squared_hinge", BinaryHinge(squared=True)),
    ],
    ids=repr,
)
def test_a_classification_loss_has_a_face_for_labels(given, face):
    found = losses.get(given, task="multilabel")
    assert found.key() == face.key()
    assert found.tasks == {"multilabel"}
    with pytest.raises(ValueError, match="is for multilabel targets"):
        losses.get(face, task="classification")


@pytest.mark.parametrize("task", TASKS)
def test_auto(task):
    kinds = {
        "classification": CrossEntropy,
        "multilabel": SigmoidCrossEntropy,
        "regression": losses.SquaredError,
    }
    assert type(losses.get("auto", task=task)) is kinds[task]


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_its_names_and_all_have_all(task):
    assert set(losses.names(task)) <= set(losses.names())
    assert set(losses.names()) == {name for t in TASKS for name in losses.names(t)}
    assert all(task in losses.get(name, task=task).tasks for name in losses.names(task))


def test_the_wrong_task_is_explained():
    with pytest.raises(ValueError, match="'mse', which is for regression targets; for classification choose from"):
        losses.get("mse", task="classification")
    with pytest.raises(ValueError, match=r"Huber\(\), which is for regression targets"):
        losses.get(Huber(), task="multilabel")
    with pytest.raises(ValueError, match="Did you mean 'huber'"):
        losses.get("hubert", task="regression")


def test_scaling_of_the_target():
    assert {name for name in losses.names("regression") if not losses.get(name, task="regression").scales_target} == {
        "gamma",
        "poisson",
        "tweedie",
    }


@pytest.mark.parametrize("task", TASKS)
def test_a_function_gets_the_tasks_link(task):
    output, target = problem(task)
    reference = losses.get("auto", task=task)
    loss = losses.get(reference.__call__, task=task)
    assert isinstance(loss, FunctionLoss)
    assert loss.tasks == {task}
    assert loss.scales_target == (task == "regression")
    torch.testing.assert_close(loss.predict(output), reference.predict(output))
    torch.testing.assert_close(loss.gradient(output, target), reference.gradient(output, target))


def test_an_exponential_link_leaves_the_target_alone():
    loss = losses.get(FunctionLoss(lambda o, t: (o.exp() - t * o).mean(1), link="exp"), task="regression")
    output, target = problem("regression")
    assert not loss.scales_target
    torch.testing.assert_close(loss.predict(output), Poisson().predict(output))
    torch.testing.assert_close(loss.gradient(output, target), Poisson().gradient(output, target))


def test_a_new_loss_is_one_function():
    class Cubic(Loss):
        tasks = frozenset({"regression"})

        def __call__(self, output, target):
            return (output - target).abs().pow(3).mean(1)

    output, target = problem("regression")
    difference = output - target
    with torch.no_grad():
        gradient = losses.get(Cubic(), task="regression").gradient(output, target)
    torch.testing.assert_close(gradient, 3 * difference * difference.abs() / OUTPUTS)


@pytest.mark.parametrize(
    ("loss", "task"),
    [
        (Huber(delta=0), "regression"),
        (Quantile(quantile=1.1), "regression"),
        (Tweedie(power=1), "regression"),
        (Tweedie(power=2), "regression"),
        (Focal(gamma=-1), "classification"),
        (Focal(gamma=-1), "multilabel"),
        (Hinge(squared="yes"), "classification"),
        (FunctionLoss(None), "regression"),
        (FunctionLoss(max, link="log"), "regression"),
    ],
)
def test_bad_values_are_refused(loss, task):
    with pytest.raises(ValueError, match=f"parameter of {type(loss).__name__} "):
        losses.get(loss, task=task)


@pytest.mark.parametrize(
    ("function", "task", "message"),
    [
        (nn.CrossEntropyLoss(), "classification", r"got shape \(\) .* Use CrossEntropyLoss\(reduction=\"none\"\)"),
        (nn.MSELoss(), "regression", r"got shape \(\) .* MSELoss\(reduction=\"none\"\), .*mean over outputs"),
        (nn.MSELoss(reduction="none"), "regression", r"got shape \(3, 5, 37\) .*mean over outputs.*mean\(1\)"),
        (lambda o, t: (o - t).square(), "regression", r"got shape \(3, 5, 37\) .*mean over outputs, \.mean\(1\)"),
        (lambda o, t: (o - t).square().mean((0, 1)), "regression", r"got shape \(37,\) .* Do not reduce over rows"),
        (lambda o, t: 1.0, "regression", "got float "),
    ],
)
def test_a_loss_that_is_not_one_number_a_row_is_refused(function, task, message):
    output, target = problem(task)
    with pytest.raises(ValueError, match=r"one number a row, shape \(K, B\) = \(3, 37\), " + message):
        losses.get(function, task=task)(output, target)


def test_torchs_unreduced_cross_entropy_is_a_loss():
    output, target = problem("classification")
    loss = losses.get(nn.CrossEntropyLoss(reduction="none"), task="classification")
    value, gradient = loss.value_and_gradient(output, target, torch.empty_like(output))
    torch.testing.assert_close(value, CrossEntropy()(output, target))
    torch.testing.assert_close(gradient, CrossEntropy().gradient(output, target))


def test_a_new_loss_that_reduces_over_rows_is_refused():
    class Reduced(Loss):
        def __call__(self, output, target):
            return (output - target).square().mean()

    output, target = problem("regression")
    with pytest.raises(ValueError, match=r"one number a row, .* got shape \(\) from Reduced\(\)"):
        Reduced().value_and_gradient(output, target, torch.empty_like(output))


@pytest.mark.parametrize(
    ("link", "task", "scales"),
    [
        ("identity", "regression", True),
        ("exp", "regression", False),
        ("softmax", "classification", False),
        ("sigmoid", "multilabel", False),
    ],
)
def test_the_link_tells_what_a_new_loss_is_for(link, task, scales):
    given = link

    class Own(Loss):
        link = given

    assert losses.get(Own(), task=task).tasks == {task}
    assert Own().scales_target == scales
    with pytest.raises(NotImplementedError, match=r"Own must define __call__\(output, target\)"):
        Own()(*problem(task))


def test_gradients_by_autograd_in_inference_mode():
    loss = FunctionLoss(lambda o, t: (o - t).square().mean(1))
    output, target = problem("regression")
    with torch.inference_mode():
        inside = output.clone(), target.clone()
        _, gradient = loss.value_and_gradient(*inside, torch.empty_like(output))
    torch.testing.assert_close(gradient.clone(), losses.SquaredError().gradient(output, target))
