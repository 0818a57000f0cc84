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

import pytest
import torch

import distill.runs.library
import distill.student
from distill.__main__ import VERBS
from distill.data import images
from distill.data.dataset import Dataset
from distill.runs.settings import Config, resolved
from tests.helpers import digit_set

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
filled = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["filled"]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs"))


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page in one language, with what the page shows of elsewhere."""
    return re.findall(rf"```{language}\n(.*?)```", filled(page.read_text(encoding="utf-8")), re.DOTALL)


@functools.cache
def few_digits(*_: object) -> tuple[Dataset, Dataset]:
    """MNIST's first images."""
    parts = images.read_idx_folder(images.MNIST)
    x, y, tx, ty, classes = (part[:300] if isinstance(part, torch.Tensor) else part for part in parts)
    train, test = ((x, y), (tx[:100], ty[:100]))
    return tuple(Dataset("mnist", *split, classes, (0.13,), (0.31,)) for split in (train, test))


def short(config: Config) -> Config:
    """The settings in full, for two outer steps."""
    config = resolved(config)
    return replace(config, outer_steps=2, minutes=None, networks=2, judges=1, outer_batch=32)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a set of LeNet's, and the data and the patience of a test."""
    digit_set().save(tmp_path / "set.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("distill.data.images.load", few_digits)
    monkeypatch.setattr(distill.runs.library, "resolved", short)
    monkeypatch.setattr(torch, "set_flush_denormal", lambda _: True)  # other tests go on in this process
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name)
def test_the_python_of_a_page_runs_in_its_order(page: Path) -> None:
    scope: dict = {"__name__": "page"}
    for code in blocks(page, "python"):
        exec(compile(code, name(page), "exec"), scope)
    assert len(scope) > 1


LINES = [
    line.split("#")[0].strip()
    for page in PAGES
    for block in blocks(page, "sh")
    for line in block.splitlines()
]
COMMANDS = sorted({line for line in LINES if line})


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = shlex.split(line)
    if first == "make":
        assert f"\n{rest[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        return
    if first == "torchrun":
        first, *rest = "distill", "image", *rest[rest.index("distill.mnist") + 1 :]
    assert first == "distill"
    module = importlib.import_module(f"distill.commands.{VERBS[rest[0]][0]}")
    for home in (module, importlib.import_module("distill.commands.cli")):
        monkeypatch.setattr(home, "answer", lambda job, as_json: 0, raising=False)
    assert module.main(rest[1:], "distill") == 0


def test_every_page_is_in_the_navigation() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name(p) for p in PAGES if name(p) not in settings] == []


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    named = {word.split(".")[-1] for word in re.findall("^::: (.+)$", page, re.MULTILINE)}
    assert {*distill.__all__, *distill.student.__all__} <= named


def test_the_pages_show_the_readme_s_sections_and_refuse_one_that_is_not_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page, line in (("file", "| `schedule` |"), ("kd", "| `hinton` |"), ("options", "| `--n 10` |")):
        shown = filled((ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8"))
        (row,) = (row for row in readme.splitlines() if row.startswith(line))
        assert row in shown
    with pytest.raises(ValueError, match='no heading "Nothing"'):
        filled("<!-- README: Nothing -->")


def test_the_first_example_has_about_ten_lines() -> None:
    first = blocks(ROOT / "docs" / "index.md", "python")[0]
    statements = [line for line in first.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(statements) <= 10


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: make docs installs it")
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "reference" / "api.html").read_text(encoding="utf-8")
    assert all(f'id="distill.{word}"' in page for word in ("api.distill", "DistilledSet", "Recompute"))
    sent_for = [
        found
        for built in tmp_path.rglob("*.html")
        for found in re.findall(r'(?:src|rel="stylesheet" href)="(https?://[^"]+)', built.read_text("utf-8"))
    ]
    assert sent_for == []  # nothing of a page comes from another host


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_figure_is_one_of_the_benchmarks(page: Path) -> None:
    measured = (ROOT / "README.md").read_text(encoding="utf-8")
    figures = re.findall(
        r"\d+\.\d+(?: ± \d+\.\d+)? %|\d+\.\d+ s\b|\d+ MiB|\d+\.\d+ times", filled(page.read_text("utf-8"))
    )
    assert [figure for figure in figures if figure not in measured] == []
