"use strict";

const SPANS = [["5 min", 5], ["15 min", 15], ["1 h", 60]];
const LOST_MS = 5000;
const MOST_TROUBLES = 4;
const TEXTS = {
  pause: "Pull all quotes of %s and keep them away?",
  resume: "Let %s quote again?",
  restart: "Restart %s? A pair cancels its orders first.",
};

const at = (id) => document.getElementById(id);
const chart = new Chart(at("chart"));
let now = null;
let heard = Date.now();
let zone;
let events = [];
let source = null;
let followed = "";
let ladder = null;
let centred = "";
let fills = [];

// Small helpers.

function element(tag, text = "", name = "") {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  if (name) made.className = name;
  return made;
}

function row(...cells) {
  const made = element("tr");
  for (const cell of cells) made.append(cell);
  return made;
}

function cell(text, name = "") {
  return element("td", text, name);
}

function price(value) {
  if (!value) return "–";
  const places = value >= 1e5 ? 1 : value >= 1000 ? 2 : value >= 1 ? 4 : 8;
  return value.toLocaleString("en-US", { maximumFractionDigits: places });
}

function money(value) {
  if (value === null) return "–";
  const rounded = Math.round(value) || 0;
  return (rounded > 0 ? "+" : "") + rounded.toLocaleString("en-US");
}

function gain(value) {
  return Math.round(value) > 0 ? "good" : Math.round(value) < 0 ? "bad" : "";
}

function count(number, what) {
  return `${number.toLocaleString("en-US")} ${what}${number === 1 ? "" : "s"}`;
}

function age(ms) {
  return ms < 0 ? "–" : (ms / 1000).toFixed(1) + " s";
}

