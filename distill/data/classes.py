"""Which class of one data set is which of another: by its name, or by its place where nobody named it."""

import re
import sys
from collections.abc import Sequence

from distill.data.files.labels import list_words
from distill.errors import DataError

SHOWN = 10  # pairs of classes in a remark
NUMBER = re.compile(r"-?\d+")  # at the beginning of a name, as in "3" and "3 - three"


def match_classes(names: Sequence[str], classes: Sequence[str], name: str, owner: str) -> list[int]:
    """The place of each class of `name` among the same classes of `owner`: by its name.

    Classes that are just numbered, 0, 1, 2 …, have no names: as many of them, on either side, keep their
    places, and where the names of the other side do not say the same, a remark on stderr tells which is
    which. Raises DataError where the classes are others, or numbers in another order than by value.
    """
    if list(names) == list(classes):
        return list(range(len(names)))
    if len(set(names)) == len(names) == len(classes) and set(names) == set(classes):
        return [list(classes).index(word) for word in names]
    if len(names) == len(classes) and (is_numbered(names) or is_numbered(classes)):
        named, where = (classes, owner) if is_numbered(names) else (names, name)
        check_places(named, where, name if where == owner else owner)
        return list(range(len(names)))
    others = [word for word in (*names, *classes) if word not in names or word not in classes]
    raise DataError(
        f"{name} and {owner} differ in their classes ({list_words(others or names)}): give data of the same"
        " classes, or number them 0, 1, 2 … in the same order"
    )


def is_numbered(classes: Sequence[str]) -> bool:
    """Whether classes are 0, 1, 2 …, which is what they are called where nobody has named them."""
    return list(classes) == list(map(str, range(len(classes))))


def check_places(names: Sequence[str], name: str, owner: str) -> None:
    """Say on stderr which number each named class of `name` has, as the classes of `owner` have none.

    Nothing where the names begin with these numbers, as "3 - three". Raises DataError where they begin with
    numbers that are not in order, as the folders 1, 10, 2, so that their places are not what they say.
    """
    numbers = read_numbers(names)
    if numbers == list(range(len(names))):
        return
    if numbers and numbers != sorted(numbers):
        raise DataError(
            f"the classes of {name} are numbers in another order than by value ({list_words(names)}), and"
            f" those of {owner} are 0 … {len(names) - 1}: give both the same names (of folders, or in the"
            " array classes of an .npz)"
        )
    pairs = ", ".join(f"{place} = {word:.30}" for place, word in enumerate(names[:SHOWN]))
    more = f" … ({len(names)} classes)" if len(names) > SHOWN else ""
    print(
        f"the classes of {owner} are numbers without names: those of {name} are taken by their places,"
        f" {pairs}{more}; if that is wrong, give both the same names (of folders, or in the array classes of"
        " an .npz)",
        file=sys.stderr,
    )


def read_numbers(names: Sequence[str]) -> list[int]:
    """The numbers that names begin with; none where one has none, or two have the same."""
    matches = [NUMBER.match(name) for name in names]
    numbers = [int(match[0]) for match in matches if match]
    return numbers if len(set(numbers)) == len(names) else []
