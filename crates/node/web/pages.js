// The other pages: Home, Network, Settings, Diagnostics.
import { call, leave } from "./api.js";
import { store } from "./store.js";
import { CATALOGUE, language, t } from "./text.js";
import { attempt, bar, button, bytes, explain, facts, field, h, number, percent, put, rate, table, time } from "./ui.js";

const card = (key, ...content) => h("section", { class: "card", "aria-labelledby": `part-${key}` }, h("h2", { id: `part-${key}` }, t(key)), content);
const page = (key, ...content) => h("section", { "aria-labelledby": "h1" }, h("h1", { id: "h1" }, t(key)), content);

function amount(value, unit) {
  if (unit === "bytes_per_second") return rate(value);
  return unit === "bytes" ? bytes(value) : number(value);
}

/** Draws received and sent bytes per second of the last two minutes. */
function drawRates(canvas) {
  const { history } = store;
  const now = history[history.length - 1] || { down: 0, up: 0 };
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
  canvas.setAttribute("aria-label", t("rates_drawn", { down: rate(now.down), up: rate(now.up) }));
  const pen = canvas.getContext("2d");
  const most = Math.max(1024, ...history.flatMap(({ down, up }) => [down, up]));
  pen.lineWidth = 2 * devicePixelRatio;
  for (const [name, dash] of [["down", []], ["up", [6 * devicePixelRatio, 4 * devicePixelRatio]]]) {
    pen.strokeStyle = getComputedStyle(canvas).getPropertyValue(`--${name}`);
    pen.setLineDash(dash);
    pen.beginPath();
    history.forEach((rates, at) => pen.lineTo((canvas.width * (at + 120 - history.length)) / 119,
      (canvas.height - pen.lineWidth) * (1 - rates[name] / most) + pen.lineWidth / 2));
    pen.stroke();
  }
}

function limitsList({ limits }) {
  return h("ul", { class: "limits" }, limits.map((limit) => {
    const text = limit.limit ? t("of", { used: amount(limit.used, limit.unit), limit: amount(limit.limit, limit.unit) })
      : `${amount(limit.used, limit.unit)} (${t("unlimited")})`;
    return h("li", {}, h("span", { title: limit.key }, limit.help), h("span", { class: "n" }, text), limit.limit ? bar(limit.used, limit.limit, limit.help) : null);
  }));
}

/** Asks every `ms` while the page is shown; what goes wrong is shown in `target`. */
function repeating(work, target, ms) {
  let timer = 0;
  let stopped = false;
  const turn = async () => {
    try { await work(); } catch (error) { target.replaceChildren(h("p", { class: "problem" }, explain(error))); }
    if (!stopped) timer = setTimeout(turn, document.hidden ? 5 * ms : ms);
  };
  return { start: turn, stop() { stopped = true; clearTimeout(timer); } };
}

