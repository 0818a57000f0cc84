"""What machine a figure was measured on, and how results are written."""

import json
import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from distill.runs.files.machine import versions
from distill.sets.storage import write_text

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Processor, cores, versions and date."""
    lines = Path("/proc/cpuinfo").read_text().split("\n") if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write_results(name: str, command: str, content: dict[str, Any]) -> Path:
    """benchmarks/results/NAME.json, with the command and the machine beside the figures."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    write_text(path, json.dumps({"command": command, "machine": machine(), **content}, indent=1) + "\n")
    return path