function duration(seconds) {
  if (!(seconds >= 0)) return "–";
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

function clock(t, options = { hour: "2-digit", minute: "2-digit", second: "2-digit" }) {
  return new Intl.DateTimeFormat(undefined, { ...options, hour12: false, timeZone: zone }).format(t);
}

function bps(far, near) {
  return far && near ? (((far - near) / near) * 1e4).toFixed(1) + " bps" : "";
}

function chosen() {
  const slug = decodeURIComponent(location.hash.slice(1));
  if (!now) return slug;
  const known = now.pairs.map((pair) => pair.slug);
  return known.includes(slug) ? slug : known[0] || "";
}

// What is shown.

function showHead() {
  const state = now.parent.state;
  at("mode").textContent = now.mode;
  at("mode").className = "badge " + (now.mode === "live" ? "bad" : "");
  at("parent").textContent = state;
  at("parent").className = "badge " + (state === "running" ? "good" : "bad");
  at("uptime").textContent = state === "running" ? "up " + duration(now.t / 1000 - now.parent.since) : "";
  at("clock").textContent = clock(now.t);
  document.title = (now.troubles.length ? `(${now.troubles.length}) ` : "") + "mmd";
}

function figure(title, value, below = "", name = "") {
  const made = element("div");
  made.append(element("span", title), element("strong", value, name));
  if (below) made.append(element("small", below));
  return made;
}

// Is it well, and does it earn?

function tile(title, value, below, name = "") {
  const made = element("div", "", "card tile");
  made.append(element("span", title), element("strong", value, name), element("small", below));
  return made;
}

function healthTile() {
  const { troubles } = now;
  const made = tile("Health", troubles.length ? count(troubles.length, "trouble") : "All well", "");
  made.classList.add("health");
  made.querySelector("strong").className = troubles.length ? troubles[0].tone : "good";
  const lines = troubles.slice(0, MOST_TROUBLES).map(({ subject, text, tone }) => {
    const line = element("small", "", tone);
    line.append(element("b", subject), document.createTextNode(" " + text));
    return line;
  });
  if (troubles.length > MOST_TROUBLES) {
    lines.push(element("small", `and ${troubles.length - MOST_TROUBLES} more`));
  }
  made.lastChild.replaceWith(...(lines.length ? lines : [element("small", "everything runs, every price is fresh")]));
  return made;
}

function showGlance() {
  const { sum, pairs, processes } = now;
  const quoting = pairs.filter((pair) => pair.word === "quoting").length;
  const orders = pairs.reduce((total, pair) => total + pair.open, 0);
  const restarts = processes.reduce((total, process) => total + process.restarts, 0);
  const errors = processes.reduce((total, process) => total + process.errors, 0);
  const limit = sum.limit === null ? "no limit" : `limit ${sum.limit}; ${sum.left ?? "–"} of ${sum.burst} in reserve`;
  const tiles = [
    healthTile(),
    tile("Profit today, TWD", money(sum.today), sum.fills === null ? "nothing recorded yet" : `from ${count(sum.fills, "fill")} since midnight`, gain(sum.today)),
    tile("Traded today, TWD", sum.volume === null ? "–" : Math.round(sum.volume).toLocaleString("en-US"), "bought and sold"),
    tile("Pairs quoting", `${quoting} of ${pairs.length}`, count(orders, "order") + " on ACE", quoting === pairs.length ? "" : "bad"),
    tile("Requests a second", sum.requests === null ? "–" : sum.requests.toFixed(1), limit),
    tile("Restarts", String(restarts), count(errors, "error") + " counted", restarts ? "warn" : ""),
  ];
  replace("glance", tiles);
}

function pairCard(pair) {
  const card = element("button", "", "card pair");
  card.type = "button";
  card.dataset.slug = pair.slug;
  card.setAttribute("aria-pressed", String(pair.slug === chosen()));
  const top = element("div", "", "top");
  top.append(element("b", pair.name), element("span", pair.word, "badge " + pair.tone));
  top.append(element("span", "", "grow"));
  if (pair.restarts) top.append(element("span", count(pair.restarts, "restart"), "dim"));
  const prices = element("div", "", "prices");
  const middle = (pair.ref[0] + pair.ref[1]) / 2;
  prices.append(
    figure("Our bid", price(pair.best[0]), bps(pair.ref[0], pair.best[0])),
    figure("Reference", price(middle), age(pair.age) + " old"),
    figure("Our ask", price(pair.best[1]), bps(pair.best[1], pair.ref[1])),
    figure("Position " + pair.name.split("/")[0], plain(pair.position), count(pair.fills, "fill")),
    figure("Today " + pair.name.split("/")[1], money(pair.today), "in all " + money(pair.pnl), gain(pair.today)),
    figure("Orders", String(pair.open), count(pair.requests, "request")),
  );
  card.append(top, prices);
  if (pair.note) card.append(element("div", pair.note, "note " + pair.tone));
  else if (pair.error) card.append(element("div", "last error: " + pair.error, "note"));
  return card;
}

// Brings what is shown in line with what should be, and keeps every element that can stay: one that
// is being clicked or has the focus must not vanish under the finger.

function replace(id, children) {
  morphChildren(at(id), children);
}

function morphChildren(parent, fresh) {
  const old = [...parent.childNodes];
  fresh.forEach((node, index) => {
    if (index < old.length) morph(old[index], node);
    else parent.append(node);
  });
  for (const left of old.slice(fresh.length)) left.remove();
}

function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  morphChildren(old, [...fresh.childNodes]);
}

function showPairs() {
  replace("pairs", now.pairs.map(pairCard));
}

function showBooks() {
  replace("books", now.books.map((book) => row(
    cell(book.name),
    cell(book.word, book.tone),
    cell(price(book.bid), "r"),
    cell(price(book.ask), "r"),
    cell(age(book.age), "r"),
    cell(book.rate === null ? "–" : book.rate.toLocaleString("en-US"), "r wide"),
    cell(book.lag === null ? "–" : book.lag + " ms", "r wide"),
    cell(String(book.overflows), "r wide" + (book.overflows ? " warn" : "")),
  )));
}

function commandButton(what, name, sign = what) {
  const made = element("button", sign);
  made.type = "button";
  made.title = `${what} ${name}`;
  made.dataset.do = what;
  made.dataset.name = name;
  return made;
}

