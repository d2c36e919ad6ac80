// The daemon's page. Start here: `begin` opens a session, then views are shown by the address's fragment.
//
// Invariants: nothing is loaded from elsewhere; no inline script or style; text of strangers is text (ui.js).
import { enter } from "./api.js";
import { addDialog, shareDialog, takeDrops } from "./adding.js";
import { detailView } from "./detail.js";
import { diagnosticsView, homeView, networkView, settingsView } from "./pages.js";
import { store } from "./store.js";
import { t } from "./text.js";
import { transfersView } from "./transfers.js";
import { dialog, explain, field, h, put, rate, say } from "./ui.js";

const VIEWS = { transfers: transfersView, home: homeView, network: networkView, settings: settingsView, diagnostics: diagnosticsView };
const KINDS = ["transfer_added", "transfer_state", "transfer_complete", "file_complete", "transfer_removed", "job", "peer_banned", "tracker_failed", "port_mapped", "warning", "reset"];
const NEWS_KEPT = 200;

const app = { scope: "read", news: { list: [], total: 0 } };
const main = document.getElementById("main");
let view = null;
let links = {};

function keysOn() { return localStorage.getItem("keys") !== "off"; }

function show() {
  const [, name, id] = location.hash.split("/");
  const known = name in VIEWS ? name : "transfers";
  if (view && view.stop) view.stop();
  view = known === "transfers" && /^[0-9a-f]{40,64}$/.test(id || "") ? detailView(app, id) : VIEWS[known](app);
  for (const [key, link] of Object.entries(links)) {
    if (key === known) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren(view.node);
  document.title = `${t(known)} – Peerage`;
  view.shown();
}

function header() {
  links = Object.fromEntries(Object.keys(VIEWS).map((key) => [key, h("a", { href: `#/${key}` }, t(key))]));
  const rates = h("span", { class: "rates" });
  const offline = h("p", { class: "offline", role: "alert" });
  document.getElementById("top").replaceChildren(h("span", { class: "brand" }, "Peerage"),
    h("nav", { "aria-label": t("nav") }, Object.values(links)), rates,
    h("button", { type: "button", class: "plain", "aria-label": t("shortcuts"), onclick: shortcuts }, "?"), offline);
  store.addEventListener("change", () => put(rates, `↓ ${rate(store.status.rates.down)}  ↑ ${rate(store.status.rates.up)}`));
  store.addEventListener("link", () => {
    put(offline, store.online ? "" : t("offline"));
    if (store.online) say(t("online_again"));
  });
}

function shortcuts() {
  const list = [["?", "key_help"], ["1 – 5", "key_go"], ["a", "key_add"], ["s", "key_share"], ["/", "key_search"], ["p", "key_pause"], ["↑ ↓ PgUp PgDn Home End", "key_move"],
    ["Shift + ↑ ↓", "key_extend"], ["Space", "key_space"], ["Ctrl + A", "key_all"], ["Enter", "key_open"], ["Del", "key_remove"], ["Esc", "key_back"]];
  const on = h("input", { type: "checkbox", checked: keysOn(), onchange: () => localStorage.setItem("keys", on.checked ? "on" : "off") });
  dialog(t("shortcuts"), [h("dl", { class: "facts" }, list.map(([keys, what]) => h("div", {}, h("dt", {}, h("kbd", {}, keys)), h("dd", {}, t(what))))),
    h("label", { class: "check" }, on, t("keys_on"))]);
}

function keydown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") main.focus();
    return;
  }
  if (event.key.length === 1 && !keysOn()) return;
  const names = Object.keys(VIEWS);
  const own = view && view.keys && view.keys[event.key];
  if (own) own();
  else if (event.key === "?") shortcuts();
  else if (event.key === "a") addDialog();
  else if (event.key === "s") shareDialog();
  else if (names[Number(event.key) - 1]) location.hash = `#/${names[Number(event.key) - 1]}`;
  else return;
  event.preventDefault();
}

/** What an event says, in words: what of it is told aloud, and what stands in the list. */
function heard(event) {
  const notice = JSON.parse(event.data);
  const failed = notice.type === "transfer_state" && notice.state === "error";
  const loud = { transfer_complete: "ev_transfer_complete" }[notice.type];
  if (failed) say(t("ev_error", { name: notice.name, note: notice.note || "" }), "problem");
  else if (notice.type === "warning") say(notice.message, "problem");
  else if (loud) say(t(loud, notice));
  const parts = [notice.name, notice.state && t(notice.state), notice.note, notice.message, notice.addr, notice.reason, notice.url, notice.error, notice.path,
    notice.external, notice.method, notice.job && notice.job.state, !notice.name && notice.transfer];
  app.news.list.unshift({ at: notice.at || Date.now() / 1000, type: notice.type, text: parts.filter(Boolean).join(" · ") });
  app.news.list.length = Math.min(app.news.list.length, NEWS_KEPT);
  app.news.total += 1;
  store.soon();
}

function login(problem) {
  const token = h("input", { type: "password", autocomplete: "off", required: true });
  const wrong = h("p", { class: "problem", role: "alert" });
  main.replaceChildren(h("section", { class: "card login", "aria-labelledby": "h1" }, h("h1", { id: "h1" }, t("login")), h("p", {}, t(problem ? "login_bad" : "login_text")),
    h("p", {}, h("code", {}, "peerage token url")), h("form", { onsubmit: async (event) => {
      event.preventDefault();
      try { started(await enter(token.value.trim())); } catch (error) { put(wrong, explain(error)); }
    } }, field(t("login_token"), token), wrong, h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, t("enter"))))));
}

async function started(scope) {
  app.scope = scope;
  header();
  takeDrops();
  document.addEventListener("keydown", keydown);
  addEventListener("hashchange", show);
  store.addEventListener("change", () => { if (view) view.update(); });
  store.addEventListener("leave", () => location.reload());
  show();
  await store.start();
  const events = new EventSource("/api/v1/events");
  for (const kind of KINDS) events.addEventListener(kind, heard);
}

async function begin() {
  const skip = document.getElementById("skip");
  put(skip, t("skip"));
  // The fragment is the views'; the link only moves the focus.
  skip.addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  // A one-time token is of no use in the history.
  if (token) history.replaceState(null, "", "/");
  try {
    await started(await enter(token));
  } catch (error) {
    if (error instanceof TypeError) put(main, t("no_answer"));
    else login(Boolean(token));
  }
}

begin();
