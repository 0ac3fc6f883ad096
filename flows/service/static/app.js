// The shell: navigation, and the page that the address names. A page is a module `pages/NAME.js` that exports
//   show(root, context)   fills `root`; context: {path: rest of the address, query: URLSearchParams, signal: ended with the page}
// What it begins and must end (timers, listeners on the document) it ends when `context.signal` is aborted.

import { Problem, get } from "./api.js";
import { element, message, say } from "./dom.js";

const main = document.getElementById("main");
let pages = [];
let shown = null;
let first = true;

function named() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  return { name, path: rest.map(decodeURIComponent), query: new URLSearchParams(query ?? "") };
}

function navigation(current) {
  const links = pages.map((page) =>
    element("li", {}, element("a", { href: `#/${page.name}`, "aria-current": page.name === current ? "page" : null }, page.title)));
  document.getElementById("pages").replaceChildren(...links);
}

async function show() {
  if (location.hash === "#main") return;
  const { name, path, query } = named();
  const page = pages.find((entry) => entry.name === name) ?? pages[0];
  shown?.abort();
  const here = (shown = new AbortController());
  navigation(page?.name);
  if (!page) {
    main.replaceChildren(message("", "This service has no pages. /openapi.json describes what it answers."));
    return;
  }
  document.title = `${page.title} · mer`;
  const root = element("div", { class: `page ${page.name}` });
  main.replaceChildren(root);
  if (!first) main.focus();
  first = false;
  try {
    const module = await import(`./pages/${page.name}.js`);
    if (!here.signal.aborted) await module.show(root, { path, query, signal: here.signal });
  } catch (error) {
    if (here.signal.aborted || error.name === "AbortError") return;
    if (!(error instanceof Problem)) console.error(error);
    root.replaceChildren(message("bad", error.message));
    say(error.message);
  }
}

async function start() {
  try {
    pages = (await get("/api/site")).pages;
  } catch (error) {
    main.replaceChildren(message("bad", error.message));
    return;
  }
  addEventListener("hashchange", show);
  await show();
}

start();
