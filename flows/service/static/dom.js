// Elements without markup in strings: what came from a file or a name is always text.

/** element("p", {class: "quiet"}, "text", other) -> an element; `on...` properties are listeners, null children are left out. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else made.setAttribute(key, String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for drawings. */
export function drawing(name, properties = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** A message box: kind is "", "warn" or "bad". Bad ones are announced at once. */
export function message(kind, ...content) {
  return element("div", { class: `message ${kind}`.trim(), role: kind === "bad" ? "alert" : null }, ...content);
}

/** Say something to who does not see the page. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** A table of rows; columns are [title, value of a row, is a number]. */
export function table(caption, columns, rows) {
  const of = (number) => (number ? "number" : null);
  return element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, columns.map(([title, , number]) => element("th", { scope: "col", class: of(number) }, title)))),
      element("tbody", {}, rows.map((row) =>
        element("tr", {}, columns.map(([, value, number]) => element("td", { class: of(number) }, value(row) ?? "")))))));
}

export function when(text) {
  return text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
}
