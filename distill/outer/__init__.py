"""The room of the outer loop: what is learned, from where it starts, and the loop that learns it.

A Synthetic holds the learned items, labels and learning rates; descend() improves them by an objective of the
methods room, in one process or in several. It may import data, networks, inner, methods, errors, randomness
and registry. Its tables: STARTS are the ways that items start, each start(data, classes, generator) → items
(a run goes on from "frepo", and may start from a saved set); RATE_PROFILES shape the first learning rates;
OUTER_RULES update what is learned; LABEL_MAPS are the kinds of labels.
"""

from distill.registry import Entry

STARTS = {
    "real": Entry("distill.outer.starts:start_from_real", "a random real item of its class"),
    "noise": Entry("distill.outer.starts:start_from_noise", "noise"),
    "means": Entry("distill.outer.starts:start_from_means", "the mean of its class, or a centre of k-means"),
    "frepo": Entry("distill.outer.starts:start_from_means", "means, which --method frepo improves first"),
}
RATE_PROFILES = {
    "even": Entry("distill.outer.rate_profiles:EVEN", "the same for all"),
    "lenet": Entry("distill.outer.rate_profiles:LENET", "as other LeNets learned them in six steps"),
}
OUTER_RULES = {
    "adam": Entry("distill.inner.rules:Adam", "each number by its own gradients (Kingma and Ba 2015)"),
    "ggt": Entry(
        "distill.outer.full_matrix:GGT",
        "all numbers of a group by its last 60 gradients, as long as Adam's step (Agarwal et al. 2019)",
    ),
}
LABEL_MAPS = {
    "soft": "learned, signed, unnormalised",
    "softmax": "learned, sum to one",
    "hard": "one class each",
}
