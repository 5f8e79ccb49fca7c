
// Fills the page, and draws again whatever a filter or the window's width changes.

const THEMES = ["auto", "light", "dark"];

function setFilters(changes) {
  Object.assign(filters, changes);
  view.page = "";
  writeAddress();
  draw();
}

function draw() {
  document.getElementById("dataset").value = filters.dataset;
  document.getElementById("reason").value = filters.reason;
  document.querySelector(`input[name=status][value="${filters.status}"]`).checked = true;
  const set = Object.values(filters).some(Boolean);
  document.getElementById("reset").disabled = !set;
  document.getElementById("count").textContent = `${number(rowsOf(matching()))} of ${number(rowsOf(GROUPS))} photos`;
  drawFigures();
  drawFlow();
  drawReasons();
  drawScores();
  drawPoses();
  drawPeople();
  drawMoved();
  drawAlike();
  drawOutliers();
  drawSheets();
  drawBrowse();
}

function drawFigures() {
  const groups = inDataset();
  const total = rowsOf(groups);
  const of = (status, split) => rowsOf(groups.filter((group) => group.status === status && (!split || group.split === split)));
  const names = Object.keys(DATA.people.datasets).filter((name) => !filters.dataset || name === filters.dataset);
  const persons = names.reduce((sum, name) => sum + DATA.people.datasets[name].kept.slice(1).reduce((a, b) => a + b, 0), 0);
  const all = names.reduce((sum, name) => sum + DATA.people.datasets[name].before.reduce((a, b) => a + b, 0), 0);
  const datasets = filters.dataset ? 1 : DATASETS.length;
  const figure = (name, value, note, tone) =>
    html("div", { class: tone }, html("dt", {}, name), html("dd", {}, number(value), html("small", {}, note)));
  document.getElementById("figures").replaceChildren(
    figure("Photos in", total, `${number(datasets)} ${datasets === 1 ? "dataset" : "datasets"}`, ""),
    figure("Kept", of("ok"), `${number(of("ok", "train"))} train, ${number(of("ok", "val"))} val`, "ok"),
    figure("Dropped", of("dropped"), percent(of("dropped"), total), "dropped"),
    figure("Failed", of("failed"), percent(of("failed"), total), "failed"),
    figure("Persons kept", persons, `of ${number(all)}`, ""));
}

function fillOnce() {
  const recipe = DATA.settings.recipe_name;
  document.getElementById("sub").textContent = `${DATA.manifests.map((each) => each.name).join(" and ")}${recipe ? ` · recipe ${recipe}` : ""}`;
  const option = (value, text) => html("option", { value }, text);
  document.getElementById("dataset").append(option("", "All"), ...DATASETS.map((name) => option(name, name)));
  document.getElementById("reason").append(option("", "Any"),
    ...REASONS.map((each) => option(each.key, `${stageWord(each.stage)}: ${each.reason} (${number(each.rows)})`)));
  const note = "its list names the photos' files";
  const shownPhotos = DATA.cards.filter((card) => card.jpeg !== null).length;
  document.getElementById("footer").textContent = shownPhotos
    ? `${number(shownPhotos)} photos are inside this file, and ${note}; pass it on only where the datasets' terms allow it.`
    : `No photos are inside this file${LIST.ids.length ? `; ${note}` : ""}.`;
  fillSettings();
}

function fillSettings() {
  const { recipe, recipe_name: name, stages, sources, identities, versions } = DATA.settings;
  const table = (title, rows, wide, off = () => false) => html("div", { class: wide ? "wide" : null }, html("h3", {}, title),
    html("table", {}, html("tbody", {}, ...rows.map((row) => html("tr", { class: off(row) ? "off" : null },
      ...row.map((cell) => html("td", {}, cell === null ? "off" : `${cell}`)))))));
  document.getElementById("settings-tables").append(
    table(name ? `Recipe ${name}` : "Recipe", recipe, true, (row) => row[1] === null || row[1] === false),
    table("Stages: model, settings, fingerprint", stages, true),
    table("Datasets and their layouts", [...sources, ...(identities ? [["identities", identities]] : [])], false),
    table("Versions, where this report was made", versions, false));
}

function bindFilters() {
  const on = (id, event, act) => document.getElementById(id).addEventListener(event, act);
  on("dataset", "change", (event) => setFilters({ dataset: event.target.value }));
  on("reason", "change", (event) => setFilters({ reason: event.target.value, status: event.target.value ? "" : filters.status }));
  on("filters", "submit", (event) => event.preventDefault());
  on("reset", "click", () => setFilters({ dataset: "", status: "", reason: "" }));
  for (const input of document.querySelectorAll("input[name=status]")) {
    input.addEventListener("change", () => setFilters({ status: input.value, reason: "" }));
  }
  for (const name of ["landmarks", "mask"]) {
    on(`show-${name}`, "change", (event) => document.body.classList.toggle(`no-${name}`, !event.target.checked));
  }
  const follow = () => { readAddress(); draw(); };
  window.addEventListener("hashchange", follow);
  window.addEventListener("popstate", follow);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();  // the address holds the filters
    document.getElementById("flow").focus();
    document.getElementById("flow").scrollIntoView();
  });
}

function bindTheme() {
  const button = document.getElementById("theme");
  let theme = "auto";
  try { theme = localStorage.getItem("theme") ?? "auto"; } catch { /* some browsers keep nothing for files */ }
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try { localStorage.setItem("theme", theme); } catch { /* as above */ }
    show();
  });
  show();
}

bindTheme();
readAddress();
fillOnce();
readMarks();
bindFilters();
bindMoved();
bindMarks();
bindViewer();
bindBrowse();
draw();
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return;
  width = window.innerWidth;
  draw();
});
document.documentElement.dataset.ready = "";
