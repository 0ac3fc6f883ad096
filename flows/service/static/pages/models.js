// Models, their versions, and the audit: who made which version champion, when and why.

import { get } from "../api.js";
import { element, message, table, when } from "../dom.js";

const SCORES = { waf: "WAF", accuracy: "accuracy", holdout_waf: "holdout WAF" };
const ACTIONS = { set: "made", rollback: "rolled back", approved: "approved", waiting: "waits for approval", refused: "refused", expired: "not approved in time" };

export async function show(root, { path, signal }) {
  if (path[0]) return history(root, path[0], signal);
  const { models } = await get("/api/models", {}, { signal });
  root.append(element("h1", {}, "Models"));
  if (!models.length) root.append(message("", "No model is registered yet: `mer run` makes one."));
  else {
    root.append(table("Every model is a line of versions; one of them, the champion, is served.", [
      ["Model", (row) => element("a", { href: `#/models/${encodeURIComponent(row.name)}` }, row.name)],
      ["Versions", (row) => String(row.versions), true],
      ["Champion", (row) => (row.champion ? `version ${row.champion}` : "none yet")],
      ["Here", (row) => (row.served ? element("span", { class: "tag good" }, "answers here") : "")],
    ], models));
  }
  return null;
}

async function history(root, name, signal) {
  const model = await get(`/api/models/${encodeURIComponent(name)}`, {}, { signal });
  const scores = Object.keys(SCORES).filter((score) => model.versions.some((row) => score in row.scores));
  root.append(
    element("p", { class: "small" }, element("a", { href: "#/models" }, "All models")),
    element("h1", {}, model.name),
    element("section", { class: "card" },
      table("Versions (WAF: F1 averaged over classes, weighted by how often they occur)", [
        ["Version", (row) => String(row.version), true],
        ["Role", (row) => row.aliases.map((alias) => element("span", { class: alias === "champion" ? "tag good" : "tag" }, alias))],
        ...scores.map((score) => [SCORES[score], (row) => (score in row.scores ? row.scores[score].toFixed(4) : ""), true]),
        ["Registered", (row) => when(row.registered)],
        ["From", (row) => origin(row)],
      ], model.versions)),
    element("section", { class: "card" },
      model.decisions.length
        ? table("Who decided what, and why", [
          ["When", (row) => when(row.at)],
          ["Who", (row) => row.actor ?? "not noted"],
          ["What", (row) => `version ${row.version}: ${row.action === "set" ? `${ACTIONS.set} ${row.alias}` : (ACTIONS[row.action] ?? row.action)}${row.previous ? ` (before: version ${row.previous})` : ""}`],
          ["Why", (row) => row.reason],
        ], model.decisions)
        : element("p", { class: "quiet" }, "Nothing was decided on this model yet.")));
}

function origin(row) {
  const { origin } = row;
  const parts = [origin.recipe && `recipe ${origin.recipe}`, origin.corpus && `corpus ${origin.corpus}`, origin.by && `by ${origin.by}`].filter(Boolean);
  const run = origin.flow_run?.startsWith("http") ? element("a", { href: origin.flow_run, rel: "noreferrer" }, origin.flow_run_name ?? "run") : null;
  return [parts.join(", "), run ? ", " : "", run, row.retired ? element("span", { class: "tag warn" }, `given up ${when(row.retired)}`) : null];
}
