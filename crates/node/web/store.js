// What is known of the daemon: transfers and status, kept up to date by `/api/v1/sync`.
//
// Each change is told to those who listen as an event `change`; whether the daemon answers as `link`.
import { call, Failure } from "./api.js";

const SEEN_MS = 1000;
const HIDDEN_MS = 10000;

class Store extends EventTarget {
  transfers = new Map();
  status = null;
  /** Counts changes, so that readers know whether a list that they made is still right. */
  version = 0;
  online = true;
  /** Rates of the last two minutes, newest last. */
  history = [];
  #rid = "";
  #timer = 0;
  #busy = false;

  start() {
    document.addEventListener("visibilitychange", () => this.soon());
    return this.#turn();
  }

  /** Asks anew at once: something was changed. */
  soon() {
    clearTimeout(this.#timer);
    if (!this.#busy) this.#timer = setTimeout(() => this.#turn(), 50);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#turn = async () => {};
  }

  #turn = async () => {
    this.#busy = true;
    try {
      this.#take(await call("GET", `/sync?rid=${encodeURIComponent(this.#rid)}`));
      this.#linked(true);
    } catch (error) {
      if (error instanceof Failure && error.status === 401) {
        this.dispatchEvent(new Event("leave"));
        return;
      }
      this.#linked(false);
    } finally {
      this.#busy = false;
    }
    const wait = document.hidden ? HIDDEN_MS : SEEN_MS;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#turn(), wait);
  };

  #take(reply) {
    this.#rid = reply.rid;
    if (reply.full) this.transfers.clear();
    for (const transfer of reply.transfers) this.transfers.set(transfer.id, transfer);
    for (const id of reply.removed) this.transfers.delete(id);
    if (reply.full || reply.transfers.length || reply.removed.length) this.version += 1;
    this.status = reply.status;
    this.history.push(reply.status.rates);
    if (this.history.length > 120) this.history.shift();
    this.dispatchEvent(new Event("change"));
  }

  #linked(online) {
    if (online === this.online) return;
    this.online = online;
    this.dispatchEvent(new Event("link"));
  }
}

export const store = new Store();
