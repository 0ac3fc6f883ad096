// Try a clip: a file of one's own or one of a corpus, played beside what the model says of it, together and by each modality.

import { address, get, post, send } from "../api.js";
import { element, message, say } from "../dom.js";
import { bars, percent, valenceScale } from "../bars.js";
import { timeline } from "../timeline.js";

const MODALITIES = { acoustic: "Sound", visual: "Pictures", lexical: "Words" };
const UNPLAYABLE = "This browser cannot play the file; the answer does not depend on that.";

export async function show(root, { query, signal }) {
  const answer = element("div", { id: "answer" });
  const chooser = element("section", { class: "card chooser", "aria-label": "Choose a clip" });
  root.append(element("h1", {}, "Try a clip"), chooser, answer);
  const served = element("p", { class: "quiet small" }, "…");
  const coverage = coverageChoice();
  const ask = new Asking(answer, signal, coverage);
  chooser.append(ownFile(ask), element("hr", { class: "or", "aria-hidden": "true" }), await storedClip(ask, query, signal));
  chooser.append(element("p", { class: "row small" }, element("label", { for: "coverage" }, "How sure the answer must be"), coverage), served);
  const site = await get("/api/site", {}, { signal });
  if (site.model) served.textContent = `Answers come from ${site.model} version ${site.model_version} (${site.modalities.map(named).join(", ").toLowerCase()}).${site.remark ? ` ${site.remark}` : ""}`;
  else served.replaceWith(message("warn", `Nothing answers yet: ${site.remark}`));
}

const named = (modality) => MODALITIES[modality] ?? modality;

/** Beside the likeliest class all that the clip may have, so many that the true one is among them so often. */
function coverageChoice() {
  const choices = [["", "the likeliest class only"], [".8", "right in 80 %: one of several"], [".9", "right in 90 %: one of several"], [".95", "right in 95 %: one of several"]];
  return element("select", { id: "coverage" }, choices.map(([value, words]) => element("option", { value }, words)));
}

class Asking {
  constructor(root, signal, coverage) {
    this.root = root;
    this.coverage = coverage;
    this.signal = signal;
    this.asked = null;
    signal.addEventListener("abort", () => this.release());
  }

  /** Ask, and show what comes of it; a later question ends an earlier one. */
  async ask(name, source, request) {
    this.asked?.abort();
    this.release();
    const asked = (this.asked = new AbortController());
    this.root.replaceChildren(element("p", { class: "quiet", role: "status" }, `Reading ${name} …`));
    this.root.setAttribute("aria-busy", "true");
    try {
      const said = await request(asked.signal);
      if (asked.signal.aborted || this.signal.aborted) return;
      this.url = source.url;
      this.root.replaceChildren(...shown(said, source));
      const { discrete, confidence } = said.prediction;
      say(discrete ? `${name}: ${discrete}, ${percent(confidence)}` : `${name}: no answer`);
    } catch (error) {
      if (error.name === "AbortError" || asked.signal.aborted) return;
      const wait = error.retrySeconds ? ` Try again in ${error.retrySeconds} s.` : "";
      this.root.replaceChildren(message("bad", error.message, wait));
    } finally {
      if (this.asked === asked) this.root.removeAttribute("aria-busy");
    }
  }

  release() {
    if (this.url?.startsWith("blob:")) URL.revokeObjectURL(this.url);
    this.url = null;
  }
}

function ownFile(ask) {
  const file = element("input", { type: "file", id: "file", accept: "audio/*,video/*,.mkv,.avi,.flac,.mts" });
  const words = element("input", { id: "words", autocomplete: "off", maxlength: "10000" });
  const form = element("form", { class: "row" },
    element("div", {}, element("label", { for: "file" }, "A file of yours"), file),
    element("div", { class: "grows" }, element("label", { for: "words" }, "What is said in it (may be left out)"), words),
    element("button", {}, "Ask"));
  let asked = false;
  const go = () => {
    const chosen = file.files[0];
    if (!chosen) {
      file.focus();
      return;
    }
    asked = true;
    const body = new FormData();
    body.append("file", chosen);
    if (words.value.trim()) body.append("transcript", words.value.trim());
    const url = URL.createObjectURL(chosen);
    ask.ask(chosen.name, { url, isSound: chosen.type.startsWith("audio/") }, (signal) => send(address("/api/predict/explain", { coverage: ask.coverage.value }), body, { signal }));
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  file.addEventListener("change", () => {
    if (asked) words.value = "";  // they were those of the file before
    go();
  });
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) {
      file.files = event.dataTransfer.files;
      go();
    }
  });
  return form;
}

