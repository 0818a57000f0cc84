"""What the documentation shows works: its Python runs, its commands parse, its pages hang together."""

import functools
import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import distill.runs.python.library
import distill.student
from benchmarks import gallery, zoo
from distill.__main__ import VERBS
from distill.data import images
from distill.data.dataset import Dataset
from distill.kd.losses import KD_LOSSES
from distill.kd.networks import build_networks
from distill.kd.recipe.checks import check_recipe
from distill.kd.recipe.files import read_recipe
from distill.networks import NETWORKS
from tests.helpers import digit_set, shorten
from tests.test_imports import ROOMS

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
fill = hooks["fill"]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs"))


@functools.cache
def show_page(page: str) -> str:
    """A page as the site shows it."""
    return str(fill((ROOT / "docs" / page).read_text(encoding="utf-8")))


def code_blocks(page: Path, language: str) -> list[str]:
    """The code of a page in one language, without what the page shows of other files."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@functools.cache
def load_digits(*_: object) -> tuple[Dataset, Dataset]:
    """MNIST's first images."""
    parts = images.read_idx_folder(images.MNIST)
    x, y, tx, ty, classes, _ = (part[:300] if isinstance(part, torch.Tensor) else part for part in parts)
    train, test = ((x, y), (tx[:100], ty[:100]))
    return tuple(Dataset("mnist", *split, classes, (0.13,), (0.31,)) for split in (train, test))


@pytest.fixture
def example_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a set for LeNet; few images are loaded, and runs are short."""
    digit_set().save(tmp_path / "set.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("distill.data.images.load", load_digits)
    monkeypatch.setattr(distill.runs.python.library, "resolve", shorten)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: True)  # other tests go on in this process
    return tmp_path


@pytest.mark.usefixtures("example_folder")
@pytest.mark.parametrize("page", [p for p in PAGES if code_blocks(p, "python")], ids=page_name)
def test_the_python_of_a_page_runs_in_its_order(page: Path) -> None:
    scope: dict[str, Any] = {"__name__": "page"}
    for code in code_blocks(page, "python"):
        exec(compile(code, page_name(page), "exec"), scope)
    assert len(scope) > 1


def list_commands(text: str) -> list[str]:
    """The lines of the blocks of shell, without comments."""
    lines = [line.split(" #")[0].strip() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
             for line in block.splitlines()]  # fmt: skip
    return [line for line in lines if line]


ZOO = ["distill image " + zoo.command(distill.DistilledSet.load(p)).partition("distill.mnist")[2]
       for p in sorted(zoo.ZOO.glob("*.pt"))]  # fmt: skip
COMMANDS = sorted(
    {line for page in PAGES for line in list_commands(page.read_text(encoding="utf-8"))} | {*ZOO}
)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_pages_parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *arguments = shlex.split(line)
    if first == "make":
        assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        return
    if first == "torchrun":
        first, *arguments = "distill", "image", *arguments[arguments.index("distill.mnist") + 1 :]
    assert first == "distill"
    module = importlib.import_module(f"distill.commands.{VERBS[arguments[0]][0]}")
    for owner in (module, importlib.import_module("distill.commands.cli")):
        monkeypatch.setattr(owner, "print_result", lambda job, as_json: 0, raising=False)
    assert module.main(arguments[1:], "distill") == 0


FILE = re.compile(r"(?<![\w./-])(?:benchmarks|distill|docs|examples|tests|zoo)/[\w./-]*\.(?:md|pt|py|yaml)\b")
WITH_FILES = [*PAGES, ROOT / "README.md", *(ROOT / "benchmarks" / "kd" / "recipes").glob("*.yaml"),
              *(ROOT / "examples").rglob("*.yaml")]  # fmt: skip


@pytest.mark.parametrize("page", WITH_FILES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_or_a_recipe_names_exist(page: Path) -> None:
    names = FILE.findall(page.read_text(encoding="utf-8"))
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_a_file_in_a_command_is_found() -> None:
    """The pattern reads commands, quoted words and comments, and leaves paths of the user's alone."""
    text = "distill teach benchmarks/kd/takd.yaml --out runs/a.yaml # as `zoo/mnist-5.pt` (docs/index.md)"
    assert FILE.findall(text) == ["benchmarks/kd/takd.yaml", "zoo/mnist-5.pt", "docs/index.md"]


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page_name(p) for p in PAGES if page_name(p) not in settings] == []


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    names = {word.split(".")[-1] for word in re.findall("^::: (.+)$", page, re.MULTILINE)}
    assert {*distill.__all__, *distill.student.__all__} <= names


