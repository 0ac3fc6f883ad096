// The latest runs, with links to their pages in Prefect and to MLflow.

import { get } from "../api.js";
import { element, message, table, when } from "../dom.js";

const KINDS = { Completed: "tag good", Failed: "tag warn", Crashed: "tag warn" };

export async function show(root, { signal }) {
  const found = await get("/api/runs", {}, { signal });
  root.append(element("h1", {}, "Runs"));
  const links = [found.prefect && ["Prefect: every run, task and log", found.prefect], found.mlflow && ["MLflow: figures of every run", found.mlflow]].filter(Boolean);
  if (links.length) root.append(element("ul", { class: "links" }, links.map(([title, address]) => element("li", {}, element("a", { href: address, rel: "noreferrer" }, title)))));
  if (found.prefect || found.mlflow) root.append(element("p", { class: "small quiet" }, "These pages ask for a password once: `mer password` shows it."));
  if (found.remark) root.append(message("warn", found.remark));
  if (found.runs.length) {
    root.append(element("section", { class: "card" }, table("Latest runs", [
      ["Run", (row) => element("a", { href: row.page, rel: "noreferrer" }, row.name)],
      ["Flow", (row) => row.flow],
      ["State", (row) => element("span", { class: KINDS[row.state] ?? "tag" }, row.state)],
      ["Began", (row) => when(row.started)],
      ["Took", (row) => (row.seconds ? duration(row.seconds) : ""), true],
    ], found.runs)));
  } else if (!found.remark) root.append(element("p", { class: "quiet" }, "No run was started yet: `mer run` starts one."));
}

function duration(seconds) {
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  return `${Math.round(seconds / 60)} min`;
}
