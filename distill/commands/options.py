"""From settings classes to a command line, by argparse: options in groups, plain metavars, one default each.

A settings class is a frozen dataclass whose option() fields are options, their docstrings the help; or it
holds parts that are such classes, each of which is a group. Methods, engines and parametrisations bring
options of their own: those of the selected ones are added. Imports torch only where such options are
asked for.
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn, get_args, get_type_hints

from distill.errors import cut
from distill.inner.engines import ENGINES
from distill.methods import METHODS
from distill.outer.parametrisations import PARAMETRISATIONS
from distill.registry import Entry, find, options_of
from distill.runs.settings.defaults.table import COMPUTED

FIRST = "what people use first"
PLUG_INS: dict[str, Mapping[str, Entry]] = {
    "method": METHODS, "engine": ENGINES, "parametrisation": PARAMETRISATIONS,
}  # fmt: skip


PLAIN_ENGLISH = {  # of argparse's messages
    "argument ": "",
    "invalid int value": "not a whole number",
    "invalid float value": "not a number",
    "expected one argument": "a value is missing (write --option=VALUE where it begins with a dash)",
}


class Option(NamedTuple):
    """One option as help and documentation show it; metavar is empty for a switch."""

    flag: str
    metavar: str
    default: str
    help: str


def parse(default: Any, arguments: Sequence[str] | None, prog: str) -> tuple[Any, frozenset[str]]:
    """The settings of a command line, and the names of the options that it gives.

    `default`, an object or a class, has the values of the others.
    Ends the program on --help (exit code 0) and on an unknown or wrong option (exit code 2).
    """
    parser, arguments = Parser(default, prog), sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        parser.add_plug_ins(
            {name: word_after(f"--{name}", arguments) for name in PLUG_INS}, only_selected=True
        )
        print(parser.format_help(), end="")
        parser.exit()
    namespace, unparsed = parser.parse_known_args(arguments)
    if unparsed:
        parser.add_plug_ins(vars(namespace), only_selected=False)
        namespace = parser.parse_args(arguments)
    return parser.to_settings(vars(namespace)), frozenset(vars(namespace))


def word_after(flag: str, arguments: Sequence[str]) -> str | None:
    """The word that follows a flag, or that is joined to it: --method frepo, --method=frepo."""
    value = None
    for word, following in pairwise([*arguments, ""]):
        if word == flag:
            value = following
        elif word.startswith(f"{flag}="):
            value = word.removeprefix(f"{flag}=")
    return value


class Parser(argparse.ArgumentParser):
    """argparse with a group for each part of the settings, and errors of one sentence."""

    def __init__(self, default: Any, prog: str) -> None:
        super().__init__(
            prog=prog, description=summary_of(class_of(default)), add_help=False, allow_abbrev=False,
            argument_default=argparse.SUPPRESS, formatter_class=Formatter,
        )  # fmt: skip
        self.default, self.plug_ins = default, dict[str, str]()
        self._negative_number_matcher = re.compile(r"^-(\d|\.\d|inf|nan)")  # -1e-3 is a value too
        parts = list(parts_of(default))
        several = any(field.metadata["first"] for _, part in parts for field in options_of(part))
        first = self.add_argument_group(FIRST) if several else None
        for title, part in parts:
            group = self.add_argument_group(title)
            for field in sorted(options_of(part), key=lambda f: not f.metadata["positional"]):
                place = first if first and field.metadata["first"] else group
                add_option(place, part, field, flag_of(part, field, default))
        self._action_groups[-1].add_argument("-h", "--help", action="store_true", help="Show this help.")
        places = [
            f.metadata["metavar"] for _, part in parts for f in options_of(part) if f.metadata["positional"]
        ]
        self.usage = " ".join([prog, *places, "[options]"])

    def add_plug_ins(self, values: Mapping[str, Any], only_selected: bool) -> None:
        """Add the options of the selected method and engine; of all the others too unless only_selected."""
        for plug_in, table in plug_ins_of(self.default).items():
            selected = [values[plug_in]] if values.get(plug_in) in table else []
            for word in selected if only_selected else dict.fromkeys([*selected, *table]):
                group = self.add_argument_group(f"options of --{plug_in} {word}")
                part = find(table, plug_in, word)
                for field in options_of(part):
                    if field.name not in self.plug_ins:
                        self.plug_ins[field.name] = f"{plug_in}_options"
                        add_option(group, part, field, flag_of(part, field, part))

    def to_settings(self, arguments: Mapping[str, Any]) -> Any:
        """The settings object of parsed arguments; settings of a run know which options were given."""
        values: dict[str, Any] = {"given": frozenset(arguments)}
        for name, value in arguments.items():
            if name in self.plug_ins:
                values.setdefault(self.plug_ins[name], {})[name] = value
            else:
                values[name] = value
        return fill(self.default, values)

    def error(self, message: str) -> NoReturn:
        """One sentence that says how to mend it, and exit code 2."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        self.exit(2, f"distill: {explain(message, flags)}\n")


