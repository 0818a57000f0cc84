"""Plugins: networks, losses and data sets of one's own, from the Python files that a recipe names.

`files` imports them where that was allowed and finds names in them; `networks`, `losses` and `data` make of a
name what the recipe needs, and turn what goes wrong in a user's code into one sentence. May import
distill.kd.recipe, and the rooms left of kd.
"""
