// The console of ml-service. Nothing but the HTTP API that everybody has: see /openapi.json.
"use strict";

const $ = (id) => document.getElementById(id);
let key = sessionStorage.getItem("key") ?? "";
let opened = null;
let active = null;
let canLabel = false;
let canSnooze = false;

// What comes from the service is put in as text, never as markup.
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    if (property in made) made[property] = value;
    else made.setAttribute(property, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawing(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

function bar(share, kind = "") {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return drawing("svg", { class: `bar ${kind}`, viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("rect", { width, height: 4 }));
}

const number = (value, digits = 3) =>
  typeof value === "number" ? value.toLocaleString("en", { maximumSignificantDigits: digits }) : (value ?? "–");
const percent = (value) => (typeof value === "number" ? `${number(value * 100)} %` : "–");
const clock = (time) => (time ? time.replace("T", " ").slice(0, 19) : "");

function note(text) {
  $("note").textContent = text;
  clearTimeout(note.timer);
  note.timer = setTimeout(() => { $("note").textContent = ""; }, 6000);
}

// MARK: Asking

async function ask(path, options = {}) {
  const headers = { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...options.headers };
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) {
    await login();
    return ask(path, options);
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `${path}: ${answer.status}`);
  }
  return answer;
}

const get = async (path) => (await ask(path)).json();
const post = async (path, body) =>
  (await ask(path, {
    method: "POST", body: body === undefined ? undefined : JSON.stringify(body),
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
  })).json();

let loggingIn = null;
function login() {
  loggingIn ??= new Promise((resolve) => {
    const dialog = $("login");
    dialog.addEventListener("close", () => {
      key = dialog.querySelector("input").value.trim();
      dialog.querySelector("input").value = "";
      sessionStorage.setItem("key", key);
      $("leave").hidden = !key;
      loggingIn = null;
      resolve();
    }, { once: true });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
  return loggingIn;
}

/** Asks whether to go on; gives the reason, or null. `more(signal)` gives a text that comes later; the signal ends it. */
function sure(text, more = null) {
  return new Promise((resolve) => {
    const dialog = $("sure");
    const closed = new AbortController();
    dialog.addEventListener("close", () => closed.abort(), { once: true });
    $("sure-text").textContent = text;
    $("sure-more").textContent = "";
    more?.(closed.signal).catch((error) => `No backtest: ${error.message}`).then((found) => {
      if (!closed.signal.aborted) $("sure-more").textContent = found;
    });
    const reason = dialog.querySelector("input");
    reason.value = "";
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? reason.value : null), { once: true });
    dialog.showModal();
  });
}

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    note(error.message);
  }
}

// MARK: Anomalies

const sentence = (verdict) =>
  verdict.reasons[0]?.sentence ?? `score ${number(verdict.score)} below ${number(verdict.threshold)}`;

function row(anomaly) {
  const { verdict } = anomaly;
  const made = element("button", { type: "button" },
    element("span", { className: "who", textContent: verdict.user_id }),
    element("time", { textContent: clock(verdict.event_time) }),
    element("span", { className: "why", textContent: sentence(verdict) }),
    bar(verdict.severity ?? 0));
  made.dataset.id = verdict.transaction_id;
  made.addEventListener("click", () => attempt(() => open(anomaly, made)));
  return element("li", {}, made);
}

function wanted(verdict) {
  const { user, severity } = Object.fromEntries(new FormData($("filter")));
  return (!user || verdict.user_id === user) && (!severity || verdict.severity >= Number(severity));
}

async function list() {
  const { user, severity } = Object.fromEntries(new FormData($("filter")));
  const query = new URLSearchParams({ limit: 100 });
  if (user) query.set("user_id", user);
  if (severity) query.set("severity", severity);
  const anomalies = await get(`/v1/anomalies?${query}`);
  $("anomalies").replaceChildren(...anomalies.map(row));
  $("none").hidden = anomalies.length > 0;
}

$("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(list);
});