class Formatter(argparse.HelpFormatter):
    """Flags in a narrow column; long ones have a line of their own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)


def plug_ins_of(default: Any) -> dict[str, Mapping[str, Entry]]:
    """The kinds of plug-ins that settings have an option for: texts, as an example, no parametrisations."""
    names = {field.name for _, part in parts_of(default) for field in options_of(part)}
    return {word: table for word, table in PLUG_INS.items() if word in names}


def list_options(default: Any) -> list[tuple[str, list[Option]]]:
    """The options of settings by group, those of methods and engines included, for documentation."""
    groups = list(parts_of(default))
    for plug_in, table in plug_ins_of(default).items():
        groups += [(f"--{plug_in} {word}", find(table, plug_in, word)) for word in table]
    return [
        (title, [describe_option(part, field, flag_of(part, field, default)) for field in options_of(part)])
        for title, part in groups
        if options_of(part)
    ]


def parts_of(default: Any) -> Iterator[tuple[str, Any]]:
    """(title, part) of each part of the settings; a settings object without parts is one."""
    if options_of(default):
        yield "options", default
    for field in fields(default):
        part = getattr(default, field.name, None)
        if is_dataclass(part) and not isinstance(part, type):
            yield summary_of(type(part)), part


def add_option(group: Any, part: Any, field: Field[Any], flag: str) -> None:
    """Add one option to a group of the parser."""
    option = describe_option(part, field, flag)
    text = f"{option.help} (default: {option.default})" if option.default else option.help
    text = text.replace("%", "%%")
    hint = value_type(class_of(part), field)
    if field.metadata["positional"]:
        group.add_argument(
            field.name, metavar=option.flag, help=text, **nargs_of(hint, "*" if field.default == () else "+")
        )
    elif hint is bool:
        group.add_argument(flag, dest=field.name, action="store_true", help=text)
    else:
        group.add_argument(flag, dest=field.name, metavar=option.metavar, help=text, **nargs_of(hint, "+"))


def nargs_of(hint: Any, count: str) -> dict[str, Any]:
    """argparse's arguments for a type: one value, or several for a tuple."""
    return {"type": get_args(hint)[0], "nargs": count} if get_args(hint) else {"type": hint}


def describe_option(part: Any, field: Field[Any], flag: str) -> Option:
    """An option in words. Words of a table that its help does not name are listed."""
    text, default_text = split_default(documents_of(class_of(part)).get(field.name, ""))
    choices, default = field.metadata["choices"], getattr(part, field.name, field.default)
    if any(word not in text for word in choices):
        names = ", ".join(choices) if field.metadata["first"] else field.metadata["words"]
        text = f"{text.rstrip('.')}: {names}."
    if not default_text and default is None and field.name in COMPUTED:
        default_text = COMPUTED[field.name].words
    if not default_text and not (
        default is None or default is False or default is MISSING or default in ("", ())
    ):
        default_text = str(default)
    flag = field.metadata["metavar"] if field.metadata["positional"] else flag
    metavar = "" if field.metadata["positional"] else field.metadata["metavar"] or ""
    return Option(flag, metavar, default_text, text.rstrip(".") + ".")


