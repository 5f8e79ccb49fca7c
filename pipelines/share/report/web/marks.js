
// Photos that the user marks, and the list of them for build-manifest.

const MARKS = new Map();
const MARKS_KEY = `deca-data marks ${DATA.listing.digest}`;
const WHYS = ["looked at", "wrong person", "no face", "wrong landmarks", "poor photo", "copy"];

function readMarks() {
  try {
    for (const [row, why] of JSON.parse(localStorage.getItem(MARKS_KEY) ?? "[]")) {
      if (LIST.ids[row] !== undefined) MARKS.set(row, `${why}`);
    }
  } catch { /* some browsers keep nothing for files */ }
}

function keepMarks() {
  try { localStorage.setItem(MARKS_KEY, JSON.stringify([...MARKS])); } catch { /* as above */ }
}

function setMark(rows, marked) {
  const why = document.getElementById("why").value;
  for (const row of rows) {
    if (!marked) MARKS.delete(row);
    else if (!MARKS.has(row)) MARKS.set(row, why);
  }
  keepMarks();
  drawMarks();
}

// Brings all buttons and the bar up to date; nothing is drawn anew, so the keyboard stays where it is.
function drawMarks() {
  for (const button of document.querySelectorAll("button[data-mark]")) {
    const marked = MARKS.has(Number(button.dataset.mark));
    button.setAttribute("aria-pressed", marked);
    button.closest("li, dialog")?.classList.toggle("marked", marked);
  }
  document.getElementById("marks").hidden = !MARKS.size;
  document.getElementById("marked").textContent = `${number(MARKS.size)} marked`;
}

function markButton(row) {
  const button = html("button", { type: "button", class: "small-button", "data-mark": row, "aria-pressed": MARKS.has(row) }, "Mark");
  button.addEventListener("click", () => setMark([row], !MARKS.has(row)));
  return button;
}

function copyButton(row, words) {
  const button = html("button", { type: "button", class: "small-button", "data-copy": row, title: pathOf(row) }, words);
  button.addEventListener("click", () => copyText(pathOf(row), button));
  return button;
}

function marksTable() {
  const cell = (text) => (/[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = [...MARKS].sort((a, b) => a[0] - b[0]);
  return ["sample_id,reason", ...rows.map(([row, why]) => `${cell(LIST.ids[row])},${cell(why)}`), ""].join("\n");
}

function saveMarks() {
  const address = URL.createObjectURL(new Blob([marksTable()], { type: "text/csv" }));
  html("a", { href: address, download: "marks.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function bindMarks() {
  const on = (id, act) => document.getElementById(id).addEventListener("click", act);
  document.getElementById("why").append(...WHYS.map((why) => html("option", { value: why }, why)));
  on("save-marks", saveMarks);
  on("show-marks", () => { setView({ marked: "yes", person: "", find: "", page: "" }); showBrowse(); });
  on("clear-marks", () => {
    MARKS.clear();
    keepMarks();
    drawMarks();
    if (view.marked) setView({ marked: "" });
  });
  on("copy-exclude", (event) => copyText(document.getElementById("exclude-line").textContent, event.target));
}
