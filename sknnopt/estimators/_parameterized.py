"""How parameters are read, set, cloned and checked."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from sknnopt._compat import Estimator, InvalidParameterError, _clone_parametrized
from sknnopt._threads import single_thread
from sknnopt.engine import check_callbacks, own_copies
from sknnopt.estimators._devices import check_precision
from sknnopt.estimators._kinds import Kind, Mixture, kinds_of
from sknnopt.estimators._layer_choice import check_layer_choice
from sknnopt.estimators._parameters import as_object, check_names, with_hint
from sknnopt.estimators._recipes import Params, check_recipes, naming, with_recipe
from sknnopt.estimators._transfer import check_source


class ParameterizedEstimator(Estimator):
    """Gives techniques that are named parameters of their own, and keeps what initial weights come from."""

    _tasks: ClassVar[tuple[str, ...]]
    _mixture: ClassVar[Mixture]
    recipes: Sequence[Mapping[str, Any]] | None
    initial_weights: Any
    preprocessing: str | None
    categorical_features: Any
    callbacks: Any
    device: Any
    precision: str

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, and with `deep` those of techniques; not those of what `initial_weights` come from.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        dict
        """
        params = super().get_params(deep)
        return {name: value for name, value in params.items() if not name.startswith("initial_weights__")}

    @single_thread()
    def __sklearn_clone__(self) -> Self:
        """Clone all parameters but the initial weights, which are shared: a clone of a fitted estimator has none.

        Nor are the places copied that callbacks write to.
        """
        plain = self
        given = self.callbacks if isinstance(self.callbacks, list | tuple) else ()
        if self.initial_weights is not None or given:
            plain = copy.copy(self)
            plain.initial_weights, plain.callbacks = None, None if given else self.callbacks
        twin: Self = _clone_parametrized(plain)
        twin.initial_weights = self.initial_weights
        if given:
            twin.callbacks = type(given)(own_copies(given))
        return twin

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of a technique that is given by its name.

        ``set_params(optimizer__momentum=0.9)`` first replaces ``optimizer="sgd"`` by its object.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter, or its value has no parameters of its own.
        """
        if any(name.startswith("initial_weights__") for name in params):
            raise ValueError("What initial_weights come from is as it was fitted; its parameters cannot be set here.")
        return super().set_params(**params)

    def _as_object(self, name: str, value: Any) -> Any:
        return as_object(name, value, self._tasks[0])

    def _check_params(self) -> None:
        own = self._shallow()
        self._check_values(own)
        check_recipes(self.recipes, own, type(self).__name__)
        for r, params in enumerate(self._variants()[1:]):
            with naming(r):
                self._check_values(params)
        check_source(self.initial_weights, self)
        check_callbacks(self.callbacks)
        check_precision(self.device, self.precision)
        if self.preprocessing is None and not isinstance(self.categorical_features, str | None):
            raise InvalidParameterError(
                "The 'categorical_features' parameter needs preprocessing='auto', which encodes them. Got "
                f"{self.categorical_features!r} with preprocessing=None instead."
            )

    def _check_values(self, params: Params) -> None:
        """Check the values of parameters, the estimator's own or those of a recipe."""
        try:
            self._validate(params)
        except InvalidParameterError as error:
            raise InvalidParameterError(with_hint(error, self._parameter_constraints, params)) from None
        check_names(params)
        check_layer_choice(params["frozen_layers"], params["layer_rates"])

    def _shallow(self) -> Params:
        out: Params = self.get_params(deep=False)
        return out

    def _variants(self) -> list[Params]:
        """Return the parameters of each recipe, the estimator's own first."""
        own = self._shallow()
        out = [own]
        for r, recipe in enumerate(self.recipes or ()):
            with naming(r):
                out.append(with_recipe(own, recipe, self._as_object))
        return out

    def _kinds(self) -> list[Kind]:
        """Return the kinds of members there are, recipe by recipe, the estimator's own first.

        Where the columns, the loss or their number do not allow for what "auto" stands for, `fit` has found out.
        """
        loss = self.__dict__.get("loss_")
        can = {
            "mixes": self.initial_weights is None,
            "embeds": self.preprocessing is not None and self.__dict__.get("_embeds", True),
            "smooths": loss is None or loss.smooths,
        }
        return [
            kind for r, params in enumerate(self._variants()) for kind in kinds_of(params, r - 1, self._mixture, **can)
        ]

    def _plain_recipes(self) -> list[Mapping[str, Any]]:
        """Return the recipes as they are, checked or not."""
        given = self.recipes if isinstance(self.recipes, list | tuple) else ()
        return [recipe for recipe in given if isinstance(recipe, Mapping)]
