
// The rows that the page lists one by one: from packed columns to cards and pictures.

const LIST = unpackList(DATA.listing);
const CARDS = new Map(DATA.cards.map((card) => [card.row, card]));

function unpackList(packed) {
  const scores = Object.fromEntries(Object.entries(packed.scores).map(([name, text]) => [name, numbersIn(text, Float32Array)]));
  return {
    ...packed, scores, groups: numbersIn(packed.groups, Uint16Array),
    points: packed.points === null ? null : numbersIn(packed.points, Uint8Array), persons: numbersIn(packed.persons, Int32Array), windows: numbersIn(packed.windows, Int32Array),
  };
}

function numbersIn(text, Kind) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return new Kind(bytes.buffer);
}

function groupOf(row) {
  return GROUPS[LIST.groups[row]];
}

function personOf(row) {
  return LIST.names[LIST.persons[row]] ?? "";
}

function imageOf(row) {
  return LIST.images[row] ?? LIST.ids[row].slice(groupOf(row).dataset.length + 1);
}

// Where the photo lies on the machine that made the report; without a folder, its name in the dataset.
function pathOf(row) {
  const root = DATA.roots[groupOf(row).dataset];
  return root === undefined ? imageOf(row) : `${root}/${imageOf(row)}`;
}

function scoresOf(row) {
  const found = {};
  for (const [name, values] of Object.entries(LIST.scores)) {
    if (!Number.isNaN(values[row])) found[name] = values[row];
  }
  return found;
}

// The row as a card; its picture is inside the page only for a few.
function cardOf(row) {
  const inside = CARDS.get(row);
  if (inside) return inside;
  const { dataset, split, status, stage, reason } = groupOf(row);
  return {
    row, sample_id: LIST.ids[row], dataset, split, status, stage, reason: LIST.reasons[row] ?? reason,
    identity: LIST.persons[row] < 0 ? undefined : personOf(row).slice(dataset.length + 1),
    duplicate_of: LIST.copies[row], scores: scoresOf(row), jpeg: null, landmarks: [], mask: [], note: null,
  };
}

// The face in the photo's own file, or the picture in the folder beside the page.
function filePicture(row) {
  const [width, height, left, top, side] = LIST.windows.subarray(5 * row, 5 * row + 5);
  const small = DATA.folder !== null;
  const whole = small || !side;
  const source = small ? pictureName(row) : fileAddress(row);
  if (source === null) return html("span", { class: "none" }, "no picture");
  const drawn = svg("svg", { viewBox: whole ? "0 0 1 1" : `${left} ${top} ${side} ${side}`, "aria-hidden": "true" });
  const image = svg("image", { href: source, width: whole ? 1 : width, height: whole ? 1 : height });
  image.addEventListener("error", () => drawn.replaceWith(
    html("span", { class: "none" }, small ? "could not be read" : "the photo's file is not here, or this browser cannot show it")));
  drawn.append(image);
  const points = pointsOf(row);
  if (points && side) drawn.append(svg("path", { class: "points", d: lines(points.map(whole ? (each) => each / 255 : (each, at) => (at % 2 ? top : left) + (each / 255) * side)) }));
  return drawn;
}

// The landmarks in the face's square, 0 to 255; null where there are none, or the list is too long to hold them.
function pointsOf(row) {
  const points = LIST.points && Array.from(LIST.points.subarray(136 * row, 136 * row + 136));
  return points?.some(Boolean) ? points : null;
}

function pictureName(row) {
  return `${DATA.folder.split("/").map(encodeURIComponent).join("/")}/${String(Math.floor(row / 1000)).padStart(4, "0")}/${row}.jpg`;
}

// Always a file of this machine: a folder's name cannot make it the address of a server.
function fileAddress(row) {
  if (DATA.roots[groupOf(row).dataset] === undefined) return null;
  try {
    return `file:///${pathOf(row).split("/").filter(Boolean).map(encodeURIComponent).join("/")}`;
  } catch {
    return null;  // a name that is no text
  }
}

async function copyText(text, button) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const field = html("textarea", {}, text);  // for browsers that allow no clipboard to files
    (button.closest("dialog") ?? document.body).append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const before = button.dataset.words ?? button.textContent;
  button.dataset.words = before;
  button.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}