export function homeView(app) {
  const chart = h("canvas", { class: "chart", role: "img" });
  const now = h("p", { class: "big" });
  const active = h("div");
  const limits = h("div");
  const warnings = h("div");
  const totals = h("div");
  const all = button("", () => attempt(async () => {
    const resumes = store.status.paused;
    await call("POST", resumes ? "/resume" : "/pause", resumes ? undefined : {});
    store.soon();
  }), { disabled: app.scope === "read" });
  const node = page("home", h("div", { class: "cards" }, card("now", now, chart, all), card("warnings", warnings), card("active", active), card("limits", limits), card("connections", totals)));
  const asking = repeating(async () => limits.replaceChildren(limitsList(await call("GET", "/limits"))), limits, 2000);

  function update() {
    const { status } = store;
    if (!status) return;
    put(now, `↓ ${rate(status.rates.down)}   ↑ ${rate(status.rates.up)}`);
    drawRates(chart);
    put(all, t(status.paused ? "resume_all" : "pause_all"));
    const told = [...status.warnings];
    if (status.paused) told.unshift(status.paused_until ? t("all_paused_until", { time: time(status.paused_until) }) : t("all_paused"));
    warnings.replaceChildren(told.length ? h("ul", {}, told.map((text) => h("li", {}, text))) : h("p", {}, t("no_warnings")));
    const busy = [...store.transfers.values()].filter((item) => item.down_rate || item.up_rate || item.state === "downloading" || item.state === "metadata")
      .sort((a, b) => b.down_rate + b.up_rate - a.down_rate - a.up_rate).slice(0, 8);
    // A link under the keyboard's focus stays: the list is made anew only when others are busy.
    const ids = busy.map((item) => item.id).join();
    if (active.dataset.ids !== ids || !active.firstChild) {
      active.dataset.ids = ids;
      active.replaceChildren(busy.length ? h("ul", { class: "limits" }, busy.map((item) => h("li", {}, h("a", { href: `#/transfers/${item.id}`, dir: "auto" }, item.name), h("span", { class: "n" }), bar(0, 1, item.name))))
        : h("p", {}, store.transfers.size ? t("nothing_active") : t("none_text")));
    }
    busy.forEach((item, at) => {
      const [, text, progress] = active.firstChild.children[at].children;
      put(text, `${item.wanted ? percent(item.done, item.wanted) : "–"} ↓ ${rate(item.down_rate)} ↑ ${rate(item.up_rate)}`);
      progress.value = item.wanted ? item.done / item.wanted : 0;
    });
    totals.replaceChildren(facts([[t("connections"), number(status.peers)], [t("opening"), number(status.half_open)], [t("free"), bytes(status.free_bytes)],
      [t("total_down"), bytes(status.totals.downloaded)], [t("total_up"), bytes(status.totals.uploaded)]]));
  }
  return { node, update, shown() { update(); asking.start(); }, stop: asking.stop };
}

const addresses = (list) => (list.length ? h("ul", { class: "plain" }, list.map((addr) => h("li", {}, h("code", {}, addr)))) : t("no_reach"));

export function networkView() {
  const roads = h("div");
  const dht = h("div");
  let before = "";
  function update() {
    const { status } = store;
    if (!status) return;
    const shown = JSON.stringify([status.listen, status.reachable, status.mapped, status.peer, status.peers, status.half_open, status.dht]);
    if (shown === before) return;
    before = shown;
    roads.replaceChildren(facts([[t("listening"), addresses(status.listen)], [t("reachable"), addresses(status.reachable)], [t("mapped"), status.mapped || t("not_mapped")],
      [t("connections"), number(status.peers)], [t("opening"), number(status.half_open)], [t("our_key"), status.peer && h("code", {}, status.peer)]]));
    dht.replaceChildren(status.dht ? facts([[t("dht_nodes"), number(status.dht.nodes)], [t("dht_size"), status.dht.network_about === undefined ? t("no_reach") : number(status.dht.network_about)],
      [t("dht_torrents"), number(status.dht.torrents)], [t("dht_items"), number(status.dht.items)], [t("node_id"), h("code", {}, status.dht.node_id)]]) : h("p", {}, t("dht_off")));
  }
  return { node: page("network", h("div", { class: "cards" }, card("connections", roads), card("dht", dht))), update, shown: update };
}

