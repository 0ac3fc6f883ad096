// Pictures, waveform and what is known over the time of a clip: attention of models that have some, what the answer loses without each
// stretch, what the sound says by itself. A click moves the player there.

import { drawing, element } from "./dom.js";

const HEIGHT = 64;
const IN_TIME = { acoustic: "sound", visual: "pictures" };
const percent = (share) => `${(100 * share).toFixed(0)} %`;

export function timeline(said, media) {
  const { media: small, prediction } = said;
  const rows = [];
  if (small.pictures.length) {
    rows.push(element("div", { class: "strip" }, small.pictures.map((picture) =>
      element("img", { src: `data:image/jpeg;base64,${picture.jpeg}`, alt: `at ${picture.seconds.toFixed(1)} s`, width: "96", height: "72" }))));
  }
  if (small.peaks.length) rows.push(waveform(small.peaks));
  if (!rows.length) return null;
  const facts = [small.seconds ? `${small.seconds.toFixed(2)} s` : null, small.peaks.length ? "waveform" : "no sound"];
  const answer = prediction.discrete;
  const known = small.seconds && answer ? overTime(said, answer) : [];
  const box = element("div", { class: "timeline" }, ...rows, ...known.map((row) => row.band));
  if (small.seconds && media) followed(box, media, small.seconds);
  return element("figure", { class: "small" }, box,
    element("figcaption", { class: "quiet" }, facts.filter(Boolean).join(" · "),
      known.length ? element("ol", { class: "legend" }, known.map((row) => element("li", {}, row.says))) : null));
}

function followed(box, media, seconds) {
  const cursor = element("span", { class: "cursor", "aria-hidden": "true" });
  box.append(cursor);
  const follow = () => {
    cursor.style.left = `${Math.min(100, (100 * media.currentTime) / seconds)}%`;
  };
  media.addEventListener("timeupdate", follow);
  box.addEventListener("click", (event) => {
    const place = box.getBoundingClientRect();
    media.currentTime = (seconds * (event.clientX - place.left)) / place.width;
    follow();
  });
}

function waveform(peaks) {
  const top = Math.max(0.02, ...peaks);
  const middle = HEIGHT / 2;
  const points = peaks.map((peak, at) => [at, (peak / top) * (middle - 1)]);
  const up = points.map(([at, size]) => `${at},${(middle - size).toFixed(1)}`);
  const down = points.reverse().map(([at, size]) => `${at},${(middle + size).toFixed(1)}`);
  return drawing("svg", { class: "waveform", viewBox: `0 0 ${peaks.length - 1} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Waveform" },
    drawing("polygon", { points: [...up, ...down].join(" ") }));
}

/** Bands below the waveform, each with the sentence that says what it shows; numbered, so that neither place nor colour tells alone. */
function overTime(said, answer) {
  const bands = [];
  for (const { modality, weights, stream } of said.attention) {
    if (!(modality in IN_TIME)) continue;  // words follow each other, but nobody knows when
    const of = IN_TIME[modality];
    bands.push([weightsBand(weights, `Attention to ${of}`), `Attention: how the model weighs the ${weights.length} frames of ${of}${stream === modality ? "" : ` (${stream})`}.`]);
  }
  for (const { modality, lost } of said.lost) {
    const what = modality === "acoustic" ? "that stretch of the sound" : "the pictures of that time";
    bands.push([lostBand(lost, said.media.seconds, answer, modality), `${said.attention.length ? "Left out" : "Left out (this model has no attention over time)"}: points of probability that ${answer} loses without ${what}; hatched: it would gain.`]);
  }
  if (said.stretches.length) bands.push([aloneBand(said.stretches, answer), `Alone: how probable ${answer} is by that stretch of the sound alone.`]);
  return bands.map(([band, says], at) => ({ band: element("div", { class: "band" }, element("span", { class: "key", "aria-hidden": "true" }, String(at + 1)), band), says }));
}

function weightsBand(weights, label) {
  const top = Math.max(...weights);
  const most = weights.indexOf(top);
  const columns = weights.map((weight, at) => drawing("rect", { x: at, y: (1 - weight / top).toFixed(4), width: 1 - Math.min(0.08, 0.003 * weights.length), height: (weight / top).toFixed(4) }));
  return drawing("svg", { class: "weights", viewBox: `0 0 ${weights.length} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}: most, ${percent(top)}, at ${percent((most + 0.5) / weights.length)} of the clip` }, ...columns);
}

function lostBand(lost, seconds, answer, modality) {
  const top = Math.max(0.05, ...lost.map(Math.abs));
  const cells = lost.map((share, at) => {
    const level = element("span", { class: share < 0 ? "level against" : "level", "aria-hidden": "true" });
    level.style.height = `${(100 * Math.abs(share)) / top}%`;
    const times = `${((at * seconds) / lost.length).toFixed(1)} to ${(((at + 1) * seconds) / lost.length).toFixed(1)} s: `;
    const points = `${share < -0.0005 ? "+" : share > 0.0005 ? "−" : ""}${(100 * Math.abs(share)).toFixed(1)}`;
    return element("li", {}, level, element("span", { class: "visually-hidden" }, times), element("span", { class: "says" }, points));
  });
  return element("ol", { class: "stretches", "aria-label": `What ${answer} loses without each stretch of ${IN_TIME[modality]}` }, cells);
}

function aloneBand(stretches, answer) {
  const cells = stretches.map((stretch) => {
    const share = stretch.probabilities[answer];
    const level = element("span", { class: "level", "aria-hidden": "true" });
    level.style.height = `${100 * share}%`;
    const cell = element("li", {}, level,
      element("span", { class: "visually-hidden" }, `${stretch.begin.toFixed(1)} to ${stretch.end.toFixed(1)} s: `),
      element("span", { class: "says" }, `${stretch.discrete === answer ? "" : `${stretch.discrete}; `}${percent(share)}`));
    cell.style.flexGrow = String(stretch.end - stretch.begin);
    return cell;
  });
  return element("ol", { class: "stretches", "aria-label": `How probable ${answer} is by the sound alone, over time` }, cells);
}
