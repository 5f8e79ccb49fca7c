"use strict";
// The page: a scene with one head, and controls. The address keeps the state: #face=0&jaw=20&surface=grey.

const RADIANS = Math.PI / 180;
const POSE = [
  ["jaw", "Jaw opens", -5, 40, "°"], ["aside", "Jaw aside", -12, 12, "°"],
  ["turn", "Neck turns", -50, 50, "°"], ["nod", "Neck nods", -30, 30, "°"], ["tilt", "Neck tilts", -30, 30, "°"],
  ["look", "Eyes aside", -30, 30, "°"], ["down", "Eyes down", -25, 25, "°"],
];
const byId = id => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const head = {
  modes: data.head.modes.map(numbers), modeJoints: data.head.modeJoints.map(numbers),
  correctives: data.head.correctives.map(numbers), weights: numbers(data.head.weights),
  faces: numbers(data.head.faces), uv: numbers(data.head.uv), uvFaces: numbers(data.head.uvFaces),
};
const corner = new Uint16Array(head.uv.length / 2); // the vertex at each UV vertex
head.uvFaces.forEach((place, n) => { corner[place] = head.faces[n]; });
const people = data.faces.map(each => ({
  ...each, base: numbers(each.base), own: numbers(each.own), joints: numbers(each.joints),
  ownJoints: numbers(each.ownJoints), relief: each.relief && numbers(each.relief),
}));

const view = {turn: 0.35, lift: 0.06, away: 1};
const sliders = new Map();
let scene, camera, renderer, lamp, sky, mesh, face;

function slider(place, id, label, low, high, unit, step) {
  const line = document.createElement("label"), input = document.createElement("input");
  const value = document.createElement("output");
  line.className = "slide";
  Object.assign(input, {type: "range", id, min: low, max: high, step, value: 0});
  line.append(label, value, input);
  place.append(line);
  const show = () => { value.textContent = `${Number(input.value).toFixed(step < 1 ? 1 : 0)}${unit}`; };
  input.addEventListener("input", () => { show(); shape(); });
  sliders.set(id, {input, show, set(number) { input.value = number; show(); }});
}

const number = id => Number(sliders.get(id).input.value);
const words = name => name.replace(/[A-Z]/g, letter => " " + letter.toLowerCase());
const checked = () => document.querySelector("input[name=surface]:checked").value;

// The page is ready, which `data-ready` of its root says, once no picture is waited for.
let waiting = 0;
function texture(picture, colour) {
  waiting += 1;
  const found = new THREE.TextureLoader().load(picture, () => {
    draw();
    if (--waiting === 0) document.documentElement.dataset.ready = "";
  });
  if (colour) found.encoding = THREE.sRGBEncoding;
  return found;
}

// Moves the vertices to the state of the sliders.
function shape() {
  const points = posed(head, face, {
    own: number("own") / 100,
    modes: head.modes.map((_, n) => number(`mode${n}`)),
    neck: [number("nod") * RADIANS, number("turn") * RADIANS, number("tilt") * RADIANS],
    jaw: [number("jaw") * RADIANS, number("aside") * RADIANS, face.jaw[2]],
    eyes: [number("down") * RADIANS, number("look") * RADIANS, 0],
  });
  const normals = vertexNormals(points, head.faces);
  const geometry = mesh.geometry, fine = byId("details").checked && face.relief;
  const position = geometry.attributes.position.array, normal = geometry.attributes.normal.array;
  for (let place = 0; place < corner.length; place++) {
    const v = corner[place], move = fine ? face.relief[v] : 0;
    for (let k = 0; k < 3; k++) {
      normal[3 * place + k] = normals[3 * v + k];
      position[3 * place + k] = points[3 * v + k] + move * normals[3 * v + k];
    }
  }
  geometry.attributes.position.needsUpdate = geometry.attributes.normal.needsUpdate = true;
  draw();
}

function surface() {
  const material = mesh.material;
  const photo = checked() === "photo";
  material.map = photo ? face.picture : head.grey;
  // The photo has its light already; the grey head needs light from one side to show its shape.
  [lamp.intensity, sky.intensity] = photo ? [0.5, 0.68] : [0.72, 0.2];
  material.normalMap = byId("details").checked && face.normals ? face.normals : null;
  material.needsUpdate = true;
  shape();
}

function choose(index) {
  face = people[index];
  face.picture ??= texture(face.texture, true);
  if (face.normalMap) face.normals ??= texture(face.normalMap, false);
  byId("details").disabled = !face.normalMap;
  restore();
}

