// Shares as bars with numbers, and valence on its scale. Length and number say the same; colour says nothing by itself.

import { element } from "./dom.js";

export const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** A list of classes in their order; the one that is the answer is marked by weight and a word for who does not see it. */
export function bars(shares, label, answer = null) {
  return element("ul", { class: "bars", "aria-label": label },
    Object.entries(shares).map(([name, share]) => {
      const fill = element("span", { class: "fill" });
      fill.style.width = `${Math.max(0.4, 100 * share)}%`;
      const isAnswer = name === answer;
      return element("li", { class: isAnswer ? "answer" : null },
        element("span", { class: "name" }, name, isAnswer ? element("span", { class: "visually-hidden" }, " (the answer)") : null),
        element("span", { class: "track", "aria-hidden": "true" }, fill),
        element("span", { class: "number" }, percent(share)));
    }));
}

/** Valence from -5 to 5; nothing where the model has learnt none. */
export function valenceScale(valence) {
  if (valence === null || valence === undefined) return null;
  const mark = element("span", { class: "mark" });
  mark.style.left = `${(100 * (valence + 5)) / 10}%`;
  return element("div", { class: "valence" },
    element("span", { class: "name" }, "valence"),
    element("span", { class: "scale", "aria-hidden": "true" }, mark),
    element("span", { class: "number" }, (valence > 0 ? "+" : "") + valence.toFixed(2), element("span", { class: "visually-hidden" }, " on a scale from -5 to 5")));
}
