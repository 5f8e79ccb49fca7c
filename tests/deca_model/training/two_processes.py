"""Trains a few steps; started by test_processes.py once, or twice with the variables that torchrun sets."""

import sys
from pathlib import Path

import torch

from deca_model.settings.reading import load_config
from deca_model.training.loop import train

if __name__ == "__main__":
    torch.set_num_threads(1)
    manifest, out, *overrides = sys.argv[1:]
    train(load_config("cpu", overrides), Path(manifest), None, Path(out))
