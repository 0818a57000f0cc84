"""Mail addresses, links, numbers and names in texts, found by rules, and how many of them a set keeps.

The rules are no recogniser: they miss names in lower case and at the beginning of a sentence, and take every
other capitalised word for a name.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PATTERNS = {  # in the order in which they are looked for: what one has found, the next does not see
    "mails": re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    "links": re.compile(r"(?:https?://|www\.)[^\s<>\"']*[\w/]", re.IGNORECASE),
    "numbers": re.compile(r"(?<!\d)\+?\d(?:[ ().-]{0,2}\d){5,}"),
}
KINDS = (*PATTERNS, "names")
TOKEN = re.compile(
    r"(?P<title>\b(?:Mr|Mrs|Ms|Dr|Prof|St|[A-HJ-Z])\.)"  # its dot ends no sentence
    r"|(?P<end>[.!?…]+(?=[\s\"'”’)\]]|$))"
    r"|(?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)"
)


def mask(text: str) -> str:
    """The text with <mail>, <link> and <number> in the place of each; names stay."""
    for kind, pattern in PATTERNS.items():
        text = pattern.sub(f"<{kind[:-1]}>", text)
    return text


def find_personal(texts: Iterable[str]) -> dict[str, set[str]]:
    """The distinct mails, links, numbers and names of texts, by these words.

    mails in lower case, links with http:// or www., numbers of six digits or more (spaces, dots, hyphens and
    brackets may stand between) as digits alone, names by find_names().
    """
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for text in texts:
        for kind, pattern in PATTERNS.items():
            found[kind].update(normalise(kind, item) for item in pattern.findall(text))
            text = pattern.sub(f"<{kind[:-1]}>", text)
        found["names"].update(find_names(text))
    return found


def normalise(kind: str, item: str) -> str:
    """One spelling of a mail or a number, so that each counts once."""
    if kind == "numbers":
        return re.sub(r"\D", "", item)
    return item.casefold() if kind == "mails" else item


def find_names(text: str) -> list[str]:
    """Capitalised words inside a sentence, but for its first word, "I" and words in capitals throughout."""
    names, begins = [], True
    for token in TOKEN.finditer(text):
        word = token["word"]
        if word and not begins and is_capitalised(word):
            names.append(word.removesuffix("'s").removesuffix("’s"))
        begins = token["end"] is not None
    return names


def is_capitalised(word: str) -> bool:
    """Whether a word begins with a capital and has small letters; not so "I'm"."""
    return word[0].isupper() and word != word.upper() and word[:2] not in ("I'", "I’")


def count_personal(text: Mapping[str, Any], training_texts: Sequence[str]) -> dict[str, Any]:
    """What the file of a set, whose `text` metadata this is, keeps of the training texts' personal data.

    For each kind [kept, all]: how many distinct ones stand in the real sentences that the file holds, and in
    the training texts; items: the numbers, from 1, of the items beside which stands a mail or a number.
    """
    per_item = [
        find_personal([*text["nearest"][i], *text["mixture"][i]]) for i in range(len(text["nearest"]))
    ]
    if "sentences" in text:
        per_item = [find_personal([sentence]) for sentence in text["sentences"]]
    everywhere = find_personal(training_texts)
    kept = {kind: set().union(*(found[kind] for found in per_item)) for kind in KINDS}
    return {
        **{kind: [len(kept[kind] & everywhere[kind]), len(everywhere[kind])] for kind in KINDS},
        "items": [i for i, found in enumerate(per_item, 1) if found["mails"] or found["numbers"]],
    }


def describe_counts(counts: Mapping[str, Any]) -> str:
    """'0 of 812 mails, 1 of 903 numbers, 3 of 2,110 names (0.1 %)', but for kinds without any."""
    parts = []
    for kind in KINDS:
        kept, total = counts[kind]
        share = f" ({100 * kept / total:.1f} %)" if kept else ""
        parts += [f"{kept:,} of {total:,} {kind}{share}"] if total else []
    return ", ".join(parts) or "there were no mails, links, numbers or names"


def describe_items(counts: Mapping[str, Any], n: int, real: bool) -> str:
    """'2 of the 10 sentences hold a mail address or a number: look at …'; "" where none does.

    real: whether the items are real sentences; else such sentences stand beside them.
    """
    places = [f"{i:,}" for i in counts["items"]]
    if not places:
        return ""
    many, noun = len(places) > 1, "sentence" if real else "item"
    holds = ("hold" if many else "holds") if real else ("are" if many else "is") + " shown beside"
    listed = " and ".join([", ".join(places[:-1]), places[-1]] if many else places)
    what = ("" if real else "real sentences with ") + "a mail address or a number"
    where = f"{noun}{'s' * many} {listed}"
    return f"{len(places):,} of the {n:,} {noun}s {holds} {what}: look at {where} before you publish the set"


def list_count_lines(text: Mapping[str, Any]) -> list[str]:
    """The lines on personal data at the end of sentences.txt; none where it was not counted."""
    if "personal" not in text:
        return []
    counts, n = text["personal"], len(text["nearest"])
    kept = f"kept of what the rules find in all training texts: {describe_counts(counts)}"
    warning = describe_items(counts, n, "sentences" in text)
    return ["", kept, "(a name is a capitalised word inside a sentence)", *([warning] if warning else [])]
