
// Faces side by side: persons who look alike, and photos that do not look like their person.

const AT_A_TIME = 6;
const places = { alike: 0, outliers: 0 };

function personFaces(name) {
  const person = LIST.names.indexOf(name);
  return person < 0 ? [] : LIST.best[person];
}

function personButton(name) {
  const button = html("button", { type: "button", class: "person" }, name);
  button.addEventListener("click", () => openPerson(name));
  return LIST.names.includes(name) ? button : html("span", {}, name);
}

function openPerson(name) {
  setView({ person: name, page: "", find: "", marked: "" });
  showBrowse();
}

function faceRow(rows, score) {
  return html("ul", { class: "cards" }, ...rows.map((row) => html("li", {}, ...cardParts(cardOf(row), score, rows))));
}

function paged(kind, all, place, make) {
  const pages = Math.max(1, Math.ceil(all.length / AT_A_TIME));
  places[kind] = Math.min(places[kind], pages - 1);
  const from = places[kind] * AT_A_TIME;
  const go = (page) => { places[kind] = page; paged(kind, all, place, make); };
  place.replaceChildren(...all.slice(from, from + AT_A_TIME).map(make), pages > 1 ? pager(places[kind], pages, go) : "");
  drawMarks();
}

// The pairs that the identity check lists, those with a person of the chosen dataset.
function drawAlike() {
  const pairs = DATA.lookalikes.filter((pair) =>
    !filters.dataset || pair.slice(0, 2).some((name) => name.startsWith(`${filters.dataset}/`)));
  document.getElementById("alike").hidden = !DATA.lookalikes.length;
  document.getElementById("alike-lead").textContent = pairs.length
    ? "They may be one person under two names. Nothing was dropped for it; the recipe's lookalikes says from where a pair is listed."
    : "None in this dataset.";
  paged("alike", pairs, document.getElementById("alike-pairs"), ([first, second, cosine]) => html("article", { class: "versus" },
    html("p", { class: "measure" }, `cosine ${cosine.toFixed(2)}`),
    ...[first, second].map((name) => html("div", {}, html("h3", {}, personButton(name)), faceRow(personFaces(name), "")))));
}

function outliers() {
  const scores = LIST.scores.identity_score ?? [];
  const found = [];
  LIST.groups.forEach((_, row) => {
    const group = groupOf(row);
    if (group.status === "dropped" && group.stage === "identity" && LIST.persons[row] >= 0
      && (!filters.dataset || group.dataset === filters.dataset)) found.push(row);
  });
  const value = (row) => (Number.isNaN(scores[row] ?? NaN) ? Infinity : scores[row]);
  return found.sort((a, b) => (value(a) === value(b) ? a - b : value(a) - value(b)));
}

function drawOutliers() {
  const rows = outliers();
  document.getElementById("outliers").hidden = !rows.length;
  paged("outliers", rows, document.getElementById("outlier-rows"), (row) => html("article", { class: "versus outlier" },
    html("div", {}, html("h3", {}, "Dropped"), html("p", { class: "small" }, cardOf(row).reason), faceRow([row], "identity_score")),
    html("div", {}, html("h3", {}, personButton(personOf(row))), html("p", { class: "small" }, "the photos most like this person"),
      faceRow((LIST.best[LIST.persons[row]] ?? []).filter((each) => each !== row), "identity_score"))));
}
