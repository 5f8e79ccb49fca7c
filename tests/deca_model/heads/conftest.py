"""A small random head with all the arrays of ``HeadData``, for tests of the maths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from deca_model.heads import HeadData

VERTICES, FACES = 24, 30


@pytest.fixture(scope="session")
def toy_head() -> Callable[..., HeadData]:
    """Makes a head of 24 vertices, 6 shape and 4 expression modes from a seed."""
    return _toy_head


def _toy_head(seed: int = 0, pose_basis: bool = True) -> HeadData:
    """Random arrays in the shapes of ``HeadData``; 6 shape and 4 expression modes."""
    rng = np.random.default_rng(seed)

    def places(*shape: int) -> np.ndarray:
        return rng.dirichlet(np.ones(3), shape).astype(np.float32)

    return HeadData(
        name="toy",
        template=rng.normal(0, 0.1, (VERTICES, 3)).astype(np.float32),
        shape_basis=rng.normal(0, 0.01, (VERTICES, 3, 6)).astype(np.float32),
        expression_basis=rng.normal(0, 0.01, (VERTICES, 3, 4)).astype(np.float32),
        pose_basis=rng.normal(0, 0.01, (36, VERTICES * 3)).astype(np.float32) if pose_basis else None,
        joint_regressor=rng.dirichlet(np.ones(VERTICES), 5).astype(np.float32),
        parents=np.array([-1, 0, 1, 1, 1]),
        weights=rng.dirichlet(np.ones(5), VERTICES).astype(np.float32),
        faces=rng.integers(0, VERTICES, (FACES, 3)),
        uv=rng.random((VERTICES, 2)).astype(np.float32),
        uv_faces=rng.integers(0, VERTICES, (FACES, 3)),
        static_faces=rng.integers(0, FACES, 51),
        static_barycentric=places(51),
        contour_faces=rng.integers(0, FACES, (79, 17)),
        contour_barycentric=places(79, 17),
        full_faces=rng.integers(0, FACES, 68),
        full_barycentric=places(68),
        face_region=rng.random(FACES) < 0.5,
    )