async function storedClip(ask, query, signal) {
  const { corpora } = await get("/api/corpora", {}, { signal });
  const filled = corpora.filter((corpus) => corpus.clips > 0);
  if (!filled.length) return element("p", { class: "quiet" }, "No corpus is catalogued yet: `mer ingest --corpus FOLDER` makes its clips selectable here.");
  const corpus = element("select", { id: "corpus" }, filled.map((row) => element("option", { value: row.name }, `${row.name} (${row.clips} clips)`)));
  const search = element("input", { id: "search", type: "search", autocomplete: "off", placeholder: "part of its name" });
  const clip = element("select", { id: "clip" });
  const facts = element("p", { class: "small quiet clip-facts" });
  let rows = [];
  let newest = 0;
  const described = () => {
    const row = rows[clip.selectedIndex];
    const known = row && [row.seconds && `${row.seconds.toFixed(1)} s`, row.speaker && `speaker ${row.speaker}`, row.emotion && `labelled ${row.emotion}`, row.split];
    facts.textContent = known ? known.filter(Boolean).join(" · ") : "";
  };
  const list = async () => {
    const number = ++newest;
    const found = await get("/api/clips", { corpus: corpus.value, contains: search.value, limit: 100 }, { signal });
    if (number !== newest) return;
    rows = found.clips;
    clip.replaceChildren(...rows.map((row) => element("option", { value: row.name }, row.name)));
    if (!rows.length) clip.append(element("option", { disabled: true }, "no clip of this name"));
    described();
  };
  const go = () => {
    const row = rows[clip.selectedIndex];
    if (!row) return;
    const place = { corpus: corpus.value, clip: row.name };
    const source = { url: address("/api/media", place), isSound: !row.has_video, label: row.emotion };
    ask.ask(row.name, source, (ended) => post(address("/api/clips/explain", { ...place, coverage: ask.coverage.value }), {}, { signal: ended }));
  };
  let pause;
  search.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(list, 200);
  });
  corpus.addEventListener("change", list);
  clip.addEventListener("change", described);
  const form = element("form", { class: "row" },
    element("div", {}, element("label", { for: "corpus" }, "Or a clip of a corpus"), corpus),
    element("div", {}, element("label", { for: "search" }, "Search"), search),
    element("div", { class: "grows" }, element("label", { for: "clip" }, "Clip"), clip),
    element("button", {}, "Ask"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  if (query.get("corpus")) corpus.value = query.get("corpus");
  if (query.get("clip")) search.value = query.get("clip");
  await list();
  if (query.get("clip") && rows.length) {
    const wanted = rows.findIndex((row) => row.name === query.get("clip"));
    clip.selectedIndex = Math.max(0, wanted);
    go();
  }
  return element("div", {}, form, facts);
}

function shown(said, source) {
  const { prediction } = said;
  const player = playing(source, prediction.name);
  const media = element("section", { class: "card", "aria-label": "The clip" },
    element("h2", {}, prediction.name),
    player.box,
    said.media ? timeline(said, player.media) : null,
    said.transcript ? element("p", { class: "words" }, element("span", { class: "quiet small" }, "Words: "), said.transcript) : null);
  const odd = said.words.map((text) => message("warn", text));
  if (!Object.keys(prediction.probabilities).length) return [element("div", { class: "columns" }, media, element("section", { class: "card" }, element("h2", {}, "No answer"), ...odd))];
  const likeliest = Object.entries(prediction.probabilities).reduce((best, one) => (one[1] > best[1] ? one : best))[0];
  const answered = prediction.discrete ? [element("strong", {}, prediction.discrete), ` ${percent(prediction.confidence)}`] : [element("strong", {}, "left open")];
  const together = element("section", { class: "card", "aria-label": "Answer" },
    element("h2", {}, "Answer"),
    element("p", { class: "headline" }, ...answered,
      source.label ? element("span", { class: "quiet small" }, ` · labelled ${source.label}`) : null),
    prediction.prediction_set.length ? element("p", {}, `The clip is one of: ${prediction.prediction_set.join(", ")}.`) : null,
    ...odd,
    bars(prediction.probabilities, "Probabilities", likeliest),
    valenceScale(prediction.valence),
    element("p", { class: "small quiet" }, `${prediction.model} version ${prediction.version}; read: ${prediction.modalities.join(", ") || "nothing of the clip"}`));
  const parts = element("section", { "aria-label": "Each modality alone" },
    element("h2", {}, "What each modality says alone"),
    element("div", { class: "columns" }, said.modalities.map((part) => modality(part, likeliest))));
  return [element("div", { class: "columns" }, media, together), said.modalities.length ? parts : null].filter(Boolean);
}

function playing(source, name) {
  const media = element(source.isSound ? "audio" : "video", { controls: true, preload: "metadata", src: source.url, "aria-label": `Play ${name}` });
  const box = element("div", { class: "player" }, media);
  media.addEventListener("error", () => box.replaceChildren(message("", UNPLAYABLE)), { once: true });
  return { media, box };
}

function modality(part, answer) {
  const facts = [];
  if (part.present && part.lost !== null) {
    const points = (100 * Math.abs(part.lost)).toFixed(1);
    const effect = part.lost >= 0.0005 ? `Without it, ${answer} loses ${points} points.` : part.lost <= -0.0005 ? `It speaks against ${answer}: without it, ${points} points more.` : `The answer is the same without it.`;
    facts.push(element("p", {}, effect));
  }
  const title = element("h3", {}, named(part.modality), " ", element("span", { class: "small quiet" }, part.streams.join(", ")));
  const card = element("article", { class: "card modality" }, title);
  if (!part.present) card.append(element("p", { class: "quiet" }, ["Not read of this clip.", ...part.words].join(" ")));
  else if (part.alone) card.append(...[bars(part.alone, `Probabilities by ${named(part.modality).toLowerCase()} alone`, answer), valenceScale(part.valence_alone)].filter(Boolean));
  else card.append(element("p", { class: "quiet" }, "This model cannot answer without the other modalities."));
  card.append(...facts);
  if (part.present) card.append(element("p", { class: "small quiet" }, `Weight in the model: ${part.weight.toFixed(3)}`));
  return card;
}
