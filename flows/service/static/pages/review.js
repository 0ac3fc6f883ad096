// The review queue: a clip plays, a person says what it shows, by keyboard alone if they like.
// Nothing is kept here but a name and the decision that is on its way: who comes back gets the clip that they had.

import { Problem, post } from "../api.js";
import { element, message, say } from "../dom.js";

const ORDERS = {
  uncertainty: "Least sure first",
  influence: "Most influential first",
  errors: "Likely label errors first",
  random: "Random order",
};
const SOURCES = { pseudo: "pseudo-label, learnt from", gold: "label of the corpus", model: "the model's opinion" };
const KEYS = [
  ["1 – 9", "choose an emotion; several: choose more after S"],
  ["↑ ↓ ← →", "move among the emotions"],
  ["Enter", "complete: accept what is chosen and go on"],
  ["Space", "play or pause"],
  ["0", "cannot tell"],
  ["S", "several emotions, with weights"],
  ["+ −", "weight of the emotion that is chosen"],
  ["U", "take the last decision back"],
  ["?", "show or hide the keys"],
];
const RENEW_MS = 45_000;
const PENDING = "mer.review.pending";

function kept(name, fallback) {
  try {
    return localStorage.getItem(name) ?? fallback;
  } catch {
    return fallback; // a browser that keeps nothing
  }
}

function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // as above
  }
}

const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const percent = (value) => `${Math.round(100 * value)} %`;

export async function show(root, { query, signal }) {
  const asked = {
    reviewer: query.get("reviewer") ?? kept("mer.review.name", ""),
    model: query.get("model") ?? "",
    order: query.get("order") ?? "uncertainty",
  };
  const heading = element("h1", {}, "Review");
  const begin = element("div", {});
  const work = element("div", {});
  root.append(heading, begin, work);
  const name = element("input", { id: "reviewer", name: "reviewer", required: true, maxlength: "200", autocomplete: "username", value: asked.reviewer });
  const order = element("select", { id: "order" }, Object.entries(ORDERS).map(([key, title]) =>
    element("option", { value: key, selected: key === asked.order }, title)));
  const form = element("form", { class: "card row", onsubmit: (event) => {
    event.preventDefault();
    if (!name.value.trim()) return;
    keep("mer.review.name", name.value.trim());
    session?.end();
    start();
  } },
  element("div", {}, element("label", { for: "reviewer" }, "Your name"), name),
  element("div", {}, element("label", { for: "order" }, "Order"), order),
  element("button", { type: "submit" }, "Start"),
  element("p", { class: "quiet small grow" }, "Decisions are kept under this name at once. Close the page whenever you like: the same name goes on where it was. What the model thinks may sway you, and can be hidden."));
  begin.append(form);
  let session = null;
  const start = () => {
    session = new Session(work, { reviewer: name.value.trim(), model: asked.model, order: order.value }, signal);
    return session.begin();
  };
  signal.addEventListener("abort", () => session?.end());
  if (asked.reviewer && query.get("reviewer")) await start();
  else name.focus();
}

class Session {
  constructor(root, asking, pageSignal) {
    this.root = root;
    this.asking = asking;
    this.ending = new AbortController();
    this.signal = AbortSignal.any([pageSignal, this.ending.signal]);
    this.chosen = new Map(); // emotion -> weight
    this.several = false;
    this.at = 0;
    this.busy = false;
    this.hidden = kept("mer.review.hide", "") === "yes";
  }

  end() {
    this.ending.abort();
    this.root.replaceChildren();
  }

  async begin() {
    document.addEventListener("keydown", (event) => this.onKey(event), { signal: this.signal });
    const renewing = setInterval(() => this.renew(), RENEW_MS);
    this.signal.addEventListener("abort", () => clearInterval(renewing));
    await this.sendPending();
    await this.ask("/api/review/next", this.asking);
  }

  /** A decision that was on its way when the page ended is sent again under its key: it counts once. */
  async sendPending() {
    const pending = kept(PENDING, null);
    if (!pending) return;
    try {
      const body = JSON.parse(pending);
      if (body.reviewer === this.asking.reviewer) await post("/api/review/decide", body, { signal: this.signal });
    } catch (error) {
      if (error.name === "AbortError" || (error instanceof Problem && error.status === 0)) throw error;
      // refused: somebody else has decided meanwhile, and the clip comes again if nobody has
    }
    keep(PENDING, null);
  }

  async renew() {
    if (this.busy || !this.state?.turn) return;
    try {
      const state = await post("/api/review/next", this.asking, { signal: this.signal });
      if (!this.busy && state.turn?.token !== this.state.turn?.token) this.shown(state); // the clip was given to somebody else
    } catch {
      // the next decision says what is wrong
    }
  }

  async ask(address, body) {
    this.busy = true;
    try {
      const state = await post(address, body, { signal: this.signal });
      keep(PENDING, null);
      this.shown(state);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed(error);
    } finally {
      this.busy = false;
    }
  }

