"""A bar as text that fits into a terminal of any width."""

from __future__ import annotations

from collections.abc import Mapping

NARROWEST, WIDEST = 8, 30
"""Characters of the bar itself."""


def bar_lines(
    title: str,
    counted: tuple[int, int | None],
    unit: str,
    rate: float,
    elapsed: float,
    notes: Mapping[str, object],
    width: int,
    unicode: bool = True,
) -> list[str]:
    """Returns the lines of a bar, in rich's markup, none longer than ``width``.

    Notes stand behind the bar if there is room, else below it; what does not fit there is left out from the
    right, note by note. Of a title that is too long the end is left out.

    Args:
        title: name of the work.
        counted: number of finished items, and of all if known.
        unit: name of the items.
        rate: items a second.
        elapsed: seconds since the beginning.
        notes: names and values.
        width: characters of the terminal.
        unicode: whether it shows more than ASCII.
    """
    done, total = counted
    of = f"{done}" if total is None else f"{done}/{total}"
    after = f"{of} {unit}" + (f" {rate:.1f}/s" if rate else "") + f" {_time(done, total, rate, elapsed)}"
    dots = "…" if unicode else "..."
    room = max(len(dots) + 1, width - len(after) - 2 - NARROWEST)
    title = title if len(title) <= room else title[: room - len(dots)] + dots
    left = width - len(title) - len(after) - 2
    said = [f"{name} {value}" for name, value in notes.items()]
    line = "  ".join(said)
    beside = bool(line) and len(line) + 2 + NARROWEST <= left
    bar = _bar(done, total, min(WIDEST, left - (len(line) + 2 if beside else 0)), unicode)
    first = " ".join(part for part in (_plain(title), bar, after) if part)
    if beside:
        return [f"{first}  [dim]{_plain(line)}[/dim]"]
    while said and len("  ".join(said)) + 2 > width:
        said.pop()
    return [first, f"  [dim]{_plain('  '.join(said))}[/dim]"] if said else [first]


def clock(seconds: float) -> str:
    """Returns minutes and seconds, with hours if there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _time(done: int, total: int | None, rate: float, elapsed: float) -> str:
    if total is not None and done < total and rate:
        return f"{clock((total - done) / rate)} left"
    return f"in {clock(elapsed)}" if done == total else clock(elapsed)


def _bar(done: int, total: int | None, width: int, unicode: bool) -> str:
    if not total or width < NARROWEST:
        return ""
    full = min(width, done * width // total)
    if not unicode:
        return "#" * full + "." * (width - full)
    return f"[bar.complete]{'━' * full}[/][bar.back]{'━' * (width - full)}[/]"


def _plain(text: str) -> str:
    """Returns the text for rich's markup; no character of it is taken as markup."""
    return text.replace("[", "\\[")