$("anomalies").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...$("anomalies").querySelectorAll("button")];
  buttons[buttons.indexOf(document.activeElement) + step]?.focus();
});

function arrive(verdict) {
  if (!wanted(verdict)) return;
  $("anomalies").prepend(row({ verdict }));
  $("none").hidden = true;
  while ($("anomalies").children.length > 200) $("anomalies").lastElementChild.remove();
}

// MARK: One alert

async function open(anomaly, button) {
  opened = anomaly.verdict;
  for (const other of $("anomalies").querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
  button?.setAttribute("aria-current", "true");
  const verdict = opened;
  const user = await get(`/v1/users/${encodeURIComponent(verdict.user_id)}`);
  if (verdict !== opened) return;
  const found = user.recent.find((other) => other.verdict.transaction_id === verdict.transaction_id);
  const labels = canLabel
    ? await get(`/v1/users/${encodeURIComponent(verdict.user_id)}/labels?limit=200`).catch(() => []) : [];
  if (verdict !== opened) return;
  const said = new Map(labels.map((label) => [label.transaction_id, label.label]));
  $("opened").replaceChildren(
    element("dl", {}, ...[
      ["transaction", verdict.transaction_id], ["user", verdict.user_id], ["when", clock(verdict.event_time)],
      ["severity", number(verdict.severity)],
      ["score", `${number(verdict.score, 4)} (alerts below ${number(verdict.threshold, 4)})`],
      ["model", `${verdict.model.tenant} v${verdict.model.version}, ${verdict.model.detector}`],
      ["marks", verdict.marks.join(", ") || "none"],
      ...(verdict.suppressed_by ? [["suppressed by", verdict.suppressed_by]] : []),
      ...(verdict.alerted_by ? [["alerted by", verdict.alerted_by]] : []), ["said of it", said.get(verdict.transaction_id) ?? "nothing yet"],
    ].flatMap(([name, value]) => [element("dt", { textContent: name }), element("dd", { textContent: value })])),
    element("h3", { textContent: "Why" }),
    element("ul", {}, ...verdict.reasons.map((reason) => element("li", { textContent: reason.sentence }))),
    element("h3", { textContent: "This user's anomalies" }),
    chart(user.recent.map((other) => other.verdict), verdict, said),
    element("div", { className: "row" }, ...actions(verdict, found?.number ?? anomaly.number)),
    // Below the buttons, so that these stay where they are, clear of the note.
    ...(user.window ? [
      element("h3", { textContent: "This user, as of the last payment" }),
      element("ul", {}, ...user.window.sentences.map((words) => element("li", { textContent: words }))),
    ] : []));
  $("alert").focus({ preventScroll: false });
}

function actions(verdict, place) {
  const label = (name) => {
    const button = element("button", { type: "button", textContent: name === "fraud" ? "Fraud" : "Genuine" });
    button.addEventListener("click", () => attempt(async () => {
      await post("/v1/labels", [{
        transaction_id: verdict.transaction_id, label: name, known_at: new Date().toISOString(), source: "console",
      }]);
      note(`${verdict.transaction_id} is ${name}: the next training learns from it`);
    }));
    return button;
  };
  const audit = element("button", { type: "button", textContent: "Make it again" });
  audit.addEventListener("click", () => attempt(async () => {
    audit.disabled = true;
    try {
      const found = await get(`/v1/anomalies/${place}/audit`);
      note({ reproduced: "The same bytes came out again", differs: `It differs: ${found.difference}`,
        "transaction-missing": "Its transaction is in neither stream nor lake" }[found.outcome]);
    } finally {
      audit.disabled = false;
    }
  }));
  // By the alert's own time: the stream may be of another day than this.
  const until = new Date(Date.parse(verdict.event_time) + 86400000).toISOString();
  const snooze = element("button", { type: "button", textContent: "Snooze" });
  snooze.addEventListener("click", () => attempt(async () => {
    const reason = await sure(`No alerts of ${verdict.user_id} until ${clock(until)}?`);
    if (reason === null) return;
    await post("/v1/rules", {
      action: "snooze", user_id: verdict.user_id, expires: until, reason: reason || "snoozed in the console",
    });
    note(`${verdict.user_id} is snoozed until ${clock(until)}`);
  }));
  return [...(canLabel ? [label("fraud"), label("genuine")] : []), ...(canSnooze ? [snooze] : []), ...(place ? [audit] : [])];
}

/** Severity over time, the opened one marked. */
function chart(verdicts, chosen, said) {
  const all = verdicts.some((verdict) => verdict.transaction_id === chosen.transaction_id) ? verdicts : [...verdicts, chosen];
  const times = all.map((verdict) => Date.parse(verdict.event_time));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const x = (time) => 30 + (last > first ? (time - first) / (last - first) : 0.5) * 360;
  const y = (severity) => 110 - (severity ?? 0) * 100;
  const made = drawing("svg", { class: "chart", viewBox: "0 0 400 130", role: "img" },
    drawing("title", {}, `${all.length} anomalies of ${chosen.user_id} by severity, from ${clock(all.at(-1)?.event_time)} on`));
  for (const severity of [0, 0.5, 1]) {
    made.append(drawing("line", { x1: 30, x2: 390, y1: y(severity), y2: y(severity) }),
      drawing("text", { x: 4, y: y(severity) + 3 }, `${severity}`));
  }
  all.forEach((verdict, index) => {
    const isThis = verdict.transaction_id === chosen.transaction_id;
    made.append(drawing("circle", {
      cx: x(times[index]), cy: y(verdict.severity), r: isThis ? 5 : 3,
      class: `${isThis ? "this" : ""} ${said.get(verdict.transaction_id) ?? ""}`,
    }, drawing("title", {}, `${clock(verdict.event_time)}: ${sentence(verdict)}`)));
  });
  made.append(drawing("text", { x: 30, y: 126 }, new Date(first).toISOString().slice(0, 16).replace("T", " ")));
  if (last > first) {
    made.append(drawing("text", { x: 390, y: 126, "text-anchor": "end" }, new Date(last).toISOString().slice(0, 16).replace("T", " ")));
  }
  return made;
}

// MARK: Models

async function models() {
  const versions = await get("/v1/models?limit=20");
  active = versions.find((version) => version.active)?.version ?? null;
  $("versions").replaceChildren(...versions.map((version) => {
    const isOlder = active !== null && Number(version.version.slice(1)) < Number(active.slice(1));
    const change = element("button", { type: "button", textContent: isOlder ? "Roll back" : "Promote" });
    change.setAttribute("aria-label", `${change.textContent} ${version.version}`);
    change.addEventListener("click", () => attempt(async () => {
      const reason = await sure(
        `Make ${version.version} the active global model, in place of ${active ?? "none"}?`,
        active === null ? null : (signal) => backtest(version.version, signal));
      if (reason === null) return;
      const query = reason ? `?${new URLSearchParams({ reason })}` : "";
      const done = await post(`/v1/models/${version.version}/promote${query}`);
      note(done.changed ? `${done.version} is active` : `${done.version} was active already`);
      await models();
    }));
    const made = element("tr", { className: version.active ? "active" : "" },
      ...[version.active ? `${version.version} active` : version.version,
        version.error ?? version.detector, number(version.metrics?.auroc), percent(version.contamination),
        [version.trained_from, version.trained_to].filter(Boolean).join(" to ") || "–",
      ].map((text) => element("td", { textContent: text })),
      element("td", {}, version.active || version.error ? null : change));
    return made;
  }));
  await drift();
}

const backtestDays = 7;

/** What would change on the lake's last days, in words; a job that is still under way when the dialog closes is cancelled. */
async function backtest(version, signal) {
  const { job_id: id } = await post(`/v1/models/${version}/backtest`, { days: backtestDays });
  for (;;) {
    if (signal.aborted) {
      await ask(`/v1/train/${id}`, { method: "DELETE" });
      return "";
    }
    const job = await get(`/v1/train/${id}`);
    if (job.state === "succeeded") return changes(job.backtest);
    if (job.state === "failed" || job.state === "cancelled") throw new Error(job.error ?? job.state);
    if (!signal.aborted) $("sure-more").textContent = `Backtest on the lake's last ${backtestDays} days: ${job.state} ${percent(job.progress)}`;
    await new Promise((resolve) => { setTimeout(resolve, 500); });
  }
}

function changes({ active: now, candidate: then, ...found }) {
  const lines = [
    `On ${then.from} to ${then.to}: ${number(then.alerts, 6)} alerts instead of ${number(now.alerts, 6)}; `
      + `${number(found.new_alerts, 6)} are new, ${number(found.dropped_alerts, 6)} are none any more.`,
  ];
  if (then.frauds > 0) {
    lines.push(`Of ${number(then.frauds, 6)} known frauds it finds ${percent(then.alert_recall)} instead of ${percent(now.alert_recall)}; `
      + `of its labelled alerts ${percent(then.alert_precision)} are frauds instead of ${percent(now.alert_precision)}.`);
  }
  if (then.is_trained_on_them) lines.push("It was trained on some of these days: its figures are better than they will be.");
  return lines.join("\n");
}

/** A user may be called `global`. */
const whose = (model) => model.user_id === undefined ? "global model" : `user ${model.user_id}`;

async function drift() {
  const out = [];
  const away = await get("/v1/quarantine");
  for (const model of away) {
    out.push(element("p", { className: "bad", textContent: `${whose(model)} ${model.version} does not serve: ${model.reason}` }));
  }
  const report = active ? await get(`/v1/models/${active}/drift`).catch(() => null) : null;
  if (report) {
    out.push(element("p", {
      className: report.flood ? "bad" : "",
      textContent: `${report.flood ? "Alert flood: " : ""}${report.alerts} alerts of ${report.transactions} transactions in the last hour `
        + `(${percent(report.alert_rate)}, budget ${percent(report.alert_budget)})`,
    }));
    const shifts = Object.entries({ scores: report.score_psi, ...report.feature_psi })
      .filter(([, shift]) => typeof shift === "number").sort((one, other) => other[1] - one[1]).slice(0, 6);
    for (const [name, shift] of shifts) {
      out.push(element("p", { className: shift > 0.25 ? "bad" : "", textContent: `${name}: shift ${number(shift, 2)}` }), bar(shift));
    }
  }
  if (out.length === 0) out.push(element("p", { className: "quiet", textContent: "No stream has been scored yet." }));
  $("drift").replaceChildren(...out);
}

// MARK: Training

function jobRow(job) {
  const result = job.version ? `made ${job.version}` : (job.error ?? job.stage ?? "");
  const made = element("li", { className: job.state === "failed" ? "bad" : "" },
    `${job.state} ${job.kind === "backtest" ? "backtest" : job.detector} ${job.user_id ?? (job.all_users ? "all users" : "global")} ${result}`,
    job.state === "running" ? bar(job.progress, "progress") : null);
  made.dataset.id = job.job_id;
  return made;
}

async function jobs() {
  $("jobs").replaceChildren(...(await get("/v1/train?limit=10")).map(jobRow));
}

function jobChanged(job) {
  const made = jobRow(job);
  const old = [...$("jobs").children].find((other) => other.dataset.id === job.job_id);
  if (old) old.replaceWith(made);
  else $("jobs").prepend(made);
  if (job.state === "succeeded") attempt(models);
}

$("train").addEventListener("submit", (event) => {
  event.preventDefault();
  const { start, end } = Object.fromEntries(new FormData(event.target));
  attempt(async () => {
    const { job_id: id } = await post("/v1/train", { date_range: { start, end } });
    note(`job ${id} waits its turn`);
    await jobs();
  });
});

// MARK: As it happens

const tell = {
  anomaly: arrive,
  job: jobChanged,
  promotion: (change) => {
    note(`${whose(change)}: ${change.version ?? "no model"} is active now`);
    attempt(models);
  },
  flood: (flood) => {
    note(`Alert flood: ${whose(flood)} ${flood.version}`);
    attempt(drift);
  },
  missed: () => attempt(list),
};

async function listen() {
  let last = null;
  for (;;) {
    try {
      const answer = await ask("/v1/events", { headers: last ? { "Last-Event-ID": last } : {} });
      $("live").textContent = "live";
      $("live").classList.add("on");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const frames = (text + value).split("\n\n");
        text = frames.pop();
        for (const frame of frames) {
          const fields = Object.fromEntries(frame.split("\n").map((line) => {
            const place = line.indexOf(": ");
            return [line.slice(0, place), line.slice(place + 2)];
          }));
          if (fields.id) last = fields.id;
          if (fields.event) tell[fields.event]?.(JSON.parse(fields.data));
        }
      }
    } catch {
      // Told by the badge; tried again below.
    }
    $("live").textContent = "not connected";
    $("live").classList.remove("on");
    await new Promise((resolve) => { setTimeout(resolve, 2000); });
  }
}

