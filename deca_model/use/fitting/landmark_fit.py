"""Codes from landmarks: Gauss-Newton with damping (Levenberg-Marquardt) over one or several photos.

The energy is the landmarks' squared distances over their variances, plus priors: shape codes have unit
variance, expression codes a smaller one, and a named facial action stays between rest and full. Photos of one
person share the shape code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from deca_model.heads.head import Head
from deca_model.use.fitting.face_codes import FaceCodes, tensors
from deca_model.use.fitting.landmark_system import EXPRESSIONS, POSES, SHAPES, LandmarkSystem
from deca_model.use.fitting.projection import project, projected_derivatives
from deca_model.use.fitting.targets import Target

EXPRESSION_SPREAD = 0.4
"""Standard deviation of a facial action (1: fully active). Modes without a name have unit variance."""
ACTION_RANGE, ACTION_SPREAD = (-0.1, 1.15), 0.05
"""A named action is free in this range; beyond it, each so many cost as much as a standard deviation."""
JAW_SPREAD = (0.3, 0.05, 0.05)
"""Radians: opening, turning sideways, rolling."""
SHAPE_SPREAD = 1.0
"""Standard deviation of a shape code."""
HIDDEN = 4.0
"""Factor on the spread of a point that is hidden."""
TURNED = 20.0
"""Yaw in degrees at which the spread of the jaw line doubles."""
PROFILE = 40.0
"""Yaw in degrees from which all spreads grow, because the networks place the points of a profile worse."""
STEPS, TOLERANCE = 25, 1e-4
_FREE = EXPRESSIONS + POSES + 3  # numbers per photo
_OUTLIER = 3.0  # standard deviations from which a point counts less (Huber)


class Term(Protocol):
    """Something else that one photo says about its head, such as its outline."""

    def residuals(self, code: FaceCodes, rows: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """Weighted residuals (R,), and with ``rows`` their derivatives (R, 159).

        The derivatives are by shape, expression, pose, the logarithm of the camera's scale, and its shift.
        """
        ...


class LandmarkFit:
    """Fits the codes of photos of one person to their landmarks."""

    def __init__(self, head: Head) -> None:
        self.system = LandmarkSystem(head)
        self._action_rows = action_rows(head.expression_names)  # (A, 50)
        self._expression_spread = EXPRESSION_SPREAD if head.expression_names else 1.0

    def fit(self, targets: Sequence[Target], shape: np.ndarray | None = None) -> list[FaceCodes]:
        """Codes of all photos, with one shape.

        Args:
            targets: the photos' landmarks.
            shape: the shape code, (100,), if it is known; only the other codes are found then.
        """
        start = np.zeros(SHAPES) if shape is None else shape
        codes = [self._first(target, start) for target in targets]
        targets = [self.trusted(target, code) for target, code in zip(targets, codes, strict=True)]
        return self.refine(targets, codes, free_shape=shape is None)

    def follow(self, target: Target, before: FaceCodes) -> FaceCodes:
        """Codes of the next frame of a clip, from those of the frame before and with its shape."""
        return self.refine([self.trusted(target, before)], [before], free_shape=False)[0]

    def refine(
        self,
        targets: Sequence[Target],
        codes: list[FaceCodes],
        *,
        free_shape: bool,
        terms: Sequence[Sequence[Term]] = (),
        steps: int = STEPS,
    ) -> list[FaceCodes]:
        """Damped Gauss-Newton steps from the given codes until the energy no longer falls.

        ``terms`` are each photo's further ones. A step that does not lower the energy is not taken.
        """
        terms = terms or [()] * len(targets)
        damping, count = 1e-3, SHAPES + _FREE * len(targets)
        energy = self._energy(targets, codes, terms)
        for _ in range(steps):
            matrix, slope = self._normal_equations(targets, codes, terms)
            first = 0 if free_shape else SHAPES
            part = matrix[first:, first:]
            improved = False
            while damping < 1e4:
                step = np.zeros(count)
                step[first:] = -np.linalg.solve(part + damping * np.diag(np.diag(part)), slope[first:])
                moved = _move(codes, step)
                new = self._energy(targets, moved, terms)
                if new < energy:
                    improved = energy - new > TOLERANCE * energy
                    codes, energy, damping = moved, new, max(damping * 0.2, 1e-7)
                    break
                damping *= 8
            if not improved:
                break
        return codes

    def _first(self, target: Target, shape: np.ndarray) -> FaceCodes:
        """Pose and camera of the head without an expression, from a linear fit."""
        still = FaceCodes(shape, np.zeros(EXPRESSIONS), np.zeros(POSES), np.array([1.0, 0, 0]))
        places = self._places(still)
        turn, scale = _turn_and_scale(places, target)
        weight = 1 / target.spread**2
        seen = weight @ target.places[:, :2] / weight.sum()
        pose = np.concatenate([cv2.Rodrigues(turn)[0].ravel(), np.zeros(3)])
        placed = self._places(replace(still, pose=pose))
        shift = seen * [1, -1] / scale - (weight @ placed / weight.sum())[:2]
        return replace(still, pose=pose, camera=np.array([scale, *shift]))

    def trusted(self, target: Target, codes: FaceCodes) -> Target:
        """The target with larger spreads for what a turned head hides, where the networks only guess.

        The jaw line of a turned head is a guess too: the landmarks follow the mesh, and not the silhouette.
        """
        facing = self.system.facing(*tensors(codes)).numpy()
        loss = 1 / np.clip(facing + 0.5, 1 / HIDDEN, 1)
        yaw = np.degrees(np.arcsin(np.clip(cv2.Rodrigues(codes.pose[:3])[0][0, 2], -1, 1)))
        loss[-68:-51] = 1 + (yaw / TURNED) ** 2
        loss *= max(1.0, abs(yaw) / PROFILE) ** 2
        return replace(target, spread=target.spread * loss)

    def _places(self, codes: FaceCodes) -> np.ndarray:  # (N, 3)
        return self.system.places(*tensors(codes)).numpy()

    def _energy(
        self, targets: Sequence[Target], codes: Sequence[FaceCodes], terms: Sequence[Sequence[Term]]
    ) -> float:
        total = float((codes[0].shape ** 2).sum()) * _shape_weight(len(codes))
        for target, code, more in zip(targets, codes, terms, strict=True):
            residual, _ = _residuals(target, self._places(code), code.camera)
            residual = np.concatenate([residual, *(term.residuals(code, False)[0] for term in more)])
            size = np.abs(residual)
            huber = np.where(size < _OUTLIER, size**2, 2 * _OUTLIER * size - _OUTLIER**2)
            total += float(huber.sum() + (self._priors(code)[0] ** 2).sum())
        return total

    def _normal_equations(
        self, targets: Sequence[Target], codes: Sequence[FaceCodes], terms: Sequence[Sequence[Term]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and slope over the shared shape and each photo's other codes."""
        count = SHAPES + _FREE * len(targets)
        matrix, slope = np.zeros((count, count)), np.zeros(count)
        matrix[:SHAPES, :SHAPES] = np.eye(SHAPES) * _shape_weight(len(codes))
        slope[:SHAPES] = codes[0].shape * _shape_weight(len(codes))
        for n, (target, code, more) in enumerate(zip(targets, codes, terms, strict=True)):
            points = self.system.points(*tensors(code))
            residual, rows = _residuals(
                target, points.places.numpy(), code.camera, points.derivatives.numpy()
            )
            found = [(residual, rows), *(term.residuals(code, True) for term in more)]
            residual = np.concatenate([each for each, _ in found])
            rows = np.concatenate([each for _, each in found if each is not None])
            weight = np.sqrt(np.minimum(1, _OUTLIER / np.maximum(np.abs(residual), 1e-9)))
            residual, rows = residual * weight, rows * weight[:, None]
            own = slice(SHAPES + _FREE * n, SHAPES + _FREE * (n + 1))
            both = np.r_[np.arange(SHAPES), np.arange(own.start, own.stop)]
            matrix[np.ix_(both, both)] += rows.T @ rows
            slope[both] += rows.T @ residual
            prior, prior_rows = self._priors(code)
            matrix[own, own] += prior_rows.T @ prior_rows
            slope[own] += prior_rows.T @ prior
        return matrix, slope

    def _priors(self, code: FaceCodes) -> tuple[np.ndarray, np.ndarray]:
        """Residuals of expression and jaw, and their rows over a photo's own codes."""
        actions = self._action_rows @ code.expression
        beyond = actions - np.clip(actions, *ACTION_RANGE)
        jaw = np.zeros((3, _FREE))
        jaw[:, EXPRESSIONS + 3 : EXPRESSIONS + 6] = np.diag(1 / np.array(JAW_SPREAD))
        expression = np.eye(EXPRESSIONS, _FREE) / self._expression_spread
        limits = np.zeros((len(actions), _FREE))
        limits[:, :EXPRESSIONS] = self._action_rows / ACTION_SPREAD * (beyond != 0)[:, None]
        residual = [
            code.expression / self._expression_spread,
            code.pose[3:] / JAW_SPREAD,
            beyond / ACTION_SPREAD,
        ]
        return np.concatenate(residual), np.concatenate([expression, jaw, limits])


