"""Computes an embedding of each face; later steps compare persons by it over the whole dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from deca_data.backends.protocols import Embedder
from deca_data.sample import Sample
from deca_data.stage import ModelStage, NoSettings
from manifests.schema import Column

EMBEDDING = "embedding"
"""The column of the embeddings; it stays in the workspace, the manifest has `identity_score` instead."""


class IdentityStage(ModelStage):
    """Writes the embedding; it drops nothing."""

    name = "identity"
    version = 4
    reads = ("box", "landmarks")
    writes: tuple[str, ...] = ()
    batch = 8
    Settings = NoSettings
    in_run = False
    backend_kind = "embedder"
    default_backend = "dlib"
    command = (
        "identities",
        "Embed each face, so that build-manifest can check who it is.",
        "deca-data identities --backend dlib",
    )
    workspace_columns = (Column(EMBEDDING, pa.list_(pa.float32()), "", "the face as a vector of length 1"),)

    backend: Embedder

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the column."""
        vectors = self.backend.embed(
            [sample.image for sample in samples],
            [sample.box() for sample in samples],
            [sample.landmarks() for sample in samples],
        )
        for sample, vector in zip(samples, vectors, strict=True):
            sample.row[EMBEDDING] = vector.astype(np.float32)
