"""The documentation of the parameters and attributes that both estimators share."""

from typing import TypeVar

T = TypeVar("T", bound=type)

_PARAMETERS = """Every parameter can be swept by a search. Where a parameter takes a name, it takes an object from the
    module of the same name as well (``optimizer=SGD(momentum=0.9)``), whose own parameters are then swept too
    (``optimizer__momentum``).

    Parameters
    ----------
    network : {"mlp", "resnet", "tabm"}, nn.Module, callable or Module, default="mlp"
        "mlp" is the multilayer perceptron, "resnet" the residual network of Gorishniy et al. (2021), "tabm" the
        perceptrons of Gorishniy et al. (2025) that share the weights of hidden layers: see
        :class:`~sknnopt.nn.ResNet` and :class:`~sknnopt.nn.TabM`.
        Or a module (class, instance or factory ``(n_inputs, n_outputs)``) from
        encoded rows (B, F) to scores (B, O), which torch's autograd trains. ``Module(MyNet, width=64)`` is swept as
        ``network__width``. An instance is copied, and training starts from its weights. `hidden_layer_sizes`,
        `activation`, `normalization`, `dropout` and the embeddings shape the built-in networks alone.
    hidden_layer_sizes : int or sequence of int, default=(128, 128)
        Units of each hidden layer of "mlp" and "tabm". For "resnet" one block an entry, with so many units inside; the
        first is the width of the network as well.
    n_heads : int, default=32
        Predictions that a network of kind "tabm" averages, each with scales, biases and an output layer of its own and
        trained by its own loss. A step takes nearly so many times as long as one of "mlp". Other networks have none.
    activation : str, Activation or callable, default="{activation}"
        See :mod:`sknnopt.activations`.
    normalization : {"batch", "layer"} or None, default=None
        Normalisation before each activation; in "resnet" at the beginning of each block and before the output's
        activation.
    numeric_embedding : str, NumericEmbedding or None, default="auto"
        How each column of numbers becomes several inputs, "piecewise_linear" or "periodic"; see
        :mod:`sknnopt.embeddings`. Weights are trained with the others, and are spared decay and penalties. `X` must be
        dense and the network built in, here and for the next two. "auto" is ``Periodic(frequency_scale=(0.03, 1.2))``,
        in an ensemble other ones for a part of the members (see `n_members`), and None where columns cannot be
        embedded, are more than 256, or are not encoded (``preprocessing=None``).
    categorical_embedding : int, "auto" or None, default="auto"
        Learnt numbers that each category becomes in place of a column a level. "auto" embeds none{embeds_categories}.
    input_scale : bool, default=False
        Whether each input, once columns are embedded, is multiplied by a learnt factor, which begins at 1.
    dropout : {dropout_type}, default={dropout}
        Probability in [0, 1) of dropping a hidden unit, or one for each entry of `hidden_layer_sizes`.
        ``Scheduled(0.3, "linear")`` changes it over training.{dropout_auto}
    initializer : str, Initializer or callable, default="auto"
        See :mod:`sknnopt.initializers`. "auto" is "kaiming_uniform", and for a module of the user's what it was
        built with. "lsuv", "data_dependent" and "hull_bias" look at training rows; their `base` is swept as
        ``initializer__base``.
    optimizer : str, Optimizer or callable, default="adamw"
        See :mod:`sknnopt.optimizers`. Any class of :mod:`torch.optim` will do, or one with arguments,
        ``TorchOptimizer(torch.optim.SGD, momentum=0.9)``.
    learning_rate : float, "auto" or None, default=None
        Base learning rate; None is the optimizer's default. "auto" tries 12 rates, from 1/316 of the default to 32
        times, on a part of the training rows and judges them by the others, at about the cost of a fit; see
        ``docs/adaptive.md``. One test serves all members and restarts of a recipe, and later calls that go on training.
    weight_decay : float, Scheduled or None, default=None
        Decoupled weight decay: each step multiplies the weights, not biases, normalisation or embeddings, by
        1 - learning rate * `weight_decay`. None is the optimizer's default (0.3 for "adamw", else 0).
    schedule : str, Schedule or callable, default="constant"
        How the learning rate changes with progress in [0, 1]; see :mod:`sknnopt.schedules`.
    warmup : float, default=0.0
        Fraction of all steps over which the learning rate rises linearly.
    batch_size : int or "auto", default="auto"
        Rows a step; "auto" is 64 up to 457 training rows, 128 up to 28,573, 256 up to 183,217, then 512. More than
        there are rows means the full batch.
    max_epochs : int, default=150
        Epochs to train, if early stopping does not end it before.
    gradient_clipping : float or None, default=1.0
        Largest Euclidean norm of a step's gradient.
    weight_averaging : str, Averaging, callable or None, default="auto"
        Average of the weights over training, "ema" or "swa", that is judged and kept in place of the last ones; see
        :mod:`sknnopt.averaging`. "auto" is "ema", and none where the optimizer itself averages.
    initial_weights : estimator, nn.Module, mapping or None, default=None
        What training starts from in place of the initializer's draw: a fitted `NNClassifier` or `NNRegressor`, or a
        Pipeline or search of one, whose weights are matched by column, category and class; or a module, or tensors by
        name as in ``module_.state_dict()``, which must have the network's names and shapes. What is new starts from
        the initializer. Clones share it. In a search's grid put it into :class:`sklearn.frozen.FrozenEstimator`.
    frozen_layers : int, str, sequence of str or None, default=None
        Layers that do not learn: the first so many, or names of layers or parameters as in `module_` ("dense_0",
        "dense_*", "norm_0.weight"). Frozen normalisation works by the statistics it has, which stay.
    layer_rates : mapping, float or None, default=None
        Factors of the learning rate: by such names (``{"dense_0": 6, "*.bias": 0.1}``; of several the last that fits
        counts), or one number d > 0, by which the layer i below the last learns at d ** i times the rate. A factor
        above 1 lengthens the step itself, weight decay included; limits and thresholds of `regularization` then hold
        as they do for factor 1.
    loss : str, Loss or callable, default="auto"
        See :mod:`sknnopt.losses`. "auto" is {loss}.
    regularization : str, Regularizer, callable or None, default=None
        Penalties on the weights, and noise; see :mod:`sknnopt.regularization`.
    mixup : float, default=0.0
        Alpha of mixup (Zhang et al. 2018): encoded rows of a batch are mixed with each other, in shares drawn from
        Beta(alpha, alpha), and so are their losses. 0 mixes nothing.
    {smoothing}early_stopping : bool or "auto", default="auto"
        Whether to withhold rows, to stop when their score no longer improves and to restore the best epoch's weights.
        "auto" does so from 5,000 rows on, with several members from 50, and whenever `X_val` is given. False withholds
        none. Members of an ensemble are judged together, and all keep the epoch that is best for their average; see
        ``docs/estimators.md``.
    scoring : "loss", str or callable, default="loss"
        What the withheld rows are judged by: the loss{as_calibrated}, a scorer's name, or ``scorer(estimator, X, y)``.
        Of several members that withhold the same rows a scorer sees the average.
    validation_fraction : float, default=0.125
        Fraction of the rows to withhold, stratified by class where possible. Several members withhold one each of
        round(1 / `validation_fraction`) folds, at least 2, in turn, from 4 members on two of them the same, so that
        every row trains a member; encoders and the target's scale learn from all rows.
    n_iter_no_change : int, default=15
        Epochs without improvement by `tol` after which training stops.
    tol : float, default=1e-4
        Least improvement of the score.
    on_divergence : {"warn", "raise"}, default="warn"
        What follows once loss, weights or predictions of a network are no longer finite, which ends its training in
        that epoch. "warn" goes back to its best epoch, or leaves it out of an ensemble if there is none, with a
        ConvergenceWarning. "raise" is a ValueError, and the estimator stays as it was before the call. Where there is
        no network of finite numbers at all it is a ValueError in any case. See
        ``docs/estimators.md``.
    {calibration}n_members : int, default=12
        Networks to train in lockstep from different seeds, on different rows where some are withheld; their predictions
        are averaged. Early stopping judges the average, not each by itself. From 8 members on there are two kinds, and
        from 12 on three, that differ where parameters are "auto"{autos}: what suits one table fails on another, and the
        withheld rows tell what each kind is to count (`recipe_weights_`). Parameters that are set hold for all.
    recipes : list of dict or None, default=None
        Parameters of further networks, in place of the estimator's own: for each dict `n_members` more are trained, on
        the same rows and in the same sweep. ``[{"network": "tabm"}, {"optimizer__beta_1": 0.8}]`` makes it three times
        as many. A recipe sets what concerns a network and its training, not what all share: loss, initial weights,
        what is withheld and how it is judged, preprocessing, weights of classes, and what follows here. Each recipe is
        judged by itself and has a temperature of its own; the average weighs them, see `recipe_weights_`.
    n_restarts : int, default=1
        Initialisations to train each network from, in lockstep. The one of the best score on the withheld rows is
        kept, or of the least training loss where none are withheld; of members that are judged together the r-th of
        all or of none. `partial_fit`, and a warm start, train the one
        there is. Callbacks are called for every start.
    preprocessing : {"auto", "robust", "quantile_normal", "standard"} or None, default="auto"
        "auto" encodes a raw table: numbers are robustly scaled, or replaced by their ranks where the quartiles of a
        column coincide, categories one-hot encoded, missing values filled in; see
        :class:`~sknnopt.data.TableEncoder`. "robust" is the same without ranks; "quantile_normal" maps numbers by
        their ranks to a normal variable and "standard" gives them mean 0 and variance 1, both for dense tables alone.
        None takes finite numbers as they are.
    categorical_features : "from_dtype", None or array-like, default="from_dtype"
        Which columns are categories, as in :class:`~sklearn.ensemble.HistGradientBoostingClassifier`.
    {class_weight}device : str, torch.device or list of them, default="auto"
        Where to train: "cpu", "cuda", "cuda:1", "mps"; "auto" is the CPU, and for large networks CUDA where there is
        a device. Over a list the networks of an ensemble or a sweep are spread; a single one goes to the first, and
        so do members that early stopping judges together. The fitted network lies on the CPU.
    precision : {"float32", "float64", "bf16"}, default="float32"
        Type of data, weights and products; "bf16" rounds the factors of products to bfloat16 in training and keeps
        weights and sums in float32.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, order of rows, dropout and the withheld rows.
    warm_start : bool, default=False
        Whether `fit` starts from the weights and the optimizer's state of the fit before; encoders stay.
    callbacks : list of skorch callbacks or None, default=None
        Called at each epoch with the member's skorch net: copies, which share a tracker's run. See ``docs/skorch.md``.
    checkpoint : str, path-like, Checkpoint or None, default=None
        Directory where `fit` keeps how far it is, so that running the same script again after it was killed goes on
        from there, with the same bits; see :mod:`sknnopt.checkpoints`. `partial_fit` keeps nothing.
    verbose : int, default=0
        Whether to print a line an epoch.

    Attributes
    ----------
    {classes}{temperature}n_features_in_, feature_names_in_
        As in scikit-learn.
    n_outputs_ : int
        Outputs of the network{outputs}.
    n_iter_ : int
        Epochs trained, of the longest-trained member.
    recipe_weights_ : ndarray of shape (n_kinds,)
        What each recipe counts in the average, the estimator's own parameters first, and in each recipe every kind of
        members that "auto" stands for; its members share it equally. They
        are those of least loss on the withheld rows, drawn a little towards equality; equal where none are withheld,
        and kept as they are where training then goes on. Below, n_members counts those of all recipes, in turn.
    best_epoch_ : int or ndarray of shape (n_members,)
        Epoch, counted from 1, whose weights were kept; the last one unless training was stopped early. It is the same
        for all members of a recipe, unless one diverges or a callback stops it.
    best_loss_ : float or ndarray of shape (n_members,)
        Loss of that epoch on the withheld rows, or else on the training rows: each member's own{uncalibrated}.
    loss_curve_ : list of float
        Training loss of each epoch, taken while the weights change, with dropout and label smoothing; the loss on
        withheld rows is without either.
    validation_scores_ : list of float or None
        Score of the withheld rows after each epoch, by which the best is chosen: under ``scoring="loss"`` minus the
        loss{as_calibrated}, of several members an estimate for their average.
    learning_rate_ : float, or ndarray of shape (n_kinds,) with recipes or several range tests
        The base learning rate trained with.
    learning_rate_test_ : dict or None, or a list of them as with `learning_rate_`
        With ``learning_rate="auto"``: the arrays "learning_rate" of rates tried and "loss" of what they came to on
        rows not trained on (infinite where training diverged), and how they were tried, "epochs" on "n_samples" rows.
    restart_scores_ : ndarray of shape (n_restarts,) or (n_members, n_restarts)
        What each start is judged by, the larger the better (minus the loss, if it is a loss); minus infinity where
        training diverged at once. Everything else describes the starts that were kept.
    history_ : list of dict
        A record an epoch: epoch, train_loss, valid_loss where there are withheld rows, valid_score where something
        else than that loss judges them (`scoring`, calibration, the average of members), learning_rate (of the last
        step), gradient_norm (of the last batch), weight_norm, seconds. With several members the mean over those still
        training, but seconds their sum.
    member_histories_ : dict of str to ndarray of shape (n_members, n_epochs)
        The same figures by name, but of each member by itself; NaN from where its training ended.
    n_parameters_ : int
        Trained parameters, of all members.
    n_validation_samples_ : int
        Rows that were withheld; of several members, from each (the most where folds differ by a row).
    preprocessor_ : TableEncoder or None
        What encodes rows for `module_` and `net_`.
    module_ : torch.nn.Module
        The fitted network in eval mode, from encoded rows to scores.
    net_ : skorch net
        A fitted skorch net that holds `module_` and the history. It speaks the network's language: encoded rows in,
        probabilities of encoded classes or scaled targets (`target_`) out."""