function limitsForm(app) {
  const own = { upload: "limits.upload", download: "limits.download", downloads: "daemon.downloads" };
  const inputs = Object.fromEntries(Object.keys(own).map((key) => [key, h("input", { type: "number", min: 0, step: "any", inputmode: "decimal" })]));
  const alternative = h("input", { type: "checkbox" });
  const node = h("form", { onsubmit: (event) => {
    event.preventDefault();
    attempt(async () => {
      const rates = { upload: Math.round(inputs.upload.valueAsNumber * 1024), download: Math.round(inputs.download.valueAsNumber * 1024), downloads: Math.round(inputs.downloads.valueAsNumber) };
      const patch = { alternative: alternative.checked };
      // What was not touched stays as it is: a limit that no file names must not become one.
      for (const key of Object.keys(own)) if (inputs[key].value !== inputs[key].dataset.was) patch[key] = rates[key] || 0;
      if (alternative.checked === (alternative.dataset.was === "true")) delete patch.alternative;
      await call("PATCH", "/limits", patch);
      await load();
    }, t("saved"));
  } }, field(t("upload_limit"), inputs.upload, t("zero")), field(t("download_limit"), inputs.download, t("zero")), field(t("downloads"), inputs.downloads, t("zero")),
  h("label", { class: "check" }, alternative, t("alternative")), h("div", { class: "actions" }, h("button", { type: "submit", class: "primary", disabled: app.scope === "read" }, t("save"))));

  async function load() {
    const { limits, in_force: force } = await call("GET", "/limits");
    alternative.checked = force === "alternative";
    alternative.dataset.was = String(alternative.checked);
    for (const [key, name] of Object.entries(own)) {
      const limit = limits.find((one) => one.key === name)?.limit || 0;
      inputs[key].value = key === "downloads" ? limit : Math.round(limit / 102.4) / 10;
      inputs[key].dataset.was = inputs[key].value;
    }
  }
  return { node, load };
}

export function settingsView(app) {
  const form = limitsForm(app);
  const found = h("div");
  let settings = [];
  const search = h("input", { type: "search", oninput: () => show() });
  const choice = h("select", { onchange: () => { localStorage.setItem("language", choice.value); location.reload(); } },
    Object.entries(CATALOGUE).map(([tag, texts]) => h("option", { value: tag, lang: tag, selected: tag === language }, texts.language)));
  const end = button(t("logout"), () => attempt(async () => { await leave(); location.reload(); }));
  const node = page("settings", app.scope === "read" ? h("p", {}, t("control_only")) : null, h("div", { class: "cards" }, card("limits_title", form.node),
    card("page", field(t("choose_language"), choice), end), h("section", { class: "card whole", "aria-labelledby": "part-all" }, h("h2", { id: "part-all" }, t("all_settings")), h("p", {}, t("settings_text")), field(t("search_settings"), search), found)));

  function show() {
    const wanted = search.value.toLowerCase();
    const rows = settings.filter(({ key, help }) => key.includes(wanted) || help.toLowerCase().includes(wanted));
    found.replaceChildren(table(t("all_settings"), [t("key"), t("value"), t("origin"), t("what")],
      rows.map((one) => [h("code", {}, one.key), h("code", {}, one.value || "–"), one.origin, one.help])));
  }
  async function load() {
    await attempt(form.load);
    try {
      ({ settings } = await call("GET", "/config"));
      show();
    } catch (error) {
      found.replaceChildren(h("p", {}, error.code === "E_SCOPE" ? t("admin_only") : explain(error)));
    }
  }
  return { node, update() {}, shown: load, keys: { "/": () => search.focus() } };
}

export function diagnosticsView(app) {
  const about = h("div");
  const events = h("div");
  let seen = -1;
  const health = h("span");
  const asking = repeating(async () => put(health, (await (await fetch("/readyz")).json()).status), events, 5000);
  function update() {
    const { status } = store;
    if (status && !about.firstChild) {
      about.append(facts([[t("health"), health], [t("version"), status.build.version], [t("process"), String(status.pid)], [t("started"), time(status.started_at)],
        [t("folder"), h("bdi", {}, status.folder)], [t("api_docs"), h("a", { href: "/docs" }, "/docs")]]));
    }
    if (seen === app.news.total) return;
    seen = app.news.total;
    events.replaceChildren(app.news.list.length ? table(t("events"), [t("when"), t("kind"), t("what")],
      app.news.list.map((event) => [time(event.at), event.type, h("bdi", {}, event.text)])) : h("p", {}, t("events_none")));
  }
  return { node: page("diagnostics", h("div", { class: "cards" }, card("health", about), h("section", { class: "card whole", "aria-labelledby": "part-ev" }, h("h2", { id: "part-ev" }, t("events")), events))),
    update, shown() { update(); asking.start(); }, stop: asking.stop };
}