def split_default(text: str) -> tuple[str, str]:
    """A docstring's sentence, and what it says at its end of the default."""
    head, _, default_text = text.rstrip(".").rpartition(" (default: ")
    return (head, default_text.removesuffix(")")) if head and default_text.endswith(")") else (text, "")


def class_of(part: Any) -> type:
    """The class of a settings object, or the class itself."""
    return part if isinstance(part, type) else type(part)


def flag_of(part: Any, field: Field[Any], default: Any) -> str:
    """--target for the field dataset, where the settings call it so; else from the field's name."""
    name: str = getattr(default, "flags", {}).get(field.name, field.name)
    return "--" + name.replace("_", "-")


def value_type(settings_class: type, field: Field[Any]) -> Any:
    """The type of an option's value: of `int | None` int, of `tuple[str, ...]` itself."""
    hint = get_type_hints(settings_class)[field.name]
    if getattr(hint, "__origin__", None) is tuple:
        return hint
    return next((t for t in get_args(hint) if t is not type(None)), hint)


def fill(default: Any, values: Mapping[str, Any]) -> Any:
    """The settings object with these values in its parts; of a class, a new object."""
    if isinstance(default, type):
        names = {field.name for field in fields(default)}
        return default(**{name: to_tuple(value) for name, value in values.items() if name in names})
    changes: dict[str, Any] = {}
    for field in fields(default):
        part = getattr(default, field.name, None)
        if is_dataclass(part):  # a part may be called as one of its options is
            changes[field.name] = fill(part, values)
        elif field.name in values:
            changes[field.name] = to_tuple(values[field.name])
    return replace(default, **changes)


def to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def explain(message: str, flags: Sequence[str]) -> str:
    """argparse's message in one sentence of this command line."""
    if message.startswith("unrecognized arguments: "):
        word = (message.removeprefix("unrecognized arguments: ").split() or [""])[0]
        if not word.startswith("-"):
            named = "--dataset" in flags and word and not word.isnumeric()
            return f'"{cut(word)}" belongs to no option' + (
                f": if it is your data, write --dataset {cut(word)}" if named else ""
            )
        near = get_close_matches(cut(word), flags, n=1, cutoff=0.6)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        return f'no option called "{cut(word)}"{hint} (--help lists them)'
    if message.startswith("the following arguments are required: "):
        return f"{message.rpartition(': ')[2]} is missing: name it before the options (--help lists them)"
    for words, plain_words in PLAIN_ENGLISH.items():
        message = message.replace(words, plain_words, 1)
    return re.sub(r"'(.+)'$", lambda match: f"'{cut(match[1])}'", message)


def summary_of(settings_class: type) -> str:
    """The first line of a class's docstring."""
    return (inspect.getdoc(settings_class) or "").split("\n\n")[0].replace("\n", " ")


@cache
def list_classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module, read once: inspect reads the whole file for each class anew."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


@cache
def documents_of(settings_class: type) -> dict[str, str]:
    """The docstrings that stand below the fields of a class and of its bases."""
    documents: dict[str, str] = {}
    for base in reversed(settings_class.__mro__[:-1]):
        if is_dataclass(base):
            for node, following in pairwise(list_classes(base.__module__)[base.__name__].body):
                if isinstance(node, ast.AnnAssign) and isinstance(following, ast.Expr):
                    text = getattr(following.value, "value", None)
                    if isinstance(text, str) and isinstance(node.target, ast.Name):
                        documents[node.target.id] = " ".join(text.split())
    return documents
