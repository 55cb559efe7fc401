"""
A raw table
===========

A raw frame (strings, categories, dates, missing values) straight into a classifier and a regressor.
"""

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import train_test_split

from sknnopt import NNClassifier, NNRegressor

N_ROWS = 1_500
generator = np.random.default_rng(0)


def with_gaps(values: np.ndarray, share: float) -> np.ndarray:
    """The values as objects, a share of them missing."""
    gaps = values.astype(object)
    gaps[generator.random(len(values)) < share] = None
    return gaps


city = generator.choice(["Oslo", "Rome", "Lima", "Cairo"], N_ROWS)
rooms = generator.integers(1, 7, N_ROWS)
area = 18.0 * rooms + generator.lognormal(2.5, 0.6, N_ROWS)
days = generator.integers(0, 3_000, N_ROWS)
level = pd.Series(city).map({"Oslo": 1.6, "Rome": 1.3, "Lima": 0.7, "Cairo": 0.5}).to_numpy()
price = level * area * (1 + days / 6_000) * generator.lognormal(0, 0.08, N_ROWS)

table = pd.DataFrame(
    {
        "city": with_gaps(city, 0.03),
        "heating": pd.Categorical(generator.choice(["gas", "electric", "none"], N_ROWS)),
        "rooms": rooms,
        "area": pd.to_numeric(pd.Series(with_gaps(area, 0.1)), errors="coerce"),
        "listed": pd.Timestamp("2016-01-01") + pd.to_timedelta(days, unit="D"),
        "furnished": generator.random(N_ROWS) < 0.3,
    }
)
dear = np.where(price > np.quantile(price, 0.6), "dear", "fair")
print(table.head(3).to_string(), end="\n\n")

train, test = train_test_split(np.arange(N_ROWS), random_state=0)
classifier = NNClassifier(random_state=0).fit(table.iloc[train], dear[train])
chance = DummyClassifier().fit(table.iloc[train], dear[train]).score(table.iloc[test], dear[test])
accuracy = classifier.score(table.iloc[test], dear[test])
print(f"dear or fair: accuracy {accuracy:.3f} (largest class {chance:.3f})")

regressor = NNRegressor(random_state=0).fit(table.iloc[train], price[train])
print(f"price: R2 {regressor.score(table.iloc[test], price[test]):.3f}")

stranger = table.iloc[test[:1]].assign(city="Quito")
print(f"a city never seen: {classifier.predict(stranger)[0]}, {regressor.predict(stranger)[0]:.0f}")
