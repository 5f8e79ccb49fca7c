"""Writes RELIABILITY.md from what the tests counted.

python -m tests.faults.table FOLDER
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

from benchmarks.provenance import provenance

REPOSITORY = Path(__file__).resolve().parents[2]

HEAD = """# Reliability

What `make test-all` tried, and what came of it. "Survived" means: after a signal the same command went on and
its files were the same, byte for byte, as without the signal; a damaged or hostile file was read or refused
in one sentence; a fault of the machine stopped the command and cost no row. A test that sees anything else
fails, and then this file is not written.

| what | tried | survived | rows lost | foreign code run |
| --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Adds up the counts of all processes; each line that was counted has survived."""
    lines: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for path in sorted(Path(sys.argv[1]).glob("*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(text)
            numbers = entry["tried"], entry["rows_lost"], entry["code_run"]
            lines[entry["line"]] = [a + b for a, b in zip(lines[entry["line"]], numbers, strict=True)]
    if not lines:
        sys.exit(f"{sys.argv[1]}: nothing was counted; run `make test-all`.")
    rows = [
        f"| {name} | {tried} | {tried} | {lost} | {run} |"
        for name, (tried, lost, run) in sorted(lines.items())
    ]
    total = [sum(column) for column in zip(*lines.values(), strict=True)]
    rows.append(f"| all | {total[0]} | {total[0]} | {total[1]} | {total[2]} |")
    foot = f"\n\nMeasured on {provenance(REPOSITORY)}\n"
    (REPOSITORY / "RELIABILITY.md").write_text(HEAD + "\n".join(rows) + foot, encoding="utf-8")
    print(f"RELIABILITY.md: {total[0]} attempts in {len(lines)} lines")


if __name__ == "__main__":
    main()
