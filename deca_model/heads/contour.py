"""Build step 5b: a head's mean face and triangles in; its 17 jaw-line landmarks, by yaw and fixed, out.

The skin carries a fan of lines. A line is where a plane cuts the skin; all planes contain the viewing axis a
little below the eyes, and they fan out from it: sideways for landmarks 0 and 16, straight down for the chin.
At each yaw the outline of the face runs through the place of each line that reaches furthest outwards in the
image, that is on the silhouette, but never behind the edge of the jaw and the front of the ear. The landmarks
are spread evenly along that outline, from either ear to the chin, as annotators do: so in a turned head those
of the near side lie closer to the chin than in one from the front.

The constants below were chosen so that the landmarks of renders of random persons, turned by up to 35 degrees
and found as in photos, lie nearest to those of the head (`benchmarks.redetection` measures this distance).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deca_model.heads.head import YAW_LIMIT

DROP = 0.006
"""Metres by which landmarks 0 and 16 are lower than the eyes' centres."""
TILT = np.deg2rad(10)
"""Radians by which the skin at the landmark still faces the viewer; skin further out is hardly visible."""
FAN = np.deg2rad(np.linspace(180, 360, 361))
"""Radians; directions of the lines in the image, from the subject's right over the chin (270) to the left."""
BEHIND, CHIN_BEHIND = 0.010, -0.009
"""Metres from the face's border backwards to the end of a line: at the ear, and at the chin (forwards)."""


@dataclass(frozen=True)
class Skin:
    """The mesh that the lines lie on."""

    mean: np.ndarray  # (V, 3) mean face, symmetric
    faces: np.ndarray  # (F, 3)
    usable: np.ndarray  # (F,) bool, triangles of visible skin
    front: np.ndarray  # (F,) bool, triangles inside the border of the face
    eyes: np.ndarray  # (3,) the midpoint of the eyes' centres

    @property
    def centre(self) -> np.ndarray:
        """(3,) the point that the planes fan out from."""
        return np.array([0, self.eyes[1] - DROP, 0])


@dataclass(frozen=True)
class Line:
    """A polyline on the skin, from front to back; each piece crosses one triangle."""

    angle: float  # radians in the image; 270 degrees is straight down
    points: np.ndarray  # (P, 3)
    faces: np.ndarray  # (P - 1,)
    barycentric: np.ndarray  # (P - 1, 2, 3): both ends of each piece
    end: float  # position of the jaw's edge, counted in pieces

    def at(self, place: float) -> tuple[int, np.ndarray]:
        """Face and barycentric coordinates at a position counted in pieces (1.5: middle of the second)."""
        piece = int(np.clip(place, 0, len(self.faces) - 1))
        part = np.clip(place - piece, 0, 1)
        first, last = self.barycentric[piece]
        return int(self.faces[piece]), (1 - part) * first + part * last


def contour(skin: Skin) -> tuple[np.ndarray, ...]:
    """Contour landmarks for each yaw, and fixed ones on the edge of the jaw.

    Returns:
        (79, 17) faces and (79, 17, 3) barycentric coordinates; (17,) and (17, 3) those of the fixed ones.
    """
    # No line goes on behind the ear: leave out the back of the head.
    depth = skin.mean[skin.faces, 2]
    near = depth.max(axis=1) > depth[skin.front].min() - 2 * BEHIND
    skin = replace(skin, usable=skin.usable & near)
    lines = [_line(skin, angle) for angle in FAN]
    yaws = (*range(YAW_LIMIT + 1), *range(-1, -YAW_LIMIT - 1, -1))
    rows = [_outline(skin, lines, yaw) for yaw in yaws]
    still = [lines[i].at(lines[i].end) for i in _spread(skin, lines, 0)]
    return (
        np.array([[face for face, _ in row] for row in rows]),
        np.array([[place for _, place in row] for row in rows]),
        np.array([face for face, _ in still]),
        np.array([place for _, place in still]),
    )


def _outline(skin: Skin, lines: list[Line], yaw: float) -> list[tuple[int, np.ndarray]]:
    """The 17 landmarks at a yaw: faces and barycentric coordinates."""
    return [lines[i].at(_reach(lines[i], yaw)) for i in _spread(skin, lines, yaw)]