def action_rows(names: Sequence[str]) -> np.ndarray:  # (A, 50)
    """Facial actions from named modes: each side's, where a mode has a left-right difference.

    The left side of a paired action is the mode plus half its difference, the right side minus half.
    Actions that go both ways (``Sideways``) are left out.
    """
    rows = []
    for place, name in enumerate(names):
        if ":" in name or name.endswith("Sideways"):
            continue
        row = np.zeros(EXPRESSIONS)
        row[place] = 1
        other = f"{name}:left-right"
        if other not in names:
            rows.append(row)
            continue
        for sign in (0.5, -0.5):
            side = row.copy()
            side[names.index(other)] = sign
            rows.append(side)
    return np.array(rows).reshape(-1, EXPRESSIONS)


def _shape_weight(photos: int) -> float:
    """Weight of the shape prior: the landmarks' errors in photos of one person are partly the same."""
    return float(np.sqrt(photos)) / SHAPE_SPREAD**2


def _turn_and_scale(places: np.ndarray, target: Target) -> tuple[np.ndarray, float]:
    """Rotation (3, 3) and camera scale that take a head's points (N, 3) to the target.

    With depth it is Umeyama's solution (1991); else the nearest rotation to the best affine projection.
    """
    deep = np.isfinite(target.depth_spread)
    use = deep if deep.sum() > 10 else np.isfinite(target.spread)
    weight = 1 / target.spread[use] ** 2
    weight /= weight.sum()
    first, second = places[use], target.places[use] * [1, -1, -1]
    first, second = first - weight @ first, second - weight @ second
    if deep.sum() <= 10:
        root = np.sqrt(weight)[:, None]
        linear = np.linalg.lstsq(first * root, second[:, :2] * root, rcond=None)[0].T  # (2, 3)
        u, values, vt = np.linalg.svd(linear, full_matrices=False)
        rows = u @ vt
        return np.stack([*rows, np.cross(*rows)]), float(values.mean())
    u, values, vt = np.linalg.svd((second * weight[:, None]).T @ first)
    signs = np.array([1, 1, np.linalg.det(u @ vt)])
    spread = float((weight[:, None] * first**2).sum())
    return u @ np.diag(signs) @ vt, float((values * signs).sum()) / spread


