"""log.jsonl: one JSON record per line; of a run of the outer loop one per outer step."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.sets.plain_types import has_type
from distill.sets.storage import write_text

NAME = "log.jsonl"


def read_lines(path: Path) -> list[Any]:
    """The JSON values of a file's lines; half a line that a killed run left behind is passed over."""
    values = []
    for line in path.read_bytes().split(b"\n") if path.is_file() else []:
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return values


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of the outer steps of a run in order."""
    return [
        record
        for record in read_lines(folder / NAME)
        if has_type(record, dict[str, float | None]) and isinstance(record.get("step"), int)
    ]


class LogFile:
    """A file of JSON records, one per line: these first, then what is added."""

    def __init__(self, folder: Path, records: Sequence[dict[str, Any]]) -> None:
        self.path = folder / NAME
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in records))

    def add(self, record: dict[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def sync(self) -> None:
        """Wait until all that was added is on the disk."""
        with open(self.path, "a", encoding="utf-8") as file:
            os.fsync(file.fileno())


class Log(LogFile):
    """The log of outer steps. What a killed run wrote after its last checkpoint is dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__(folder, [record for record in read_log(folder) if record["step"] <= step])
