
"use strict";
// What the page shows: the data, the filters, and the filters' place in the address.

const DATA = JSON.parse(document.getElementById("data").textContent);
const WORDS = { ok: "kept", dropped: "dropped", failed: "failed" };
const STATUSES = ["ok", "dropped", "failed"];
const STAGE_WORDS = {
  scan: "listing", decode: "decoding", detect: "face detection", landmarks: "landmarks",
  consistency: "landmark check", quality: "quality", masks: "masks", identity: "identity check",
  duplicates: "duplicates", selection: "selection",
};
const GROUPS = DATA.groups.map(([dataset, split, status, stage, reason, rows], number) => ({
  dataset, split, status, stage, reason, rows, number, key: reasonKey(stage, reason),
}));
const DATASETS = [...new Set(GROUPS.map((group) => group.dataset))].sort();
const REASONS = countedReasons();
const filters = { dataset: "", status: "", reason: "" };
const view = { person: "", find: "", sort: "", turn: "", page: "", marked: "" };  // of the list of all photos

function reasonKey(stage, reason) {
  return reason === null ? "" : `${stage ?? ""}: ${reason}`;
}

function stageWord(stage) {
  return STAGE_WORDS[stage] ?? stage ?? "";
}

// Every reason with its rows, the most frequent first.
function countedReasons() {
  const found = new Map();
  for (const group of GROUPS.filter((each) => each.status !== "ok")) {
    const entry = found.get(group.key) ?? { ...group, rows: 0 };
    entry.rows += group.rows;
    found.set(group.key, entry);
  }
  return [...found.values()].sort((a, b) => b.rows - a.rows || (a.key < b.key ? -1 : 1));
}

// Groups that all filters let through.
function matching() {
  return inDataset().filter((group) =>
    (!filters.status || group.status === filters.status) && (!filters.reason || group.key === filters.reason));
}

function inDataset() {
  return GROUPS.filter((group) => !filters.dataset || group.dataset === filters.dataset);
}

function rowsOf(groups) {
  return groups.reduce((sum, group) => sum + group.rows, 0);
}

function readAddress() {
  const found = new URLSearchParams(location.hash.slice(1));
  const known = { dataset: DATASETS, status: STATUSES, reason: REASONS.map((each) => each.key) };
  for (const name of Object.keys(filters)) {
    const value = found.get(name) ?? "";
    filters[name] = known[name].includes(value) ? value : "";
  }
  for (const name of Object.keys(view)) view[name] = found.get(name) ?? "";
  if (!DATA.listing.names.includes(view.person)) view.person = "";
}

function writeAddress() {
  const set = new URLSearchParams(Object.entries({ ...filters, ...view }).filter(([, value]) => value));
  const text = set.toString();
  history.pushState(null, "", text ? `#${text}` : location.pathname + location.search);
}
