"""Computes an embedding of each face; later steps compare persons by it over the whole dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from deca_data.backends.protocols import Embedder
from deca_data.sample import Sample

EMBEDDING = "embedding"
"""The column of the embeddings; it stays in the workspace, the manifest has `identity_score` instead."""


class IdentitySettings(BaseModel):
    """There are no settings; thresholds belong to the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IdentityStage:
    """Writes the embedding, a list of float32 of length 1; it drops nothing.

    Attributes:
        extra_columns: columns beside the manifest's own, with their Arrow types.
    """

    name = "identity"
    version = 3
    reads = ("box", "landmarks")
    writes: tuple[str, ...] = ()
    batch = 8
    Settings = IdentitySettings
    extra_columns = {EMBEDDING: pa.list_(pa.float32())}  # noqa: RUF012 - never changed

    def __init__(self, settings: IdentitySettings, backend: Embedder) -> None:
        self.settings = settings
        self.backend = backend

    def fingerprint(self) -> dict[str, Any]:
        """The embedder's name, version and weights."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "backend": {"name": self.backend.name, **self.backend.fingerprint()},
        }

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the column."""
        vectors = self.backend.embed(
            [sample.image for sample in samples],
            [sample.box() for sample in samples],
            [sample.landmarks() for sample in samples],
        )
        for sample, vector in zip(samples, vectors, strict=True):
            sample.row[EMBEDDING] = vector.astype(np.float32)
