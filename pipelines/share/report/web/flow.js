
// The flow from files to kept photos, and the table of reasons.

const TIGHT = 76;  // pixels a stage: with less the flow becomes a list
const ROOMY = 112;  // with less, names of stages go over two lines

// What each stage took out of the rows of `groups`, in the order of the stages.
function losses(groups) {
  const found = new Map();
  for (const group of groups.filter((each) => each.status !== "ok")) {
    const stage = group.stage ?? "";
    const entry = found.get(stage) ?? { stage, rows: 0, dropped: 0, failed: 0, reasons: new Map() };
    entry.rows += group.rows;
    entry[group.status] += group.rows;
    entry.reasons.set(group.reason, (entry.reasons.get(group.reason) ?? 0) + group.rows);
    found.set(stage, entry);
  }
  const place = (stage) => (DATA.stages.includes(stage) ? DATA.stages.indexOf(stage) : DATA.stages.length);
  return [...found.values()].sort((a, b) => place(a.stage) - place(b.stage));
}

function drawFlow() {
  const place = document.getElementById("flow-chart");
  const groups = inDataset();
  const total = rowsOf(groups);
  const lost = losses(groups);
  if (!total) {
    place.replaceChildren(html("p", { class: "note" }, "There are no rows."));
    return;
  }
  const width = widthOf(place);
  place.replaceChildren(stepWidth(width, lost, total) < TIGHT ? stepList(total, lost) : sankey(width, groups, total, lost));
}

const LEFT = 164, RIGHT = 120, TALL = 118;

// Room that each stage has beside the thickness of what it takes out.
function stepWidth(width, lost, total) {
  const thick = lost.reduce((sum, each) => sum + (each.rows * TALL) / total, 0);
  return (width - LEFT - RIGHT - thick) / Math.max(1, lost.length);
}

function sankey(width, groups, total, lost) {
  const top = 26, base = top + TALL + 62;
  const kept = rowsOf(groups.filter((group) => group.status === "ok"));
  const words = `${number(total)} photos in, ${number(kept)} kept; lost: `
    + (lost.map((each) => `${stageWord(each.stage)} ${number(each.rows)}`).join(", ") || "none");
  const step = stepWidth(width, lost, total);
  const chart = picture(width, base + (step < ROOMY ? 72 : 56), words);
  const scale = TALL / total;
  drawSources(chart, groups, total, scale, LEFT, top);
  const from = LEFT, to = width - RIGHT;
  let bottom = top + TALL, next = from, outline = `M${from} ${top}V${bottom}`;
  for (const each of lost) {
    const turn = next + Math.min(14, step * 0.1);
    chart.append(branch(each, turn, bottom, each.rows * scale, base, step, total));
    bottom = Math.max(top + (kept ? 0.75 : 0), bottom - each.rows * scale);
    outline += `H${turn + 0.5}V${bottom}`;
    next += step + each.rows * scale;
  }
  chart.append(svg("path", { class: "trunk", d: `${outline}H${to}V${top}Z` }));
  drawSides(chart, groups, kept, total, scale, to, top);
  return chart;
}

function drawSources(chart, groups, total, scale, left, top) {
  const sizes = DATASETS.map((name) => [name, rowsOf(groups.filter((group) => group.dataset === name))])
    .filter(([, rows]) => rows);
  const shown = sizes.length > 6 ? [...sizes.slice(0, 5), ["others", sizes.slice(5).reduce((sum, [, rows]) => sum + rows, 0)]] : sizes;
  const gap = shown.length > 1 ? 10 : 0;
  const height = total * scale + gap * (shown.length - 1);
  let y = top - (height - total * scale) / 2, into = top, text = -Infinity;
  for (const [name, rows] of shown) {
    const thick = rows * scale, start = left - 42;
    const path = `M${start} ${y}C${left - 18} ${y} ${left - 24} ${into} ${left} ${into}`
      + `V${into + thick}C${left - 24} ${into + thick} ${left - 18} ${y + thick} ${start} ${y + thick}Z`;
    chart.append(svg("path", { class: "source", d: path }, svg("title", {}, `${name}: ${number(rows)}`)));
    text = Math.max(y + thick / 2 - 3, text + 34, 13);
    chart.append(label(start - 8, text, shorten(name, 13), { "text-anchor": "end", class: "strong" }));
    chart.append(label(start - 8, text + 16, number(rows), { "text-anchor": "end", class: "muted" }));
    y += thick + gap;
    into += thick;
  }
}

