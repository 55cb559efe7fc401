"""What docs/make_tables.py cannot read from the registries: the test of each class, and what takes no name."""

from typing import Any

from sknnopt._choices import Range

TESTS = {
    "activations": "test_activations.py::test_forward",
    "GLU": "test_activations.py::test_a_gated_unit_is_one_half_times_the_gate_of_the_other",
    "PiecewiseLinear": "test_embeddings.py::TestFeatures::test_piecewise_linear_ones_are_the_papers",
    "Periodic": "test_embeddings.py::TestFeatures::test_periodic_ones_are_the_papers",
    "initializers": "test_initializers.py::test_distribution",
    "Zeros": "test_initializers.py::test_constant_and_zeros",
    "initializers.Constant": "test_initializers.py::test_constant_and_zeros",
    "Orthogonal": "test_initializers.py::test_values_are_torchs",
    "initializers.Identity": "test_initializers.py::test_identity_is_torchs",
    "Sparse": "test_initializers.py::test_sparse_leaves_as_many_weights_as_torchs_does",
    "LSUV": "test_start.py::TestLSUV::test_every_layer_has_unit_variance",
    "DataDependent": "test_start.py::TestDataDependent::test_it_is_weight_normalisations_start",
    "HullBias": "test_start.py::TestHullBias::test_biases_are_minus_w_times_points_of_the_hull",
    "ZeroOutput": "test_start.py::TestZeroOutput::test_the_last_layer_that_rows_reach_is_zero",
    "optimizers": "test_optimizers.py::test_follows_torch",
    "Adafactor": "test_optimizers_layers.py::TestAdafactor::test_absolute_steps_follow_pytorch_optimizer",
    "LAMB": "test_optimizers_layers.py::TestLamb::test_follows_pytorch_optimizer",
    "LBFGS": "test_optimizers_layers.py::TestLbfgs::test_follows_torch",
    "Muon": "test_optimizers_layers.py::TestMuon::test_follows_pytorch_optimizer",
    "SAM": "test_optimizers_layers.py::TestSam::test_follows_pytorch_optimizer",
    "SOAP": "test_optimizers_layers.py::TestSoap::test_follows_pytorch_optimizer",
    "schedules": "test_schedules.py::test_curve_is_torchs",
    "Plateau": "test_schedules.py::test_plateau_is_torchs",
    "losses": "test_losses.py::test_regression_losses_are_means_over_outputs",
    "CrossEntropy": "test_losses.py::test_cross_entropy_is_torchs_and_sklearns",
    "SigmoidCrossEntropy": "test_losses.py::test_multilabel_loss_is_the_sum_over_labels",
    "Focal": "test_losses.py::test_focal_is_the_weighed_cross_entropy",
    "SigmoidFocal": "test_losses.py::test_focal_is_the_weighed_cross_entropy",
    "Hinge": "test_losses.py::test_hinge_is_sklearns",
    "BinaryHinge": "test_losses.py::test_binary_hinge_is_sklearns_of_each_label",
    "regularization": "test_engine.py::test_penalised_linear_models_are_those_of_scikit_learn",
    "GroupLasso": "test_regularization_layers.py::TestGroupLasso::test_proximal_minimises_its_definition",
    "MaxNorm": "test_regularization_layers.py::TestMaxNorm::test_projects_on_the_nearest_point",
    "SpectralNorm": "test_regularization_layers.py::TestSpectralNorm::test_holds_after_some_steps",
    "Orthogonality": "test_regularization_layers.py::TestOrthogonality::test_gradient_is_that_of_its_penalty",
    "InputNoise": "test_regularization_layers.py::TestNoise::test_inputs",
    "WeightNoise": "test_regularization_layers.py::TestNoise::test_weights",
    "DropConnect": "test_regularization_layers.py::TestNoise::test_drop_connect",
    "GradientNoise": "test_regularization_layers.py::TestNoise::test_on_gradients",
    "GradientCentralization": "test_regularization_layers.py::TestGradientCentralization::"
    "test_takes_the_mean_of_each_row",
    "StochasticDepth": "test_nn.py::test_stochastic_depth_drops_whole_rows_more_often_the_deeper",
    "EMA": "test_averaging.py::test_ema_is_the_running_mean_of_every_step",
    "SWA": "test_averaging.py::test_swa_is_the_mean_of_the_last_epochs",
    "MLP": "test_nn.py::test_a_network_is_its_formula",
    "ResNet": "test_nn.py::test_a_network_is_its_formula",
    "TabM": "test_tabm.py::test_every_head_is_a_perceptron_that_shares_its_weights",
}
"""The test of each class against a reference or a closed form, in tests/; a module's own is for what is not named."""

HIDDEN = [(64,), (256,), (128, 128), (256, 256), (256, 256, 256)]
"""Values of hidden_layer_sizes worth searching."""

