"""Results on standard output: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.terminal.lines import print_line
from pipelines.terminal.printable import printable
from pipelines.terminal.tables import print_table

if TYPE_CHECKING:
    from pipelines.curate.build import Built
    from pipelines.doctor import Diagnosis
    from pipelines.run.shard_task import Report
    from pipelines.run.status import Ended, StageStatus


def say(silent: bool) -> Callable[[str], None]:
    """Returns a function that prints a line on standard error; standard output holds results only."""
    return (lambda line: None) if silent else (lambda line: print_line(line, sys.stderr))


def print_summary(summary: Report, as_json: bool, scanned: dict[str, dict[str, Any]]) -> None:
    """Prints what a run of stages did, and as JSON also what the scans before it found."""
    if as_json:
        found = {"rows": summary.rows, "statuses": dict(summary.statuses), "reasons": dict(summary.reasons)}
        print(json.dumps({**found, "seconds": round(summary.seconds, 3), "datasets": scanned}))
    elif summary.rows:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(summary.statuses.items()))
        rate = summary.rows / summary.seconds if summary.seconds else 0.0
        print(f"{summary.rows} photos in {summary.seconds:.1f} s ({rate:.1f}/s): {counts}")
        for reason, count in summary.reasons.most_common():
            print_line(f"  {count} x {reason}", indent="    ")


def print_built(built: Built, as_json: bool, scanned: dict[str, dict[str, Any]]) -> None:
    """Prints what `build-manifest` wrote, and as JSON also what the scans before it found."""
    if as_json:
        print(json.dumps({**vars(built), "datasets": scanned}))
        return
    statuses = ("ok", "dropped", "failed")
    rows = [
        [path, *(built.counts[side].get(each, 0) for each in statuses)] for side, path in built.files.items()
    ]
    print_table(["manifest", *statuses], rows)
    if built.reasons:
        print_table(["photos", "status", "stage", "reason"], [[count, *key] for *key, count in built.reasons])
    for first, second, cosine in built.lookalikes[:20]:
        print_line(f"perhaps one person: {first} and {second} (cosine {cosine:.2f})")
    if len(built.lookalikes) > 20:
        print(f"... and {len(built.lookalikes) - 20} more such pairs (--json lists all)")
    for note in built.notes:
        print_line(note)


def print_status(found: Sequence[StageStatus], as_json: bool) -> None:
    """Prints the table of `deca-data status`."""
    if as_json:
        print(json.dumps([vars(each) for each in found]))
        return
    rows = []
    for each in found:
        rate = "" if each.rate is None else f"{each.rate:.1f}/s"
        share = f"{100 * each.done / each.total:.1f} %" if each.total else ""
        rows.append([each.dataset, each.stage, each.done, each.total - each.done, share, rate])
    print_table(["dataset", "stage", "done", "left", "share", "last rate"], rows)


def print_ended(found: Sequence[Ended], as_json: bool) -> None:
    """Prints the list of `deca-data failures`."""
    if as_json:
        print(json.dumps([vars(each) for each in found]))
        return
    if not found:
        print("no row was dropped or failed so far")
    for each in found:
        print_line(f"{each.count} {each.status} by {each.stage}: {each.reason}")
        for path in each.paths:
            print(f"    {printable(path)}")
        if len(each.paths) < each.count:
            print(f"    ... and {each.count - len(each.paths)} more (--examples 0 shows all)")


def print_diagnosis(found: Diagnosis, everything: bool) -> None:
    """Prints the result of `deca-data doctor`; without ``everything``, missing options are one line."""
    print(found.system)
    print()
    packages = [each for each in found.packages if everything or each.version or not each.optional]
    rows = [[each.name, each.version or "missing", each.purpose] for each in packages]
    print_table(["package", "version", "for"], rows)
    print()
    works = {True: "works", False: "missing"}
    backends = [each for each in found.backends if everything or each.works or not each.optional]
    rows = [[each.kind, each.name, works[each.works], each.enables] for each in backends]
    print_table(["kind", "backend", "state", "gives"], rows)
    print()
    if found.trials:
        right = {True: "good", False: "WRONG"}
        rows = [[t.photo, right[t.passed], t.result, f"{t.milliseconds:.0f} ms"] for t in found.trials]
        print_table(["self-test", "state", "result", "time"], rows)
        print()
    for package in packages:
        if package.version is None:
            print_line(f"to fix: {package.name}, for {package.purpose}: {package.fix}")
    for backend in backends:
        if not backend.works:
            print_line(f"to fix: {backend.details}")
    hidden = [each.name for each in found.packages if each not in packages]
    hidden += [f"{each.kind} {each.name}" for each in found.backends if each not in backends]
    if hidden:
        print_line(
            f"not here, and not needed: {', '.join(hidden)} (--all says what each gives and how to get it)"
        )
