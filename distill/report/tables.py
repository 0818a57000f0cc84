"""Tables of scores in words."""

from collections.abc import Sequence

from distill.student.scores import Report


def table(reports: Sequence[Report], title: str) -> str:
    """One line per report under a title."""
    width = max(len(r.name) for r in reports)
    return "\n".join([title, *(f"  {r.name:<{width}}  {r.text()}" for r in reports)])
