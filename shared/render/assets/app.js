// Keeps a page current, counts ages on, reads charts out; all else works without.
const EVERY_MS = 10000, TIMEOUT_MS = 8000;
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = id => document.getElementById(id);
const on = (event, act) => document.addEventListener(event, act);
const [status, reader] = all("[role=status]");
let tag = "", timer = 0, skew = 0;
let at = 0, drag = 0; // the crosshair and where a drag began: Unix seconds, 0 for none

const age = seconds => {
  const s = Math.max(0, seconds) | 0, m = s / 60 | 0, h = m / 60 | 0, d = h / 24 | 0;
  if (m < 1) return `${s} s`;
  if (h < 1) return `${m} min`;
  if (d < 1) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  const days = d === 1 ? "1 day" : `${d} days`;
  return h % 24 ? `${days} ${h % 24} h` : days;
};

const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const tick = () => {
  for (const time of all("time[data-age]")) put(time, age((Date.now() + skew - Date.parse(time.dateTime)) / 1000));
};

const begin = () => {
  skew = Date.parse(byId("page").dataset.now) - Date.now();
  all(".plot").forEach((plot, index) => { plot.id = `plot-${index}`; plot.tabIndex = 0; });
};
const swap = text => {
  const next = new DOMParser().parseFromString(text, "text/html").getElementById("page");
  document.title = next.dataset.title; // throws for what is no page
  const here = document.activeElement, href = here.getAttribute("href"), around = here.closest("details[id]");
  const key = here.id ? `#${here.id}` : href ? `a[href="${CSS.escape(href)}"]` : around && `#${around.id} summary`;
  const kept = all("[open],input:checked");
  byId("page").replaceWith(next);
  for (const { id, open } of kept) byId(id)?.setAttribute(open ? "open" : "checked", "");
  begin();
  cross(at);
  if (key) document.querySelector(key)?.focus({ preventScroll: true });
};

const poll = async () => {
  clearTimeout(timer);
  if (document.hidden) return;
  timer = setTimeout(poll, EVERY_MS);
  const url = new URL(location), headers = { Accept: "text/html", "If-None-Match": tag };
  url.searchParams.set("fragment", "1");
  try {
    const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(answer.status);
      const text = await answer.text();
      if (document.activeElement.form || drag) return; // nothing begun is lost
      swap(text);
      tag = answer.headers.get("ETag") || "";
    }
    put(status, "");
  } catch {
    const [shown] = all(".fresh time");
    put(status, `The server does not answer.${shown ? ` Showing ${shown.dateTime.slice(11, 16)} UTC.` : ""} Trying again every 10 s.`);
  }
};

// One time in all charts: the labels at the lines' ends have its values.
const cross = time => {
  at = time;
  for (const plot of all(".plot")) {
    const { from, size, steps } = plot.dataset, index = Math.ceil((time - from) / size - 1e-6);
    const shown = index > 0 && index <= steps, width = drag && (drag - time) / size / steps * 100;
    const mark = plot.querySelector(".cross"), [, band, clock] = mark.children;
    mark.style = shown ? "display:inline" : "";
    mark.setAttribute("x", `${index / steps * 100}%`);
    band.style = `x:${Math.min(0, width)}%;width:${Math.abs(width)}%`;
    clock.textContent = new Date(time * 1000).toLocaleString("en-GB",
      { timeZone: plot.closest("main").dataset.tz, weekday: "short", hour: "2-digit", minute: "2-digit" });
    for (const { dataset: { points, line } } of all("[data-points]", plot)) {
      const value = points.split("|").at(shown ? index - 1 : -1);
      for (const label of all(`.v${line}`, plot.parentNode)) label.textContent = value;
    }
  }
};
const place = ({ dataset: { from, size, steps } }, step) =>
  cross(+from + Math.min(steps, Math.max(1, Math.round(step))) * size);
const point = event => {
  const plot = event.target.closest(".plot");
  if (!event.buttons) drag = 0;
  if (plot) {
    const { left, width } = plot.firstElementChild.getBoundingClientRect();
    place(plot, (event.clientX - left) / width * plot.dataset.steps);
  } else if (at && !document.activeElement.matches(".plot")) cross(0);
  return plot;
};
const walk = (plot, key, many) => {
  const { from, size, steps } = plot.dataset, now = at ? Math.round((at - from) / size) : +steps;
  const step = { ArrowLeft: now - many, ArrowRight: now + many, Home: 1, End: steps }[key];
  if (step === undefined) return;
  place(plot, step);
  reader.textContent = all(".cross text,.names text", plot).map(one => one.textContent).join(", ");
  return true;
};
const click = (selector, index = 0) => all(selector)[index]?.click();
const close = () => {
  for (const open of all("details[open]")) open.open = false;
  drag = 0;
  cross(0);
};

const KEYS = { r: poll, t: () => click("#table-1 summary"), "?": () => click("#keys summary"), Escape: close,
  "[": () => click(".ranges a:has(+[aria-current])"), "]": () => click(".ranges [aria-current]+a") };
on("keydown", event => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.form) return;
  if (target.matches(".plot") && walk(target, key, event.shiftKey ? 10 : 1)) event.preventDefault();
  else if (/^[1-9]$/.test(key)) click("nav a", key - 1);
  else KEYS[key]?.();
});
on("pointermove", point);
on("pointerdown", event => {
  if (point(event) && event.pointerType !== "touch" && all("[data-zoom]")[0]) drag = at;
});
on("pointerup", () => {
  if (!drag || drag === at) return;
  const query = new URLSearchParams(location.search);
  const [from, to] = [drag, at].sort().map(one => new Date(one * 1000).toISOString().slice(0, 16).replace(/[-:]/g, ""));
  query.delete("range");
  query.set("from", from);
  query.set("to", to);
  location.search = query;
});
on("visibilitychange", poll);
begin();
setInterval(tick, 1000);
timer = setTimeout(poll, EVERY_MS);
