
// Histograms of the scores, the pose map, and photos per person.

const DIGIT = 7, STRONG = 8.6;  // pixels of a digit in a chart, plain and bold

function drawScores() {
  const groups = matching();
  const place = document.getElementById("score-charts");
  const columns = Math.max(1, Math.floor((widthOf(place) + 30) / 290));
  const width = Math.floor((widthOf(place) + 30) / columns) - 30;
  const none = html("p", { class: "note" }, "No photo has a score.");
  place.replaceChildren(...(DATA.scores.length ? DATA.scores.map((score) => scoreFigure(score, groups, width)) : [none]));
}

function binned(score, groups) {
  const bins = Object.fromEntries(STATUSES.map((status) => [status, new Array(score.bins).fill(0)]));
  for (const group of groups) {
    (score.counts[group.number] ?? []).forEach((rows, bin) => { bins[group.status][bin] += rows; });
  }
  return bins;
}

function scoreFigure(score, groups, width) {
  const absent = groups.reduce((sum, group) => sum + score.missing[group.number], 0);
  let chart = scoreChart(score, groups, width);
  const redraw = () => {
    const made = scoreChart(score, groups, width);
    chart.replaceWith(made);
    chart = made;
  };
  return html("figure", { "data-score": score.name },
    html("figcaption", {}, html("h3", {}, score.name), html("span", {}, absent ? `${compact(absent)} without` : "")),
    chart, html("p", {}, score.unit ? `${score.meaning} (${score.unit})` : score.meaning), ...boundControls(score, redraw));
}

function scoreChart(score, groups, width) {
  const bins = binned(score, groups);
  const sums = bins.ok.map((_, bin) => STATUSES.reduce((sum, status) => sum + bins[status][bin], 0));
  const have = sums.reduce((sum, rows) => sum + rows, 0);
  const height = 128, top = 20, bottom = 22, most = Math.max(1, ...sums);
  const x = (value) => ((value - score.low) / (score.high - score.low)) * width;
  const y = (rows) => top + (height - top - bottom) * (1 - rows / most);
  const chart = picture(width, height, `${score.name}: ${have} photos, ${bins.ok.reduce((a, b) => a + b, 0)} kept; `
    + (score.bounds.map(boundWords).join(", ") || "no bound"));
  score.bounds.forEach((bound) => chart.append(beyond(bound, x, score, width, top, height - bottom)));
  const wide = width / score.bins;
  sums.forEach((sum, bin) => {
    let below = 0;
    for (const status of STATUSES.filter((each) => bins[each][bin])) {
      const rows = bins[status][bin];
      chart.append(svg("rect", { class: status, x: bin * wide + 0.5, width: Math.max(0.5, wide - 1), y: y(below + rows), height: y(below) - y(below + rows) }));
      below += rows;
    }
  });
  chart.append(svg("line", { class: "axis", x1: 0, x2: width, y1: height - bottom, y2: height - bottom }));
  const taken = score.bounds.map((bound) => x(placed(bound.value, score)));
  const right = taken.some((at) => at < 70);
  if (have && !(right && taken.some((at) => at > width - 70))) {  // else a bound's number stands in its place
    chart.append(label(right ? width : 0, 11, compact(most), { class: "muted", "text-anchor": right ? "end" : "start" }));
  }
  axis(chart, score, x, width, height);
  score.bounds.forEach((bound) => chart.append(boundLine(bound, x, score, width, top, height - bottom, taken)));
  movedLines(chart, score, x, width, top, height - bottom);
  sums.forEach((sum, bin) => chart.append(hit(score, bins, bin, wide, top, height - bottom)));
  return chart;
}

// Where the user has moved the score's bounds to.
function movedLines(chart, score, x, width, top, bottom) {
  DATA.rules.forEach((rule, number) => {
    const bound = limitOf(number);
    if (rule.column !== score.name || !MOVED.has(number) || bound === null) return;
    for (const value of rule.side === "beyond" ? [-bound, bound] : [bound]) {
      const at = Math.min(width - 0.75, Math.max(0.75, x(placed(value, score))));
      chart.append(svg("line", { class: "moved", x1: at, x2: at, y1: top - 5, y2: bottom }));
    }
  });
}