@pytest.mark.parametrize("table", RESULTS, ids=lambda path: path.stem)
def test_every_table_of_the_benchmarks_is_on_a_page(table: Path) -> None:
    content = table.read_text(encoding="utf-8").strip()
    assert any(content in show_page(page) for page in ("results.md", "performance.md"))


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_of_a_verb_are_on_their_page(verb: str) -> None:
    groups = hooks["options_of"](verb)
    flags = [flag for _, options in groups for flag, *_ in options]
    assert len(flags) > 2
    assert [flag for flag in flags if f"`{flag}" not in show_page("reference/options.md")] == []


def test_the_page_of_rooms_lists_every_file() -> None:
    page, root = show_page("reference/rooms.md"), ROOT / "distill"
    files = [p for room in ROOMS for p in (root / room).rglob("*.py") if p.name != "__init__.py"]
    assert [p.name for p in files if f"| `{p.name}` |" not in page] == []
    assert [room for room in ROOMS if f"\n## {room}\n" not in page] == []


TABLE_PAGES = {
    "networks.NETWORKS": "howto/own-network.md",
    "methods.METHODS": "methods.md",
    "inner.engines.ENGINES": "methods.md",
    "sets.formats.WRITERS": "howto/share.md",
    "kd.losses.KD_LOSSES": "reference/kd.md",
    "student.PROTOCOLS": "concepts/protocols.md",
    "student.LABELS": "concepts/protocols.md",
}


@pytest.mark.parametrize("table", TABLE_PAGES)
def test_every_name_of_a_table_is_on_its_page(table: str) -> None:
    assert [
        word for word in hooks["find_table"](table) if f"`{word}`" not in show_page(TABLE_PAGES[table])
    ] == []
    assert set(hooks["find_table"]("networks.NETWORKS")) == set(NETWORKS)


def test_the_gallery_shows_every_set_with_every_image() -> None:
    page = show_page("gallery.md")
    for path in sorted(zoo.ZOO.glob("*.pt")):
        card = gallery.card(path)
        assert card in page
        assert card.count("<image") == len(distill.DistilledSet.load(path))


def test_an_image_of_the_gallery_is_stretched_to_its_own_range() -> None:
    pixels = gallery.pixels(digit_set())
    assert (pixels.amin((1, 2, 3)) == 0).all()
    assert torch.allclose(pixels.amax((1, 2, 3)), torch.ones(5))


def test_a_directive_with_nothing_to_show_is_refused() -> None:
    with pytest.raises(ValueError, match='no block of Python with "Nothing"'):
        fill("<!-- readme: Nothing -->")
    with pytest.raises(FileNotFoundError):
        fill("<!-- file: nothing.md -->")


def test_links_of_files_become_links_of_pages_or_names() -> None:
    page = show_page("contributing.md")
    assert "](lab-notes.md)" in page
    assert "`CHANGELOG.md`" in page or "the changelog" in page
    assert "](tests/" not in page


def test_the_example_in_contributing_is_the_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    example = (ROOT / "tests" / "networks" / "example_network.py").read_text(encoding="utf-8")
    assert f"```python\n{example}```" in text


