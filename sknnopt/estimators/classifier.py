"""Classification by a neural network."""

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, softmax
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from sknnopt import losses
from sknnopt._compat import ClassifierMixin, Interval, StrOptions
from sknnopt._literals import (
    ActivationName,
    AveragingName,
    ClassificationLossName,
    InitializerName,
    NumericEmbeddingName,
    OptimizerName,
    PenaltyName,
    ScheduleName,
)
from sknnopt.activations import Activation
from sknnopt.averaging import Averaging
from sknnopt.checkpoints import Checkpoint
from sknnopt.data import ClassTarget, check_weights
from sknnopt.embeddings import NumericEmbedding
from sknnopt.engine import JUDGED, Job
from sknnopt.estimators._base import NetworkEstimator
from sknnopt.estimators._data import select
from sknnopt.estimators._docs import document
from sknnopt.estimators._from_skorch import FromSkorchMixin, Taken, net_classes
from sknnopt.estimators._kinds import AUTO_CLASSIFIER, Mixture
from sknnopt.estimators._parameters import CONSTRAINTS
from sknnopt.estimators._pieces import in_pieces
from sknnopt.estimators._presets import CLASSIFIER
from sknnopt.estimators._skorch_parameters import class_weights
from sknnopt.initializers import Initializer
from sknnopt.losses import Loss
from sknnopt.optimizers import Optimizer
from sknnopt.regularization import Regularizer
from sknnopt.schedules import Schedule, Scheduled


