"""Every system says which paper it is of, and where we differ from it: in its code, or on its page."""

import importlib
import re
from pathlib import Path

import pytest

from distill.kd import TECHNIQUES
from distill.kd.losses import KD_LOSSES
from distill.registry import Entry, load

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "kd.md").read_text(encoding="utf-8")
PAPER = re.compile(r"(?:et al\.|and \w+|\w+) \(?(?:19|20)\d\d")
LOSSES = {name: loss.place for name, loss in KD_LOSSES.items() if name != "cross-entropy"}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_names_its_paper_and_where_we_differ(name: str) -> None:
    module, function = importlib.import_module(LOSSES[name].partition(":")[0]), load(Entry(LOSSES[name], ""))
    assert PAPER.search(function.__doc__ or "")
    assert "here we differ" in " ".join(f"{function.__doc__} {module.__doc__}".split())


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_technique_names_its_paper_and_where_we_differ(name: str) -> None:
    """In the docstring of its module, or of something that the module defines."""
    module = importlib.import_module(TECHNIQUES[name].place.partition(":")[0])
    defined = [v for v in vars(module).values() if getattr(v, "__module__", "") == module.__name__]
    text = " ".join(" ".join((v.__doc__ or "").split()) for v in [module, *defined])
    assert PAPER.search(text)
    assert "here we differ" in text


def test_every_system_of_the_page_says_where_we_differ() -> None:
    sections = re.split(r"\n\*\*(?=[A-Z])", PAGE.partition("## Each system")[2].partition("\n## ")[0])[1:]
    names = [section.partition("**")[0] for section in sections]
    differences = {n: "here we differ" in " ".join(s.split()) for n, s in zip(names, sections, strict=True)}
    assert [name for name, told in differences.items() if not told] == []
    expected = {
        "Distillation", "Teacher assistants", "FitNets", "Attention transfer", "Relational distillation",
        "Born-again networks", "Deep mutual learning", "Differentiable feature aggregation",
        "Route-constrained optimisation", "ProKT", "Weighted soft labels", "Subclass distillation",
        "Joint distillation and domain adaptation", "Other techniques, and bagging", "Eight bits",
    }  # fmt: skip
    assert set(names) == expected
