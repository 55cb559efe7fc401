"""
A network of one's own
======================

A small convolutional network of one's own, trained and swept like any other estimator.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from torch import Tensor, nn

from sknnopt import NNClassifier


class ConvNet(nn.Module):
    """Rows of 64 pixels seen as images of 8 x 8."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.side = round(n_inputs**0.5)
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * (self.side // 2) ** 2, n_outputs),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Class scores, (rows, n_outputs)."""
        return self.body(rows.reshape(-1, 1, self.side, self.side))


X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)

network = NNClassifier(
    network=ConvNet, preprocessing=None, batch_size=64, schedule="cosine", max_epochs=10, n_members=1, random_state=0
)
network.fit(X_train, y_train)
print(f"test accuracy {network.score(X_test, y_test):.3f} with {network.n_parameters_} parameters")

search = GridSearchCV(network.set_params(max_epochs=3), {"optimizer": ["sgd", "nadam", "rmsprop"]}, cv=2)
search.fit(X_train, y_train)
print(f"best of three optimizers after 3 epochs: {search.best_params_['optimizer']}")
