"""Loads the weights of facexlib's networks, which the user provides or facexlib fetches."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from facexlib.utils import misc

from manifests.errors import UsageError


def trained(
    title: str, build: Callable[[], Any], file: str, weights: Path | None, fetch: Callable[[], Any] | None
) -> tuple[Any, str]:
    """A network with its weights, in evaluation mode, and the beginning of the weights' SHA-256.

    Args:
        title: the network's name; in lower case it is the backend's name.
        build: makes the network.
        file: the name of the weight file.
        weights: the weight file or its folder; None looks in facexlib's own cache.
        fetch: fetches a missing file into that cache; None where this is not allowed.

    Raises:
        UsageError: the file is missing, cannot be fetched, or does not hold these weights.
    """
    place = Path(misc.ROOT_DIR) / "facexlib" / "weights" if weights is None else weights
    path = place if place.is_file() else place / file
    if not path.is_file() and fetch is not None and weights is None:
        try:
            fetch()
        except Exception as error:
            raise UsageError(
                f"{file} could not be fetched ({error}): get it elsewhere and give it with `--weights`."
            ) from error
    if not path.is_file():
        raise UsageError(
            f"the backend {title.lower()!r} needs the weight file {file}, which is not at {path}: "
            "give the file or its folder with `--weights`, or let facexlib fetch it with `--download`."
        )
    network = build()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    except Exception as error:  # torch raises errors of many types on a wrong file
        reason = " ".join(str(error).split())[:160]
        if isinstance(error, pickle.UnpicklingError):  # torch's text advises to switch its protection off
            reason = "it is damaged, or holds more than tensors"
        raise UsageError(
            f"{path}: the file does not hold facexlib's weights of {title} ({reason}); "
            "give the right file with `--weights`."
        ) from error
    return network.eval(), hashlib.sha256(path.read_bytes()).hexdigest()[:16]
