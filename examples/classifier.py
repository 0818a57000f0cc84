"""A distilled set as scikit-learn has it: a classifier with fit and predict, a sampler with fit_resample.

    python examples/classifier.py                             # rows of a table of four kinds of flowers
    python examples/classifier.py --items 8 --steps 400

Both classes follow scikit-learn's and imbalanced-learn's conventions (parameters are stored as they are, what
is learned ends in an underscore), so that they fit into a Pipeline; neither package is needed.
"""

import argparse
from typing import Any

import numpy as np
import torch
from torch import nn

import distill
from distill.student import accuracy, train

Array = np.ndarray[Any, np.dtype[Any]]


class SetSampler:
    """Replaces a table by a few learned rows: fit_resample(x, y) -> (rows, labels)."""

    def __init__(self, n: int = 4, hidden: int = 32, steps: int = 300, seed: int = 0) -> None:
        self.n, self.hidden, self.steps, self.seed = n, hidden, steps, seed

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in ("n", "hidden", "steps", "seed")}

    def set_params(self, **parameters: Any) -> "SetSampler":
        """The same object with other parameters."""
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def distil(self, x: Array, y: Array) -> None:
        """Learn set_, a DistilledSet, and the mean_ and scale_ of the columns."""
        self.classes_ = np.unique(y)
        self.mean_, self.scale_ = x.mean(axis=0), x.std(axis=0) + 1e-9
        columns, hidden = x.shape[1], self.hidden

        def build_network() -> nn.Module:
            return nn.Sequential(nn.Linear(columns, hidden), nn.ReLU(), nn.Linear(hidden, len(self.classes_)))

        numbers = np.searchsorted(self.classes_, y)
        self.network_ = build_network()
        self.set_ = distill.distill(
            (self.scale(x), numbers), self.network_, n=self.n, outer_steps=self.steps, seed=self.seed
        )

    def scale(self, x: Array) -> torch.Tensor:
        """Rows as the network sees them."""
        return torch.from_numpy((np.asarray(x) - self.mean_) / self.scale_).float()

    def fit_resample(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The learned rows (n, columns) in the units of x, each with the label that it stands for most."""
        self.distil(x, y)
        rows = self.set_.items.numpy() * self.scale_ + self.mean_
        return rows, self.classes_[self.set_.labels.argmax(dim=1).numpy()]


class SetClassifier(SetSampler):
    """A network that is trained on a few learned rows alone."""

    def fit(self, x: Array, y: Array) -> "SetClassifier":
        """Distil the table, then train a network by the set's own recipe."""
        self.distil(x, y)
        self.student_ = train(self.set_, self.network_)
        return self

    def predict(self, x: Array) -> Array:
        """The label of each row."""
        return self.classes_[self.student_.predict(self.scale(x)).numpy()]

    def score(self, x: Array, y: Array) -> float:
        """The share of rows whose label is right."""
        return accuracy(self.student_, (self.scale(x), np.searchsorted(self.classes_, y)))


def draw_flowers(count: int, seed: int) -> tuple[Array, Array]:
    """A table of four measures of four kinds of flowers, and the names of the kinds."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(4, 4))
    kinds = np.arange(count) % 4
    table = 3 + centres[kinds] + 0.35 * random.normal(size=(count, 4))
    return table * np.array([1, 10, 0.1, 100]), np.array(["aster", "daisy", "iris", "rose"])[kinds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=4, help="how many rows are learned")
    parser.add_argument("--steps", type=int, default=300, help="outer steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table, kinds = draw_flowers(600, 1)
    test_table, test_kinds = draw_flowers(200, 2)
    classifier = SetClassifier(options.items, steps=options.steps).fit(table, kinds)
    print(classifier.set_)
    print(f"first rows are {', '.join(classifier.predict(test_table[:4]))}")
    print(f"right on new rows: {100 * classifier.score(test_table, test_kinds):.1f} %")
    rows, labels = SetSampler(options.items, steps=options.steps).fit_resample(table, kinds)
    print(f"{len(table)} rows became {len(rows)}: {', '.join(labels)}")


if __name__ == "__main__":
    main()
