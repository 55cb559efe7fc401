"""Run the python blocks of the markdown pages and compare what they print with the block that follows.

A fenced block marked ``python`` runs; if the next fenced block right after it is marked ``text``, that is its
output. The blocks of a page run in order in one namespace, in an empty directory, with warnings as errors.

    python docs/check.py            fails where an output differs
    python docs/check.py --write    puts the real outputs into the pages
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?P<after>\n*```text\n(?P<output>.*?)^```\n)?", re.M | re.S)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
RELATIVE_TOLERANCE = 0.02


def same_output(expected: str, got: str) -> bool:
    """Equal but for decimal numbers, which may differ by 2 %: processors round sums differently."""
    if NUMBER.sub("#", expected).split() != NUMBER.sub("#", got).split():
        return False
    for a, b in zip(NUMBER.findall(expected), NUMBER.findall(got), strict=True):
        tolerance = RELATIVE_TOLERANCE * abs(float(a)) if "." in a else 0.0
        if abs(float(a) - float(b)) > tolerance:
            return False
    return True


def execute(code: str, name: str, namespace: dict[str, Any]) -> str:
    """What ``code`` prints; an error in it carries the page's name and line."""
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("error")
        exec(compile(code, name, "exec"), namespace)
    return printed.getvalue()


def run_page(text: str, name: str) -> str:
    """The page with each given output replaced by the real one where the two differ."""
    namespace: dict[str, Any] = {"__name__": "__main__"}

    def rerun(match: re.Match[str]) -> str:
        above = text.count("\n", 0, match.start("code"))
        got = execute("\n" * above + match["code"], name, namespace)
        if match["after"] is None or same_output(match["output"], got):
            return match[0]
        return f"```python\n{match['code']}```\n\n```text\n{got}```\n"

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return BLOCK.sub(rerun, text)


def main(arguments: list[str]) -> int:
    stale = 0
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = run_page(before, os.path.relpath(page, ROOT))
        if after != before:
            stale += 1
            print(f"{page.relative_to(ROOT)}: an output differs")
            if "--write" in arguments:
                page.write_text(after, encoding="utf-8")
    return 0 if "--write" in arguments else int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