def _residuals(
    target: Target,
    places: np.ndarray,  # (N, 3)
    camera: np.ndarray,
    derivatives: np.ndarray | None = None,  # (N, 3, 156)
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weighted residuals (R,), and their rows (R, 159) where derivatives are given."""
    seen = project(places, camera)
    offset = seen - target.places
    deep = np.isfinite(target.depth_spread)
    weights = np.concatenate(
        [1 / np.repeat(target.spread, 2), np.full(len(target.pairs), 1 / target.pair_spread)]
    )
    upper, lower = target.pairs.T
    gaps = (offset[upper] - offset[lower])[:, 1]
    parts = [offset[:, :2].ravel(), gaps]
    if deep.any():
        parts.append(offset[deep, 2] - offset[deep, 2].mean())
        weights = np.concatenate([weights, 1 / target.depth_spread[deep]])
    residual = np.concatenate(parts) * weights
    if derivatives is None:
        return residual, None
    rows = projected_derivatives(seen, derivatives, camera)
    found = [rows[:, :2].reshape(-1, rows.shape[2]), (rows[upper] - rows[lower])[:, 1]]
    if deep.any():
        found.append(rows[deep, 2] - rows[deep, 2].mean(axis=0))
    return residual, np.concatenate(found) * weights[:, None]


def _move(codes: Sequence[FaceCodes], step: np.ndarray) -> list[FaceCodes]:
    moved = []
    for n, code in enumerate(codes):
        own = step[SHAPES + _FREE * n : SHAPES + _FREE * (n + 1)]
        expression, pose, camera = np.split(own, [EXPRESSIONS, EXPRESSIONS + POSES])
        factor = np.exp(np.clip(camera[0], -1, 1))
        moved.append(
            FaceCodes(
                code.shape + step[:SHAPES],
                code.expression + expression,
                code.pose + pose,
                np.array([code.camera[0] * factor, *(code.camera[1:] + camera[1:])]),
            )
        )
    return moved