  failed(error) {
    if (!(error instanceof Problem)) console.error(error);
    if (error.status === 409) keep(PENDING, null);
    const again = element("button", { type: "button", class: "plain", onclick: async () => {
      try {
        await this.sendPending();
      } catch (problem) {
        return this.failed(problem);
      }
      await this.ask("/api/review/next", this.asking);
    } }, "Go on");
    this.root.replaceChildren(message("bad", element("p", {}, error.message), again));
    again.focus();
  }

  shown(state) {
    this.state = state;
    this.since = performance.now();
    this.several = false;
    this.chosen = new Map();
    const { turn, emotions } = state;
    const thought = turn?.opinion.emotion ?? null;
    this.at = Math.max(0, emotions.indexOf(thought));
    if (thought && !this.hidden) this.chosen.set(thought, 1);
    this.draw();
    const others = Object.values(state.others).reduce((sum, count) => sum + count, 0);
    say(turn ? `Clip ${turn.name}. ${this.hidden || !thought ? "" : `Thought of as ${thought}. `}${state.waiting} wait, ${state.mine} yours, ${others} by others.` : "Nothing waits.");
  }

  draw() {
    const { state } = this;
    const parts = [this.progress()];
    if (!state.turn) {
      parts.push(message("", state.waiting
        ? `${state.waiting} clips wait, and others have them before them just now.`
        : "Every clip of this order is reviewed. The next run learns from the labels."));
      parts.push(element("button", { type: "button", class: "plain", onclick: () => this.ask("/api/review/next", this.asking) }, "Look again"));
      this.root.replaceChildren(...parts);
      return;
    }
    parts.push(element("div", { class: "columns" }, this.clip(), this.question()), this.keys());
    this.root.replaceChildren(...parts);
    this.focusChoice();
  }

  progress() {
    const { reviewed, waiting, mine, others, corpus, model, version } = this.state;
    const all = reviewed + waiting;
    const names = Object.entries(others).map(([name, count]) => `${name} ${count}`).join(", ");
    return element("div", { class: "card progress-card" },
      element("p", { id: "progress-text" }, element("strong", { id: "reviewed" }, `${reviewed} of ${all}`), ` reviewed · ${mine} by you${names ? ` · ${names}` : ""}`),
      element("progress", { max: String(Math.max(1, all)), value: String(reviewed), "aria-labelledby": "progress-text" }),
      element("p", { class: "quiet small" }, `${model} version ${version}, corpus ${corpus}`));
  }

  clip() {
    const { turn, corpus } = this.state;
    const source = `/api/media?${new URLSearchParams({ corpus, clip: turn.name })}`;
    let player;
    if (turn.has_video || turn.has_audio) {
      player = element(turn.has_video ? "video" : "audio", { id: "player", controls: true, preload: "auto", src: source, tabindex: "0", "aria-label": `Clip ${turn.name}` });
      player.addEventListener("loadeddata", () => player.play().catch(() => {}), { once: true }); // a browser may want a gesture first
      player.addEventListener("error", () => player.replaceWith(message("warn", "This browser cannot play the file; it is decided on all the same, or use 0 for cannot tell.")), { once: true });
    } else {
      player = message("warn", "This clip has no media to play: it consists of features.");
    }
    return element("section", { class: "card", "aria-label": "Clip" },
      element("h2", { class: "clip-name" }, turn.name),
      player,
      turn.transcript ? element("p", { class: "transcript" }, `“${turn.transcript}”`) : null);
  }

  question() {
    const { turn, emotions } = this.state;
    const { opinion } = turn;
    const sure = opinion.confidence === null ? "" : `, ${percent(opinion.confidence)} sure`;
    const told = opinion.emotion === null ? "No model has been asked about this clip."
      : this.hidden ? "What is thought of it is hidden." : `${opinion.emotion} (${SOURCES[opinion.source]}${sure})`;
    const choices = emotions.map((emotion, index) => this.choice(emotion, index, opinion));
    return element("section", { class: "card", "aria-label": "What does it show?" },
      element("h2", { id: "question" }, "What does it show?"),
      element("p", { id: "opinion" }, told, opinion.likely_wrong && !this.hidden ? element("span", { class: "tag warn" }, "likely wrong") : null),
      element("div", { class: "choices", role: "group", "aria-labelledby": "question" }, choices),
      this.several ? element("p", { class: "small quiet" }, "Several: keys choose and drop, + and − weigh. Equal weights at the top name no label, and are kept.") : null,
      element("div", { class: "row" },
        element("button", { type: "button", id: "complete", onclick: () => this.complete() }, "Complete"),
        element("button", { type: "button", class: "plain", id: "cannot-tell", onclick: () => this.decide("cannot_tell", {}) }, "Cannot tell"),
        element("button", { type: "button", class: "plain", id: "several", "aria-pressed": String(this.several), onclick: () => this.toggleSeveral() }, "Several"),
        element("button", { type: "button", class: "plain", id: "undo", onclick: () => this.undo() }, "Undo")),
      element("label", { class: "small check" }, element("input", { type: "checkbox", id: "hide", checked: this.hidden, onchange: (event) => this.hide(event.target.checked) }), " Hide what is thought of it"));
  }

