// Dialogues that add, share and remove; and files dropped on the page.
import { base64, call } from "./api.js";
import { store } from "./store.js";
import { t } from "./text.js";
import { attempt, dialog, explain, field, h, number, percent, say } from "./ui.js";

async function add(what) {
  const made = await call("POST", "/transfers", what);
  store.soon();
  say(t("added", { name: made.name }));
}

/** Asks for a link or a torrent file. */
export function addDialog() {
  const link = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autofocus: true, dir: "ltr" });
  const file = h("input", { type: "file", accept: ".torrent,application/x-bittorrent", multiple: true });
  const folder = h("input", { type: "text", autocomplete: "off", spellcheck: "false", dir: "ltr" });
  const paused = h("input", { type: "checkbox" });
  const sequential = h("input", { type: "checkbox" });
  dialog(t("add_title"), [
    field(t("link"), link), field(t("or_file"), file),
    field(t("folder"), folder, t("folder_help", { folder: store.status ? store.status.folder : "" })),
    h("label", { class: "check" }, paused, t("add_paused")), h("label", { class: "check" }, sequential, t("sequential")),
  ], { yes: t("add"), act: async () => {
    const common = { paused: paused.checked, sequential: sequential.checked };
    if (folder.value.trim()) common.folder = folder.value.trim();
    const wanted = link.value.trim();
    if (!wanted && !file.files.length) throw new Error(t("add_nothing"));
    if (wanted) await add({ link: wanted, ...common });
    for (const one of file.files) await add({ torrent: await base64(one), ...common });
  } });
}

/** Asks for a path to share, and follows the hashing. */
export function shareDialog() {
  const path = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autofocus: true, required: true, dir: "ltr" });
  dialog(t("share_title"), [field(t("path"), path, t("path_help"))], { yes: t("share"), act: async () => {
    const job = await call("POST", "/shares", { paths: [path.value.trim()] });
    follow(job).catch((error) => say(explain(error), "problem"));
  } });
}

async function follow(job) {
  let told = 0;
  while (job.state === "running") {
    if (Date.now() - told > 5000 && job.total) {
      told = Date.now();
      say(t("sharing", { part: percent(job.done, job.total) }));
    }
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    job = await call("GET", `/jobs/${job.id}`);
  }
  if (job.state === "failed") {
    const { message, hint } = job.error || {};
    throw Object.assign(new Error(message || t("error")), { hint });
  }
  const made = await call("GET", `/transfers/${job.transfer}`);
  store.soon();
  say(t("shared", { name: made.name }));
}

/** Asks whether to remove, and whether the files go, too. */
export function removeDialog(ids, done) {
  const data = h("input", { type: "checkbox" });
  const one = store.transfers.get(ids[0]);
  const title = ids.length === 1 && one ? t("remove_one", { name: one.name }) : t("remove_title", { n: number(ids.length) });
  dialog(title, [h("p", {}, t("remove_text")), h("label", { class: "check" }, data, t("remove_data"))], { yes: t("remove"), danger: true, act: async () => {
    for (const id of ids) await call("DELETE", `/transfers/${id}${data.checked ? "?data=true" : ""}`);
    store.soon();
    say(t("removed_n", { n: number(ids.length) }));
    if (done) done();
  } });
}

/** Takes .torrent files that are dropped anywhere on the page. */
export function takeDrops() {
  const over = (on) => document.body.classList.toggle("drop", on);
  document.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over(false); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const text = event.dataTransfer.getData("text/plain").trim();
    const files = [...event.dataTransfer.files];
    if (!files.length && text) { attempt(() => add({ link: text })); return; }
    for (const file of files) {
      if (file.name.toLowerCase().endsWith(".torrent")) attempt(async () => add({ torrent: await base64(file) }));
      else say(t("dropped_other"), "problem");
    }
  });
}
