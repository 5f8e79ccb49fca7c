"""A listener of a training run that keeps what is said."""

from __future__ import annotations

from deca_model.training.listener import Silent


class Said(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keeps a note."""
        self.notes.append(text)
