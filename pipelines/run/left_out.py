"""Counts what a scan leaves out, by reason, so that nothing in a raw folder passes in silence."""

from __future__ import annotations

from typing import Any

MOST = 200
"""Number of different reasons that are kept; the files of further ones are counted together."""

OTHERS = "other reasons"


class LeftOut:
    """The entries of one dataset that a scan did not take, by reason."""

    def __init__(self) -> None:
        self._found: dict[str, list[Any]] = {}  # by reason: the count and the first path

    def add(self, path: str, reason: str) -> None:
        """Counts one entry; ``path`` is relative to the dataset."""
        if reason not in self._found and len(self._found) >= MOST:
            reason = OTHERS
        self._found.setdefault(reason, [0, path])[0] += 1

    def lines(self) -> list[str]:
        """A line for each reason, the most frequent first."""
        ordered = sorted(self._found.items(), key=lambda item: (-item[1][0], item[0]))
        return [f"{count} left out: {reason}; the first: {path}" for reason, (count, path) in ordered]

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The same for programs: by reason, `count` and `first`."""
        return {reason: {"count": count, "first": path} for reason, (count, path) in self._found.items()}