function restore() {
  sliders.forEach(each => each.set(0));
  sliders.get("own").set(100);
  sliders.get("jaw").set(face.jaw[0] / RADIANS);
  sliders.get("aside").set(face.jaw[1] / RADIANS);
  sliders.get("look").set(face.eyes[1] / RADIANS);
  sliders.get("down").set(face.eyes[0] / RADIANS);
  surface();
}

function draw() {
  if (!renderer) return;
  const stage = byId("stage"), width = stage.clientWidth, height = stage.clientHeight;
  renderer.setSize(width, height);
  camera.aspect = width / height;
  const away = view.away * 0.66 * Math.max(1, 1 / camera.aspect);
  const flat = Math.cos(view.lift) * away;
  camera.position.set(Math.sin(view.turn) * flat, Math.sin(view.lift) * away, Math.cos(view.turn) * flat);
  camera.position.add(scene.position);
  camera.lookAt(0, 0, 0);
  camera.updateProjectionMatrix();
  renderer.render(scene, camera);
}

function listen(stage) {
  stage.addEventListener("pointerdown", event => stage.setPointerCapture(event.pointerId));
  stage.addEventListener("pointermove", event => {
    if (!event.buttons) return;
    view.turn -= event.movementX * 0.008;
    view.lift = Math.max(-1.4, Math.min(1.4, view.lift + event.movementY * 0.008));
    draw();
  });
  stage.addEventListener("wheel", event => {
    event.preventDefault();
    view.away = Math.max(0.35, Math.min(2.5, view.away * Math.exp(event.deltaY * 0.001)));
    draw();
  }, {passive: false});
  window.addEventListener("resize", draw);
  window.addEventListener("hashchange", follow);
  byId("face").addEventListener("change", event => choose(Number(event.target.value)));
  byId("panel").addEventListener("submit", event => event.preventDefault());
  byId("reset").addEventListener("click", event => { event.preventDefault(); restore(); });
  byId("details").addEventListener("change", surface);
  document.querySelectorAll("input[name=surface]").forEach(each => each.addEventListener("change", surface));
}

// Sets the controls as the address says.
function follow() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (people[asked.get("face")]) {
    byId("face").value = asked.get("face");
    choose(Number(asked.get("face")));
  }
  for (const [name, value] of asked) {
    if (sliders.has(name)) sliders.get(name).set(value);
    if (name === "view") view.turn = Number(value) * RADIANS;
    if (name === "details") byId("details").checked = value !== "off";
    if (name === "surface") document.querySelectorAll("input[name=surface]").forEach(each => {
      each.checked = each.value === value;
    });
  }
  surface();
}

function begin() {
  const stage = byId("stage");
  try {
    renderer = new THREE.WebGLRenderer({antialias: true, preserveDrawingBuffer: true});
  } catch (error) {
    byId("trouble").textContent = "This browser cannot draw in 3-D (it has no WebGL): open the page in another one.";
    byId("trouble").hidden = false;
    return;
  }
  renderer.outputEncoding = THREE.sRGBEncoding;
  renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
  stage.append(renderer.domElement);
  scene = new THREE.Scene();
  scene.background = new THREE.Color(0xe9ebee);
  camera = new THREE.PerspectiveCamera(28, 1, 0.02, 10);
  lamp = new THREE.DirectionalLight(0xffffff);
  sky = new THREE.HemisphereLight(0xffffff, 0xb8b0a8);
  lamp.position.set(0.8, 1.0, 1.2);
  scene.add(lamp, sky);
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.BufferAttribute(new Float32Array(3 * corner.length), 3));
  geometry.setAttribute("normal", new THREE.BufferAttribute(new Float32Array(3 * corner.length), 3));
  geometry.setAttribute("uv", new THREE.BufferAttribute(head.uv, 2));
  geometry.setIndex(new THREE.BufferAttribute(head.uvFaces, 1));
  mesh = new THREE.Mesh(geometry, new THREE.MeshStandardMaterial({roughness: 0.75, metalness: 0}));
  mesh.frustumCulled = false;
  mesh.position.y = data.head.middle;
  scene.add(mesh);
  head.grey = texture(data.head.grey, true);
  POSE.forEach(([id, label, low, high, unit]) => slider(byId("pose"), id, label, low, high, unit, 0.1));
  slider(byId("expression"), "own", "Of the photo", 0, 150, " %", 1);
  data.head.names.forEach((name, n) => slider(byId("expression"), `mode${n}`, words(name), -3, 3, "", 0.1));
  people.forEach((each, n) => byId("face").append(new Option(each.name, n)));
  listen(stage);
  choose(0);
  follow();
}

begin();
