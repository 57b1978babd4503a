// Keeps an open page current, and counts ages on. Everything works without it.
"use strict";
(() => {
  const EVERY_MS = 10000, TIMEOUT_MS = 8000;
  const status = document.getElementById("status");
  const page = () => document.getElementById("page");
  let tag = "", timer = 0, busy = false, skew = 0;

  const age = seconds => {
    const s = Math.max(0, Math.floor(seconds)), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (m < 1) return `${s} s`;
    if (h < 1) return `${m} min`;
    if (d < 1) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
    const days = d === 1 ? "1 day" : `${d} days`;
    return h % 24 ? `${days} ${h % 24} h` : days;
  };

  const tick = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const text = age((Date.now() + skew - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  };

  const tell = text => {
    if (status.textContent !== text) status.textContent = text;
    document.documentElement.classList.toggle("lost", text !== "");
  };

  const sync = () => { skew = Date.parse(page().dataset.now) - Date.now(); };

  const swap = text => {
    const next = new DOMParser().parseFromString(text, "text/html").getElementById("page");
    if (!next) throw new Error("not a page");
    const open = [...document.querySelectorAll("details[open][id]")].map(details => details.id);
    const focused = document.activeElement?.getAttribute?.("href");
    const inDetails = document.activeElement?.closest?.("details[id]")?.id;
    page().replaceWith(next);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) document.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    else if (inDetails) document.querySelector(`#${CSS.escape(inDetails)} summary`)?.focus({ preventScroll: true });
    document.title = next.dataset.title;
    sync();
  };

  const poll = async () => {
    clearTimeout(timer);
    if (document.hidden || busy) return;
    if (document.activeElement?.form) { timer = setTimeout(poll, EVERY_MS); return; } // nothing typed is lost
    busy = true;
    const url = new URL(location.href);
    url.searchParams.set("fragment", "1");
    const headers = { Accept: "text/html" };
    if (tag) headers["If-None-Match"] = tag;
    try {
      const answer = await fetch(url, { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (answer.status !== 304) {
        if (!answer.ok) throw new Error(String(answer.status));
        swap(await answer.text());
        tag = answer.headers.get("ETag") || "";
      }
      tell("");
    } catch {
      const shown = page().querySelector(".fresh time");
      const to = shown ? ` Showing ${shown.dateTime.slice(11, 16)} UTC.` : "";
      tell(`The server does not answer.${to} Trying again every 10 s.`);
    }
    busy = false;
    timer = setTimeout(poll, EVERY_MS);
  };

  const follow = link => { if (link) location.assign(link.href); };
  const range = step => {
    const links = [...document.querySelectorAll(".ranges a")];
    const now = links.findIndex(link => link.hasAttribute("aria-current"));
    if (now >= 0) follow(links[now + step]);
  };
  const toggle = id => {
    const details = document.getElementById(id);
    if (details) details.open = !details.open;
  };

  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (/^[1-9]$/.test(event.key)) follow(document.querySelectorAll("nav a")[event.key - 1]);
    else if (event.key === "r") poll();
    else if (event.key === "[") range(-1);
    else if (event.key === "]") range(1);
    else if (event.key === "t") toggle("table-1");
    else if (event.key === "?") toggle("keys");
    else if (event.key === "Escape") for (const open of document.querySelectorAll("details[open]")) open.open = false;
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  sync();
  setInterval(tick, 1000);
  timer = setTimeout(poll, EVERY_MS);
})();
