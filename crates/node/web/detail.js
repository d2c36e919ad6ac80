// One transfer: what it is, its pieces, files with their priority, peers and trackers.
import { call } from "./api.js";
import { removeDialog } from "./adding.js";
import { store } from "./store.js";
import { t } from "./text.js";
import { setPaused } from "./transfers.js";
import { attempt, bar, button, bytes, duration, explain, facts, h, number, percent, put, rate, say, table, time } from "./ui.js";

const PRIORITIES = [["skip", "skip_"], ["low", "low"], ["normal", "normal"], ["high", "high"]];
const PEERS_SHOWN = 500;

/** As the command line has it: `direct TLS 12 ms`. */
export function roadText(road) {
  if (!road) return t("unknown");
  const kinds = { tcp: "TCP", encrypted: "MSE/TCP", utp: "uTP", tls: "TLS", quic: "QUIC" };
  const way = road.relay ? t("relay", { at: road.relay }) : t("direct");
  return `${way} ${kinds[road.kind] || road.kind}${road.rtt_ms === undefined || road.rtt_ms === null ? "" : ` ${number(road.rtt_ms)} ms`}`;
}

/** Draws how much of each stretch of pieces is here. */
function drawPieces(canvas, reply) {
  const bits = Uint8Array.from(atob(reply.bitfield), (letter) => letter.charCodeAt(0));
  const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  const height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio));
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(canvas).color;
  const columns = Math.min(width, reply.pieces);
  for (let column = 0; column < columns; column += 1) {
    const first = Math.floor((column * reply.pieces) / columns);
    const last = Math.max(first + 1, Math.floor(((column + 1) * reply.pieces) / columns));
    let have = 0;
    for (let piece = first; piece < last; piece += 1) if (bits[piece >> 3] & (128 >> (piece & 7))) have += 1;
    pen.globalAlpha = have / (last - first);
    const left = Math.floor((column * width) / columns);
    pen.fillRect(left, 0, Math.ceil(((column + 1) * width) / columns) - left, height);
  }
  canvas.setAttribute("aria-label", t("piece_map", { have: number(reply.have), all: number(reply.pieces) }));
}

/** The files, by pages; rows stay while their figures change, so that a choice under way is not lost. */
function filesPart(app, id) {
  const node = h("div", {}, h("p", {}, t("no_files")));
  const rows = new Map();
  let next;
  let body = null;
  const more = button(t("more"), () => attempt(async () => take(await call("GET", `/transfers/${id}/files?cursor=${encodeURIComponent(next)}`), true)));

  function row(file) {
    const done = h("span");
    const select = h("select", { "aria-label": t("priority_of", { name: file.path }), disabled: app.scope === "read",
      onchange: () => attempt(() => call("PATCH", `/transfers/${id}/files`, { files: [{ index: file.index, priority: select.value }] })) },
    PRIORITIES.map(([value, key]) => h("option", { value }, t(key))));
    const play = h("a", { href: `/stream/${id}/${file.index}`, target: "_blank", rel: "noopener" }, t("play"));
    body.append(h("tr", {}, h("td", { dir: "auto" }, file.path), h("td", { class: "n" }, bytes(file.size)), h("td", { class: "n" }, done),
      h("td", {}, select), h("td", {}, play)));
    return { done, select };
  }

  function take(reply, further) {
    if (!body && reply.files.length) {
      const shown = table(t("files"), [t("name"), t("size"), t("progress"), t("priority"), t("play")], []);
      body = shown.querySelector("tbody");
      node.replaceChildren(shown, more);
    }
    for (const file of reply.files) {
      if (!rows.has(file.index)) rows.set(file.index, row(file));
      const { done, select } = rows.get(file.index);
      put(done, percent(file.done, file.size || file.done));
      if (document.activeElement !== select) select.value = file.priority;
    }
    if (further || next === undefined) next = reply.next;
    more.hidden = !next;
  }

  return { node, refresh: async () => take(await call("GET", `/transfers/${id}/files`), false) };
}

/** Writes a table anew only where its content differs. */
function replacing(node, make) {
  let before = "";
  return (value) => {
    const now = JSON.stringify(value);
    if (now === before) return;
    before = now;
    node.replaceChildren(make(value));
  };
}

function peersTable({ peers }) {
  if (!peers.length) return h("p", {}, t("no_peers"));
  return table(t("peers"), [t("address"), t("client"), t("road"), t("has"), t("down"), t("up")],
    peers.slice(0, PEERS_SHOWN).map((peer) => [h("bdi", {}, peer.addr), h("bdi", {}, peer.client), `${roadText(peer.road)}${peer.incoming ? `, ${t("incoming")}` : ""}`,
      number(peer.pieces), rate(peer.down_rate), rate(peer.up_rate)]));
}