function showProcesses() {
  replace("processes", now.processes.map((process) => {
    const name = cell(process.name);
    if (process.tone !== "good" && process.text) name.append(element("small", process.text));
    else if (process.error) name.append(element("small", "last error: " + process.error));
    name.title = process.error;
    const command = cell("", "r");
    command.append(commandButton("restart", process.name, "↻"));
    return row(
      name,
      cell(process.state.replace("_", " "), process.tone),
      cell(process.pid ? String(process.pid) : "–", "r wide"),
      cell(process.pid ? duration(now.t / 1000 - process.since) : "–", "r"),
      cell(process.memory ? process.memory.toFixed(0) : "–", "r"),
      cell(String(process.restarts), "r" + (process.restarts ? " warn" : "")),
      command,
    );
  }));
}

function showBalances(balances) {
  const digits = (value) => value.toLocaleString("en-US", { maximumFractionDigits: value >= 1e4 ? 0 : value >= 100 ? 2 : 6 });
  replace("balances", balances.map((balance) => row(
    cell(balance.currency),
    cell(digits(balance.total), "r"),
    cell(digits(balance.free), "r"),
  )));
}

function showEvents() {
  const latest = events.slice(-100).sort((one, other) => other.t - one.t);
  replace("events", latest.map((event) => {
    const line = element("li");
    const text = element("div");
    text.append(element("b", event.kind + (event.over ? " is over" : ""), event.tone === "plain" ? "" : event.tone));
    text.append(document.createTextNode(" " + event.subject), element("small", event.text));
    const day = clock(event.t, { month: "2-digit", day: "2-digit" });
    const today = day === clock(Date.now(), { month: "2-digit", day: "2-digit" });
    line.append(element("time", (today ? "" : day + " ") + clock(event.t)), text);
    return line;
  }));
  if (!latest.length) at("events").append(element("li", "nothing yet"));
}

function showDetail() {
  const pair = now.pairs.find((one) => one.slug === chosen());
  at("detail").hidden = !pair;
  if (!pair) return;
  at("detail-title").textContent = pair.name;
  at("detail-note").textContent = pair.note;
  at("detail-note").className = "note " + pair.tone;
  chart.units = pair.name.split("/");
  replace("commands", [
    commandButton(pair.paused ? "resume" : "pause", "pairs:" + pair.slug),
    commandButton("restart", "pairs:" + pair.slug),
  ]);
}

// The ladder: our orders beside the venue's book, asks above, bids below.

function ladderRows(side) {
  const rows = new Map();
  const entry = (text) => {
    const key = Number(text);
    if (!rows.has(key)) rows.set(key, { price: key, text, mine: 0, venue: 0 });
    return rows.get(key);
  };
  for (const order of ladder[side]) if (order.is_ours) entry(order.price).mine += Number(order.amount);
  for (const [level, amount] of ladder.book ? ladder.book[side] : []) entry(level).venue += Number(amount);
  return [...rows.values()].sort((one, other) => other.price - one.price);
}

function showLadder() {
  const pair = now && now.pairs.find((one) => one.slug === chosen());
  if (!pair || !ladder || ladder.slug !== pair.slug) {
    replace("ladder", []);
    at("ladder-note").textContent = "";
    return;
  }
  at("ladder-note").textContent = ladder.book ? "" : "ACE's own book is fetched when the request budget allows it";
  const middle = (pair.ref[0] + pair.ref[1]) / 2;
  const line = (level, name) => {
    const made = row(
      cell(level.mine ? plain(level.mine) : ""),
      cell(Number(level.text).toLocaleString("en-US", { maximumFractionDigits: 8 }), "price"),
      cell(level.venue ? plain(level.venue) : ""),
      cell(middle ? (((level.price - middle) / middle) * 1e4).toFixed(0) : ""),
    );
    made.className = name + (level.mine ? " mine" : "");
    return made;
  };
  const split = element("tr", "", "middle");
  const between = cell(middle ? "reference " + price(middle) : "no reference");
  between.colSpan = 4;
  split.append(between);
  split.id = "ladder-middle";
  replace("ladder", [
    ...ladderRows("asks").map((level) => line(level, "ask")),
    split,
    ...ladderRows("bids").map((level) => line(level, "bid")),
  ]);
  if (centred !== pair.slug) centreLadder(pair.slug);
}

// The prices next to the reference matter most; where the box is too small for all, they are in it.

