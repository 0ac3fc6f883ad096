// Waveform, pictures and what the answer rests on, over the time of a clip; a click moves the player there.

import { drawing, element } from "./dom.js";

const HEIGHT = 64;

export function timeline(small, media) {
  const rows = [];
  if (small.pictures.length) {
    rows.push(element("div", { class: "strip" }, small.pictures.map((picture) =>
      element("img", { src: `data:image/jpeg;base64,${picture.jpeg}`, alt: `at ${picture.seconds.toFixed(1)} s`, width: "96", height: "72" }))));
  }
  if (small.peaks.length) rows.push(waveform(small.peaks));
  if (small.importance?.length) rows.push(importance(small.importance, small.seconds));
  if (!rows.length) return null;
  const box = element("div", { class: "timeline" }, ...rows);
  if (small.seconds && media) {
    const cursor = element("span", { class: "cursor", "aria-hidden": "true" });
    box.append(cursor);
    const follow = () => {
      cursor.style.left = `${(100 * media.currentTime) / small.seconds}%`;
    };
    media.addEventListener("timeupdate", follow);
    box.addEventListener("click", (event) => {
      const place = box.getBoundingClientRect();
      media.currentTime = (small.seconds * (event.clientX - place.left)) / place.width;
      follow();
    });
  }
  return element("figure", { class: "small" }, box,
    element("figcaption", { class: "quiet" }, [small.seconds ? `${small.seconds.toFixed(2)} s` : null, small.peaks.length ? "waveform" : "no sound", small.importance?.length ? "below: how much the answer loses where the sound is silenced" : null].filter(Boolean).join(" · ")));
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

function importance(stretches, seconds) {
  const top = Math.max(0.01, ...stretches.map((stretch) => Math.abs(stretch.lost)));
  return element("ol", { class: "importance", "aria-label": "What the answer loses without a stretch of the sound" }, stretches.map((stretch) => {
    const cell = element("li", { title: `${stretch.begin.toFixed(1)} to ${stretch.end.toFixed(1)} s: ${(100 * stretch.lost).toFixed(1)} points` },
      element("span", { class: "visually-hidden" }, `${stretch.begin.toFixed(1)} to ${stretch.end.toFixed(1)} s: ${(100 * stretch.lost).toFixed(1)} points`));
    cell.style.left = `${(100 * stretch.begin) / seconds}%`;
    cell.style.width = `${(100 * (stretch.end - stretch.begin)) / seconds}%`;
    const level = element("span", { class: stretch.lost < 0 ? "level against" : "level" });
    level.style.height = `${(100 * Math.abs(stretch.lost)) / top}%`;
    cell.append(level);
    return cell;
  }));
}
