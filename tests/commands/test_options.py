"""The command line is made from settings: groups, metavars, one default each, errors of one sentence."""

import re
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest

import distill
from distill.__main__ import main
from distill.commands import VERBS
from distill.commands.options import list_options, parse
from distill.inner.engines import ENGINES
from distill.methods import METHODS
from distill.registry import option
from distill.runs.settings import ImageSettings
from tests.helpers import run_module

FIRST = ("n", "ipc", "dataset", "data-dir", "labels", "network", "init", "method", "minutes", "out")


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_values_plainly_and_each_default_once(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(capsys, verb)
    assert "None" not in text
    assert not re.search(r"\b(STR|INT|BOOL)\b|\{", text)
    for entry in re.split(r"\n  (?=-|[A-Z])", text):
        assert len(re.findall(r"\(default: ", entry)) <= 1 + ("; of a results.pth" in " ".join(entry.split()))


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_help(verb: str) -> None:
    settings = import_module(f"distill.commands.{VERBS[verb][0]}").SETTINGS
    groups = list_options(settings)
    options = [o for _, group in groups for o in group]
    assert len(options) > 2
    assert [o.flag for o in options if len(o.help) < 5] == []
    methods = [group for title, group in groups if title.startswith("--method")]
    others = [o.flag for _, group in groups if group not in methods for o in group]
    for group in [[], *methods]:  # a run has one method, and two may share an option
        flags = [*others, *(o.flag for o in group)]
        assert len(set(flags)) == len(flags)


def test_options_that_methods_share_take_the_same_values() -> None:
    metavars: dict[str, str] = {}
    for title, group in list_options(import_module("distill.commands.image").SETTINGS):
        for o in group if title.startswith("--method") else ():
            assert metavars.setdefault(o.flag, o.metavar) == o.metavar


def test_the_ten_options_that_people_use_first_are_on_the_first_screen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = help_of(capsys, "image").splitlines()
    screen = "\n".join(lines[:40])
    assert re.findall(r"^  --([a-z-]+) [A-Z]", screen, re.MULTILINE)[:10] == list(FIRST)
    groups = [line for line in lines if re.fullmatch(r"\S.*:", line)]
    starts = ("what people use first", "What to distil", "The network", "Inner training", "Outer loop")
    assert [g.startswith(s) for g, s in zip(groups, (*starts, "Measuring", "The run"), strict=True)] == [
        True
    ] * 7


@pytest.mark.parametrize(("kind", "table"), [("method", METHODS), ("engine", ENGINES)])
def test_methods_and_engines_show_their_own_options(
    kind: str, table: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    groups = dict(list_options(ImageSettings()))
    for word in table:
        options = groups.get(f"--{kind} {word}", [])
        text = help_of(capsys, "image", f"--{kind}", word)
        assert all(f"{o.flag} {o.metavar}" in text for o in options)
        assert all(f"{o.flag} {o.metavar}" not in help_of(capsys, "image") for o in options)


@dataclass(frozen=True)
class Part:
    """A part"""

    count: int = option(3, "COUNT", above=0)
    """How many."""
    names: tuple[str, ...] = option((), "NAME")
    """Which."""
    loud: bool = option(False)
    """Whether."""


@dataclass(frozen=True)
class Example:
    """An example of settings."""

    part: Part = field(default_factory=Part)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], Part()),
        (["--count", "5", "--loud"], Part(5, loud=True)),
        (["--count=-2", "--names", "a", "b"], Part(-2, ("a", "b"))),
        (["--count", "1", "--count", "2"], Part(2)),
    ],
)
def test_words_fill_the_parts(arguments: list[str], part: Part) -> None:
    settings, given = parse(Example(), arguments, "example")
    assert settings == Example(part)
    assert given == {word.split("=")[0][2:] for word in arguments if word.startswith("--")}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--cuont", "5"],
            'distill: no option called "--cuont"; did you mean "--count"? (--help lists them)\n',
        ),
        (["--count", "five"], "distill: --count: not a whole number: 'five'\n"),
        (
            ["--count"],
            "distill: --count: a value is missing (write --option=VALUE where it begins with a dash)\n",
        ),
        (
            ["--coun", "5"],
            'distill: no option called "--coun"; did you mean "--count"? (--help lists them)\n',
        ),
        (["5"], 'distill: "5" belongs to no option\n'),
    ],
)
def test_a_wrong_word_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(Example(), arguments, "example")
    assert capsys.readouterr().err == sentence


def test_a_data_set_that_stands_alone_is_led_to_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["image", "fashion-mnist"])
    assert "if it is your data, write --dataset fashion-mnist\n" in capsys.readouterr().err


def test_the_version_is_that_of_the_package() -> None:
    assert run_module("distill", "--version").stdout == f"distill {distill.__version__}\n"
