"""Names of techniques, for editors and type checkers; a test compares them with the registries."""

from typing import Literal, TypeAlias

ActivationName: TypeAlias = Literal[
    "celu", "elu", "geglu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "hardsigmoid", "hardswish", "hardtanh", "identity", "leaky_relu", "learnable_swish", "linear", "logistic",
    "mish", "parametric_mish", "parametric_relu", "parametric_selu", "parametric_silu", "prelu", "reglu",
    "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softsign", "swiglu", "swish", "tanh",
]  # fmt: skip
AveragingName: TypeAlias = Literal[
    "ema", "swa",
]  # fmt: skip
InitializerName: TypeAlias = Literal[
    "constant", "data_dependent", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "hull_bias",
    "identity", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "lsuv", "normal", "ntk",
    "orthogonal", "sparse", "truncated_normal", "uniform", "xavier_normal", "xavier_uniform", "zero_output",
    "zeros",
]  # fmt: skip
ClassificationLossName: TypeAlias = Literal[
    "binary_cross_entropy", "cross_entropy", "focal", "hinge", "log_loss", "squared_hinge",
]  # fmt: skip
RegressionLossName: TypeAlias = Literal[
    "absolute_error", "gamma", "huber", "l1", "log_cosh", "mae", "mse", "pinball", "poisson", "quantile",
    "squared_error", "tweedie",
]  # fmt: skip
NumericEmbeddingName: TypeAlias = Literal[
    "periodic", "piecewise_linear",
]  # fmt: skip
OptimizerName: TypeAlias = Literal[
    "adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "adan", "ademamix", "asgd",
    "cautious_adamw", "lamb", "lbfgs", "lion", "momentum", "muon", "nadam", "nesterov", "prodigy", "radam",
    "rmsprop", "rprop", "sam", "schedule_free_adamw", "schedule_free_sgd", "sgd", "soap",
]  # fmt: skip
PenaltyName: TypeAlias = Literal[
    "drop_connect", "elastic_net", "elasticnet", "gradient_centralization", "gradient_noise", "group_lasso",
    "input_noise", "l1", "l2", "max_norm", "orthogonality", "spectral_norm", "stochastic_depth", "weight_noise",
]  # fmt: skip
ScheduleName: TypeAlias = Literal[
    "constant", "cosine", "cosine_restarts", "coslog4", "cyclic", "exponential", "flat_cosine", "inverse_sqrt",
    "linear", "multistep", "one_cycle", "plateau", "polynomial", "step", "warmup_stable_decay", "wsd",
]  # fmt: skip
