"""Distil messages of two or more classes into a few sentences that you can read, check and ship.

    python examples/moderation.py ENCODER                     # 10,000 messages are made, spam and fine
    python examples/moderation.py ENCODER --csv mine.csv      # columns text and label
    python examples/moderation.py ENCODER --mask              # <mail>, <link> and <number> stand for each

ENCODER is the folder of a sentence encoder, or its name on the Hugging Face hub, such as all-MiniLM-L6-v2
(pip install 'distill[transformers]'). Every fifth message is a test message. With --mask, mask new messages
too before you classify them, by distill.data.encoders.personal.mask(text).
"""

import argparse
import csv
import random
from collections.abc import Sequence
from pathlib import Path

from distill.commands.text import main as distil_texts
from distill.data.encoders.personal import describe_counts, describe_items, mask
from distill.data.files.rows import LABEL_KINDS, read_rows, select_column
from distill.errors import UserError
from distill.sets.distilled import DistilledSet

Message = tuple[str, str]
STARTS, ENDS = (
    "Al Be Ca Do El Fa Gi Ha Is Jo Ka Lu Ma No Pe Ro Sa To Vi Wi",
    "na ra lin ton mar vin dra sel wick bert",
)
TEMPLATES = {
    "spam": (
        "{name}, you have won {prize}! Call {number} to claim it today",
        "Cheap {goods} for you, {name}: order at {link} before midnight",
        "Your account is blocked. Dear {name}, send your password to {mail}",
        "Earn {amount} a week from home, no experience needed! Write to {mail}",
        "Final notice: {amount} is waiting, text WIN to {number}",
        "Lose weight fast with our {goods}, free trial at {link}",
        "Hot stock tip for {name}: double your money with {goods} now",
    ),
    "fine": (
        "Hi {name}, shall we meet at {place} after work?",
        "The minutes of the {topic} are attached. Please send comments to {name} at {mail}",
        "I am late, please tell {name} to start the {topic} without me",
        "My new number is {number}, the old phone fell into the sea at {place}",
        "Thanks for dinner, {name} and the children loved the {food}",
        "Can you bring {food} when you come to {place}? {name} forgot it",
        "The {topic} moves to Thursday, ask {name} or call {number}",
    ),
}  # fmt: skip
EITHER = (
    "Please call {name} on {number}",
    "Look at this, {name}: {link}",
    "Write to {mail} about the {goods}",
)
WORDS = {
    "prize": ["a car", "a holiday", "a phone", "a cruise", "two tickets", "a voucher"],
    "goods": ["watches", "pills", "loans", "crypto coins", "software", "perfumes", "handbags"],
    "amount": ["900 dollars", "75 pounds", "2,000 euros", "500 dollars", "half a million"],
    "place": ["the station", "the park", "our office", "the library", "my house", "the harbour"],
    "topic": ["project review", "budget meeting", "choir rehearsal", "school trip", "staff lunch"],
    "food": ["soup", "bread", "cheese", "apple cake", "salad", "noodles"],
}


def draw_messages(count: int, seed: int = 0) -> list[Message]:
    """So many (text, label) of two classes, with names, mails, links and numbers of nobody.

    One in twelve could be of either class.
    """
    draw = random.Random(seed)
    messages = []
    for i in range(count):
        label = ("spam", "fine")[draw.random() < 0.6]
        template = draw.choice(EITHER if draw.random() < 1 / 12 else TEMPLATES[label])
        first, last = ("".join(draw.choice(part.split()) for part in (STARTS, ENDS)) for _ in range(2))
        values = {
            **{word: draw.choice(choices) for word, choices in WORDS.items()},
            "name": f"{first} {last}", "mail": f"{first}.{last}{i}@example.org".lower(),
            "number": f"0{draw.randrange(10**9, 10**10)}", "link": f"http://{last.lower()}{i}.example.com",
        }  # fmt: skip
        messages.append((template.format(**values), label))
    return messages


def read_messages(path: Path) -> list[Message]:
    """(text, label) of the rows of a file with these columns. Raises DataError."""
    rows = list(read_rows(path))
    texts = select_column(rows, None, ("text",), path, "--csv")
    labels = select_column(rows, None, ("label",), path, "--csv", LABEL_KINDS)
    return list(zip(texts, labels, strict=True))


def write_messages(path: Path, messages: Sequence[Message]) -> str:
    """Write a csv of text and label; its path."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *messages])
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("encoder", help="the folder of a sentence encoder, or its name on the hub")
    parser.add_argument("--csv", type=Path, help="your messages, with columns text and label")
    parser.add_argument("--count", type=int, default=10_000, help="messages that are made without --csv")
    parser.add_argument("--n", type=int, default=10, help="how many sentences are chosen")
    parser.add_argument("--mask", action="store_true", help="mask mails, links and numbers first")
    parser.add_argument("--cache", help="the folder that keeps the embeddings")
    parser.add_argument("--out", type=Path, default=Path("moderation"), help="a folder for files and run")
    options = parser.parse_args()
    try:
        messages = read_messages(options.csv) if options.csv else draw_messages(options.count)
    except UserError as error:
        parser.error(str(error))
    if options.mask:
        messages = [(mask(text), label) for text, label in messages]
    options.out.mkdir(parents=True, exist_ok=True)
    train = write_messages(options.out / "train.csv", [m for i, m in enumerate(messages) if i % 5])
    test = write_messages(options.out / "test.csv", messages[::5])
    run = options.out / "run"
    cache = ["--cache", options.cache] if options.cache else []
    code = distil_texts([
        "--train", train, "--test", test, "--encoder", options.encoder, "--read-out", "sentences",
        "--n", str(options.n), "--test-networks", "20", "--network", "linear", "--dc-networks", "0", *cache,
        "--out", str(run), "--overwrite",
    ])  # fmt: skip
    if code:
        raise SystemExit(code)
    show(DistilledSet.load(run / "set.pt"), len(messages))


def show(data: DistilledSet, count: int) -> None:
    """Print the sentences, what they keep of personal data, and what a probe learns from them."""
    text = data.text or {}
    print(f"\n{count:,} messages became these {len(data)}:")
    for sentence, label in zip(text["sentences"], data.labels, strict=True):
        print(f"  {data.source['classes'][int(label.argmax())]:>8}  {sentence}")
    print(f"kept of the personal data: {describe_counts(text['personal'])}")
    print(
        describe_items(text["personal"], len(data), real=True)
        or "no sentence holds a mail address or a number"
    )
    print(f"a probe trained on the sentences: {100 * data.scores['accuracy']['mean']:.1f} %")
    print(f"a probe trained on all messages: {100 * data.scores['full_data']:.1f} %")


if __name__ == "__main__":
    main()
