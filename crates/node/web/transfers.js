// The list of transfers: filtered, ordered, and drawn only where it is seen, so that 50,000 rows scroll.
//
// It is a grid with one focus (aria-activedescendant): rows come and go while the focus stays.
import { call } from "./api.js";
import { addDialog, removeDialog, shareDialog } from "./adding.js";
import { store } from "./store.js";
import { t } from "./text.js";
import { attempt, bytes, button, duration, h, number, percent, put, rate } from "./ui.js";

const STATES = ["downloading", "seeding", "metadata", "checking", "queued", "paused", "moving", "error"];
const COLUMNS = ["name", "state", "progress", "size", "down", "up", "eta", "ratio", "peers"];
const ORDER = {
  name: (a) => a.name.toLowerCase(), state: (a) => STATES.indexOf(a.state), size: (a) => -a.total, down: (a) => -a.down_rate,
  up: (a) => -a.up_rate, eta: (a) => a.eta ?? Infinity, ratio: (a) => -a.ratio, peers: (a) => -a.peers,
  progress: (a) => -(a.wanted ? a.done / a.wanted : 0), added: (a) => -a.added_at,
};
/** Rows drawn above and below what is seen. */
const SPARE = 6;

// Kept while other views are shown.
const kept = { search: "", state: "", sort: "added", reverse: false, selected: new Set(), current: "", anchor: "", top: 0 };

/** What is selected, or else the row with the focus. */
function chosen() {
  const ids = [...kept.selected].filter((id) => store.transfers.has(id));
  return ids.length ? ids : store.transfers.has(kept.current) ? [kept.current] : [];
}

/** Pauses or resumes all of them, and says how many. */
export async function setPaused(ids, paused) {
  for (const id of ids) await call("POST", `/transfers/${id}/${paused ? "pause" : "resume"}`, paused ? {} : undefined);
  store.soon();
}

function makeRow() {
  const cells = Object.fromEntries(COLUMNS.map((name) => [name, h("div", { role: "gridcell", class: `c-${name}` })]));
  const title = h("span", { class: "title", dir: "auto" });
  const done = h("progress", { max: 1, value: 0, "aria-hidden": "true" });
  cells.name.append(title, done);
  const node = h("div", { role: "row", class: "row" }, Object.values(cells));
  return { node, cells, title, done, index: -1 };
}

function fillRow(row, item, index) {
  const { node, cells } = row;
  row.index = index;
  node.id = `row-${index}`;
  node.dataset.id = item.id;
  node.dataset.state = item.state;
  node.setAttribute("aria-rowindex", index + 2);
  const selected = kept.selected.has(item.id);
  node.setAttribute("aria-selected", String(selected));
  node.classList.toggle("current", item.id === kept.current);
  put(row.title, item.name);
  const part = item.wanted ? item.done / item.wanted : 0;
  if (row.done.value !== part) row.done.value = part;
  put(cells.state, t(item.state));
  cells.state.title = item.error ? item.error.message : item.note || "";
  put(cells.progress, item.wanted ? percent(item.done, item.wanted) : "–");
  put(cells.size, item.total ? bytes(item.total) : "–");
  put(cells.down, item.down_rate ? `↓ ${rate(item.down_rate)}` : "");
  put(cells.up, item.up_rate ? `↑ ${rate(item.up_rate)}` : "");
  put(cells.eta, item.complete ? "" : duration(item.eta));
  put(cells.ratio, number(item.ratio, 2));
  put(cells.peers, number(item.peers));
}

