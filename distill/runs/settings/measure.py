"""Measuring: how a set is chosen and scored."""

from dataclasses import dataclass

from distill.registry import AUTO, COUNT, COUNT_OR_NONE, Auto, option


@dataclass(frozen=True)
class MeasureSettings:
    """Measuring: how a set is chosen and scored"""

    validate_every: Auto[int] = option(AUTO, "STEPS", above=0)
    """After how many outer steps the set is scored on held-out items, and a checkpoint is written."""
    validation_networks: Auto[int] = option(AUTO, "COUNT", **COUNT, needs={"init": ("random",)})
    """With --init random: how many networks choose what is exported; the set is not learned from them."""
    test_networks: Auto[int] = option(AUTO, "COUNT", **COUNT)
    """With --init random: how many new networks measure the set at the end."""
    baseline_networks: int = option(20, "COUNT", **COUNT_OR_NONE)
    """How many times random real items and k-means centres are drawn and measured, at most --test-networks; 0
    leaves these baselines out, whose learning rates take longer to choose than the rest."""
    dc_networks: Auto[int] = option(
        AUTO, "COUNT", **COUNT_OR_NONE, needs={"init": ("random",)}, without="weights"
    )
    """With --init random: how many new networks measure the set, and as many real items with hard labels, by
    the standard protocol dc of `distill student`; 0 leaves it out."""
    full_data_networks: Auto[int] = option(AUTO, "COUNT", **COUNT_OR_NONE)
    """With --init random: how many networks are trained on all real data, for comparison. It can take longer
    than the rest; 0 leaves it out."""
