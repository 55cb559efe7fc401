"""What a sweep shows, on request."""

import io

import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_validate
from support import basic

from sknnopt import NNClassifier, lockstep, model_selection
from sknnopt.model_selection._progress import Progress

pytestmark = pytest.mark.timeout(60)

X, y = load_iris(return_X_y=True)
NETWORK = basic(NNClassifier, hidden_layer_sizes=(6,), max_epochs=5, random_state=0)
GRID = {"learning_rate": [1e-3, 1e-2]}


def last_line(text: str) -> str:
    return text.strip().replace("\r", "\n").split("\n")[-1]


def test_nothing_without_a_wish(capsys: pytest.CaptureFixture[str]) -> None:
    with lockstep():
        GridSearchCV(NETWORK, GRID).fit(X, y)
    assert capsys.readouterr() == ("", "")


def test_a_bar_over_members_and_epochs_with_the_best_score(capsys: pytest.CaptureFixture[str]) -> None:
    with lockstep(n_jobs=1, verbose=1):
        search = GridSearchCV(NETWORK, GRID).fit(X, y)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "50/50" in last_line(shown.err)
    assert f"members=10/10, best={search.best_score_:.4g}" in last_line(shown.err)


def test_what_max_members_was_chosen_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with lockstep(n_jobs=1, verbose=1):
        GridSearchCV(NETWORK, GRID).fit(X, y)
    assert "lockstep: up to 128 members a cohort (51 parameters, batches of 64), 1 cohorts at once" in (
        capsys.readouterr().err
    )


def test_our_searches_show_it_when_they_are_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    model_selection.GridSearchCV(NETWORK, GRID, verbose=1).fit(X, y)
    assert "members=10/10" in last_line(capsys.readouterr().err)


def test_epochs_that_early_stopping_saves_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    network = basic(
        NNClassifier, hidden_layer_sizes=(6,), max_epochs=50, early_stopping=True, n_iter_no_change=1, tol=9.0
    )
    with lockstep(verbose=1):
        cross_validate(network, X, y, scoring=["accuracy", "neg_log_loss"])
    assert "250/250" in last_line(capsys.readouterr().err)


def test_the_best_is_the_best_mean_of_a_candidates_folds() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    one, other = {"a": 1}, {"a": 2}
    for parameters, score in ((one, 0.5), (one, 0.9), (other, 0.8), (other, float("nan"))):
        progress.finished({"parameters": parameters}, {"test_scores": {"score": score}})
    progress.finished({}, "no score")
    progress.close()
    assert "best=0.8" in last_line(stream.getvalue())
