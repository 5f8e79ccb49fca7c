
// Sheets of photos with their drawings, and the view of one photo.

function drawSheets() {
  const shown = DATA.sheets.filter((sheet) =>
    (!filters.status || sheet.status === filters.status)
    && (!filters.reason || reasonKey(sheet.stage, sheet.reason) === filters.reason));
  const made = shown.map(sheetSection).filter(Boolean);
  const none = DATA.sheets.length ? "No photos for these filters." : "This report was made without photos.";
  document.getElementById("sheets").replaceChildren(...(made.length ? made : [html("p", { class: "note" }, none)]));
}

function sheetSection(sheet) {
  const inside = (number) => !filters.dataset || DATA.cards[number].dataset === filters.dataset;
  const photos = sheet.photos.filter(inside);
  if (!photos.length) return null;
  const compared = sheet.compared.filter(inside);
  const rows = rowsOf(inDataset().filter((group) => group.status === sheet.status && group.stage === sheet.stage && group.reason === sheet.reason));
  const title = sheet.status === "ok" ? "Kept" : sheet.reason;
  const left = sheet.status === "ok" ? null : `${sheet.status === "failed" ? "Failed" : "Dropped"}, ${photos.length} of ${number(rows)}`;
  const details = sheet.status === "ok" ? `${photos.length} of ${number(rows)}` : `${stageWord(sheet.stage)} · ${number(rows)} ${WORDS[sheet.status]}`;
  const sides = html("div", { class: compared.length ? "sides" : "sides single" }, sideOf(left, photos, sheet.score));
  if (compared.length) sides.append(sideOf(sheet.beside, compared, sheet.score));
  return html("section", { class: "sheet", "data-status": sheet.status, "data-reason": reasonKey(sheet.stage, sheet.reason) },
    html("header", {}, html("h3", {}, html("span", { class: `dot ${sheet.status}` }), title), html("span", {}, details)), sides);
}

function sideOf(title, numbers, score) {
  const rows = numbers.map((number) => DATA.cards[number].row);
  const list = html("ul", { class: "cards" }, ...numbers.map((number) => html("li", {}, ...cardParts(DATA.cards[number], score, rows))));
  return html("div", {}, title === null ? null : html("h4", {}, title), list);
}

// A photo to open, with what can be done to it below.
function cardParts(card, score, rows) {
  return [cardButton(card, score, rows), html("span", { class: "doings" }, markButton(card.row), copyButton(card.row, "Copy path"))];
}

function cardButton(card, score, rows) {
  const value = score && card.scores[score] !== undefined ? `${plain(card.scores[score])}` : null;
  const name = card.sample_id.split("/").slice(1).join("/") || card.sample_id;
  const words = `${card.sample_id}, ${WORDS[card.status]}${card.reason ? `: ${card.reason}` : ""}${value ? `, ${score} ${value}` : ""}`;
  const button = html("button", { type: "button", class: "card", "aria-label": words, title: card.sample_id, "data-row": card.row },
    html("span", { class: `frame ${card.status}` }, face(card)),
    value ? html("span", { class: "value" }, value) : null, html("span", { class: "name" }, name));
  button.onclick = () => openRow(card.row, rows);
  return button;
}

function face(card) {
  if (card.note !== null) return html("span", { class: "none" }, card.note);
  if (card.jpeg === null) return filePicture(card.row);
  const side = DATA.side;
  const drawn = svg("svg", { viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true" },
    svg("image", { href: `data:image/jpeg;base64,${card.jpeg}`, width: side, height: side }));
  if (card.mask.length) drawn.append(svg("path", { class: "outline", d: card.mask.map(polygon).join("") }));
  if (card.landmarks.length) drawn.append(svg("path", { class: "points", d: lines(card.landmarks) }));
  return drawn;
}

function polygon(numbers) {
  const points = [];
  for (let at = 0; at < numbers.length; at += 2) points.push(`${numbers[at] + 0.5} ${numbers[at + 1] + 0.5}`);
  return `M${points.join("L")}Z`;
}

function lines(numbers) {
  return DATA.chains.map((chain) => `M${chain.map((point) => `${numbers[2 * point]} ${numbers[2 * point + 1]}`).join("L")}`).join("");
}

// Shows one photo of `rows`; the arrow keys go to the others.
function openRow(row, rows) {
  const card = cardOf(row), viewer = document.getElementById("viewer");
  document.getElementById("viewer-title").textContent = card.sample_id;
  const fields = [
    ["status", card.reason ? `${WORDS[card.status]} by ${stageWord(card.stage)}: ${card.reason}` : WORDS[card.status]],
    ["dataset", card.dataset], ["person", card.identity], ["split", card.split], ["copy of", card.duplicate_of], ["file", pathOf(row)],
  ].filter(([, value]) => value !== undefined && value !== null);
  const units = Object.fromEntries(DATA.scores.map((score) => [score.name, /\d/.test(score.unit) ? "" : score.unit]));
  const table = html("table", {}, html("tbody", {},
    ...fields.map(([name, value]) => html("tr", {}, html("th", { scope: "row" }, name), html("td", { colspan: 2 }, value))),
    ...Object.entries(card.scores).map(([name, value]) => html("tr", {},
      html("th", { scope: "row" }, name), html("td", { class: "num" }, plain(value)), html("td", { class: "unit" }, units[name] ?? "")))));
  document.getElementById("viewer-body").replaceChildren(html("div", { class: "frame" }, face(card)), table);
  document.getElementById("viewer-doings").replaceChildren(...viewerDoings(row, rows));
  if (!viewer.open) viewer.showModal();
  drawMarks();
}

function viewerDoings(row, rows) {
  const at = rows.indexOf(row);
  const step = (by, words) => {
    const button = textButton(words, () => openRow(rows[at + by], rows));
    button.disabled = rows[at + by] === undefined;
    button.dataset.step = by;
    return button;
  };
  const person = personOf(row);
  const all = textButton("All photos of the person", () => { document.getElementById("viewer").close(); openPerson(person); });
  return [step(-1, "Previous"), step(1, "Next"), markButton(row), copyButton(row, "Copy path"), person ? all : null].filter(Boolean);
}

function bindViewer() {
  document.getElementById("viewer").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) document.querySelector(`#viewer [data-step="${by}"]`).click();
  });
}
