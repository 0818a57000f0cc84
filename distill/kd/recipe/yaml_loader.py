"""YAML of unknown origin into plain values: keys once, few values, little nesting. Imports no torch.

yaml.safe_load() takes the last of two equal keys, and shares what an alias repeats: ten aliases in each of
nine lists are a billion values to whoever walks through them.
"""

import re
from collections import Counter
from typing import Any

import yaml
from yaml.composer import ComposerError

from distill.errors import quote
from distill.kd.recipe.parts import RecipeError

MOST_VALUES, MOST_DEPTH = 10_000, 30  # of a recipe, those that aliases repeat included


class RecipeLoader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """The safe loader with limits, that refuses a key that stands twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth, self.sizes = 0, dict[int, int]()  # by node: how many values it holds

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node. Raises ComposerError where it is too deep, too large or repeats a key."""
        self.depth += 1
        mark, is_alias = self.peek_event().start_mark, self.check_event(yaml.AliasEvent)
        if self.depth > MOST_DEPTH:
            raise ComposerError(None, None, f"nested deeper than {MOST_DEPTH} levels", mark)
        node: Any = super().compose_node(parent, index)
        self.depth -= 1
        if id(node) not in self.sizes:
            if is_alias:
                raise ComposerError(None, None, "an alias stands in what it repeats", mark)
            self.sizes[id(node)] = self.measure(node, mark)
        return node

    def measure(self, node: Any, mark: Any) -> int:
        """How many values a new node holds. Raises ComposerError."""
        pairs = isinstance(node, yaml.MappingNode)
        children = [part for pair in node.value for part in pair] if pairs else node.value
        if isinstance(node, yaml.ScalarNode):
            return 1
        if pairs:
            keys = Counter(str(key.value) for key, _ in node.value)
            twice = next((key for key, count in keys.items() if count > 1 and key != "<<"), None)
            if twice is not None:
                raise ComposerError(None, None, f"the key {quote(twice)} stands twice", mark)
            flag = next((key.value for key, _ in node.value if key.tag.endswith(":bool")), None)
            if flag is not None:  # a network called no, as Norway is
                problem = f'the key {flag} is True or False to YAML: write "{flag}"'
                raise ComposerError(None, None, problem, mark)
        size = 1 + sum(self.sizes[id(child)] for child in children)
        if size > MOST_VALUES:
            raise ComposerError(
                None, None, f"more than {MOST_VALUES:,} values, with what aliases repeat", mark
            )
        return size


RecipeLoader.add_implicit_resolver(  # YAML 1.1 takes 1e-3 for a word
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_yaml(text: str) -> Any:
    """The plain values of a text. Raises RecipeError: ", line 3: not YAML (why)"."""
    try:
        loader = RecipeLoader(text)
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it holds a character that YAML has not"
        raise RecipeError(f"{line}: not YAML of a recipe ({problem})") from None
    except (ValueError, TypeError, OverflowError, RecursionError):  # as a date of the 13th month
        raise RecipeError(": not YAML of a recipe (a number or date is not possible)") from None
