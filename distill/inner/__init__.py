"""The room of the inner training: one functional step on synthetic items, and how a gradient comes back.

A Problem holds a network, an update rule and the losses; its advance() is the one step that engines, replays
and students use. The engines (inner/engines) carry the outer gradient back through many steps. It may import
data, networks, errors, randomness and registry. Its tables: RULES are the update rules, each called without
arguments for its usual settings; INNER_LOSSES the losses that a file of a set can name, each a function
(logits, targets) → scalar; OUTER_LOSSES those on real items, (logits, class numbers) → scalar.
"""

from distill.registry import Entry

RULES = {
    "sgd": Entry("distill.inner.rules:SGD", "plain gradient descent"),
    "momentum": Entry("distill.inner.rules:momentum", "gradient descent with momentum 0.9"),
    "adam": Entry("distill.inner.rules:Adam", "Adam (Kingma and Ba 2015)"),
}
INNER_LOSSES = {
    "soft-cross-entropy": Entry("distill.inner.losses:soft_cross_entropy", "cross-entropy to soft labels"),
    "squared-error": Entry("distill.inner.losses:squared_error", "half the squared distance to the labels"),
}
OUTER_LOSSES = {
    "cross-entropy": Entry("distill.inner.losses:cross_entropy", "cross-entropy to the classes"),
    "best-temperature": Entry(
        "distill.inner.losses:best_temperature_cross_entropy", "that at the best temperature from 1 on"
    ),
}