// What a stage takes out: it leaves the trunk at its lower edge and turns down.
function branch(each, x, bottom, thick, base, step, total) {
  const wide = Math.max(1.5, thick);
  const inner = Math.min(10, step * 0.08), outer = inner + wide;
  const upper = bottom - wide;
  const path = `M${x} ${upper}H${x + 4}A${outer} ${outer} 0 0 1 ${x + 4 + outer} ${upper + outer}V${base}`
    + `H${x + 4 + inner}V${bottom + inner}A${inner} ${inner} 0 0 0 ${x + 4} ${bottom}H${x}Z`;
  const tone = each.failed > each.dropped ? "failed" : "dropped";
  const chosen = filters.reason && REASONS.find((reason) => reason.key === filters.reason)?.stage === each.stage;
  const details = [...each.reasons].sort((a, b) => b[1] - a[1]).slice(0, 8)
    .map(([reason, rows]) => `${number(rows)}  ${reason}`).join("\n");
  const middle = x + 4 + inner + wide / 2;
  const names = step < ROOMY ? stageWord(each.stage).split(" ", 2) : [stageWord(each.stage)];
  const below = base + (step < ROOMY ? 50 : 34);
  return svg("g", {},
    svg("path", { class: `branch ${tone}${chosen ? " chosen" : ""}`, d: path }, svg("title", {}, details)),
    ...names.map((name, line) => label(middle, base + 18 + 16 * line, name, { "text-anchor": "middle", class: "strong" })),
    label(middle, below, number(each.rows), { "text-anchor": "middle" }),
    label(middle, below + 16, percent(each.rows, total), { "text-anchor": "middle", class: "muted" }));
}

function drawSides(chart, groups, kept, total, scale, x, top) {
  let y = top, shift = 0, text = -Infinity;
  for (const side of ["train", "val"]) {
    const rows = rowsOf(groups.filter((group) => group.status === "ok" && group.split === side));
    const thick = rows * scale;
    if (rows) {
      const end = x + 34;
      const path = `M${x} ${y}C${x + 18} ${y} ${x + 16} ${y + shift} ${end} ${y + shift}`
        + `V${y + shift + Math.max(1, thick)}C${x + 16} ${y + shift + thick} ${x + 18} ${y + thick} ${x} ${y + thick}Z`;
      chart.append(svg("path", { class: "side", d: path }, svg("title", {}, `${side}: ${number(rows)}`)));
      text = Math.max(y + shift + thick / 2 - 3, text + 36);
      chart.append(label(end + 8, text, side, { class: "strong" }));
      chart.append(label(end + 8, text + 16, `${number(rows)}`, { class: "muted" }));
      shift += 12;
    }
    y += thick;
  }
  if (!kept) chart.append(label(x + 8, top + 12, "nothing kept", { class: "muted" }));
}

// The same, for narrow places: what is left after each stage, as bars one below the other.
function stepList(total, lost) {
  let left = total;
  const list = html("div", { class: "steps" }, step("photos in", number(total), total, 0, "dropped", total));
  for (const each of lost) {
    left -= each.rows;
    const tone = each.failed > each.dropped ? "failed" : "dropped";
    list.append(step(stageWord(each.stage), `− ${number(each.rows)} (${percent(each.rows, total)})`, left, each.rows, tone, total));
  }
  list.append(step("kept", `${number(left)} (${percent(left, total)})`, left, 0, "dropped", total));
  return list;
}

function step(name, text, left, gone, tone, total) {
  const bar = svg("svg", { width: "100%", height: 12, "aria-hidden": "true" });
  bar.append(svg("rect", { class: "trunk", width: `${(100 * left) / total}%`, height: 12 }));
  if (gone) bar.append(svg("rect", { class: tone, x: `${(100 * left) / total}%`, width: `${Math.max(0.5, (100 * gone) / total)}%`, height: 12 }));
  return html("div", {}, html("p", {}, html("span", {}, name), html("span", {}, text)), bar);
}

function drawReasons() {
  const total = rowsOf(inDataset());
  const rows = REASONS.map((reason) => ({
    ...reason, rows: rowsOf(inDataset().filter((group) => group.key === reason.key)),
  })).filter((reason) => reason.rows).sort((a, b) => b.rows - a.rows || (a.key < b.key ? -1 : 1));
  const most = Math.max(1, ...rows.map((reason) => reason.rows));
  const body = document.querySelector("#reasons tbody");
  body.replaceChildren(...rows.map((reason) => reasonRow(reason, most, total)));
  document.getElementById("reasons").hidden = !rows.length;
}

function reasonRow(reason, most, total) {
  const chosen = filters.reason === reason.key;
  const pick = html("button", { type: "button", "aria-pressed": chosen },
    html("span", { class: `dot ${reason.status}` }), html("span", {}, reason.reason));
  pick.dataset.key = reason.key;
  pick.addEventListener("click", () => {
    setFilters({ reason: chosen ? "" : reason.key, status: "" });
    // The table was drawn again; the keyboard stays where it was.
    [...document.querySelectorAll("#reasons button")].find((each) => each.dataset.key === reason.key)?.focus();
  });
  const bar = svg("svg", { width: "100%", height: 8, "aria-hidden": "true" },
    svg("rect", { class: reason.status, width: `${Math.max(0.8, (100 * reason.rows) / most)}%`, height: 8 }));
  const off = filters.status && filters.status !== reason.status;
  return html("tr", { "data-chosen": chosen ? "" : null, class: off ? "off" : null },
    html("td", {}, pick), html("td", {}, stageWord(reason.stage)),
    html("td", {}, WORDS[reason.status]),
    html("td", { class: "num" }, number(reason.rows)), html("td", { class: "num" }, percent(reason.rows, total)),
    html("td", { class: "bar" }, bar));
}

function shorten(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
