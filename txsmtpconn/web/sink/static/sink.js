// The list of messages, what is selected, the keyboard, and what happens meanwhile.

import { View, make } from "./view.js";

const PAGE = 50;
const $ = (id) => document.getElementById(id);

const state = { items: [], total: 0, kept: 0, words: "", selected: null, status: null, asked: 0 };
const seen = new Set(JSON.parse(sessionStorage.getItem("seen") || "[]"));
const rows = new Map();
const narrow = matchMedia("(max-width: 820px)");

const view = new View($("message"), { remove, release: openRelease, back });

// -- asking the server

async function ask(path, options = {}) {
  const response = await fetch(path, options);
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error || `The sink answered ${response.status}`);
  return told;
}

function listURL(before) {
  const query = new URLSearchParams({ limit: PAGE });
  if (state.words) query.set("search", state.words);
  if (before) query.set("before", before);
  return `/api/messages?${query}`;
}

// Fetch the newest; what is further down stays. Of two answers only that to the later question counts.
async function refresh() {
  const asked = ++state.asked;
  let told;
  let status;
  try {
    [told, status] = await Promise.all([ask(listURL()), ask("/api/status")]);
  } catch (error) {
    if (asked === state.asked) toast(error.message);
    return;
  }
  if (asked !== state.asked) return;
  const last = told.messages.at(-1)?.id;
  const older = told.messages.length < PAGE ? [] : state.items.filter((item) => item.id < last);
  const newest = state.items[0]?.id || "";
  const news = told.messages.filter((item) => item.id > newest && !rows.has(item.id));
  state.items = [...told.messages, ...older];
  state.total = told.total;
  state.kept = told.kept;
  state.status = status;
  render();
  renderRules();
  if (state.loaded && news.length && !state.words) {
    $("announce").textContent = news.length === 1 ? `New message: ${news[0].subject || "no subject"}` : `${news.length} new messages`;
  }
  if (!state.loaded) for (const item of state.items) seen.add(item.id);
  if (!state.loaded) render();
  state.loaded = true;
}

async function older() {
  const words = state.words;
  const told = await ask(listURL(state.items.at(-1)?.id));
  if (words !== state.words) return;
  const focus = told.messages[0]?.id;
  for (const item of told.messages) seen.add(item.id);
  state.items.push(...told.messages);
  state.total = told.total;
  render();
  if (focus) rows.get(focus)?.firstElementChild.focus();
}

let waiting = 0;
function refreshSoon() {
  if (!waiting) waiting = setTimeout(() => { waiting = 0; refresh(); }, 120);
}

// -- the list

function when(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date().toDateString() === date.toDateString();
  return today
    ? date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

function row(item) {
  const to = item.rcpt_to.length > 1 ? `${item.rcpt_to[0]} and ${item.rcpt_to.length - 1} more` : item.rcpt_to[0] || "nobody";
  const clip = item.attachments ? `${item.attachments} attached` : "";
  const link = make("a", { href: `#/${encodeURIComponent(item.id)}` },
    make("span", { class: "subject", dir: "auto" }, item.subject || "(no subject)"),
    make("time", { datetime: item.received, title: new Date(item.received).toLocaleString() }, when(item.received)),
    make("span", { class: "to", dir: "auto" }, to),
    make("span", { class: "clip" }, clip),
    make("span", { class: "preview", dir: "auto" }, item.preview));
  return make("li", { "data-id": item.id }, link);
}

function render() {
  const list = $("list");
  const ids = new Set(state.items.map((item) => item.id));
  for (const [id, element] of rows) {
    if (ids.has(id)) continue;
    element.remove();
    rows.delete(id);
  }
  state.items.forEach((item, place) => {
    let element = rows.get(item.id);
    if (!element) rows.set(item.id, element = row(item));
    // Moving an element takes the focus from it: only those move that have to.
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] || null);
    const link = element.firstElementChild;
    link.classList.toggle("new", !seen.has(item.id));
    if (item.id === state.selected) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  });
  $("more").hidden = state.items.length >= state.total;
  $("count").textContent = state.words ? `${state.total} of ${state.kept}` : state.kept === 1 ? "1 message" : `${state.kept} messages`;
  $("delete-all").disabled = state.kept === 0;
  const unread = state.items.filter((item) => !seen.has(item.id)).length;
  document.title = unread ? `(${unread}) smtpsink` : "smtpsink";
  const empty = state.items.length === 0;
  $("empty").hidden = !empty;
  if (empty) {
    $("empty-title").textContent = state.words ? "Nothing found" : "No mail yet";
    $("empty-text").textContent = state.words
      ? "No message has all of these words near its beginning."
      : state.status ? `Send some to ${state.status.listening.join(", ")}.` : "";
  }
  if (view.idle && !state.selected && !state.words) {
    view.clear(empty ? "What is sent appears here by itself." : "Select a message to read it.", true);
  }
}

