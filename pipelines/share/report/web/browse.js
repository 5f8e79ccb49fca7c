
// All listed photos: sorted by a score, a person's alone, a page at a time.

const PER_PAGE = 24;
const AWAY_FROM_ZERO = ["yaw", "pitch", "roll"];
let ordered = { key: null, rows: [] };

function setView(changes) {
  Object.assign(view, changes);
  writeAddress();
  drawBrowse();
}

function showBrowse() {
  const place = document.getElementById("browse");
  place.focus({ preventScroll: true });
  place.scrollIntoView();
}

// Scores of which a high value is bad, as the recipes' rules say.
function highIsBad(score) {
  return DATA.rules.some((rule) => rule.column === score && rule.side === "above")
    && !DATA.rules.some((rule) => rule.column === score && rule.side === "below");
}

// What all filters let through, the worst first; rows without the score come last.
function visibleRows() {
  const key = JSON.stringify([filters, view.person, view.find, view.sort, view.turn, view.marked && [...MARKS.keys()]]);
  if (ordered.key === key) return ordered.rows;
  const numbers = new Set(matching().map((group) => group.number));
  const person = view.person ? LIST.names.indexOf(view.person) : null;
  const find = view.find.toLowerCase();
  const rows = [];
  for (let row = 0; row < LIST.ids.length; row += 1) {
    if (numbers.has(LIST.groups[row]) && (person === null || LIST.persons[row] === person)
      && (!find || LIST.ids[row].toLowerCase().includes(find)) && (!view.marked || MARKS.has(row))) rows.push(row);
  }
  const values = LIST.scores[view.sort];
  if (values) {
    const away = AWAY_FROM_ZERO.includes(view.sort);
    const sign = (away || highIsBad(view.sort) ? -1 : 1) * (view.turn ? -1 : 1);
    const rank = Float64Array.from(rows, (row) => (Number.isNaN(values[row]) ? Infinity : sign * (away ? Math.abs(values[row]) : values[row])));
    const at = Uint32Array.from(rows.keys()).sort((a, b) => (rank[a] === rank[b] ? a - b : rank[a] - rank[b]));
    ordered = { key, rows: Array.from(at, (each) => rows[each]) };
  } else {
    ordered = { key, rows: view.turn ? rows.reverse() : rows };
  }
  return ordered.rows;
}

function drawBrowse() {
  if (!LIST.ids.length) {
    document.getElementById("browse").hidden = true;
    return;
  }
  const rows = visibleRows();
  const pages = Math.max(1, Math.ceil(rows.length / PER_PAGE));
  const page = Math.min(pages, Math.max(1, Number.parseInt(view.page, 10) || 1)) - 1;
  const shown = rows.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  document.getElementById("sort").value = view.sort;
  document.getElementById("find").value = view.find;
  document.getElementById("turn").setAttribute("aria-pressed", Boolean(view.turn));
  document.getElementById("browse-person").replaceChildren(...personBar());
  const kept = rows.filter((row) => groupOf(row).status === "ok").length;
  document.getElementById("browse-count").textContent = `${number(rows.length)} photos, ${number(kept)} kept`;
  const grid = faceRow(shown, view.sort);
  grid.querySelectorAll("button.card").forEach((button, at) => { button.onclick = () => openRow(shown[at], rows); });
  const pass = (to) => { setView({ page: to ? `${to + 1}` : "" }); showBrowse(); };
  document.getElementById("browse-grid").replaceChildren(rows.length ? grid : html("p", { class: "note" }, "No listed photo fits."),
    pages > 1 ? pager(page, pages, pass) : "");
  document.getElementById("mark-page").disabled = !shown.length;
  document.getElementById("mark-page").onclick = () => setMark(shown, true);
  drawMarks();
}

// On a person's page: the name, the persons before and after it, and the way back.
function personBar() {
  if (view.marked) return [html("h3", {}, "Marked photos"), textButton("Show all photos", () => setView({ marked: "", page: "" }))];
  if (!view.person) return LIST.names.length ? [textButton("A page for each person", () => setView({ person: LIST.names[0], page: "" }))] : [];
  const at = LIST.names.indexOf(view.person);
  const near = (step, words) => {
    const name = LIST.names[at + step];
    const button = textButton(words, () => setView({ person: name, page: "" }));
    button.disabled = name === undefined;
    return button;
  };
  return [html("h3", {}, view.person), near(-1, "Previous person"), near(1, "Next person"),
    textButton("All persons", () => setView({ person: "", page: "" }))];
}

function textButton(words, act) {
  const button = html("button", { type: "button" }, words);
  button.addEventListener("click", act);
  return button;
}

function pager(page, pages, go) {
  const field = html("input", { type: "number", min: 1, max: pages, value: page + 1, "aria-label": "Page" });
  field.addEventListener("change", () => go(Math.min(pages, Math.max(1, Number.parseInt(field.value, 10) || 1)) - 1));
  const before = textButton("Previous", () => go(page - 1));
  const next = textButton("Next", () => go(page + 1));
  before.disabled = page === 0;
  next.disabled = page >= pages - 1;
  return html("nav", { class: "pager", "aria-label": "Pages" }, before, html("span", {}, "Page "), field, html("span", {}, ` of ${number(pages)}`), next);
}

function bindBrowse() {
  const on = (id, event, act) => document.getElementById(id).addEventListener(event, act);
  document.getElementById("sort").append(html("option", { value: "" }, "the manifest's order"),
    ...DATA.scores.map((score) => score.name).filter((name) => LIST.scores[name]).map((name) => html("option", { value: name }, name)));
  on("sort", "change", (event) => setView({ sort: event.target.value, page: "" }));
  on("find", "input", (event) => setView({ find: event.target.value, page: "" }));
  on("turn", "click", () => setView({ turn: view.turn ? "" : "yes", page: "" }));
  const part = LIST.ids.length < LIST.total
    ? ` Of ${number(LIST.total)} photos, ${number(LIST.ids.length)} are listed, drawn evenly; deca-data report --list lists more.` : "";
  document.getElementById("browse-lead").textContent = `${DATA.folder === null
    ? "The page shows the photos' own files, so they must lie on this machine." : `The pictures lie beside this page, in ${DATA.folder.split("/")[0]}.`}${part}`;
}
