"""Recipes: an experiment as one declarative YAML file, the way of torchdistill (Matsubara 2020).

`parts` are the dataclasses whose fields are the keys of the file, `files` reads and writes it, `checks` finds
what cannot be run before anything is trained. May import the rooms left of kd.
"""
