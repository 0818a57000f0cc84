"""write_page(): sets and their runs as one HTML file, which loads nothing and runs no script but its own."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.registry import load
from distill.report import SECTIONS, charts
from distill.report.sanitise import JsonDict, shorten, to_count, to_share
from distill.report.snapshots import ReportedSet
from distill.report.tables import list_comparison, list_tiles
from distill.report.verdict import Verdict, judge_scores
from distill.sets.storage import write_text

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "template"


def write_page(path: Path, sets: Sequence[ReportedSet]) -> None:
    """The page of one set, or of several with a table that compares them; whole or not at all."""
    write_text(path, render_page(sets))


def render_page(sets: Sequence[ReportedSet]) -> str:
    """The page of sets."""
    return render_template("page.html", sets=[view_set(reported) for reported in sets])


def render_template(name: str, **content: Any) -> str:
    """A page. Every word of its content is escaped; hashes allow the page's own script and style."""
    from markupsafe import Markup

    css, js = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    page = load_templates().get_template(name).render(
        **content, css=Markup(css), js=Markup(js), css_hash=hash_text(css), js_hash=hash_text(js),
        units={"width": charts.WIDTH, "height": charts.HEIGHT, "bar": charts.BAR_HEIGHT},
    )  # fmt: skip
    return page.encode("utf-8", "replace").decode("utf-8")  # a file's words may hold half a character


@cache
def load_templates() -> "Environment":
    """The templates of pages: they escape all words, and a name without a value is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip


def hash_text(text: str) -> str:
    """The SHA-256 of a text as a content security policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def view_set(reported: ReportedSet) -> JsonDict:
    """All that the template needs of one set."""
    data, item_type = reported.data, reported.item_type
    contents = {word: load(entry)(reported) for word, entry in SECTIONS.items()}
    return {
        "name": reported.name,
        "item_type": item_type,
        "title": f"{shorten(data.source['name'], 60)}: {data.count(f'synthetic {item_type}')}",
        "verdict": judge_set(reported),
        "tiles": list_tiles(reported),
        "comparison": list_comparison(reported),
        "sections": [
            {"word": word, "title": SECTIONS[word].summary.format(item_type=item_type), "content": content}
            for word, content in contents.items()
            if content
        ],
    }


def judge_set(reported: ReportedSet) -> Verdict:
    """The verdict on a set from what its file holds."""
    data = reported.data
    verdict = judge_scores(
        data.scores, data.labels.shape[1], reported.steps_run, reported.steps_planned,
        to_count(data.source.get("test")), reported.item_type, to_share(data.source.get("majority")),
    )  # fmt: skip
    return verdict._replace(sentence=verdict.sentence + data.compare_bytes(reported.item_type))
