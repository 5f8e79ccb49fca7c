"use strict";
// The maths of a head: blended shapes, pose correctives and skinning, as in deca_model/heads/head.py.

const PARENTS = [-1, 0, 1, 1, 1], NECK = 1, JAW = 2, LEFT_EYE = 3, RIGHT_EYE = 4;

// An entry of the page's data as numbers: {kind, data (base64), scale}.
function numbers(entry) {
  const raw = Uint8Array.from(atob(entry.data), letter => letter.charCodeAt(0)).buffer;
  if (entry.kind === "f4") return new Float32Array(raw);
  if (entry.kind === "u2") return new Uint16Array(raw);
  return Float32Array.from(new Int16Array(raw), value => value * entry.scale);
}

// Axis-angle (radians) to a rotation matrix of nine numbers, row by row (Rodrigues).
function rotation([x, y, z]) {
  const angle = Math.hypot(x, y, z);
  if (angle < 1e-9) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const [a, b, c] = [x / angle, y / angle, z / angle];
  const s = Math.sin(angle), t = 1 - Math.cos(angle);
  return [
    1 - t * (b * b + c * c), t * a * b - s * c, t * a * c + s * b,
    t * a * b + s * c, 1 - t * (a * a + c * c), t * b * c - s * a,
    t * a * c - s * b, t * b * c + s * a, 1 - t * (a * a + b * b),
  ];
}

const turn = (m, v) => [0, 3, 6].map(row => m[row] * v[0] + m[row + 1] * v[1] + m[row + 2] * v[2]);
const times = (m, n) => Array.from(m, (_, k) => {
  const row = k - (k % 3), column = k % 3;
  return m[row] * n[column] + m[row + 1] * n[column + 3] + m[row + 2] * n[column + 6];
});

// The vertices (3 V numbers) of a face: {own: share of its expression, modes: [..], neck, jaw, eyes: axis-angle}.
function posed(head, face, state) {
  const shaped = Float32Array.from(face.base), joints = Float32Array.from(face.joints);
  const add = (offsets, moved, weight) => {
    if (!weight) return;
    for (let k = 0; k < shaped.length; k++) shaped[k] += weight * offsets[k];
    for (let k = 0; moved && k < joints.length; k++) joints[k] += weight * moved[k];
  };
  add(face.own, face.ownJoints, state.own);
  state.modes.forEach((weight, mode) => add(head.modes[mode], head.modeJoints[mode], weight));
  const turns = PARENTS.map(() => rotation([0, 0, 0]));
  turns[NECK] = rotation(state.neck);
  turns[JAW] = rotation(state.jaw);
  turns[LEFT_EYE] = turns[RIGHT_EYE] = rotation(state.eyes);
  [NECK, JAW].forEach((joint, n) => turns[joint].forEach((value, k) =>
    add(head.correctives[9 * n + k], null, value - (k % 4 === 0 ? 1 : 0))));
  return skinned(head, shaped, joints, turns);
}

function skinned(head, shaped, joints, turns) {
  const at = joint => Array.from(joints.subarray(3 * joint, 3 * joint + 3));
  const whole = [turns[0]], moved = [at(0)];
  for (let joint = 1; joint < PARENTS.length; joint++) {
    const parent = PARENTS[joint], from = at(parent);
    whole.push(times(whole[parent], turns[joint]));
    const offset = turn(whole[parent], at(joint).map((value, k) => value - from[k]));
    moved.push(offset.map((value, k) => value + moved[parent][k]));
  }
  const shift = whole.map((m, joint) => turn(m, at(joint)).map((value, k) => moved[joint][k] - value));
  const out = new Float32Array(shaped.length);
  for (let v = 0; v < shaped.length / 3; v++) {
    const point = [shaped[3 * v], shaped[3 * v + 1], shaped[3 * v + 2]];
    for (let joint = 0; joint < PARENTS.length; joint++) {
      const weight = head.weights[v * PARENTS.length + joint];
      if (!weight) continue;
      const m = whole[joint], s = shift[joint];
      for (let k = 0; k < 3; k++) {
        out[3 * v + k] += weight *
          (m[3 * k] * point[0] + m[3 * k + 1] * point[1] + m[3 * k + 2] * point[2] + s[k]);
      }
    }
  }
  return out;
}

// Unit normals of the vertices: those of the touching triangles, weighted by their areas.
function vertexNormals(points, faces) {
  const normals = new Float32Array(points.length);
  for (let f = 0; f < faces.length; f += 3) {
    const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
    const [ux, uy, uz] = [points[b] - points[a], points[b + 1] - points[a + 1], points[b + 2] - points[a + 2]];
    const [vx, vy, vz] = [points[c] - points[a], points[c + 1] - points[a + 1], points[c + 2] - points[a + 2]];
    const normal = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
    for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) normals[corner + k] += normal[k];
  }
  for (let v = 0; v < normals.length; v += 3) {
    const length = Math.hypot(normals[v], normals[v + 1], normals[v + 2]) || 1;
    for (let k = 0; k < 3; k++) normals[v + k] /= length;
  }
  return normals;
}
