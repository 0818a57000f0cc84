"""Bytes of a report page, and the time until a browser has drawn it: `python -m benchmarks.page RUN_OR_SET…`.

By default of zoo/mnist-10-random.pt. Writes benchmarks/results/page.json.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import markdown
from benchmarks.machine import write_results
from distill.report.page import write_page
from distill.runs.files.reported import load_reported_sets

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOADED = """async () => {
    const paint = () => performance.getEntriesByName("first-contentful-paint")[0];
    while (!paint()) await new Promise(requestAnimationFrame);
    return [performance.getEntriesByType("navigation")[0].loadEventEnd, paint().startTime];
}"""


def find_browser() -> str | None:
    """The program of an installed Chromium."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def launch_browser(playwright: Any) -> Any:
    """A headless browser of that program; without its sandbox where this process is root: it insists."""
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=find_browser(), args=options)


def time_drawing(browser: Any, path: Path) -> dict[str, Any]:
    """Milliseconds from the start of navigation to the load event and to the first paint; console errors."""
    page, errors = browser.new_page(), []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    load, paint = page.evaluate(LOADED)
    page.close()
    return {"load_ms": load, "paint_ms": paint, "errors": errors}


def main() -> None:
    """Measure, print, write."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=["zoo/mnist-10-random.pt"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser, page = launch_browser(playwright), Path(folder) / "report.html"
        for path in options.paths:
            start = time.perf_counter()
            write_page(page, load_reported_sets([path]))
            seconds = time.perf_counter() - start
            times = [time_drawing(browser, page) for _ in range(options.rounds)]
            medians = {key: statistics.median(t[key] for t in times) for key in ("load_ms", "paint_ms")}
            errors = [error for t in times for error in t["errors"]]
            rows.append(
                {"path": path, "bytes": page.stat().st_size, "write_s": seconds, **medians, "errors": errors}
            )
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        version = browser.version
        browser.close()
    path = write_results("page", "make bench-page", {"browser": version, "rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(path)


def table(rows: list[dict[str, Any]]) -> str:
    """The pages as a Markdown table."""
    return markdown(["page of", "size", "written in", "drawn in"], [
        [f"`{r['path']}`", f"{r['bytes'] / 1e3:.0f} kB", f"{r['write_s']:.2f} s", f"{r['paint_ms']:.0f} ms"]
        for r in rows
    ])  # fmt: skip


if __name__ == "__main__":
    main()
