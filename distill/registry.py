"""The tables of the rooms and of their options, and the one check of what an option gets. Imports no torch.

Every room has one table, {word: Entry}: what a word stands for, and where it lives. Each settings
class is a table of options: type, range, words and cost of each, and what it has no effect without. The
command line, "did you mean", the lists of the documentation and the contract tests are made from both.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from functools import cache
from importlib import import_module
from math import isfinite
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NamedTuple,
    Optional,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from distill.errors import UserError, quote, unknown


class Entry(NamedTuple):
    """Where a thing lives, as "distill.networks.images:LeNet", and one line that says what it is."""

    place: str
    summary: str


def load(entry: Entry) -> Any:
    """What an entry stands for; its module is imported now."""
    module, _, name = entry.place.partition(":")
    return getattr(import_module(module), name) if name else import_module(module)


def find(table: Mapping[str, Entry], noun: str, word: str) -> Any:
    """What a word of a table stands for. Raises UserError: 'no network called "lenett"; did you mean …'."""
    if word not in table:
        raise UserError(unknown(noun, word, table))
    return load(table[word])


def words_of(choices: Iterable[str]) -> str:
    """The words of an option for its help: with their summaries, where a table has some."""
    if isinstance(choices, Mapping):
        return "; ".join(f"{word}: {getattr(entry, 'summary', entry)}" for word, entry in choices.items())
    return ", ".join(choices)


T = TypeVar("T")
if TYPE_CHECKING:  # the code reads resolved settings, which have a value
    Auto = Annotated[T, "filled in by resolve()"]
else:
    Auto = Optional
AUTO: Any = None

COUNT: dict[str, Any] = {"above": 0, "at_most": 10_000, "cost": (40_000, "bytes")}  # small networks
COUNT_OR_NONE: dict[str, Any] = {"at_least": 0, "at_most": 10_000, "cost": (40_000, "bytes")}
ITEMS: dict[str, Any] = {"above": 0, "at_most": 10**6, "cost": (20_000, "bytes")}  # small images, learned
STEPS: dict[str, Any] = {"above": 0, "at_most": 10**9, "cost": (0.001, "seconds")}
EPOCHS: dict[str, Any] = STEPS | {"at_most": 10**6}
RATE: dict[str, Any] = {"above": 0, "at_most": 1e30}
THREADS: dict[str, Any] = {"above": 0, "at_most": 1024, "cost": (8e6, "bytes")}


class Option(NamedTuple):
    """What the table says of an option beside its type, its default and its docstring, which is the help."""

    metavar: str | None = None  # stands for its value in help
    choices: tuple[str, ...] = ()  # the words that it takes
    words: str = ""  # the choices for help, with their summaries
    above: float | None = None  # a number must exceed it
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None
    cost: tuple[float, str] | None = None  # one unit takes so many "bytes" or "seconds": why at_most
    needs: Mapping[str, tuple[str, ...]] = {}  # no effect unless these have one of the words, or any value
    without: str = ""  # it has no effect beside this option
    noun: str = ""  # what its words are called: "no place called …" (default: its name)
    file: str | None = None  # its value may also be a file with this ending, instead of one of the choices
    prefix: str | None = None  # its value may also begin so, instead of one of the choices
    empty: bool = False  # an empty word means something
    first: bool = False  # among the options that people use first
    identity: bool = True  # part of what makes two runs the same run
    positional: bool = False  # it has no flag and comes first


def option(
    default: Any = None, metavar: str | None = None, *, choices: Iterable[str] = (), **rules: Any
) -> Any:
    """A field of a settings class that is an option of the command line; its docstring is the help.

    choices are the words that it takes, as of a room's table; for the rules see Option.
    """
    rule = Option(metavar, tuple(choices), words_of(choices), **rules)
    missing = rule.positional and default is None
    return field(default=MISSING if missing else default, metadata=rule._asdict())


def options_of(settings: Any) -> tuple[Field[Any], ...]:
    """The fields of a settings class that are options."""
    return tuple(f for f in fields(settings) if "metavar" in f.metadata)


# Checks of options: every door passes check_options(), and a run also check_effects()

TYPE_WORDS = {bool: "True or False", int: "a whole number", float: "a finite number", str: "a word"}
UNITS = {
    "bytes": ((1e18, "EB"), (1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1.0, "bytes")),
    "seconds": ((31_557_600.0, "years"), (86_400.0, "days"), (3600.0, "hours"), (1.0, "seconds")),
}
Spelling = Callable[[str], str]


def flag(name: str) -> str:
    """An option as the command line writes it."""
    return "--" + name.replace("_", "-")


def python_name(name: str) -> str:
    """An option as Python writes it."""
    return name


def spelling(settings: Any) -> Spelling:
    """How the command line of these settings writes an option: the flags of the class, else its name."""
    flags = getattr(settings, "flags", {})
    return lambda name: flag(flags.get(name, name))


def check_options(settings: Any, spell: Spelling | None = None) -> None:
    """Raise UserError for the first option whose value has not the type, word or range of its table."""
    spell = spell or spelling(settings)
    for part in parts_of(settings):
        for f in options_of(part):
            check_value(type(part), f, getattr(part, f.name), spell)


def check_value(owner: type, option_field: Field[Any], value: Any, spell: Spelling = flag) -> None:
    """Raise UserError where an option of a settings class cannot have this value."""
    name, rule = option_field.name, option_field.metadata
    hint = hints_of(owner)[name]
    if value is None and type(None) in get_args(hint):
        return
    check_type(spell(name), hint, value)
    if isinstance(value, str):
        check_word(spell(name), option_field, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        check_range(spell(name), rule, value)


@cache
def hints_of(settings_class: type) -> dict[str, Any]:
    """The types of a class's fields; an engine is made anew, and looked at, in each outer step."""
    return get_type_hints(settings_class)