  choice(emotion, index, opinion) {
    const chosen = this.chosen.has(emotion);
    const share = opinion.probabilities[emotion];
    const bar = element("span", { class: "share", "aria-hidden": "true" });
    if (share !== undefined && !this.hidden) bar.style.width = `${100 * share}%`;
    const weight = this.several && chosen ? ` × ${this.chosen.get(emotion).toFixed(1)}` : "";
    return element("button", {
      type: "button", class: `choice${chosen ? " chosen" : ""}`, "data-emotion": emotion, "aria-pressed": String(chosen),
      tabindex: index === this.at ? "0" : "-1", onclick: () => this.choose(index),
    }, index < 9 ? element("kbd", {}, String(index + 1)) : null, element("span", {}, `${emotion}${weight}`),
    share !== undefined && !this.hidden ? element("span", { class: "number small" }, percent(share)) : null, bar);
  }

  keys() {
    const rows = KEYS.map(([key, meaning]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, meaning)]);
    return element("details", { class: "card", id: "keys", open: kept("mer.review.keys", "") === "open", ontoggle: (event) => keep("mer.review.keys", event.target.open ? "open" : "") },
      element("summary", {}, "Keys (?)"), element("dl", { class: "facts" }, rows));
  }

  focusChoice() {
    this.root.querySelectorAll(".choice")[this.at]?.focus();
  }

  choose(index) {
    const emotion = this.state.emotions[index];
    if (emotion === undefined) return;
    this.at = index;
    if (!this.several) this.chosen = new Map([[emotion, 1]]);
    else if (this.chosen.has(emotion)) this.chosen.delete(emotion);
    else this.chosen.set(emotion, 1);
    this.redrawQuestion();
  }

  /** The clip plays on: only the question is drawn anew. */
  redrawQuestion() {
    this.root.querySelector("section[aria-label='What does it show?']").replaceWith(this.question());
    this.focusChoice();
  }

  toggleSeveral() {
    this.several = !this.several;
    if (!this.several && this.chosen.size > 1) this.chosen = new Map([[this.state.emotions[this.at], 1]]);
    this.redrawQuestion();
  }

  weigh(step) {
    const emotion = this.state.emotions[this.at];
    if (!this.several || !this.chosen.has(emotion)) return;
    this.chosen.set(emotion, Math.min(1, Math.max(0.1, Math.round(10 * (this.chosen.get(emotion) + step)) / 10)));
    this.redrawQuestion();
  }

  hide(hidden) {
    this.hidden = hidden;
    keep("mer.review.hide", hidden ? "yes" : "");
    if (hidden) this.chosen = new Map();
    this.redrawQuestion();
  }

  complete() {
    const weights = Object.fromEntries(this.chosen);
    const named = Object.keys(weights);
    if (!named.length) {
      say("Nothing is chosen: press 1 to 9, or 0 for cannot tell.");
      return;
    }
    if (named.length > 1) this.decide("several", weights);
    else this.decide(named[0] === this.state.turn.opinion.emotion ? "accept" : "correct", { [named[0]]: 1 });
  }

  decide(decision, weights) {
    if (this.busy || !this.state?.turn) return;
    const { turn } = this.state;
    const seconds = (performance.now() - this.since) / 1000;
    const body = { ...this.asking, key: newKey(), name: turn.name, content: turn.content, token: turn.token, decision, weights, seconds };
    keep(PENDING, JSON.stringify(body));
    this.ask("/api/review/decide", body);
  }

  undo() {
    if (!this.busy) this.ask("/api/review/undo", { ...this.asking, key: newKey() });
  }

  onKey(event) {
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");
    if (typing || event.ctrlKey || event.altKey || event.metaKey || this.busy || !this.state) return;
    const actions = {
      ArrowDown: () => this.move(1), ArrowRight: () => this.move(1), ArrowUp: () => this.move(-1), ArrowLeft: () => this.move(-1),
      " ": () => this.play(), Enter: () => this.complete(), 0: () => this.decide("cannot_tell", {}), s: () => this.toggleSeveral(),
      u: () => this.undo(), "+": () => this.weigh(0.1), "-": () => this.weigh(-0.1), "?": () => this.toggleKeys(),
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const ofAnother = event.target.closest("button:not(.choice), a, summary, input");
    if (ofAnother && (key === "Enter" || key === " ")) return; // these have their own meaning there
    if (event.target.closest("video, audio") && key !== "?" && !/^[0-9]$|^[su]$|^Enter$/.test(key)) return;
    if (!this.state.turn && !"u?".includes(key)) return;
    const action = /^[1-9]$/.test(key) ? () => this.choose(Number(key) - 1) : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  move(step) {
    const count = this.state.emotions.length;
    this.at = (this.at + step + count) % count;
    if (this.several) this.redrawQuestion();
    else this.choose(this.at);
  }

  play() {
    const player = this.root.querySelector("#player");
    if (!player?.play) return;
    if (player.paused) player.play().catch(() => {});
    else player.pause();
  }

  toggleKeys() {
    const keys = this.root.querySelector("#keys");
    if (keys) keys.open = !keys.open;
  }
}