function trackersTable({ trackers }) {
  if (!trackers.length) return h("p", {}, t("no_trackers"));
  return table(t("trackers"), [t("address"), t("state")], trackers.map((tracker) => [h("bdi", {}, tracker.url),
    tracker.error || (tracker.peers === undefined ? t("not_yet") : t("tracker_peers", { n: number(tracker.peers) }))]));
}

function general(detail) {
  return facts([
    [t("state"), detail.note ? `${t(detail.state)}: ${detail.note}` : t(detail.state)],
    [t("size"), detail.total ? bytes(detail.total) : ""], [t("down"), rate(detail.down_rate)], [t("up"), rate(detail.up_rate)],
    [t("eta"), detail.complete ? "" : duration(detail.eta)], [t("ratio"), number(detail.ratio, 2)], [t("peers"), number(detail.peers)],
    [t("known"), number(detail.known)], [t("road"), detail.road ? roadText(detail.road) : ""], [t("folder"), h("bdi", {}, detail.path || detail.folder)],
    [t("added_at"), time(detail.added_at)], [t("completed_at"), detail.completed_at ? time(detail.completed_at) : ""],
    [t("infohash"), h("code", {}, [detail.infohash_v1, detail.infohash_v2].filter(Boolean).join(" "))], [t("category"), detail.category],
    [t("tags"), detail.tags.join(", ")], [t("wasted"), detail.wasted ? bytes(detail.wasted) : ""],
    [t("bad_pieces"), detail.hash_failures ? number(detail.hash_failures) : ""], [t("comment"), detail.comment],
  ]);
}

export function detailView(app, id) {
  let timer = 0;
  let link = "";
  const title = h("h1", { id: "h1", dir: "auto" }, id);
  const progress = h("div", { class: "wide-bar" });
  const problem = h("p", { class: "problem" });
  const about = h("div");
  const map = h("canvas", { class: "map", role: "img", "aria-label": t("no_pieces") });
  const files = filesPart(app, id);
  const peers = h("div");
  const trackers = h("div");
  const showPeers = replacing(peers, peersTable);
  const showTrackers = replacing(trackers, trackersTable);
  const isPaused = () => ["paused", "error"].includes(store.transfers.get(id)?.state);
  const pause = button(t("pause"), () => attempt(() => setPaused([id], !isPaused())));
  const remove = button(t("remove"), () => removeDialog([id], () => { location.hash = "#/transfers"; }), { class: "danger" });
  const recheck = button(t("recheck"), () => attempt(() => call("POST", `/transfers/${id}/recheck`)));
  const copy = button(t("copy"), () => attempt(() => navigator.clipboard.writeText(link), t("copied")));
  for (const control of [pause, remove, recheck]) control.disabled = app.scope === "read";
  const part = (key, ...content) => h("section", { class: "card", "aria-labelledby": `part-${key}` }, h("h2", { id: `part-${key}` }, t(key)), content);
  const node = h("section", { class: "detail", "aria-labelledby": "h1" }, h("a", { href: "#/transfers" }, t("back")), title, progress, problem,
    h("div", { class: "bar" }, pause, recheck, copy, h("a", { class: "button", href: `/api/v1/transfers/${id}/torrent`, download: `${id}.torrent` }, t("save_torrent")),
      h("span", { class: "grow" }), remove),
    h("div", { class: "cards" }, part("general", about), part("pieces", map), part("files", files.node), part("peers", peers), part("trackers", trackers)));

  async function refresh() {
    try {
      const [detail, connected, pieces] = await Promise.all(["", "/peers", "/pieces"].map((rest) => call("GET", `/transfers/${id}${rest}`)));
      link = detail.link;
      about.replaceChildren(general(detail));
      showPeers(connected);
      showTrackers(detail);
      if (pieces.pieces) drawPieces(map, pieces);
      if (detail.files) await files.refresh();
      put(problem, "");
    } catch (error) {
      put(problem, error.status === 404 ? t("gone") : explain(error));
      if (error.status === 404) return;
    }
    if (node.isConnected) timer = setTimeout(refresh, document.hidden ? 15000 : 2000);
  }

  function update() {
    const item = store.transfers.get(id);
    if (!item) return;
    put(title, item.name);
    put(pause, t(isPaused() ? "resume" : "pause"));
    const text = item.wanted ? `${percent(item.done, item.wanted)} · ${t("of", { used: bytes(item.done), limit: bytes(item.wanted) })}` : t(item.state);
    if (!progress.firstChild) progress.append(bar(0, 1, t("progress")), h("span"));
    progress.firstChild.value = item.wanted ? item.done / item.wanted : 0;
    put(progress.lastChild, text);
    if (item.error) put(problem, explain(Object.assign(new Error(item.error.message), { hint: item.error.hint })));
  }

  return { node, update, shown() { update(); refresh(); }, stop() { clearTimeout(timer); },
    keys: { Escape: () => { location.hash = "#/transfers"; }, p: () => pause.click(), Delete: () => remove.click() } };
}