// Whoever wonders about refusals sees here where they come from.
function renderRules() {
  const { rules, seed } = state.status;
  $("rules").hidden = rules.length === 0;
  const struck = rules.reduce((sum, rule) => sum + rule.hits, 0);
  $("rules-title").textContent = `${rules.length === 1 ? "1 rule" : `${rules.length} rules`}, struck ${struck} ${struck === 1 ? "time" : "times"}`;
  $("rules-list").replaceChildren(
    ...rules.map((rule) => make("li", {}, `${rule.rule} (${rule.hits})`)), make("li", {}, `seed ${seed}`));
}

// -- the message that is read

async function select(id) {
  state.selected = id;
  $("panes").classList.toggle("reading", Boolean(id));
  if (!id) {
    view.clear("", true);
    render();
    return;
  }
  if (!seen.has(id)) {
    seen.add(id);
    sessionStorage.setItem("seen", JSON.stringify([...seen].slice(-1000)));
  }
  render();
  try {
    const message = await ask(`/api/messages/${encodeURIComponent(id)}`);
    if (state.selected !== id) return;
    view.show(message, Boolean(state.status?.release));
    if (narrow.matches) $("message").querySelector("h2").focus();
  } catch (error) {
    if (state.selected === id) view.clear(error.message);
  }
}

function route() {
  const id = location.hash.slice(2);
  if (location.hash.startsWith("#/") || !location.hash) select(id || null);
}

function go(id, focus) {
  history.replaceState(null, "", id ? `#/${encodeURIComponent(id)}` : "#/");
  select(id);
  const link = rows.get(id)?.firstElementChild;
  if (!link) return;
  if (focus) link.focus();
  link.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const place = state.items.findIndex((item) => item.id === state.selected);
  const next = place < 0 ? 0 : place + by;
  if (state.items[next]) go(state.items[next].id, !narrow.matches);
}

function back() {
  const id = state.selected;
  go(null);
  rows.get(id)?.firstElementChild.focus();
}

// -- doing things to it

async function remove() {
  const id = state.selected;
  if (!id) return;
  const place = state.items.findIndex((item) => item.id === id);
  try {
    await ask(`/api/messages/${encodeURIComponent(id)}`, { method: "DELETE" });
  } catch (error) {
    toast(error.message);
    return;
  }
  gone([id]);
  toast("Deleted");
  const next = state.items[place] || state.items[place - 1];
  if (narrow.matches) go(null);
  else go(next?.id || null, true);
}

function gone(ids) {
  const left = state.items.filter((item) => !ids.includes(item.id));
  state.total -= state.items.length - left.length;
  state.items = left;
  if (ids.includes(state.selected)) {
    state.selected = null;
    $("panes").classList.remove("reading");
    if (location.hash) history.replaceState(null, "", "#/");
    view.clear("The message was deleted.");
  }
  render();
}

async function removeAll() {
  $("delete-dialog").close();
  try {
    const told = await ask("/api/messages", { method: "DELETE" });
    toast(told.deleted === 1 ? "1 message deleted" : `${told.deleted} messages deleted`);
  } catch (error) {
    toast(error.message);
  }
  refresh();
}

