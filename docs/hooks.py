"""Pages that are made from other files of the repository, so that each text stands in one place.

In a page, a line such as `<!-- file: benchmarks/results/mnist.md -->` becomes what DIRECTIVES makes of it:

    file: PATH        a Markdown file of the repository
    code: PATH        a file of the repository as a block of code
    readme: WORDS     the README's block of Python that contains these words
    options: VERB     the options of `distill VERB`, group by group, from its settings
    words: ROOM.TABLE the words of a table: networks.IMAGES …, with further fields that follow its name
    rooms: distill    the rooms of the package and a line for each of their files, from the docstrings
    gallery: zoo      the sets of the zoo as pictures, with what their files say
    chart: headline   the table of the README as bars
    picture: PATH.pt  the items of one set
"""

import ast
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]

Option = tuple[str, str, str, str]  # flag, metavar, default in words, help


def fill(markdown: str) -> str:
    """A page with its directives replaced. Raises ValueError or OSError for one that has nothing to show."""
    for name, make in DIRECTIVES.items():
        markdown = re.sub(rf"<!-- {name}: (.+?) -->", lambda match, make=make: make(match[1]), markdown)
    return markdown


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def show_file(name: str) -> str:
    """A Markdown file, its links turned to pages of the site; links to other files become their names."""
    text = re.sub(r"\]\(docs/([^)]+\.md(?:#[^)]*)?)\)", r"](\1)", read(name).strip())
    return re.sub(r"\[([^\]]+)\]\((?!http|#)([^)]+)\)", link, text)


def link(match: re.Match[str]) -> str:
    """A link to a page as it is, to another file as its name."""
    return match[0] if (DOCS / match[2].split("#")[0]).is_file() else f"`{match[1].strip('`')}`"


def show_code(name: str) -> str:
    language = {".py": "python", ".yaml": "yaml"}.get(Path(name).suffix, "text")
    return f'```{language} title="{name}"\n{read(name).strip()}\n```'


def show_readme(words: str) -> str:
    """A block of Python of the README. Raises ValueError where none contains the words."""
    blocks = re.findall(r"```python\n.*?```", read("README.md"), re.DOTALL)
    matches = [block for block in blocks if words in block]
    if not matches:
        raise ValueError(f'README.md has no block of Python with "{words}"')
    return matches[0]


def show_options(verb: str) -> str:
    """The options of a verb as a table per group."""
    parts = []
    for title, options in options_of(verb):
        rows = [
            [f"`{flag} {metavar}`".replace(" `", "`"), mark_flags(help), mark_flags(default)]
            for flag, metavar, default, help in options
        ]
        parts.append(f"**{title}**\n\n{table(['option', 'what it does', 'default'], rows)}")
    return "\n\n".join(parts)


def mark_flags(text: str) -> str:
    """A help text with its flags as code, so that no browser breaks them or joins their hyphens."""
    return re.sub(r"(?<![\w-])--[a-z][a-z-]*", lambda found: f"`{found[0]}`", text)


def options_of(verb: str) -> list[tuple[str, list[Option]]]:
    """The options of a verb by group."""
    from distill.commands import VERBS
    from distill.commands.options import list_options

    settings = import_module(f"distill.commands.{VERBS[verb][0]}").SETTINGS
    return [(title, [tuple(option) for option in options]) for title, options in list_options(settings)]


def show_words(name: str) -> str:
    """The words of a room's table, with their summaries and, after its name, fields of the entries.

    Nothing where the room has no such table.
    """
    path, *columns = name.split()
    rows = [
        [f"`{word}`", entry.summary, *(show_field(getattr(entry, column)) for column in columns)]
        for word, entry in find_table(path).items()
    ]
    return table(["word", "what it is", *columns], rows) if rows else ""


def show_field(value: Any) -> str:
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def find_table(path: str) -> dict[str, Any]:
    """A room's table by its path, "networks.IMAGES"; empty where there is none."""
    room, _, name = path.rpartition(".")
    return dict(getattr(import_module(f"distill.{room}"), name, {}))


def show_rooms(package: str) -> str:
    """Each room in the order of the imports: what it is for, and the one job of each of its files."""
    order = re.search(r"^ROOMS = (\(.*?\))", read("tests/test_imports.py"), re.DOTALL | re.MULTILINE)
    rooms = [ROOT / package / name for name in ast.literal_eval(order[1])] if order else []
    return "\n\n".join(show_room(room, "##") for room in rooms)


def show_room(room: Path, heading: str) -> str:
    """A room, and the rooms inside it."""
    files = [path for path in sorted(room.glob("*.py")) if path.name != "__init__.py"]
    rows = [[f"`{path.name}`", docstring(path).split("\n")[0]] for path in files]
    inner = [path for path in sorted(room.iterdir()) if (path / "__init__.py").is_file()]
    name = str(room.relative_to(ROOT / "distill"))
    parts = [f"{heading} {name}", docstring(room / "__init__.py"), table(["file", "what it does"], rows)]
    return "\n\n".join([*parts, *(show_room(path, heading + "#") for path in inner)])


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; a | inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def show_gallery(folder: str) -> str:
    return str(import_module("benchmarks.gallery").page(sorted((ROOT / folder).glob("*.pt"))))


def show_picture(name: str) -> str:
    from distill.sets.distilled import DistilledSet

    return str(import_module("benchmarks.gallery").picture(DistilledSet.load(ROOT / name)))


def show_chart(name: str) -> str:
    return str(import_module(f"benchmarks.{name}").chart())


DIRECTIVES = {
    "file": show_file,
    "code": show_code,
    "readme": show_readme,
    "options": show_options,
    "words": show_words,
    "rooms": show_rooms,
    "gallery": show_gallery,
    "picture": show_picture,
    "chart": show_chart,
}


def on_config(config: Any, **_: Any) -> Any:
    """The version in the header, and the repository where CITATION.cff names one."""
    config["site_name"] = f"distill {import_module('distill').__version__}"
    repository = re.search(r'^repository-code: "?([^"\n]+)', read("CITATION.cff"), re.MULTILINE)
    if repository:
        config["repo_url"] = repository[1]
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What mkdocs calls for each page; a figure such as 85.0 ± 2.6 % is kept on one line."""
    return re.sub(r"(?<=\d) (?=[±%])|(?<=±) (?=\d)", "\u00a0", fill(markdown))