ENSEMBLES = "Simple and scalable predictive uncertainty estimation using deep ensembles"
TABM = "TabM: advancing tabular deep learning with parameter-efficient ensembling"
REALMLP = "Better by default: strong pre-tuned MLPs and boosted trees on tabular data"
OTHERS: dict[str, tuple[str, str, list[Any], str]] = {
    "n_heads": (
        'Predictions of `network="tabm"`, whose hidden layers share their weights; the average is the network\'s.',
        f'Gorishniy, Kotelnikov and Babenko, "{TABM}", 2025',
        [8, 32],
        "test_tabm.py::test_a_step_follows_the_mean_of_the_heads_losses",
    ),
    "dropout": (
        "Each hidden unit is zero with this probability in training; a number a layer, or `Scheduled`.",
        'Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014',
        [0.0, Range(0.05, 0.5)],
        "test_nn.py::test_dropout_zeroes_with_each_members_rate_and_keeps_the_mean",
    ),
    "normalization": (
        "Mean 0 and variance 1 of each unit over the batch, or of each row over the layer's units.",
        'Ioffe and Szegedy, "Batch normalization", 2015; Ba, Kiros and Hinton, "Layer normalization", 2016',
        [None, "batch", "layer"],
        "test_nn.py::test_a_stack_follows_its_module",
    ),
    "categorical_embedding": (
        "Each category becomes so many learnt numbers a level; `'auto'` is 8 for those of more than 8 levels.",
        'Guo and Berkhahn, "Entity embeddings of categorical variables", 2016',
        [None, "auto", 4],
        "test_embeddings.py::TestFeatures::test_a_categorical_embedding_is_a_column_a_level",
    ),
    "input_scale": (
        "Each input, once columns are embedded, is multiplied by a learnt factor.",
        f'Holzmüller, Grinsztajn and Steinwart, "{REALMLP}", 2024',
        [False, True],
        "test_embeddings.py::TestFeatures::test_input_scale_is_a_factor_an_input",
    ),
    "weight_decay": (
        "Weights shrink by `learning_rate weight_decay` of themselves a step; a number, or `Scheduled`.",
        'Loshchilov and Hutter, "Decoupled weight decay regularization", 2019',
        [0.0, Range(1e-5, 0.3, log=True)],
        "test_engine.py::test_training_follows_a_plain_torch_loop",
    ),
    "warmup": (
        "The learning rate rises from near zero over this fraction of all steps.",
        'Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017',
        [0.0, Range(0.01, 0.2)],
        "test_schedules.py::test_warmup_is_linear_then_the_schedule",
    ),
    "gradient_clipping": (
        "Gradients longer than this, all of a member's as one vector, are scaled back.",
        'Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013',
        [None, Range(0.1, 10.0, log=True)],
        "test_engine.py::test_clipping_keeps_the_direction",
    ),
    "label_smoothing": (
        "Each target class gives this share of its probability to all classes alike.",
        'Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016',
        [0.0, Range(0.01, 0.2)],
        "test_losses.py::test_label_smoothing_is_torchs_per_member",
    ),
    "mixup": (
        "Trains on blends of two rows and of their losses, the share from Beta(mixup, mixup).",
        'Zhang et al., "mixup: beyond empirical risk minimization", 2018',
        [0.0, Range(0.1, 1.0)],
        "test_steps.py::test_mixup_mixes_rows_and_losses",
    ),
    "layer_rates": (
        "Factors of the learning rate by layer; a number is the factor from each layer to the one before it.",
        'Howard and Ruder, "Universal language model fine-tuning for text classification", 2018',
        [None, Range(0.3, 0.95)],
        "test_transfer.py::TestLayers::test_rates_scale_the_step",
    ),
    "early_stopping": (
        "Stops when withheld rows are predicted no better, and restores the best epoch's weights.",
        'Prechelt, "Early stopping: but when?", 1998',
        [False, True],
        "test_engine.py::test_early_stopping_restores_the_best_epoch",
    ),
    "calibration": (
        (
            "A classifier's scores are divided by a temperature under which withheld rows are as probable as can be; a "
            "regressor's quantiles are moved until each has its share of withheld rows below it."
        ),
        (
            'Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017; '
            'Romano, Patterson and Candès, "Conformalized quantile regression", 2019'
        ),
        [None, "temperature", "conformal"],
        "test_calibration.py::test_the_temperature_of_over_confident_scores_is_found",
    ),
    "n_members": (
        "Several networks, trained in lockstep, whose predictions are averaged.",
        f'Lakshminarayanan, Pritzel and Blundell, "{ENSEMBLES}", 2017',
        [1, 5, 10],
        "test_members.py::test_average_of_the_members_probabilities",
    ),
}
"""What parameters of the estimators do that take no name: summary, paper, values, test."""
