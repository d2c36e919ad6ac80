// Small parts of which the views are made. Text goes in as text nodes only: names come from strangers.
import { locale, t } from "./text.js";

/** An element. `props`: attributes; `on…` functions listen; `false`, `null` and `undefined` are left out. */
export function h(name, props, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) made.append(child);
  return made;
}

/** Writes text only where it differs, so that nothing is laid out or read out for nothing. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const numbers = new Map();

export function number(value, digits = 0) {
  if (!numbers.has(digits)) {
    numbers.set(digits, new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return numbers.get(digits).format(value);
}

export function bytes(value) {
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
  return `${number(value, unit && value < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

export const rate = (value) => `${bytes(value)}/s`;
export const percent = (part, whole) => `${number(whole ? Math.floor((part / whole) * 1000) / 10 : 0, 1)} %`;
export const time = (seconds) => new Date(seconds * 1000).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });

export function duration(seconds) {
  if (seconds === undefined || seconds === null) return "–";
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = Math.max(0, parts.findIndex(([size]) => seconds >= size));
  if (seconds < 1) return "0 s";
  const [size, unit] = parts[at];
  const rest = parts[at + 1] && Math.floor((seconds % size) / parts[at + 1][0]);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${parts[at + 1][1]}` : ""}`;
}

/** A bar with a name for those who do not see it. */
export function bar(part, whole, label) {
  return h("progress", { max: whole || 1, value: Math.min(part, whole || 1), "aria-label": label });
}

export function button(label, act, props) {
  return h("button", { type: "button", onclick: act, ...props }, label);
}

let fields = 0;

/** A control with its label, and what helps to fill it in. */
export function field(label, control, help) {
  fields += 1;
  control.id = `field-${fields}`;
  const parts = [h("label", { for: control.id }, label), control];
  if (help) {
    control.setAttribute("aria-describedby", `${control.id}-help`);
    parts.push(h("small", { id: `${control.id}-help` }, help));
  }
  return h("div", { class: "field" }, parts);
}

/** A table: names of columns, and rows of nodes or texts. */
export function table(caption, columns, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))))));
}

/** Pairs of names and values. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/**
 * A dialogue. `act` does what it is for; while it fails, the dialogue stays and says why.
 * Focus goes back to where it was when it closes.
 */
export function dialog(title, content, { yes, danger, act, wide } = {}) {
  const before = document.activeElement;
  const problem = h("p", { class: "problem", role: "alert" });
  const go = yes && h("button", { type: "submit", class: danger ? "danger" : "primary" }, yes);
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    problem.textContent = "";
    try {
      await act();
      box.close();
    } catch (error) {
      problem.textContent = explain(error);
    }
    go.disabled = false;
  } }, h("h2", { id: "dialog-title" }, title), content, problem,
  h("div", { class: "actions" }, go, button(yes ? t("cancel") : t("close"), () => box.close())));
  const box = h("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : null, onclose: () => {
    box.remove();
    if (before && before.isConnected) before.focus();
  } }, form);
  document.body.append(box);
  box.showModal();
  return box;
}

/** What went wrong, and what to do next. */
export function explain(error) {
  if (error instanceof TypeError && !error.code) return t("no_answer");
  return error.hint ? `${error.message}. ${error.hint}` : error.message;
}

let queue = [];
let reading = 0;

/** Says something: on the page for a while, and to screen readers, at most every five seconds. */
export function say(text, kind = "info") {
  const notice = h("div", { class: `notice ${kind}` }, h("span", {}, text),
    button("×", () => notice.remove(), { "aria-label": t("close"), class: "plain" }));
  const all = document.getElementById("notices");
  all.append(notice);
  while (all.childElementCount > 4) all.firstElementChild.remove();
  if (kind !== "problem") setTimeout(() => notice.remove(), 8000);
  queue.push(text);
  if (!reading) read();
}

function read() {
  if (!queue.length) { reading = 0; return; }
  const text = queue.length > 3 ? t("many_news", { n: queue.length }) : queue.join(". ");
  queue = [];
  document.getElementById("live").textContent = text;
  reading = setTimeout(read, 5000);
}

/** Does something that a user asked for, and says it where it fails. */
export async function attempt(work, done) {
  try {
    await work();
    if (done) say(done);
  } catch (error) {
    say(explain(error), "problem");
  }
}