// MARK: Figures

const history = [];
let before = null;

function figures(text) {
  const sums = new Map();
  const buckets = new Map();
  for (const line of text.split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const [, name, labels, value] = match;
    if (name === "ml_verdict_delay_seconds_bucket") buckets.set(/le="([^"]*)"/.exec(labels)[1], Number(value));
    sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  const now = { time: performance.now() / 1000, sums, buckets };
  if (before) {
    const seconds = now.time - before.time;
    const since = (name) => (sums.get(name) ?? 0) - (before.sums.get(name) ?? 0);
    const rate = since("ml_transactions_total") / seconds;
    history.push(rate);
    if (history.length > 60) history.shift();
    $("rate").textContent = number(rate);
    $("alerts").textContent = number((since("ml_anomalies_total") / seconds) * 60);
    $("delay").textContent = median(buckets, before.buckets);
    spark();
  }
  $("lag").textContent = sums.has("ml_consumer_lag_records") ? number(sums.get("ml_consumer_lag_records"), 6) : "–";
  before = now;
}

/** The bound below which half of the latest delays lie. */
function median(now, then) {
  const since = [...now].map(([bound, count]) => [bound, count - (then.get(bound) ?? 0)]);
  const all = since.at(-1)?.[1] ?? 0;
  if (!all) return "–";
  const bound = since.find(([, count]) => count >= all / 2)?.[0];
  return bound === "+Inf" ? "minutes" : `≤ ${number(Number(bound) * 1000)} ms`;
}