// Which end of a text stands at a place, so that the whole text, its minus too, is in the chart.
function anchorAt(at, text, width, digit = DIGIT) {
  const half = (text.length * digit) / 2 + 1;
  return at < half ? "start" : at > width - half ? "end" : "middle";
}

function boundWords(bound) {
  return `dropped ${bound.side} ${plain(bound.value)}`;
}

// A score of whole numbers has one bar for each, from 0 on, with the number under its middle.
function isCount(score) {
  return score.name === "faces";
}

function placed(value, score) {
  if (isCount(score)) return value + 0.5;  // whole numbers: the bound lies behind its bar
  return score.log ? Math.log10(Math.max(value, 10 ** score.low)) : value;
}

function beyond(bound, x, score, width, top, bottom) {
  const at = Math.min(width, Math.max(0, x(placed(bound.value, score))));
  const low = bound.side === "below";
  return svg("rect", { class: "beyond", x: low ? 0 : at, width: low ? at : width - at, y: top, height: bottom - top });
}

// Numbers of two bounds that lie close together turn away from one another.
function boundLine(bound, x, score, width, top, bottom, taken) {
  const own = x(placed(bound.value, score));
  const at = Math.min(width - 0.75, Math.max(0.75, own));
  const crowded = (side) => taken.some((other) => side * (other - own) > 0 && side * (other - own) < 60);
  const text = plain(bound.value), edge = anchorAt(at, text, width, STRONG);
  const wide = text.length * STRONG + 1;
  const aside = crowded(1) && at > wide ? "end" : crowded(-1) && at < width - wide ? "start" : "middle";
  const anchor = edge === "middle" ? aside : edge;
  return svg("g", {},
    svg("line", { class: "bound", x1: at, x2: at, y1: top - 5, y2: bottom }),
    label(at, top - 8, text, { "text-anchor": anchor, class: "strong" }),
    svg("title", {}, boundWords(bound)));
}

function axis(chart, score, x, width, height) {
  const whole = score.log || isCount(score);
  const found = ticks(score.low, score.high, score.log ? 4 : 5);
  const values = whole ? found.filter((each) => Number.isInteger(each)) : found;
  for (const value of values) {
    const at = x(value), text = score.log ? compact(10 ** value) : plain(value);
    chart.append(label(at, height - 6, text, { "text-anchor": anchorAt(at, text, width), class: "muted" }));
  }
}

function hit(score, bins, bin, wide, top, bottom) {
  const edge = (at) => {
    const value = score.low + ((score.high - score.low) * at) / score.bins;
    return plain(score.log ? 10 ** value : value);
  };
  const counts = STATUSES.filter((status) => bins[status][bin]).map((status) => `${number(bins[status][bin])} ${WORDS[status]}`);
  const place = isCount(score) ? plain(bin) : `${edge(bin)} to ${edge(bin + 1)}`;
  return svg("rect", { class: "hit", x: bin * wide, width: wide, y: top, height: bottom - top },
    svg("title", {}, `${place}: ${counts.join(", ") || "none"}`));
}