function openRelease() {
  if (!view.message || !state.status?.release) return;
  const { server, allowed } = state.status.release;
  $("release-text").textContent = `It is sent to ${server}, as it is. Allowed: ${allowed.join(", ")}`;
  $("release-to").value = view.message.rcpt_to.join("\n");
  $("release-error").hidden = $("release-outcomes").hidden = true;
  $("release-yes").disabled = false;
  $("release-dialog").showModal();
  $("release-to").focus();
}

async function release() {
  const to = $("release-to").value.split(/[\s,]+/).filter(Boolean);
  $("release-error").hidden = $("release-outcomes").hidden = true;
  $("release-yes").disabled = true;
  try {
    const told = await ask(`/api/messages/${encodeURIComponent(view.message.id)}/release`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ to }),
    });
    $("release-outcomes").replaceChildren(...told.recipients.map((each) => make("li", {}, `${each.address}: ${each.delivery}${each.reply ? ` (${each.reply})` : ""}`)));
    $("release-outcomes").hidden = false;
  } catch (error) {
    $("release-error").textContent = error.message;
    $("release-error").hidden = false;
  }
  $("release-yes").disabled = false;
}

let fading = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { $("toast").hidden = true; }, 3000);
}

// -- what happens meanwhile

// Browsers open few connections to one host: a page that nobody sees needs none. After an answer that
// is none of ours (a proxy's 502, our 503) they give up; we do not.
const AGAIN = 3000;
let events = null;
let again = 0;
function listen() {
  clearTimeout(again);
  events?.close();
  events = null;
  if (document.hidden) return;
  events = new EventSource("/api/events");
  events.addEventListener("open", () => { live(true); refreshSoon(); missed(); });
  events.addEventListener("error", () => {
    live(false);
    if (events.readyState === EventSource.CLOSED) again = setTimeout(listen, AGAIN);
  });
  events.addEventListener("added", refreshSoon);
  events.addEventListener("removed", (event) => { gone(JSON.parse(event.data).ids); refreshSoon(); });
}

// Nobody has told what was removed meanwhile; the list is asked for again, but not the message.
async function missed() {
  const id = state.selected;
  if (!id) return;
  const response = await fetch(`/api/messages/${encodeURIComponent(id)}/source?octets=1`).catch(() => null);
  if (response?.status === 404 && state.selected === id && view.message) gone([id]);
}

function live(on) {
  $("live").classList.toggle("on", on);
  $("live-text").textContent = on ? "Live" : "Reconnecting";
}

// -- the keyboard and the pointer

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => $("search").focus(),
  m: () => $("message").focus(),
  r: openRelease,
  Delete: remove,
  "?": () => $("help-dialog").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input, textarea");
  if (event.key === "Escape") {
    if (typing || state.words) {
      $("search").value = "";
      $("search").blur();
      search();
    } else if (state.selected) back();
    return;
  }
  if (typing) {
    if (event.key === "Enter") rows.get(state.items[0]?.id)?.firstElementChild.focus();
    return;
  }
  const act = KEYS[event.key] || (/^[1-6]$/.test(event.key) ? () => view.choose(Number(event.key)) : null);
  if (act) {
    event.preventDefault();
    act();
  }
});

$("list").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const item = event.target.closest("li");
  const next = event.key === "ArrowDown" ? item?.nextElementSibling : item?.previousElementSibling;
  if (!next) return;
  event.preventDefault();
  next.firstElementChild.focus();
});

let typed = 0;
function search() {
  clearTimeout(typed);
  typed = setTimeout(() => {
    const words = $("search").value.trim();
    if (words === state.words) return;
    state.words = words;
    state.items = [];
    refresh();
  }, 150);
}

$("search").addEventListener("input", search);
$("more").addEventListener("click", () => older().catch((error) => toast(error.message)));
$("help").addEventListener("click", KEYS["?"]);
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("message").focus(); });
$("delete-all").addEventListener("click", () => $("delete-dialog").showModal());
$("delete-yes").addEventListener("click", removeAll);
$("release-yes").addEventListener("click", release);
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", listen);

await refresh();
route();
listen();
