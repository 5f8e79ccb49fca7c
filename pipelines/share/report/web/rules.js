
// The recipe's bounds, moved by the user: how many rows would change.

const MOVED = new Map();  // number of the rule: its new bound, null for off
const STEPS = 200;
const FIXED = 0, KEPT = 1, BOUND = 2;
const KIND = Uint8Array.from(GROUPS, (group) => (group.status === "ok" ? KEPT : DATA.by_bound.includes(group.number) ? BOUND : FIXED));
let broken = null;  // of each listed row: whether it breaks a bound of the recipe

function limitOf(number) {
  return MOVED.has(number) ? MOVED.get(number) : DATA.rules[number].value;
}

// Returns a test of one row. Scores are float32 in the manifest, and so is the bound that they meet.
function breaker(rule, bound) {
  const values = LIST.scores[rule.column], limit = Math.fround(bound);
  const spared = rule.spared === null ? null : LIST.scores[rule.spared];
  const yaw = LIST.scores.yaw, wide = Math.fround(DATA.turned_head);
  const fits = (row) => rule.turned === null || (yaw !== undefined && Math.abs(yaw[row]) > wide) === rule.turned;
  if (rule.side === "below") return (row) => values[row] < limit && fits(row);
  if (rule.side === "beyond") return (row) => Math.abs(values[row]) > limit;
  return (row) => values[row] > limit && !(spared && spared[row] <= limit);
}

function breaks(limits) {
  const tests = DATA.rules.map((rule, number) => (limits[number] === null ? null : breaker(rule, limits[number]))).filter(Boolean);
  return Uint8Array.from(LIST.groups, (group, row) => (KIND[group] !== FIXED && tests.some((test) => test(row)) ? 1 : 0));
}

// Rows that `limits` would drop of the kept ones, and let pass of those that a bound dropped.
function changes(limits) {
  broken ??= breaks(DATA.rules.map((rule) => rule.value));
  const now = breaks(limits);
  let lost = 0, back = 0;
  now.forEach((isBroken, row) => {
    if (KIND[LIST.groups[row]] === KEPT) lost += isBroken && !broken[row];
    else back += broken[row] && !isBroken;
  });
  return { lost, back };
}

function changeWords({ lost, back }) {
  const photos = (rows) => `${number(rows)} kept ${rows === 1 ? "photo" : "photos"}`;
  return `${photos(lost)} would go, ${number(back)} could come back`;
}

function boundText(value) {
  return value === null ? "off" : plain(value);
}

// Where a slider stands for a bound, 0 to STEPS; off is the end that drops nothing.
function sliderPlace(rule, score, bound) {
  if (bound === null) return rule.side === "below" ? 0 : STEPS;
  const [low, high] = sliderEnds(rule, score);
  const at = score.log ? Math.log10(Math.max(bound, 10 ** low)) : bound;
  return Math.round(((at - low) / (high - low)) * STEPS);
}

function sliderBound(rule, score, place) {
  if (place === (rule.side === "below" ? 0 : STEPS)) return null;
  const [low, high] = sliderEnds(rule, score);
  const at = low + ((high - low) * place) / STEPS;
  if (score.name === "faces") return Math.max(1, Math.round(at));
  return Number((score.log ? 10 ** at : at).toPrecision(3));
}

function sliderEnds(rule, score) {
  return rule.side === "beyond" ? [0, Math.max(Math.abs(score.low), Math.abs(score.high))] : [score.low, score.high];
}

// Slider and number of each bound on a score; `redraw` draws the score's chart again.
function boundControls(score, redraw) {
  if (!LIST.scores[score.name]) return [];
  return DATA.rules.map((rule, number) => [rule, number]).filter(([rule]) => rule.column === score.name)
    .map(([rule, number]) => boundControl(rule, number, score, redraw));
}

function boundControl(rule, number, score, redraw) {
  const slider = html("input", { type: "range", min: 0, max: STEPS, step: 1, value: sliderPlace(rule, score, limitOf(number)), "aria-label": rule.setting, "data-rule": rule.setting });
  const field = html("input", { type: "number", step: "any", value: limitOf(number) ?? "", placeholder: "off", "aria-label": `${rule.setting}, number` });
  const words = html("output", { "aria-live": "polite" });
  const show = () => {
    const moved = limitOf(number) !== rule.value;
    words.textContent = moved ? changeWords(changes(DATA.rules.map((each, at) => (at === number ? limitOf(at) : each.value)))) : "";
    words.hidden = !moved;
  };
  const move = (bound) => {
    if (bound === rule.value) MOVED.delete(number); else MOVED.set(number, bound);
    show();
    redraw();
    drawMoved();
  };
  slider.addEventListener("input", () => {
    const bound = sliderBound(rule, score, Number(slider.value));
    field.value = bound ?? "";
    move(bound);
  });
  field.addEventListener("input", () => {
    const bound = field.value === "" ? null : Number(field.value);
    slider.value = sliderPlace(rule, score, bound);
    move(bound);
  });
  show();
  return html("div", { class: "rule", title: rule.meaning }, html("span", {}, rule.setting), slider, field, words);
}

// All moved bounds together, and the line that applies them.
function drawMoved() {
  document.getElementById("moved").hidden = !MOVED.size;
  if (!MOVED.size) return;
  const rules = [...MOVED.keys()].sort((a, b) => a - b);
  const list = rules.map((number) => `${DATA.rules[number].setting} ${boundText(DATA.rules[number].value)} → ${boundText(limitOf(number))}`);
  const of = LIST.ids.length < LIST.total ? `Of the ${number(LIST.ids.length)} listed photos: ` : "";
  document.getElementById("moved-words").textContent = `${list.join(", ")}: ${of}${changeWords(changes(DATA.rules.map((_, at) => limitOf(at))))}.`;
  const own = rules.map((number) => DATA.rules[number].setting);
  const others = DATA.call.split(" --set ").filter((part, at) => at === 0 || !own.includes(part.split("=")[0]));
  const set = rules.map((number) => `${DATA.rules[number].setting}=${limitOf(number)}`);
  document.getElementById("moved-line").textContent = `deca-data build-manifest ${[...others, ...set].join(" --set ")}`.trim();
}

function bindMoved() {
  document.getElementById("copy-moved").addEventListener("click", (event) => copyText(document.getElementById("moved-line").textContent, event.target));
  document.getElementById("reset-moved").addEventListener("click", () => { MOVED.clear(); drawMoved(); drawScores(); });
}
