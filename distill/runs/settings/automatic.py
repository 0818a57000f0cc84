"""What --method auto means in a run's settings."""

import math

from distill.methods import METHODS
from distill.registry import load, options_of
from distill.runs.settings import Settings, TextData
from distill.runs.settings.situation import count_items, parametrisation_of

FEW, LEAST_MINUTES = 20, 3  # images and minutes with which windows pay
GREY = ("mnist", "fashion-mnist", "kmnist", "usps")  # with colours kernel ridge is ahead: results/methods.md


def pick_method(settings: Settings, start: str) -> str:
    """The method that --method auto means: for images and random networks windows or, sooner, kernel ridge.

    It is unrolling where networks are trained before, since a pool was measured with new ones alone, and
    where an option asks for that: an engine, labels of a softmax, or one of unroll's own.
    start: what the labels of a set to go on from are.
    """
    inner, is_trained = settings.inner, settings.as_fixed or settings.network.weights is not None
    is_new = settings.network.init == "random" and not is_trained
    own = {f.name for f in options_of(load(METHODS["frepo"]))}
    unrolls = inner.engine or inner.engine_options or inner.compile or settings.data.labels == "softmax"
    of_unroll = start in ("shares", "signed")  # labels to go on from
    if isinstance(settings.data, TextData) or not is_new or unrolls or of_unroll:
        return "unroll"
    if not own.issuperset(settings.outer.method_options):
        return "unroll"
    return "rat-bptt" if has_time_for_windows(settings) else "frepo"


def has_time_for_windows(settings: Settings) -> bool:
    """Whether windows go beyond kernel ridge: a few images of a grey set, a convnet, and three minutes."""
    run, outer = settings.run, settings.outer
    minutes = run.minutes or run.distil_minutes or math.inf
    chosen = (outer.outer_steps, outer.start, outer.augment, outer.method_options, outer.fixed_items)
    few = count_items(settings.data.n or settings.n_default, *parametrisation_of(settings))
    plain = not any((*chosen, settings.data.labels, getattr(settings.data, "zca", False)))
    plain = plain and settings.data.dataset in GREY
    return plain and few <= FEW and settings.network.network == "convnet" and minutes >= LEAST_MINUTES