@pytest.mark.parametrize("page", ["kd.md", "recipe.md"])
def test_the_recipe_on_the_page_can_be_run(page: str, tmp_path: Path) -> None:
    (block,) = code_blocks(ROOT / "docs" / "reference" / page, "yaml")
    (tmp_path / "recipe.yaml").write_text(block, encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.yaml")
    digits, _ = images.load("mnist")
    train = digits if page == "kd.md" else replace(digits, items=digits.items.expand(-1, 3, -1, -1))
    networks = build_networks(recipe, train, "cpu")
    check_recipe(recipe, networks)
    assert [list(stage.turns) for stage in recipe.stages] == [["teacher"], ["student"]]


def test_every_loss_of_recipes_is_in_the_catalogue() -> None:
    assert [word for word in KD_LOSSES if f"`{word}`" not in show_page("reference/kd.md")] == []


def test_the_first_example_has_about_ten_lines() -> None:
    first = code_blocks(ROOT / "docs" / "index.md", "python")[0]
    statements = [line for line in first.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(statements) <= 10


FIGURES = "\n".join([
    *(path.read_text(encoding="utf-8") for path in RESULTS),
    *((ROOT / page).read_text(encoding="utf-8") for page in ("docs/lab-notes.md", "zoo/README.md")),
])  # fmt: skip


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_a_figure_is_one_of_the_benchmarks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    figures = re.findall(r"(\d+\.\d+(?: ± \d+\.\d+)?) (?:%|s\b|times)|(\d+) MiB", text)
    missing = [a or b for a, b in figures if (a or b) not in FIGURES]
    assert [figure for figure in missing if figure not in read_zoo_scores()] == []


@functools.cache
def read_zoo_scores() -> str:
    """The scores of mnist-5.pt with two digits, as the README shows them."""
    scores = distill.DistilledSet.load(zoo.ZOO / "mnist-5.pt").scores
    reports = [scores["accuracy"], *scores["baselines"].values()]
    scores_text = [f"{100 * s['mean']:.2f} ± {100 * s['std']:.2f}" for s in reports]
    return " ".join([*scores_text, f"{100 * scores['full_data']:.2f}"])


@functools.cache
def build_site() -> tuple[Path, str]:
    """The built site, and what the build said on stderr."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: make docs installs it")
    import tempfile

    folder = Path(tempfile.mkdtemp())
    arguments = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return folder, result.stderr


def test_the_site_builds_without_a_warning() -> None:
    folder, errors = build_site()
    assert errors == ""
    page = (folder / "reference" / "api.html").read_text(encoding="utf-8")
    assert all(
        f'id="distill.{word}"' in page
        for word in ("runs.python.library.distill", "DistilledSet", "Recompute")
    )
    assert f"distill {distill.__version__}" in (folder / "index.html").read_text(encoding="utf-8")


def test_nothing_of_a_page_comes_from_another_host() -> None:
    folder, _ = build_site()
    addresses = [
        address
        for path in folder.rglob("*.html")
        for address in re.findall(r'(?:src|rel="stylesheet" href)="(https?://[^"]+)', path.read_text("utf-8"))
    ]
    assert addresses == []


def test_the_search_works_from_a_folder() -> None:
    folder, _ = build_site()
    index = (folder / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = {")
    assert "assets/iframe-worker.js" in (folder / "index.html").read_text(encoding="utf-8")


def test_every_place_of_a_check_exists() -> None:
    page = (ROOT / "docs" / "reference" / "checks.md").read_text(encoding="utf-8")
    rows = [
        re.findall(r"`([\w.:]+)`", row.split("|")[2]) for row in page.splitlines() if row.startswith("| ")
    ]
    assert sum(map(len, rows)) > 30
    for row in filter(None, rows):
        module = ""
        for place in row:
            module, _, name = place.rpartition(":") if ":" in place else (module, "", place)
            assert functools.reduce(getattr, name.split("."), importlib.import_module(module)), place