function spark() {
  const most = Math.max(...history, 1);
  const points = history.map((rate, index) => `${index === 0 ? "M" : "L"}${(index / 59) * 120} ${31 - (rate / most) * 29}`);
  $("spark").replaceChildren(drawing("path", { d: points.join("") }));
}

async function look() {
  for (;;) {
    try {
      const readiness = await (await fetch("/readyz")).json();
      $("state").textContent = readiness.reason ? `${readiness.state}: ${readiness.reason}` : readiness.state;
      $("state").className = readiness.ready ? "ready" : "waiting";
      figures(await (await ask("/metrics")).text());
    } catch {
      $("state").textContent = "the service does not answer";
      $("state").className = "waiting";
    }
    await new Promise((resolve) => { setTimeout(resolve, 2000); });
  }
}

$("leave").addEventListener("click", () => {
  sessionStorage.removeItem("key");
  location.reload();
});

async function start() {
  $("leave").hidden = !key;
  const description = await (await fetch("/openapi.json")).json();
  canLabel = "/v1/labels" in description.paths;
  canSnooze = "/v1/rules" in description.paths;
  await attempt(list);
  await Promise.all([attempt(models), attempt(jobs)]);
  listen();
  look();
  for (;;) {
    await new Promise((resolve) => { setTimeout(resolve, 15000); });
    await attempt(drift);
  }
}

start();
