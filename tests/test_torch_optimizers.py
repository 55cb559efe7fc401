"""Classes of ``torch.optim`` and of others in the place of an optimizer: as they are by themselves."""

import functools
import math
import pickle

import pytest
import pytorch_optimizer
import torch
from layered import ODD, SQUARE, STEPS, Loop, torch_path
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from support import basic

from sknnopt import NNClassifier, lockstep, optimizers
from sknnopt.optimizers import SAM, TorchOptimizer

pytestmark = pytest.mark.usefixtures("whole")

CLASSES = {
    "SGD": functools.partial(torch.optim.SGD, momentum=0.9),
    "Adam": functools.partial(torch.optim.Adam, amsgrad=True),
    "pytorch AdaBelief": pytorch_optimizer.AdaBelief,
    "pytorch Prodigy": pytorch_optimizer.Prodigy,
    "pytorch SOAP": functools.partial(pytorch_optimizer.SOAP, precondition_frequency=2),
    "pytorch Lion": pytorch_optimizer.Lion,
} | {
    name: getattr(torch.optim, name)
    for name in ("AdamW", "Adamax", "NAdam", "RAdam", "Rprop", "Adagrad", "Adadelta", "ASGD", "RMSprop", "Adafactor")
}
SEARCHING = functools.partial(torch.optim.LBFGS, max_iter=2, max_eval=20, history_size=4, line_search_fn="strong_wolfe")
each = pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
RATES = (0.001, 0.0001, 0.003)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TestSteps:
    @pytest.mark.parametrize("layout", [ODD, SQUARE], ids=["odd", "square"])
    @each
    def test_is_as_by_itself_whoever_is_beside_it(self, kind, layout):
        member = optimizers.get(kind)
        assert not member.line_search
        together = Loop([member, optimizers.get(kind), clone(member)], RATES, layout=layout).run()
        for k, rate in enumerate(RATES):
            alone = Loop([member], (rate,), layout=layout, rows=[k]).run()
            assert torch.equal(together[:, k], alone[:, 0])
            expected = torch_path(functools.partial(kind, lr=rate), k, layout=layout)
            if kind is not CLASSES["pytorch SOAP"]:  # whose products of transposed matrices round otherwise
                assert torch.equal(together[:, k], expected)
            elif layout is SQUARE:
                torch.testing.assert_close(together[:, k], expected, rtol=1e-3, atol=1e-4)

    @each
    def test_goes_on_from_its_state_with_others_gone(self, kind):
        """Bound anew again and again, as in a cohort whose members leave, and begun anew from copies."""
        whole = Loop([optimizers.get(kind)] * 3, RATES).run()
        loop = Loop([optimizers.get(kind)] * 3, RATES)
        first = loop.run(STEPS // 3)
        loop.bind()
        loop.keep([2, 0])
        second = loop.run(STEPS // 3)
        later = Loop([pickle.loads(pickle.dumps(optimizers.get(kind)))] * 2, (RATES[2], RATES[0]), rows=[2, 0])
        later.parameters.copy_(loop.parameters)
        later.done = loop.done
        for name, value in loop.state.items():
            assert not name.startswith("_")
            later.state[name][:] = value
        path = torch.cat([first[:, [2, 0]], second, later.run(STEPS - 2 * (STEPS // 3))])
        assert torch.equal(path, whole[:, [2, 0]])

    @each
    def test_two_bound_steps_of_the_same_members_take_turns(self, kind):
        """The engine has one for each size of batch."""
        whole = Loop([optimizers.get(kind)] * 2, RATES[:2], rows=[0, 1]).run(9)
        loop = Loop([optimizers.get(kind)] * 2, RATES[:2], rows=[0, 1])
        one, objective = loop.step, loop.objective
        loop.bind()
        path = []
        for t in range(9):
            objective.gradient()
            (loop.step if t % 3 else one)(loop.hyper(t + 1.0))
            path.append(loop.parameters.clone())
        assert torch.equal(torch.stack(path), whole)

    @each
    def test_zero_learning_rate_moves_nothing_and_padding_stays_zero(self, kind):
        loop = Loop([optimizers.get(kind)] * 3, (0.0, 0.1, 0.0))
        start = loop.parameters.clone()
        path = loop.run(6)
        if kind is not torch.optim.Rprop:  # whose steps are as long as its own sizes say
            assert torch.equal(path[-1, 0], start[0])
        inside = torch.zeros(1, ODD.size, dtype=torch.bool)
        for view in ODD.views(inside).values():
            view.fill_(True)
        assert not path[:, :, ~inside[0]].any()
        assert not loop.gradients[:, ~inside[0]].any()

    def test_a_closure_gets_the_batch_again(self):
        for rows in ([0], [0, 1]):
            loop = Loop([optimizers.get(SEARCHING)] * len(rows), (0.5,) * len(rows), layout=SQUARE, rows=rows)
            assert loop.state == {}
            path = loop.run(12)
            for k in rows:
                expected = torch_path(functools.partial(SEARCHING, lr=0.5), k, layout=SQUARE, closure=True, steps=12)
                torch.testing.assert_close(path[:, k], expected, rtol=1e-12, atol=1e-12)

    def test_within_sam(self):
        sam = SAM(functools.partial(torch.optim.SGD, momentum=0.5), rho=0.1)
        assert torch.equal(Loop([sam] * 3, (1e-3,) * 3).run(5), Loop([SAM(optimizers.SGD(momentum=0.5), rho=0.1)] * 3,
                                                                       (1e-3,) * 3).run(5))  # fmt: skip

    def test_a_growing_state_is_refused(self):
        class Growing(torch.optim.SGD):
            def step(self, closure=None):
                super().step()
                for parameter in self.param_groups[0]["params"]:
                    self.state[parameter].setdefault("path", []).append(parameter.detach().clone())

        with pytest.raises(ValueError, match="Growing changes its shape from step to step"):
            Loop([TorchOptimizer(Growing)])

    def test_a_state_that_grows_later_is_refused(self):
        class Late(torch.optim.SGD):
            def step(self, closure=None):
                super().step()
                for parameter in self.param_groups[0]["params"]:
                    state = self.state[parameter]
                    state["step"] = state.get("step", 0) + 1
                    if state["step"] > 3:
                        state["late"] = parameter.detach().clone()

        loop = Loop([TorchOptimizer(Late)] * 3)
        with pytest.raises(ValueError, match="Late changes its shape from step to step"):
            loop.run(5)

    def test_a_state_that_is_not_there_yet_stays_away(self):
        class Anchored(torch.optim.SGD):
            def step(self, closure=None):
                rate = self.param_groups[0]["lr"]
                for parameter in self.param_groups[0]["params"] if rate else []:
                    first = self.state[parameter].setdefault("first", parameter.detach().clone())
                    parameter.data.sub_(rate * (parameter.grad + parameter - first))

        expected = Loop([TorchOptimizer(Anchored)], (0.001,), rows=[0]).run(4)
        loop = Loop([TorchOptimizer(Anchored)], (0.0,), rows=[0])
        loop.run(3)
        loop.bind()
        loop.rates = [0.001]
        assert torch.equal(loop.run(4), expected)
        assert not torch.equal(expected[-1], expected[0])

    def test_global_random_state_is_left_alone(self):
        class Noisy(torch.optim.SGD):
            def step(self, closure=None):
                torch.rand(1)
                super().step()

        before = torch.get_rng_state()
        Loop([TorchOptimizer(Noisy)])
        assert torch.equal(torch.get_rng_state(), before)


def test_members_of_other_rates_share_a_cohort():
    X, y = load_iris(return_X_y=True)
    network = basic(NNClassifier, max_epochs=3, random_state=0, optimizer=torch.optim.Adam)
    search = GridSearchCV(network, {"learning_rate": [1e-3, 1e-2]}, cv=2, scoring="neg_log_loss", refit=False)
    expected = clone(search).fit(X, y).cv_results_["mean_test_score"]
    with lockstep(n_jobs=1) as sweep:
        found = search.fit(X, y).cv_results_["mean_test_score"]
    assert sweep.cohort_sizes == [4]
    assert found.tolist() == expected.tolist()
    assert found[0] != found[1]


class TestChoice:
    @each
    def test_classes_and_partials_stand_for_an_object(self, kind):
        member = optimizers.get(kind)
        assert isinstance(member, TorchOptimizer)
        assert member.structure() == optimizers.get(kind).structure() == clone(member).structure()
        assert member.structure() == pickle.loads(pickle.dumps(member)).structure()
        assert repr(clone(member)) == repr(member)
        assert member.default_weight_decay == 0.0
        assert member.stateful

    def test_default_learning_rate_is_the_classes(self):
        assert optimizers.get(torch.optim.Adadelta).default_learning_rate == 1.0
        assert TorchOptimizer(torch.optim.SGD, lr=0.3).default_learning_rate == 0.3

        class Bare(torch.optim.SGD):
            def __init__(self, params, lr):
                super().__init__(params, lr=lr)

        assert optimizers.get(Bare).default_learning_rate == 1e-3

    def test_parameters_are_searchable(self):
        member = TorchOptimizer(torch.optim.SGD, momentum=0.9)
        assert member.get_params() == {"factory": torch.optim.SGD, "momentum": 0.9}
        assert clone(member).set_params(momentum=0.5, nesterov=True).parameters == {"momentum": 0.5, "nesterov": True}
        assert member.set_params(factory=torch.optim.RMSprop).factory is torch.optim.RMSprop
        with pytest.raises(ValueError, match=r"torch.optim.RMSprop takes no parameter 'alpa'. Did you mean 'alpha'"):
            member.set_params(alpa=0.5)

    def test_structure_tells_settings_and_classes_apart(self):
        sgd = functools.partial(TorchOptimizer, torch.optim.SGD)
        assert sgd(momentum=0.9).structure() != sgd(momentum=0.8).structure()
        assert sgd().structure() != TorchOptimizer(torch.optim.Adam).structure()
        one, other = optimizers.get(SEARCHING), optimizers.get(SEARCHING)
        assert one.line_search
        assert one.structure() != other.structure()

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (TorchOptimizer(torch.optim.SGD, momentum=-1.0), "torch.optim.SGD with momentum=-1.0 .* Invalid momentum"),
            (functools.partial(torch.optim.SGD, nesterow=True), "no parameter 'nesterow'. Did you mean 'nesterov'"),
            (functools.partial(torch.optim.SGD, 0.1), "keyword arguments only"),
            (TorchOptimizer(dict), "'factory' parameter of TorchOptimizer must be a subclass"),
            (
                torch.optim.lr_scheduler.StepLR,
                "Optimizer class, or a function of parameters and lr",
            ),
            (
                lambda parameters: None,
                "Optimizer class, or a function of parameters and lr",
            ),
            (optimizers.SGD, r"Did you mean SGD\(\)"),
        ],
    )
    def test_what_is_none_is_refused(self, value, message):
        with pytest.raises(ValueError, match=message):
            optimizers.get(value)

    def test_a_class_without_learning_rate_is_refused(self):
        class Still(torch.optim.Optimizer):
            def __init__(self, params):
                super().__init__(params, {})

        with pytest.raises(ValueError, match="takes no learning rate 'lr'"):
            optimizers.get(Still)

    def test_shapes_that_a_class_does_not_take_are_named(self):
        with pytest.raises(ValueError, match=r"torch.optim.Muon with its defaults cannot train .* \(13,\)"):
            Loop([optimizers.get(torch.optim.Muon)])

    def test_a_schedule_reaches_every_group(self):
        loop = Loop([optimizers.get(torch.optim.SGD)], (math.pi,), rows=[0])
        start = loop.parameters.clone()
        loop.objective.gradient()
        gradient = loop.gradients.clone()
        torch.testing.assert_close(loop.run(1)[0], start - math.pi * gradient)