@document
class NNClassifier(ClassifierMixin, FromSkorchMixin, NetworkEstimator):
    """Neural network for classification: binary, multiclass or multilabel.

    {parameters}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = NNClassifier(max_epochs=30, random_state=0).fit(X, y)
    >>> clf.predict(X[:2])
    array([0, 0])
    >>> clf.score(X, y) > 0.95
    True
    """

    _tasks: ClassVar[tuple[str, ...]] = ("classification", "multilabel")
    _mixture: ClassVar[Mixture] = AUTO_CLASSIFIER
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CONSTRAINTS,
        "dropout": [*CONSTRAINTS["dropout"], StrOptions({"auto"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "calibration": [StrOptions({"temperature"}), None],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    _presets: ClassVar[dict[str, dict[str, Any]]] = CLASSIFIER
    target_: ClassTarget
    temperature_: float | NDArray[np.float64]

    def __init__(
        self,
        *,
        network: Literal["mlp", "resnet", "tabm"] | nn.Module | Callable[..., nn.Module] = "mlp",
        hidden_layer_sizes: int | Sequence[int] = (128, 128),
        n_heads: int = 32,
        activation: ActivationName | Activation | Callable[..., Any] = "relu",
        normalization: Literal["batch", "layer"] | None = None,
        numeric_embedding: Literal["auto"] | NumericEmbeddingName | NumericEmbedding | None = "auto",
        categorical_embedding: int | Literal["auto"] | None = "auto",
        input_scale: bool = False,
        dropout: float | Literal["auto"] | Sequence[float] | Scheduled = "auto",
        initializer: Literal["auto"] | InitializerName | Initializer | Callable[..., Any] = "auto",
        optimizer: OptimizerName | Optimizer | Callable[..., Any] = "adamw",
        learning_rate: float | Literal["auto"] | None = None,
        weight_decay: float | Scheduled | None = None,
        schedule: ScheduleName | Schedule | Callable[..., Any] = "constant",
        warmup: float = 0.0,
        batch_size: int | Literal["auto"] = "auto",
        max_epochs: int = 150,
        gradient_clipping: float | None = 1.0,
        weight_averaging: Literal["auto"] | AveragingName | Averaging | Callable[..., Any] | None = "auto",
        initial_weights: Any = None,
        frozen_layers: int | str | Sequence[str] | None = None,
        layer_rates: Mapping[str, float] | float | None = None,
        loss: Literal["auto"] | ClassificationLossName | Loss | Callable[..., Any] = "auto",
        regularization: PenaltyName | Regularizer | Callable[..., Any] | None = None,
        mixup: float = 0.0,
        label_smoothing: float | Literal["auto"] = "auto",
        early_stopping: bool | Literal["auto"] = "auto",
        scoring: str | Callable[..., float] = "loss",
        validation_fraction: float = 0.125,
        n_iter_no_change: int = 15,
        tol: float = 1e-4,
        on_divergence: Literal["warn", "raise"] = "warn",
        calibration: Literal["temperature"] | None = "temperature",
        n_members: int = 12,
        recipes: Sequence[Mapping[str, Any]] | None = None,
        n_restarts: int = 1,
        preprocessing: Literal["auto", "robust", "quantile_normal", "standard"] | None = "auto",
        categorical_features: Any = "from_dtype",
        class_weight: Mapping[Any, float] | list[Mapping[Any, float]] | Literal["balanced"] | None = None,
        device: str | torch.device | Sequence[str | torch.device] = "auto",
        precision: Literal["float32", "float64", "bf16"] = "float32",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_heads = n_heads
        self.activation = activation
        self.normalization = normalization
        self.numeric_embedding = numeric_embedding
        self.categorical_embedding = categorical_embedding
        self.input_scale = input_scale
        self.dropout = dropout
        self.initializer = initializer
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.warmup = warmup
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.gradient_clipping = gradient_clipping
        self.weight_averaging = weight_averaging
        self.initial_weights = initial_weights
        self.frozen_layers = frozen_layers
        self.layer_rates = layer_rates
        self.loss = loss
        self.regularization = regularization
        self.mixup = mixup
        self.label_smoothing = label_smoothing
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.on_divergence = on_divergence
        self.calibration = calibration
        self.n_members = n_members
        self.recipes = recipes
        self.n_restarts = n_restarts
        self.preprocessing = preprocessing
        self.categorical_features = categorical_features
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.verbose = verbose

    @property
    def classes_(self) -> NDArray[Any]:
        """Class labels, sorted; for multilabel targets the numbers of the labels."""
        return self.target_.classes_

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch more.

        Encoders stay as the first call fitted them, and the optimizer goes on where it was. Schedules advance by
        epochs seen / ``max_epochs``; once that reaches 1 the learning rate keeps at least 1 % of its base.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
        classes : array-like, default=None
            All classes that later calls may bring; those of `y` by default.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `y` has a class that the first call did not name, or `classes` are not those of the first call.
        """
        if classes is not None and hasattr(self, "module_") and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )
        return self._partial_fit(X, y, classes, sample_weight)

    @classmethod
    def _skorch_kinds(cls) -> tuple[type, ...]:
        return NeuralNetClassifier, NeuralNetBinaryClassifier

    @classmethod
    def _classifies(cls) -> bool:
        return True

    def _set_target(self, taken: Taken) -> None:
        """Set what a skorch net's classes are."""
        classes = net_classes(taken.net, taken.n_scores)
        self.target_, self.temperature_ = ClassTarget().fit(classes), 1.0
        self.__dict__ |= class_weights(taken.net, classes)

    def _new_target(self, y: Any, weight: Any, classes: Any) -> NDArray[Any]:
        self.target_ = ClassTarget()
        codes = self.target_.fit_encode(y, weight, classes=classes)
        self.loss_ = losses.get(self.loss, task=self._task)
        return codes

    @property
    def _task(self) -> str:
        return "multilabel" if self.target_.kind == "multilabel" else "classification"

    def _codes(self, y: Any) -> NDArray[Any]:
        return self.target_.encode(y)

    def _encode_target(
        self, y: Any, codes: NDArray[Any] | None, weight: Any, rows: NDArray[np.int64] | None, *, fit: bool
    ) -> NDArray[Any]:
        assert codes is not None
        return codes.astype(np.float64) if codes.ndim == 2 and self.precision == "float64" else codes

    def _row_weights(
        self, weight: Any, y: Any, codes: NDArray[Any] | None, rows: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        """Multiply the sample weights by class weights that are taken from the training rows."""
        if self.class_weight is None:
            out: NDArray[np.float64] | None = weight
            return out
        labels = select(y, rows)
        own = None if weight is None else weight[rows]
        trained = check_weights(own, labels, self.class_weight, labels, self.classes_)
        assert trained is not None
        everyone = np.ones(len(y)) if weight is None else weight.copy()
        if codes is not None and self.target_.kind != "multilabel":
            factor = np.ones(len(self.classes_))
            factor[codes[rows]] = trained / (1.0 if own is None else own)
            self._class_factors = factor
            return everyone * factor[codes]
        everyone[rows] = trained
        return everyone

    def _held_out_weights(self, weight: Any, codes: NDArray[Any] | None) -> NDArray[np.float64] | None:
        """Multiply by the class weights of the training rows; those of several labels are not carried over."""
        if self.class_weight is None or self.target_.kind == "multilabel":
            out: NDArray[np.float64] | None = weight
            return out
        factors: NDArray[np.float64] = self._class_factors[codes]
        return factors if weight is None else factors * weight

    def _settle(
        self, jobs: Sequence[Job], modules: Sequence[nn.Module], kind_of: Sequence[int], *, again: bool,
        going_on: bool,
    ) -> None:  # fmt: skip
        super()._settle(jobs, modules, kind_of, again=again, going_on=going_on)
        found = self._settings.temperatures
        self.temperature_ = np.array(found) if len(found) > 1 else found[0]

    def _calibrates(self) -> bool:
        return self.calibration is not None and self.loss_.link in JUDGED

    @in_pieces
    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of each row.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_labels) of 0 and 1
        """
        probability = self.predict_proba(X)
        return self.target_.decode(probability)

    @in_pieces
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict probabilities: the softmax of the scores, or the sigmoid of each where there are several labels.

        They are those of scores divided by `temperature_`. Where no rows are withheld they are calibrated as far as the
        loss asks for it: "hinge" and "squared_hinge" do not, "focal" draws them towards equality.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64 of shape (n_samples, n_classes), or (n_samples, n_labels)
        """
        scores = self._raw_scores(X).astype(np.float64)
        return expit(scores) if self.target_.kind == "multilabel" else softmax(scores, axis=1)

    @in_pieces
    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Predict logarithms of probabilities.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64 of shape (n_samples, n_classes), or (n_samples, n_labels)
        """
        scores = self._raw_scores(X).astype(np.float64)
        return log_expit(scores) if self.target_.kind == "multilabel" else log_softmax(scores, axis=1)

    @in_pieces
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the log-odds of the (averaged) probabilities; with more than two classes their logarithms.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64 of shape (n_samples,) for two classes, else (n_samples, n_classes or n_labels)
        """
        scores = self._raw_scores(X).astype(np.float64)
        if self.target_.kind == "multilabel":
            return scores
        return scores[:, 1] - scores[:, 0] if self.target_.kind == "binary" else log_softmax(scores, axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
