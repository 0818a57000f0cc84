"""write(): sets and their runs as one HTML file, which loads nothing and runs no script but its own."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from distill.report import charts, figures
from distill.report.items import Shown, drawn, frames, records
from distill.report.pictures import running_mean
from distill.report.sanitise import Facts, short
from distill.sets.storage import write_text

if TYPE_CHECKING:
    from jinja2 import Template

ASSETS = Path(__file__).parent / "template"


def write(path: Path, shown: Sequence[Shown]) -> None:
    """The page of one set, or of several with a table that compares them; whole or not at all."""
    write_text(path, html(shown))


def html(shown: Sequence[Shown]) -> str:
    """The page: all that a set tells is escaped; its own script and style are allowed by their hashes."""
    from markupsafe import Markup

    css, js = ((ASSETS / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = template().render(
        sets=[view(one) for one in shown], css=Markup(css), js=Markup(js),
        css_hash=digest(css), js_hash=digest(js), units=(charts.WIDE, charts.TALL, charts.HEIGHT),
    )  # fmt: skip
    return page.encode("utf-8", "replace").decode("utf-8")  # a file's words may hold half a character


@cache
def template() -> "Template":
    """The page's template; what it is given is escaped, and a name that it is not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    return found.get_template("page.html")


def digest(text: str) -> str:
    """As a content security policy names what it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def view(shown: Shown) -> Facts:
    """All that the template needs of one set."""
    data = shown.data
    found = frames(shown)
    looks, now = drawn(found, shown), next(i for i, frame in enumerate(found) if frame.exported)
    classes = [short(name, 60) for name in data.source["classes"]]
    return {
        "name": shown.name, "kind": figures.kind(data), "n": len(data),
        "title": f"{short(data.source['name'], 60)} in {len(data):,} {figures.kind(data)}",
        "drawn": len(found[0].items), "classes": classes,
        "folded": -(-len(classes) // charts.COLUMNS), "columns": len(charts.columns([0.0] * len(classes))),
        "ticks": len(classes) <= 10 and all(len(name) <= 2 for name in classes),
        "looks": looks, "now": now, "told": told(looks, now, classes),
        "curves": curves(shown.log), "scores": figures.scores(data), "tiles": figures.tiles(data),
        "cost": figures.cost(data), "recipe": figures.recipe(data), "rates": figures.rates(data),
        "origin": figures.origin(data), "compared": figures.compared(data),
    }  # fmt: skip


def told(looks: list[Facts], now: int, classes: list[str]) -> Facts:
    """What the script has to know: every look, and the pictures only where there are several."""
    if len(looks) == 1:
        plain = [{k: v for k, v in item.items() if k != "picture"} for item in looks[0]["items"]]
        looks = [{**looks[0], "items": plain}]
    named = {k for look in looks for item in look["items"] for k, _ in item["values"]}
    return {"names": {k: classes[k] for k in named}, "classes": len(classes), "now": now, "looks": looks}


def curves(log: Sequence[Facts]) -> list[charts.Curve]:
    """The outer loss, as the mean of up to 20 records, and the held-out accuracy."""
    losses, checked = records(log, "loss"), records(log, "validation")
    smooth = running_mean([r["loss"] for r in losses], 20)
    points = [(r["step"], v) for r, v in zip(losses, smooth, strict=True)]
    found = (
        charts.curve("Outer loss", points, percent=False),
        charts.curve("Held-out accuracy", [(r["step"], r["validation"]) for r in checked], percent=True),
    )
    return [curve for curve in found if curve]
