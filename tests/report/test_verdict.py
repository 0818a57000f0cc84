"""The verdict in words: a table of scores and sentences."""

import subprocess
import sys
from typing import Any

import pytest

from distill.report.verdict import describe_by_protocol, find_strongest, judge_scores


def make_scores(
    mean: object, std: float = 0.0, n: int = 1, **baselines: tuple[float, float, int]
) -> dict[str, Any]:
    records = {
        k.replace("_", "-"): dict(zip(("mean", "std", "n"), v, strict=True)) for k, v in baselines.items()
    }
    return {"accuracy": {"mean": mean, "std": std, "n": n}, "baselines": records}


CASES: list[tuple[str, dict[str, Any], tuple[Any, ...], str]] = [
    (
        "better",
        make_scores(0.92, 0.01, 20, random_real=(0.53, 0.07, 20), k_means=(0.608, 0.02, 20)),
        (2003, None),
        "Above the strongest baseline (k-means centres, 60.8 %) by 31.2 points.",
    ),
    (
        "worse",
        make_scores(0.5, 0.01, 20, k_means=(0.641, 0.02, 20)),
        (8000, 8000),
        "Below the strongest baseline (k-means centres, 64.1 %) by 14.1 points, after 8,000 outer steps.",
    ),
    (
        "worse",
        make_scores(0.5, 0.01, 20, random_real=(0.641, 0.02, 20)),
        (48, 8000),
        "Below the strongest baseline (random real images, 64.1 %) by 14.1 points:"
        " 48 of 8,000 outer steps were run.",
    ),
    (
        "equal",
        make_scores(0.65, 0.03, 20, k_means=(0.641, 0.03, 20)),
        (8000, 8000),
        "No better than the strongest baseline (k-means centres, 64.1 %):"
        " a difference of +0.9 points is within error.",
    ),
    (
        "better",  # the same means, of more networks
        make_scores(0.65, 0.03, 2000, k_means=(0.641, 0.03, 2000)),
        (8000, 8000),
        "Above the strongest baseline (k-means centres, 64.1 %) by 0.9 points.",
    ),
    (
        "chance",
        make_scores(0.11, 0.02, 3, random_real=(0.3, 0.1, 20)),
        (48, 8000),
        "No better than chance (10 %): 48 of 8,000 outer steps were run.",
    ),
    ("chance", make_scores(0.09), (None, None), "No better than chance (10 %)."),
    ("chance", make_scores(0.1), (30, None), "No better than chance (10 %), after 30 outer steps."),
    ("unknown", make_scores(0.8), (30, None), "Better than chance (10 %); no baseline was measured."),
    ("unknown", make_scores("0.8"), (30, None), "The accuracy of this set was not measured."),
    ("unknown", {"baselines": 3}, (None, None), "The accuracy of this set was not measured."),
    (
        "better",
        make_scores(0.8, before=(0.7, 0.0, 1)),
        (None, None),
        "Above the strongest baseline (the same networks before training on the set, 70.0 %) by 10.0 points.",
    ),
]