function centreLadder(slug) {
  const box = at("ladder-box");
  box.scrollTop = at("ladder-middle").offsetTop - box.clientHeight / 2;
  centred = slug;
}

// News.

function take(present) {
  now = present;
  heard = Date.now();
  at("lost").hidden = true;
  showHead();
  showGlance();
  showPairs();
  showBooks();
  showProcesses();
  showDetail();
  showLadder();
  const pair = now.pairs.find((one) => one.slug === chosen());
  if (pair) chart.add([now.t, ...pair.ref, ...pair.best, pair.position, pair.pnl]);
}

const hears = {
  hello(news) {
    zone = news.zone;
    chart.zone = zone;
    events = news.events;
    showEvents();
    showBalances(news.balances);
    if (news.now.t) take(news.now);
    if (chosen() !== followed) follow();
  },
  now: take,
  balances: showBalances,
  events(news) {
    events = [...events, ...news].slice(-200);
    showEvents();
  },
  fills(news) {
    const mine = news.filter((fill) => fill.pair === chosen());
    fills.push(...mine);
    fills.splice(0, fills.length - 500);
    if (mine.length) chart.draw();
  },
  ladder(news) {
    ladder = news;
    showLadder();
  },
};

async function follow() {
  const slug = chosen();
  followed = slug;
  if (source) source.close();
  source = new EventSource("/events?pair=" + encodeURIComponent(slug));
  for (const [kind, hear] of Object.entries(hears)) {
    source.addEventListener(kind, (event) => hear(JSON.parse(event.data)));
  }
  source.addEventListener("error", async () => {
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    const answer = await fetch("/events", { method: "HEAD" }).catch(() => null);
    if (answer && answer.status === 401) location.replace("/login");
    else setTimeout(follow, 2000);
  });
  if (slug) await loadHistory(slug);
}

async function loadHistory(slug) {
  const answer = await fetch("/api/history/" + encodeURIComponent(slug)).catch(() => null);
  if (!answer || !answer.ok || slug !== chosen()) return;
  const history = await answer.json();
  fills = history.fills;
  chart.show(history.points, fills);
}

function choose(slug) {
  if (slug !== chosen()) location.hash = slug;
}

// Commands.

function ask(question) {
  const dialog = at("confirm");
  at("question").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}

function toast(text) {
  at("toast").textContent = text;
  at("toast").hidden = false;
  setTimeout(() => { at("toast").hidden = true; }, 5000);
}

async function command(what, name) {
  if (!(await ask(TEXTS[what].replace("%s", name)))) return;
  const answer = await fetch("/api/command", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ do: what, name }),
  }).catch(() => null);
  if (!answer) toast("mmd does not answer");
  else if (!answer.ok) toast(await answer.text());
  else toast((await answer.json()).text);
}

document.addEventListener("click", (click) => {
  const button = click.target.closest("button");
  if (!button) return;
  if (button.dataset.do) command(button.dataset.do, button.dataset.name);
  else if (button.dataset.slug) choose(button.dataset.slug);
  else if (button.dataset.minutes) setSpan(Number(button.dataset.minutes));
});

function setSpan(minutes) {
  chart.spanMs = minutes * 60e3;
  replace("spans", SPANS.map(([text, each]) => {
    const made = element("button", text);
    made.type = "button";
    made.dataset.minutes = each;
    made.setAttribute("aria-pressed", String(each === minutes));
    return made;
  }));
  chart.draw();
}

// Dark, light, or as the system is.

const THEMES = ["", "dark", "light"];

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("theme", theme);
  chart.draw();
}

at("theme").addEventListener("click", () => {
  const present = document.documentElement.dataset.theme || "";
  setTheme(THEMES[(THEMES.indexOf(present) + 1) % THEMES.length]);
});

window.addEventListener("hashchange", () => {
  ladder = null;
  showLadder();
  if (now) {
    showPairs();
    showDetail();
  }
  chart.show([], []);
  follow();
});

setInterval(() => {
  at("lost").hidden = Date.now() - heard < LOST_MS;
}, 1000);

setTheme(localStorage.getItem("theme") || "");
setSpan(5);
follow();
