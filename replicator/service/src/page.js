// Keeps the page fresh: fetches it again and swaps what is shown, so that there is one renderer, on the server.
"use strict";
(() => {
  const every = 2000, patience = 8000;
  let seen = Date.now(), asking = false;
  const stale = () => {
    document.body.classList.toggle("stale", Date.now() - seen > patience);
    document.getElementById("lost").textContent =
      "This worker does not answer. What you see is from " + new Date(seen).toLocaleTimeString() + ".";
  };
  const refresh = async () => {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const answer = await fetch("/", { signal: AbortSignal.timeout(patience), cache: "no-store" });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const key = (it) => it.dataset.key;
      const open = new Set([...document.querySelectorAll("details[open]")].map(key));
      const focus = document.activeElement?.closest("details")?.dataset.key;
      for (const part of fresh.querySelectorAll("details")) part.open = open.has(key(part));
      document.querySelector("main").replaceWith(fresh.querySelector("main"));
      document.querySelector("header").replaceWith(fresh.querySelector("header"));
      document.querySelector("link[rel=icon]").replaceWith(fresh.querySelector("link[rel=icon]"));
      document.title = fresh.title;
      if (focus) [...document.querySelectorAll("details")].find((it) => key(it) === focus)?.querySelector("summary").focus();
      seen = Date.now();
    } catch {
      // The banner says for how long nothing came.
    } finally {
      asking = false;
      stale();
    }
  };
  setInterval(() => { refresh(); if (!document.hidden) stale(); }, every);
  document.addEventListener("visibilitychange", refresh);
})();