function drawPoses() {
  const place = document.getElementById("pose-chart");
  const { yaw, pitch, counts } = DATA.pose;
  const cells = new Map();
  for (const group of matching()) {
    for (const [cell, rows] of counts[group.number] ?? []) cells.set(cell, (cells.get(cell) ?? 0) + rows);
  }
  if (!cells.size) {
    place.replaceChildren(html("p", { class: "note" }, "None of these photos has a pose."));
    return;
  }
  const width = widthOf(place), left = 34, bottom = 34, side = (width - left) / yaw.bins;
  const tall = side * pitch.bins, most = Math.max(...cells.values());
  const sum = [...cells.values()].reduce((a, b) => a + b, 0);
  const chart = picture(width, tall + bottom, `Pose map of ${number(sum)} photos, at most ${number(most)} in a cell`);
  chart.append(svg("rect", { class: "field", x: left, y: 0, width: width - left, height: tall }));
  for (const [cell, rows] of cells) {
    const column = Math.floor(cell / pitch.bins), row = pitch.bins - 1 - (cell % pitch.bins);
    const from = yaw.low + column * 5, up = pitch.low + (pitch.bins - 1 - row) * 5;
    chart.append(svg("rect", {
      class: "cell", x: left + column * side, y: row * side, width: side - 0.6, height: side - 0.6, opacity: (0.14 + 0.86 * Math.sqrt(rows / most)).toFixed(3),
    }, svg("title", {}, `yaw ${plain(from)} to ${plain(from + 5)}, pitch ${plain(up)} to ${plain(up + 5)}: ${number(rows)}`)));
  }
  const x = (value) => left + ((value - yaw.low) / (yaw.high - yaw.low)) * (width - left);
  const y = (value) => tall * (1 - (value - pitch.low) / (pitch.high - pitch.low));
  chart.append(svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: tall }), svg("line", { class: "zero", x1: left, x2: width, y1: y(0), y2: y(0) }));
  for (const value of [-90, -60, -30, 0, 30, 60, 90]) {
    chart.append(label(x(value), tall + 15, plain(value), { class: "muted", "text-anchor": value === 90 ? "end" : value === -90 ? "start" : "middle" }));
  }
  for (const value of [-60, -30, 0, 30, 60]) {
    chart.append(label(left - 6, Math.min(tall, Math.max(12, y(value) + 4)), plain(value), { class: "muted", "text-anchor": "end" }));
  }
  chart.append(label((left + width) / 2, tall + 31, "yaw, degrees", { class: "muted", "text-anchor": "middle" }));
  place.replaceChildren(chart);
}

function drawPeople() {
  const place = document.getElementById("people-chart");
  const { labels, datasets } = DATA.people;
  const names = Object.keys(datasets).filter((name) => !filters.dataset || name === filters.dataset);
  const sum = (kind) => labels.map((_, bin) => names.reduce((all, name) => all + datasets[name][kind][bin], 0));
  const before = sum("before"), kept = sum("kept");
  const persons = before.reduce((a, b) => a + b, 0);
  if (!persons) {
    place.replaceChildren(html("p", { class: "note" }, "No identities are known here."));
    return;
  }
  const first = before.concat(kept).some(Boolean) ? Math.min(...labels.map((_, bin) => bin).filter((bin) => before[bin] || kept[bin])) : 0;
  const last = Math.max(...labels.map((_, bin) => bin).filter((bin) => before[bin] || kept[bin]));
  const shown = labels.map((_, bin) => bin).slice(first, last + 1);
  const width = widthOf(place), top = 20, height = 320, bottom = 36, most = Math.max(...before, ...kept);
  const y = (count) => top + (height - top - bottom) * (1 - count / most);
  const chart = picture(width, height, `Photos per person, ${number(persons)} persons`);
  const step = width / shown.length, bar = Math.min(34, step * 0.36);
  shown.forEach((bin, at) => {
    const middle = (at + 0.5) * step;
    for (const [kind, counts, start] of [["before", before, middle - bar - 1], ["ok", kept, middle + 1]]) {
      if (!counts[bin]) continue;
      chart.append(svg("rect", { class: kind, x: start, width: bar, y: y(counts[bin]), height: height - bottom - y(counts[bin]) }));
      chart.append(label(start + bar / 2, y(counts[bin]) - 5, compact(counts[bin]), { "text-anchor": "middle", class: kind === "ok" ? "" : "muted" }));
    }
    chart.append(label(middle, height - bottom + 16, labels[bin], { "text-anchor": "middle", class: "muted" }));
  });
  chart.append(svg("line", { class: "axis", x1: 0, x2: width, y1: height - bottom, y2: height - bottom }));
  chart.append(label(width / 2, height - 3, "photos of the person", { "text-anchor": "middle", class: "muted" }));
  const legend = html("ul", { class: "legend", "aria-label": "Colours" }, html("li", { class: "before" }, "came in"), html("li", { class: "ok" }, "kept"));
  place.replaceChildren(legend, chart);
}
