"""Trains a few steps; started by test_processes.py once, or twice with the variables that torchrun sets."""

import sys
from pathlib import Path

import torch

from deca_model.settings.reading import load_config
from deca_model.training.listener import Silent
from deca_model.training.loop import train


class Notes(Silent):
    """Prints the notes."""

    def note(self, text: str) -> None:
        print(text, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    manifest, out, *words = sys.argv[1:]
    settings = [word for word in words if word != "--resume"]
    train(
        load_config("cpu", settings), Path(manifest), None, Path(out), "--resume" in words, progress=Notes()
    )
