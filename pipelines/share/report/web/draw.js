
// Elements, numbers and axes. All text goes in as text, never as markup.

const WHOLE = new Intl.NumberFormat("en-US");

function number(value) {
  return WHOLE.format(value);
}

function percent(part, whole) {
  if (!part || !whole) return "none";
  const share = (100 * part) / whole;
  if (share < 0.1) return "< 0.1 %";
  return `${share.toFixed(share > 99.9 && part < whole ? 2 : 1)} %`;
}

function plain(value) {
  return `${Number(value.toPrecision(4))}`.replace("-", "−");
}

function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function label(x, y, text, attributes = {}) {
  return svg("text", { x, y, ...attributes }, text);
}

// An SVG as wide as its place, one unit a pixel.
function picture(width, height, words) {
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words });
}

// About `count` round numbers from low to high.
function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-6); at * step <= high + step * 1e-6; at += 1) {
    found.push(Number((at * step).toPrecision(10)));
  }
  return found;
}

function compact(value) {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`;
  return number(value);
}

function widthOf(element, least = 240) {
  return Math.max(least, Math.floor(element.clientWidth));
}
