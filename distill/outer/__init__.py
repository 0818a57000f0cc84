"""The outer loop: what is learned, where it starts, and the steps that improve it.

May import data, networks, inner, methods and the free modules. STARTS is the table of how items start; each
is start(data, classes, generator) -> items. A saved set's path is a start too: distill.runs.starts reads it.
"""

from distill.registry import Entry

STARTS = {
    "real": Entry("distill.outer.starts:start_from_real", "a random real item of its class"),
    "noise": Entry("distill.outer.starts:start_from_noise", "noise"),
    "means": Entry("distill.outer.starts:start_from_means", "the mean of its class, or a centre of k-means"),
}
LABEL_MAPS = {
    "soft": "signed and unnormalised, learned (Sucholutsky and Schonlau 2019)",
    "softmax": "learned, sum to one",
    "hard": "one class each, not learned",
}
