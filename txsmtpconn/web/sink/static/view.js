// One message: its head, its tabs and what they show. Nothing here makes HTML of text: all that a
// message says becomes text nodes, and its HTML is shown by the browser in a frame that can do
// nothing.

const SOURCE_OCTETS = 512 * 1024;
const SANDBOX = "allow-popups allow-popups-to-escape-sandbox";

// Make an element: properties, attributes with a dash or in lower case, and children.
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function size(octets) {
  if (octets < 1000) return `${octets} B`;
  const units = ["kB", "MB", "GB"];
  let value = octets / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

// Addresses in a field: enough to tell who is not named in it.
function addresses(field) {
  return new Set((field.toLowerCase().match(/[^\s<>,;:"()]+@[^\s<>,;:"()]+/g) || []));
}

function links(text) {
  const pieces = text.split(/(https?:\/\/[^\s<>"'`{}|\\^]*[^\s<>"'`{}|\\^.,;:!?)\]])/);
  return pieces.map((piece, place) => place % 2
    ? make("a", { href: piece, target: "_blank", rel: "noopener noreferrer" }, piece)
    : piece);
}

const TABS = [
  ["html", "HTML", (message) => message.has_html],
  ["text", "Text", (message) => message.text !== null],
  ["headers", "Headers", () => true],
  ["attachments", "Attachments", (message) => message.attachments.length > 0],
  ["source", "Source", () => true],
  ["session", "Session", () => true],
];

export class View {
  constructor(root, actions) {
    this.root = root;
    this.actions = actions;
    this.wanted = "html";
    this.phone = false;
    this.message = null;
    this.idle = true;
  }

  // Show a sentence and no message; an idle one may be replaced by another.
  clear(text, idle = false) {
    this.message = null;
    this.idle = idle;
    this.root.replaceChildren(make("p", { class: "nothing" }, text));
  }

  show(message, canRelease) {
    this.message = message;
    this.idle = false;
    this.url = `/api/messages/${encodeURIComponent(message.id)}`;
    this.tabs = TABS.map(([name, label, has]) => this.tab(name, label, has(message)));
    this.panel = make("div", { role: "tabpanel", class: "panel", id: "panel", tabindex: "0" });
    const bar = make("div", { class: "tabs", role: "tablist", "aria-label": "Views" }, ...this.tabs);
    bar.addEventListener("keydown", (event) => this.move(event));
    this.root.replaceChildren(this.top(message, canRelease), bar, this.panel);
    this.root.scrollTop = 0;
    const usable = this.tabs.filter((tab) => !tab.disabled).map((tab) => tab.dataset.name);
    this.select(usable.includes(this.wanted) ? this.wanted : usable[0]);
  }

  top(message, canRelease) {
    const subject = make("h2", { tabindex: "-1", dir: "auto" }, message.subject || "(no subject)");
    const actions = make("div", { class: "actions" },
      canRelease ? make("button", { type: "button", onclick: () => this.actions.release(), "aria-keyshortcuts": "r" }, "Release…") : null,
      make("a", { class: "button", href: `${this.url}/source?download=1`, download: "" }, "Download"),
      make("button", { type: "button", class: "danger", onclick: () => this.actions.remove(), "aria-keyshortcuts": "Delete" }, "Delete"));
    const facts = make("dl", { class: "facts" });
    const fact = (name, ...value) => facts.append(make("dt", {}, name), make("dd", { dir: "auto" }, ...value));
    const named = addresses(`${message.to} ${message.cc}`);
    const hidden = message.rcpt_to.filter((each) => !named.has(each.toLowerCase()));
    fact("From", message.from || "–");
    fact("To", message.to || "–");
    if (message.cc) fact("Cc", message.cc);
    if (hidden.length) fact("Only in the envelope", hidden.join(", "));
    if (!addresses(message.from).has(message.mail_from.toLowerCase())) {
      fact("Return path", message.mail_from || "<> (none)");
    }
    fact("Received", new Date(message.received).toLocaleString(), make("span", { class: "tag" }, size(message.octets)));
    return make("header", { class: "top" },
      make("button", { type: "button", class: "back", onclick: () => this.actions.back() }, "‹ Messages"),
      make("div", { class: "row" }, subject, actions), facts);
  }

  tab(name, label, enabled) {
    const count = name === "attachments" ? this.message.attachments.filter((part) => !part.inline).length : 0;
    const key = TABS.findIndex((each) => each[0] === name) + 1;
    const tab = make("button", {
      type: "button", role: "tab", id: `tab-${name}`, "data-name": name, "aria-controls": "panel",
      disabled: !enabled, "aria-keyshortcuts": String(key),
      onclick: () => { this.wanted = name; this.select(name); },
    }, label);
    if (count) tab.append(make("span", { class: "n" }, String(count)));
    return tab;
  }

  // Arrow keys go from tab to tab; only the selected one is in the order of the Tab key.
  move(event) {
    const usable = this.tabs.filter((tab) => !tab.disabled);
    const place = usable.indexOf(document.activeElement);
    const steps = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: usable.length - 1 };
    if (place < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const tab = usable[(steps[event.key] + usable.length) % usable.length];
    tab.focus();
    tab.click();
  }

  choose(number) {
    const tab = this.tabs?.[number - 1];
    if (this.message && tab && !tab.disabled) tab.click();
  }

  select(name) {
    for (const tab of this.tabs) {
      const selected = tab.dataset.name === name;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${name}`);
    this.panel.className = name === "html" ? "panel flush" : "panel";
    this.panel.replaceChildren(...this[name](this.message));
  }

  html(message) {
    const frame = make("div", { class: this.phone ? "frame phone" : "frame" },
      make("iframe", { sandbox: SANDBOX, referrerpolicy: "no-referrer", src: `${this.url}/html`, title: "HTML text of the message" }));
    const toggle = make("button", { type: "button", "aria-pressed": String(this.phone) }, "Phone width");
    toggle.addEventListener("click", () => {
      this.phone = !this.phone;
      toggle.setAttribute("aria-pressed", String(this.phone));
      frame.className = this.phone ? "frame phone" : "frame";
    });
    const count = message.remote.length;
    const remote = count
      ? make("details", {},
        make("summary", {}, `${count === 1 ? "1 remote reference is" : `${count} remote references are`} not loaded`),
        make("ul", {}, ...message.remote.map((each) => make("li", {}, each))))
      : make("span", {}, "No remote content");
    return [make("div", { class: "tools" }, remote, toggle), frame];
  }

  text(message) {
    return [this.truncation(), make("pre", { class: "text", dir: "auto" }, ...links(message.text))].filter(Boolean);
  }

  truncation() {
    return this.message.truncated ? make("p", { class: "note" }, "Too long to be shown whole: the source has all of it.") : null;
  }

  headers(message) {
    const defects = message.defects.length
      ? make("details", { class: "note", open: true },
        make("summary", {}, message.defects.length === 1 ? "1 defect" : `${message.defects.length} defects`),
        make("ul", {}, ...message.defects.map((each) => make("li", {}, each))))
      : null;
    const rows = message.headers.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { dir: "auto" }, value)));
    return [defects, make("table", {}, make("tbody", {}, ...rows))].filter(Boolean);
  }

  attachments(message) {
    return [make("ul", { class: "parts" }, ...message.attachments.map((part) => make("li", {},
      make("span", { class: "name", dir: "auto" }, part.name,
        make("span", { class: "kind" }, `${part.type} · ${size(part.octets)}${part.inline ? " · inline" : ""}`)),
      make("a", { class: "button", href: `${this.url}/parts/${part.number}`, download: "", "aria-label": `Save ${part.name}` }, "Save"))))];
  }

  source(message) {
    const pre = make("pre", {}, "…");
    fetch(`${this.url}/source?octets=${SOURCE_OCTETS}`)
      .then((response) => response.text())
      .then((text) => { pre.textContent = text; }, () => { pre.textContent = "The source cannot be had."; });
    const cut = message.octets > SOURCE_OCTETS
      ? make("p", { class: "note" }, `The first ${size(SOURCE_OCTETS)} of ${size(message.octets)}. `,
        make("a", { href: `${this.url}/source`, target: "_blank", rel: "noopener" }, "Show all"))
      : null;
    return [cut, pre].filter(Boolean);
  }

  session(message) {
    const rows = [["mail_from", message.mail_from || "<>"], ["rcpt_to", message.rcpt_to.join(", ")], ...Object.entries(message.session)]
      .filter(([, value]) => value !== null && value !== "")
      .map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name.replaceAll("_", " ")),
        make("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value))));
    const lines = message.transcript.map((line) => make("span", { class: line.slice(0, 1) }, `${line}\n`));
    return [make("table", {}, make("tbody", {}, ...rows)),
      lines.length ? make("pre", { class: "said" }, ...lines) : make("p", { class: "said" }, "No transcript was kept.")];
  }
}
