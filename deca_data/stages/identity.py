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
from manifests.schema import Column

EMBEDDING = "embedding"
"""The column of the embeddings; it stays in the workspace, the manifest has `identity_score` instead."""


class IdentitySettings(BaseModel):
    """There are no settings; thresholds belong to the recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class IdentityStage:
    """Writes the embedding; it drops nothing."""

    name = "identity"
    version = 3
    reads = ("box", "landmarks")
    writes: tuple[str, ...] = ()
    batch = 8
    Settings = IdentitySettings
    in_run = False
    backend_kind = "embedder"
    default_backend = "dlib"
    command = (
        "identities",
        "Embed each face, so that build-manifest can check who it is.",
        "deca-data identities --backend dlib",
    )
    workspace_columns = (Column(EMBEDDING, pa.list_(pa.float32()), "", "the face as a vector of length 1"),)

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
