// Pictures, waveform and what the sound says, over the time of a clip; a click moves the player there.

import { drawing, element } from "./dom.js";

const HEIGHT = 64;

export function timeline({ media: small, stretches, prediction }, media) {
  const rows = [];
  if (small.pictures.length) {
    rows.push(element("div", { class: "strip" }, small.pictures.map((picture) =>
      element("img", { src: `data:image/jpeg;base64,${picture.jpeg}`, alt: `at ${picture.seconds.toFixed(1)} s`, width: "96", height: "72" }))));
  }
  if (small.peaks.length) rows.push(waveform(small.peaks));
  if (!rows.length) return null;
  const box = element("div", { class: "timeline" }, ...rows);
  if (small.seconds && media) {
    const cursor = element("span", { class: "cursor", "aria-hidden": "true" });
    box.append(cursor);
    const follow = () => {
      cursor.style.left = `${Math.min(100, (100 * media.currentTime) / small.seconds)}%`;
    };
    media.addEventListener("timeupdate", follow);
    box.addEventListener("click", (event) => {
      const place = box.getBoundingClientRect();
      media.currentTime = (small.seconds * (event.clientX - place.left)) / place.width;
      follow();
    });
  }
  const facts = [small.seconds ? `${small.seconds.toFixed(2)} s` : null, small.peaks.length ? "waveform" : "no sound"];
  const shown = stretches?.length && small.seconds && prediction.discrete;
  return element("div", {},
    element("figure", { class: "small" }, box, element("figcaption", { class: "quiet" }, facts.filter(Boolean).join(" · "))),
    shown ? overTime(stretches, small.seconds, prediction.discrete) : null);
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

/** How probable the answer is by the sound alone, stretch by stretch, with the class that the stretch itself speaks for. */
function overTime(stretches, seconds, answer) {
  const cells = stretches.map((stretch) => {
    const share = stretch.probabilities[answer];
    const level = element("span", { class: "level", "aria-hidden": "true" });
    level.style.height = `${100 * share}%`;
    const cell = element("li", {}, level,
      element("span", { class: "visually-hidden" }, `${stretch.begin.toFixed(1)} to ${stretch.end.toFixed(1)} s: `),
      element("span", { class: "says" }, `${stretch.discrete === answer ? "" : `${stretch.discrete}; `}${(100 * share).toFixed(0)} %`));
    cell.style.flexGrow = String((stretch.end - stretch.begin) / seconds);
    return cell;
  });
  return element("figure", { class: "small" },
    element("ol", { class: "stretches", "aria-label": `How probable ${answer} is by the sound alone, over time` }, cells),
    element("figcaption", { class: "quiet" }, `How probable ${answer} is by the sound alone, stretch by stretch`));
}
