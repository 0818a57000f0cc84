"""The page of a recipe's run: the scores of its networks, how they learned, and the recipe.

May import the report's sanitising, charts, figures and tables. The table: RECIPE_SECTIONS holds the parts of
the page in their order. An entry names the function that computes a section from a ReportedRun (an empty
result leaves the section out) and gives its title; `template/recipes/WORD.html` draws what it returned.
"""

from distill.registry import Entry

RECIPE_SECTIONS = {
    "scores": Entry("distill.report.recipes.scores:list_run_scores", "Accuracy of the networks"),
    "curves": Entry("distill.report.recipes.curves:draw_run_curves", "Loss and accuracy during training"),
    "alphas": Entry("distill.report.recipes.alphas:draw_alphas", "Searched weights of the teacher's layers"),
    "stages": Entry("distill.report.recipes.stages:describe_stages", "Stages"),
    "cost": Entry("distill.report.recipes.stages:list_run_costs", "Cost"),
    "recipe": Entry("distill.report.recipes.stages:describe_recipe_file", "Recipe"),
}
