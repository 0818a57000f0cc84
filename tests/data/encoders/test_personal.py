"""Mails, links, numbers and names: what the rules find in a list of texts, and what they pass over."""

import pytest

from distill.data.encoders.personal import (
    count_personal,
    describe_counts,
    describe_items,
    find_names,
    find_personal,
    mask,
)

TEXTS = [
    "Write to Anna at Anna.Smith+x@mail.example.org, please.",
    "Call 555-0100-22 or +1 (555) 010-2345! Ask for Dr. Jones.",
    "ANNA.SMITH+X@mail.example.org again, or 555 0100 22.",
    "I saw 3 cats in 2019. They cost 1,000,000. I'm sure that I do.",
    "See https://example.com/a?b=1, and www.example.org. Then go.",
    "Account AB12345678 of O'Brien's; NATO and SMS are no names.",
]


def test_each_kind_is_found_once_in_one_spelling() -> None:
    assert find_personal(TEXTS) == {
        "mails": {"anna.smith+x@mail.example.org"},
        "links": {"https://example.com/a?b=1", "www.example.org"},
        "numbers": {"555010022", "15550102345", "12345678"},
        "names": {"Anna", "Jones", "O'Brien"},
    }


@pytest.mark.parametrize(
    "text",
    ["3 cats", "I", "Anna called.", "So do I. Then we left! Why? “Because …” Nobody knows.", "Yes, I'm here",
     "a@b", "12,345,678", "at 10.30", "2019 and 2020", "CALL NOW", "the END", "", "écrire à Ça".lower()],
)  # fmt: skip
def test_nothing_is_found_in(text: str) -> None:
    assert not any(find_personal([text]).values())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ask Mr. Brown, J. Smith or Zoë.", ["Brown", "Smith", "Zoë"]),
        ("Regards,\nAnna", ["Anna"]),
        ("a@b.org Anna: 555555 Bob", ["Anna", "Bob"]),
        ("He lives in Berlin. Berlin is far. Anna-Lena's house", ["Berlin"]),
        ("we met Anna-Lena's friend", ["Anna-Lena"]),
    ],
)
def test_names_are_capitalised_words_inside_a_sentence(text: str, names: list[str]) -> None:
    assert find_names(mask(text)) == names


def test_a_mask_stands_for_each_mail_link_and_number_and_hides_them() -> None:
    assert mask("Anna: a.b@c.org, http://x.org/7777777 or 030 123456.") == "Anna: <mail>, <link> or <number>."
    found = find_personal(map(mask, TEXTS))
    assert not found["mails"] | found["links"] | found["numbers"]
    assert found["names"] == find_personal(TEXTS)["names"]


def test_what_real_sentences_keep_is_counted() -> None:
    text = {"sentences": [TEXTS[3], TEXTS[1]], "nearest": [[]] * 2, "mixture": [[]] * 2}
    counts = count_personal(text, TEXTS)
    assert counts == {"mails": [0, 1], "links": [0, 2], "numbers": [2, 3], "names": [1, 3], "items": [2]}
    assert describe_counts(counts) == (
        "0 of 1 mails, 0 of 2 links, 2 of 3 numbers (66.7 %), 1 of 3 names (33.3 %)"
    )


def test_the_sentences_beside_a_learned_item_count() -> None:
    text = {"nearest": [[TEXTS[3]], [TEXTS[3]]], "mixture": [[TEXTS[4]], [TEXTS[0], TEXTS[3]]]}
    counts = count_personal(text, TEXTS)
    assert counts == {"mails": [1, 1], "links": [2, 2], "numbers": [0, 3], "names": [1, 3], "items": [2]}


def test_where_there_is_nothing_it_is_said() -> None:
    counts = count_personal({"sentences": ["3 cats"], "nearest": [[]], "mixture": [[]]}, ["3 cats", "I"])
    assert describe_counts(counts) == "there were no mails, links, numbers or names"
    assert describe_items(counts, 1, real=True) == ""


@pytest.mark.parametrize(
    ("items", "real", "sentence"),
    [
        ([3, 7], True, "2 of the 10 sentences hold a mail address or a number: look at sentences 3 and 7"),
        ([3], True, "1 of the 10 sentences holds a mail address or a number: look at sentence 3"),
        ([1, 2, 9], False, "3 of the 10 items are shown beside real sentences with a mail address or a"
                           " number: look at items 1, 2 and 9"),
    ],
)  # fmt: skip
def test_the_items_to_look_at_are_named(items: list[int], real: bool, sentence: str) -> None:
    assert describe_items({"items": items}, 10, real) == f"{sentence} before you publish the set"
