// Requests to the service: JSON in, JSON out; a refusal is an error whose message is the problem's detail.

export class Problem extends Error {
  constructor(status, code, detail, retrySeconds) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retrySeconds = retrySeconds;
  }
}

async function answered(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // whatever stands before the service said something of its own
  }
  const retry = Number(response.headers.get("Retry-After"));
  throw new Problem(response.status, problem.code ?? "refused", problem.detail ?? `the service answered ${response.status}`, retry || null);
}

async function asked(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The service does not answer: is `mer ui` or `mer serve` still running?", null);
  }
  return answered(response);
}

/** address("/api/clips", {corpus: "demo"}) -> the same with a query; what is null or empty is left out. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

export const get = (path, query, options = {}) => asked(address(path, query), options);
export const post = (path, body, options = {}) =>
  asked(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), ...options });
export const send = (path, form, options = {}) => asked(path, { method: "POST", body: form, ...options });
export const put = (path, body, options = {}) => post(path, body, { method: "PUT", ...options });
export const remove = (path, query) => asked(address(path, query), { method: "DELETE" });