def check_type(name: str, hint: Any, value: Any) -> None:
    """Raise UserError where a value is not of an option's type; a float is finite and may be an int."""
    words = value if isinstance(value, tuple | list) and get_origin(hint) is tuple else (value,)
    expected = next(t for t in TYPE_WORDS if t in (hint, *get_args(hint)))
    for word in words:
        right = isinstance(word, int | float) if expected is float else isinstance(word, expected)
        if not right or (isinstance(word, bool) and expected is not bool) or is_infinite(word):
            raise UserError(f"{name} must be {TYPE_WORDS[expected]}, not {quote(word)}")


def is_infinite(value: Any) -> bool:
    """Whether a number is infinite, nan, or a whole number too large for a float."""
    try:
        return isinstance(value, int | float) and not isfinite(value)
    except OverflowError:
        return True


def check_word(name: str, option_field: Field[Any], value: str) -> None:
    """Raise UserError for a word that is empty, or none of the choices."""
    rule = option_field.metadata
    if not value and option_field.default != "" and not rule["empty"]:
        raise UserError(f"{name} is empty: give a value, or leave it out")
    if "\0" in value:
        raise UserError(f"{name} holds a NUL character: give {quote(value)} without it")
    is_place = rule["file"] is not None and value.endswith(rule["file"])
    is_place |= rule["prefix"] is not None and value.startswith(rule["prefix"])
    if rule["choices"] and value not in rule["choices"] and not is_place:
        noun = rule["noun"] or option_field.name.replace("_", " ")
        raise UserError(f"{name}: {unknown(noun, value, rule['choices'])}")


def check_range(name: str, rule: Mapping[str, Any], value: float) -> None:
    """Raise UserError for a number outside of an option's range; of one too large, what it would take."""
    above, least, below, most = (rule[key] for key in ("above", "at_least", "below", "at_most"))
    if above is not None and not value > above:
        raise UserError(f"{name} must be above {above:g}, not {value:g}")
    fits_below, fits_most = below is None or value < below, most is None or value <= most
    if least is not None and not (value >= least and fits_below and (fits_most or rule["cost"])):
        if below is not None:
            raise UserError(f"{name} must be at least {least:g} and below {below:g}, not {value:g}")
        if most is not None and not rule["cost"]:
            raise UserError(f"{name} must be between {least:g} and {most:g}, not {value:g}")
        raise UserError(f"{name} must be at least {least:g}, not {value:g}")
    if not fits_most:
        takes = f": it would take {describe_cost(value, *rule['cost'])} or more" if rule["cost"] else ""
        raise UserError(f"{name} must be at most {format_number(most)}, not {format_number(value)}{takes}")


def format_number(value: float) -> str:
    """A number as a sentence holds it: '2,000', '1e+30'."""
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**15 else f"{value:g}"


def describe_cost(count: float, each: float, unit: str) -> str:
    """So many units of a cost in words: '20 TB of memory', '31,688 years'."""
    total = count * each
    size, word = next(((s, w) for s, w in UNITS[unit] if total >= s), UNITS[unit][-1])
    return f"{total / size:,.0f} {word}" + (" of memory" if unit == "bytes" else "")


def check_effects(settings: Any, given: Collection[str]) -> None:
    """Raise UserError for the first of the given options that has no effect beside the others."""
    spell = spelling(settings)
    values = {f.name: getattr(part, f.name) for part in parts_of(settings) for f in options_of(part)}
    rules = {f.name: f.metadata for part in parts_of(settings) for f in options_of(part)}
    for name in sorted(rules.keys() & set(given)):
        for other, words in rules[name]["needs"].items():
            value, unset = values[other], words and values[other] is None  # resolve() will fill it in
            if not unset and ((str(value) not in words) if words else not value):
                missing = " or ".join(f"{spell(other)} {word}" for word in words) or spell(other)
                sentence = f"{spell(name)} has no effect without {missing}"
                raise UserError(f"{sentence}: give {missing}, or leave {spell(name)} out")
        if rules[name]["without"] and values[rules[name]["without"]] is not None:
            other = spell(rules[name]["without"])
            raise UserError(f"{spell(name)} has no effect beside {other}: leave one of them out")


def parts_of(settings: Any) -> Iterator[Any]:
    """The parts of settings that hold options; settings without parts are one."""
    if options_of(settings):
        yield settings
    for f in fields(settings):
        part = getattr(settings, f.name)
        if is_dataclass(part) and not isinstance(part, type):
            yield part