export function transfersView(app) {
  let items = [];
  let made = "";
  let height = 56;
  const rows = [];
  const search = h("input", { type: "search", "aria-label": t("search"), placeholder: t("search"), value: kept.search,
    oninput: () => { kept.search = search.value; update(true); } });
  const state = h("select", { "aria-label": t("state"), onchange: () => { kept.state = state.value; update(true); } },
    h("option", { value: "" }, t("all")), STATES.map((name) => h("option", { value: name, selected: kept.state === name }, t(name))));
  const counted = h("span", { class: "counted" });
  const pause = button(t("pause"), () => act(true));
  const resume = button(t("resume"), () => act(false));
  const remove = button(t("remove"), () => removing(), { class: "danger" });
  const details = button(t("details"), () => open());
  const heads = COLUMNS.map((name) => h("div", { role: "columnheader", class: `c-${name}` },
    button(t(name), () => order(name), { class: "plain", "aria-label": t("sort", { name: t(name) }), tabindex: "-1" })));
  const space = h("div", { class: "space", role: "rowgroup" });
  const head = h("div", { role: "rowgroup", class: "head" }, h("div", { role: "row", class: "row", "aria-rowindex": 1 }, heads));
  const grid = h("div", { role: "grid", class: "grid", tabindex: "0", "aria-label": t("transfers"), "aria-multiselectable": "true",
    "aria-colcount": COLUMNS.length, onscroll: () => requestAnimationFrame(draw), onkeydown: keydown, onclick: click,
    ondblclick: (event) => { if (event.target.closest(".space .row")) open(); } }, head, space);
  const empty = h("div", { class: "empty" });
  const node = h("section", { class: "transfers", "aria-labelledby": "h1" }, h("h1", { id: "h1" }, t("transfers")),
    h("div", { class: "bar" },
      button(t("add"), () => addDialog(), { class: "primary" }), button(t("share"), () => shareDialog()),
      search, state, counted, h("span", { class: "grow" }), details, pause, resume, remove),
    empty, grid);

  function order(name) {
    kept.reverse = kept.sort === name && !kept.reverse;
    kept.sort = name;
    update(true);
  }

  async function act(paused) {
    const ids = chosen();
    await attempt(() => setPaused(ids, paused), t(paused ? "paused_n" : "resumed_n", { n: number(ids.length) }));
  }

  function removing() {
    const ids = chosen();
    if (ids.length) removeDialog(ids, () => { kept.selected.clear(); grid.focus(); });
  }

  function open() {
    const [id] = kept.current && store.transfers.has(kept.current) ? [kept.current] : chosen();
    if (id) location.hash = `#/transfers/${id}`;
  }

  function list() {
    const wanted = kept.search.trim().toLowerCase();
    const found = [];
    for (const item of store.transfers.values()) {
      if (kept.state && item.state !== kept.state) continue;
      if (wanted && !item.name.toLowerCase().includes(wanted) && !item.id.startsWith(wanted)) continue;
      found.push(item);
    }
    const key = ORDER[kept.sort];
    const sign = kept.reverse ? -1 : 1;
    const keyed = found.map((item) => [key(item), item]);
    keyed.sort(([a, x], [b, y]) => sign * (a < b ? -1 : a > b ? 1 : 0) || (x.id < y.id ? -1 : 1));
    return keyed.map(([, item]) => item);
  }

  function draw() {
    height = 3.5 * parseFloat(getComputedStyle(document.documentElement).fontSize);
    const first = Math.max(0, Math.floor(grid.scrollTop / height) - SPARE);
    const last = Math.min(items.length, Math.ceil((grid.scrollTop + grid.clientHeight) / height) + SPARE);
    while (rows.length < last - first) { const row = makeRow(); rows.push(row); space.append(row.node); }
    while (rows.length > last - first) rows.pop().node.remove();
    // A row keeps its node while it is in sight: index modulo the number of nodes.
    for (let index = first; index < last; index += 1) {
      const row = rows[index % rows.length];
      if (row.index !== index) row.node.style.transform = `translateY(${index * height}px)`;
      fillRow(row, items[index], index);
    }
    const at = rows.find((row) => row.node.dataset.id === kept.current);
    if (at) grid.setAttribute("aria-activedescendant", at.node.id);
    else grid.removeAttribute("aria-activedescendant");
    kept.top = grid.scrollTop;
  }

  function update(anew) {
    const now = `${store.version}`;
    if (anew || now !== made) {
      made = now;
      items = list();
      space.style.height = `${items.length * height}px`;
      grid.setAttribute("aria-rowcount", items.length + 1);
      heads.forEach((cell, at) => cell.setAttribute("aria-sort",
        kept.sort === COLUMNS[at] ? (kept.reverse ? "descending" : "ascending") : "none"));
      for (const id of kept.selected) if (!store.transfers.has(id)) kept.selected.delete(id);
      blank();
      draw();
    }
    tell();
  }

  function tell() {
    const picked = kept.selected.size;
    put(counted, picked > 1 ? t("selected", { n: number(picked) })
      : t("count", { n: number(items.length), all: number(store.transfers.size) }));
    const ids = chosen();
    const looks = app.scope === "read";
    details.disabled = !ids.length;
    remove.disabled = looks || !ids.length;
    pause.disabled = looks || !ids.some((id) => store.transfers.get(id).state !== "paused");
    resume.disabled = looks || !ids.some((id) => ["paused", "error"].includes(store.transfers.get(id).state));
  }

  function blank() {
    grid.hidden = !items.length;
    empty.hidden = Boolean(items.length);
    if (items.length || !store.status) return;
    empty.replaceChildren(...(store.transfers.size ? [h("p", {}, t("none_match"))]
      : [h("h2", {}, t("none")), h("p", {}, t("none_text"))]));
  }

  function go(index, extend) {
    if (!items.length) return;
    index = Math.max(0, Math.min(items.length - 1, index));
    const item = items[index];
    kept.current = item.id;
    if (extend) range(kept.anchor, item.id);
    else { kept.selected = new Set([item.id]); kept.anchor = item.id; }
    const shown = grid.clientHeight - head.offsetHeight;
    if (index * height < grid.scrollTop) grid.scrollTop = index * height;
    else if ((index + 1) * height > grid.scrollTop + shown) grid.scrollTop = (index + 1) * height - shown;
    draw();
    tell();
  }

  function range(from, to) {
    const [a, b] = [items.findIndex((item) => item.id === from), items.findIndex((item) => item.id === to)];
    const [first, last] = [Math.min(a < 0 ? b : a, b), Math.max(a, b)];
    kept.selected = new Set(items.slice(first, last + 1).map((item) => item.id));
  }

  function keydown(event) {
    const at = items.findIndex((item) => item.id === kept.current);
    const page = Math.max(1, Math.floor(grid.clientHeight / height) - 2);
    const steps = { ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: items.length - 1 };
    if (event.target.closest("button")) return;
    if (event.key in steps) go(steps[event.key], event.shiftKey);
    else if (event.key === "Enter") open();
    else if (event.key === " " && kept.current) toggle(kept.current);
    else if (event.key === "Delete") removing();
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) { kept.selected = new Set(items.map((item) => item.id)); draw(); tell(); }
    else if (event.key === "Escape") { kept.selected.clear(); draw(); tell(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function toggle(id) {
    if (!kept.selected.delete(id)) kept.selected.add(id);
    draw();
    tell();
  }

  function click(event) {
    const row = event.target.closest(".space .row");
    if (!row) return;
    const { id } = row.dataset;
    kept.current = id;
    if (event.ctrlKey || event.metaKey) { kept.anchor = id; toggle(id); }
    else go(items.findIndex((item) => item.id === id), event.shiftKey);
  }

  const resized = new ResizeObserver(() => { height = 0; draw(); space.style.height = `${items.length * height}px`; });
  return {
    node, update,
    shown() { resized.observe(grid); update(true); grid.scrollTop = kept.top; draw(); },
    stop() { resized.disconnect(); },
    keys: {
      "/": () => search.focus(),
      p: () => { const ids = chosen(); act(ids.some((id) => store.transfers.get(id).state !== "paused")); },
    },
  };
}