def _spread(skin: Skin, lines: list[Line], yaw: float) -> np.ndarray:
    """(17,) the lines that are spaced evenly along the outline at a yaw, on each side of the chin."""
    places = [line.at(_reach(line, yaw)) for line in lines]
    outline = np.array([place @ skin.mean[skin.faces[face]] for face, place in places])
    seen = outline @ _rotation(yaw)[:2].T
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(seen, axis=0), axis=1))])
    chin = along[len(lines) // 2]
    wanted = np.concatenate([np.linspace(0, chin, 9), np.linspace(chin, along[-1], 9)[1:]])
    return np.abs(along[:, None] - wanted).argmin(axis=0)


def _line(skin: Skin, angle: float) -> Line:
    """The line for one direction, from the middle of the cheek to the back."""
    mean, faces = skin.mean, skin.faces
    out = np.array([np.cos(angle), np.sin(angle), 0])
    side = np.array([-np.sin(angle), np.cos(angle), 0])
    # A tiny shift of the plane, so that no vertex lies exactly on it.
    height = (mean - skin.centre) @ side + 1.3e-7
    reach = (mean - skin.centre) @ out
    usable = np.flatnonzero(skin.usable)
    above = (height > 0)[faces[usable]].sum(axis=1)
    crossed = usable[(above == 1) | (above == 2)]
    ahead = crossed[reach[faces[crossed]].max(axis=1) > 0]
    pieces = {face: _crossings(faces[face], height) for face in ahead}
    of_edge: dict[tuple[int, int], list[int]] = {}
    for face, ends in pieces.items():
        for edge, _ in ends:
            of_edge.setdefault(edge, []).append(face)
    # Start outside the eyes and lips, at about three quarters of the way to the jaw.
    start = 0.057 + 0.03 * np.sin(angle) ** 2
    face, last = _first(pieces, skin, out, start)
    points, order, places = [], [], []
    while face is not None:
        (edge_a, bary_a), (edge_b, bary_b) = pieces.pop(face)
        if edge_b == last:
            edge_a, bary_a, edge_b, bary_b = edge_b, bary_b, edge_a, bary_a
        order.append(face)
        places.append([bary_a, bary_b])
        points.append(bary_a @ mean[faces[face]])
        last = edge_b
        face = next((f for f in of_edge[edge_b] if f in pieces), None)
    points.append(places[-1][1] @ mean[faces[order[-1]]])
    border = int(skin.front[order].argmin())
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    behind = CHIN_BEHIND + (BEHIND - CHIN_BEHIND) * abs(np.cos(angle)) ** 2
    end = np.interp(along[border] + behind, along, np.arange(len(along)))
    return Line(angle, np.array(points), np.array(order), np.array(places), float(end))


def _crossings(corners: np.ndarray, height: np.ndarray) -> list[tuple[tuple[int, int], np.ndarray]]:
    """The two edges of a triangle that the plane crosses, and the barycentric coordinates there."""
    found = []
    for a, b in ((0, 1), (1, 2), (2, 0)):
        ha, hb = height[corners[a]], height[corners[b]]
        if (ha > 0) != (hb > 0):
            bary = np.zeros(3)
            bary[a], bary[b] = hb / (hb - ha), -ha / (hb - ha)
            found.append(((min(corners[a], corners[b]), max(corners[a], corners[b])), bary))
    return found


def _first(pieces: dict, skin: Skin, out: np.ndarray, start: float):
    """The frontmost piece at the start distance, and the edge where the line enters it."""
    best, entry, front = None, None, -np.inf
    for face, ((edge_a, bary_a), (edge_b, bary_b)) in pieces.items():
        a, b = (bary @ skin.mean[skin.faces[face]] for bary in (bary_a, bary_b))
        reach_a, reach_b = (a - skin.centre) @ out, (b - skin.centre) @ out
        if min(reach_a, reach_b) <= start < max(reach_a, reach_b) and max(a[2], b[2]) > front:
            best, entry, front = face, edge_a if reach_a < reach_b else edge_b, max(a[2], b[2])
    return best, entry


def _reach(line: Line, yaw: float) -> float:
    """Position, in pieces, where the line reaches furthest outwards in an image of the head at a yaw."""
    out = np.array([np.cos(line.angle) * np.cos(TILT), np.sin(line.angle) * np.cos(TILT), np.sin(TILT)])
    value = line.points @ (_rotation(yaw).T @ out)
    peak = int(value[: int(line.end) + 2].argmax())
    shift = 0.0
    if 0 < peak < len(value) - 1:
        before, here, after = value[peak - 1 : peak + 2]
        bend = before - 2 * here + after
        shift = float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
    return min(peak + shift, line.end)


def _rotation(yaw: float) -> np.ndarray:
    """(3, 3) the rotation of a head by degrees about the vertical axis."""
    turn = np.deg2rad(yaw)
    return np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
