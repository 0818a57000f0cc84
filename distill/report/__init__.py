"""Shows a distilled set and its run to people: tables of scores, a verdict in words, pictures, one HTML page.

May import errors, randomness, registry and the rooms to its left, from data to kd; never runs,
applications or commands. The table: SECTIONS holds the parts of the page in their order. An entry names the
function that computes a section from a ReportedSet (an empty result leaves the section out) and gives the
section's title; `template/WORD.html` draws what the function returned.
"""

from distill.registry import Entry

SECTIONS = {
    "items": Entry("distill.report.items:draw_items", "Synthetic {item_type} and their labels"),
    "scores": Entry("distill.report.tables:list_set_scores", "Accuracy on real data"),
    "comparison": Entry(
        "distill.report.comparison.differences:describe_comparison", "Beside the strongest baselines"
    ),
    "curves": Entry("distill.report.charts:draw_curves", "Loss and accuracy during distillation"),
    "usage": Entry("distill.report.figures:describe_usage", "Use this set"),
    "recipe": Entry("distill.report.figures:describe_recipe", "Training recipe"),
    "cost": Entry("distill.report.figures:list_costs", "Cost"),
    "origin": Entry("distill.report.figures:describe_origin", "How this set was made"),
}