@pytest.mark.parametrize(
    ("level", "case", "steps", "sentence"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_the_verdict_is_one_sentence(level: str, case: Any, steps: tuple[Any, Any], sentence: str) -> None:
    assert judge_scores(case, 10, *steps, item_type="images") == (level, sentence)


def test_a_single_network_is_judged_by_the_number_of_test_items() -> None:
    case = make_scores(0.66, k_means=(0.641, 0.0, 1))
    assert judge_scores(case, 10).level == "better"
    assert judge_scores(case, 10, test_items=600).level == "equal"
    assert judge_scores(case, 10, test_items=60_000).level == "better"
    assert judge_scores(make_scores(0.52), 2, test_items=100).level == "chance"


def test_chance_is_the_share_of_the_most_frequent_class_where_that_is_more() -> None:
    case = make_scores(0.72, random_real=(0.7, 0.01, 20))
    sentence = "No better than the most frequent class alone (74 %), after 30 outer steps."
    assert judge_scores(case, 2, 30, majority=0.74) == ("chance", sentence)
    assert judge_scores(make_scores(0.72), 2).level == "unknown"
    assert judge_scores(case, 2, majority=0.5) == judge_scores(case, 2)
    assert judge_scores(make_scores(0.8), 2, majority=0.74).sentence == (
        "Better than the most frequent class alone (74 %); no baseline was measured."
    )


def make_dc_scores(**changes: Any) -> dict[str, Any]:
    dc = make_scores(0.7, 0.02, 5, random_real=(0.57, 0.04, 5), k_means=(0.79, 0.001, 5))
    scores = make_scores(0.92, 0.01, 20, k_means=(0.78, 0.02, 20))
    return {**scores, "protocols": {"dc": {**dc["accuracy"], "baselines": dc["baselines"]}}, **changes}


def test_images_for_random_weights_are_judged_by_dc_where_it_was_measured() -> None:
    assert judge_scores(make_dc_scores(), 10, item_type="images") == (
        "worse",
        "By the standard protocol dc: below the strongest baseline (k-means centres, 79.0 %) by 9.0 points.",
    )
    fixed = make_dc_scores(accuracy={"mean": 0.92, "std": 0.0, "n": 1, "weights": "fixed"})
    assert judge_scores(fixed, 10, item_type="images").level == "better"
    assert judge_scores(make_dc_scores(), 10, item_type="sentences").level == "better"
    assert judge_scores(make_dc_scores(protocols={"dc": {"mean": "?"}}), 10).level == "better"
    assert judge_scores(make_dc_scores(protocols={"frepo": {"mean": 0.1}}), 10).level == "better"


def test_a_set_without_a_score_by_its_recipe_is_judged_by_its_first_protocol() -> None:
    dc = make_dc_scores()["protocols"]["dc"]
    sentence = "below the strongest baseline (k-means centres, 79.0 %) by 9.0 points."
    for item_type in ("images", "sentences"):
        alone = {"protocols": {"adam": dc}}
        assert judge_scores(alone, 10, item_type=item_type) == (
            "worse", f"By the standard protocol adam: {sentence}"
        )  # fmt: skip
    several = {"accuracy": {"mean": None}, "protocols": {"adam": dc, "dc": dc}}
    assert "protocol dc: below" in judge_scores(several, 10, item_type="images").sentence
    assert "protocol adam: below" in judge_scores(several, 10, item_type="sentences").sentence
    no_baselines = {"protocols": {"adam": {"mean": 0.8, "std": 0.0, "n": 1}}}
    assert judge_scores(no_baselines, 10) == (
        "unknown", "By the standard protocol adam: better than chance (10 %); no baseline was measured."
    )  # fmt: skip


def test_both_figures_stand_beside_their_strongest_baselines() -> None:
    assert describe_by_protocol(make_dc_scores()) == [
        "92.0 ± 1.0 % by its own recipe (strongest baseline: k-means centres, 78.0 ± 2.0 %)",
        "70.0 ± 2.0 % by dc (strongest baseline: k-means centres, 79.0 ± 0.1 %)",
    ]
    assert describe_by_protocol(make_dc_scores(protocols=None))[1:] == ["not measured by a standard protocol"]
    assert describe_by_protocol({"protocols": 3}) == [
        "not measured by its own recipe",
        "not measured by a standard protocol",
    ]


def test_a_baseline_that_is_not_in_the_table_keeps_its_name() -> None:
    strongest = find_strongest(make_scores(0.5, k_means=(0.2, 0.0, 1), my_coreset=(0.3, 0.0, 1)))
    assert strongest is not None
    assert strongest.name == "my-coreset"
    assert find_strongest({"baselines": {"k-means": {"mean": float("nan")}}}) is None


def test_the_verdict_needs_no_torch() -> None:
    code = "import sys, distill.report.verdict; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