_CLASSIFIER = {
    "loss": 'cross entropy; with "hinge" and "focal" probabilities are as good as `calibration` makes them',
    "activation": "relu",
    "dropout": '"auto"',
    "dropout_type": 'float, "auto", sequence of float or Scheduled',
    "dropout_auto": """ "auto"
        is 0.2, and 0.3 and 0.1 for the second and third kind of an ensemble's members.""",
    "embeds_categories": """, but in an
        ensemble those of the second kind, to 2 numbers each""",
    "autos": """: embeddings,
        dropout and label smoothing""",
    "smoothing": """label_smoothing : float or "auto", default="auto"
        Share in [0, 1) of each target that is spread over all classes. "auto" is 0.05 where the loss takes it, and 0.1
        and 0 for the second and third kind of an ensemble's members.
    """,
    "calibration": """calibration : {"temperature"} or None, default="temperature"
        "temperature" divides the scores by one number, fitted to the rows that were withheld for early stopping (or
        given as `X_val`): probabilities become less or more sure, while the classes that a network predicts stay.
        Epochs are then judged as if they were calibrated, each by a number of its own. Several members have one number
        together, by which each one's scores are divided, and their average another. Where none are withheld nothing
        is divided; see ``docs/estimators.md``.
    """,
    "temperature": """temperature_ : float, or ndarray of shape (n_kinds,)
        What the scores of each network are divided by, in `module_` too; 1 without calibration. Losses in `history_`
        are without. What the average of several is divided by is ``module_.temperature``.
    """,
    "as_calibrated": " after calibration",
    "uncalibrated": ", before calibration",
    "class_weight": """class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes, as in scikit-learn.
    """,
    "classes": """classes_ : ndarray
        Class labels, sorted.
    """,
    "outputs": ": classes (two for a binary target) or labels",
}
_REGRESSOR = {
    "loss": """the squared error. ``Quantile(quantile=[0.1, 0.5, 0.9])`` learns several
        quantiles at once, see :meth:`predict_quantiles`; "poisson", "gamma" and "tweedie" predict positive numbers by a
        log link""",
    "activation": "relu",
    "dropout": "0.0",
    "dropout_type": "float, sequence of float or Scheduled",
    "dropout_auto": "",
    "embeds_categories": "",
    "autos": ", which are the embeddings",
    "smoothing": "",
    "calibration": """calibration : {"conformal"} or None, default="conformal"
        With a loss of quantiles: "conformal" moves the central one, and takes the others farther from it or nearer, so
        that as many of the rows withheld for early stopping (or given as `X_val`) lie below each as its level says.
        Where none are withheld nothing is changed; see ``docs/estimators.md``. Other losses are not touched.
    """,
    "temperature": """quantile_shift_ : ndarray of shape (n_outputs,)
        With a loss of quantiles: what is added to the central one, that nearest to 0.5, in the target's units; 0
        without calibration. `module_` and `net_` are without.
    quantile_factors_ : ndarray of shape (n_outputs, n_quantiles)
        What the quantiles' distances from the central one are multiplied by; 1 without calibration.
    """,
    "as_calibrated": "",
    "uncalibrated": "",
    "class_weight": "",
    "classes": "",
    "outputs": ": targets, of a loss of several quantiles one for each target and quantile",
}


def document(cls: T) -> T:
    """Fill the parameters and attributes into a class's docstring."""
    words = _CLASSIFIER if "label_smoothing" in cls.__init__.__annotations__ else _REGRESSOR  # type: ignore[misc]
    text = _PARAMETERS
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    cls.__doc__ = (cls.__doc__ or "").replace("{parameters}", text)
    return cls
