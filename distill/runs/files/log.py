"""log.jsonl: one record per outer step."""

import json
from pathlib import Path
from typing import Any

from distill.sets.plain_types import has_type
from distill.sets.storage import write_text


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of log.jsonl in order; half a line that a killed run left behind is passed over."""
    path, records = folder / "log.jsonl", []
    for line in path.read_bytes().split(b"\n") if path.is_file() else []:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if has_type(record, dict[str, float | None]) and isinstance(record.get("step"), int):
            records.append(record)
    return records


class Log:
    """log.jsonl: one JSON record per line. What a killed run wrote after its last checkpoint is dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "log.jsonl"
        lines = [json.dumps(r) + "\n" for r in read_log(folder) if r["step"] <= step]
        write_text(self.path, "".join(lines))

    def add(self, record: dict[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
