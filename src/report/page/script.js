"use strict";
(() => {
  const body = document.body, tip = document.getElementById("tip");
  const of = (event, what) => event.target.closest && event.target.closest(what);

  // One trial is brought out in every plot and in the table.
  let trial = null, pinned = false;
  const pick = (id) => {
    if (id === trial) return;
    trial = id;
    document.querySelectorAll(".on").forEach((e) => e.classList.remove("on"));
    body.classList.toggle("picked", id !== null);
    if (id !== null) document.querySelectorAll(`[data-trial="${CSS.escape(id)}"]`).forEach((e) => e.classList.add("on"));
  };
  const show = (words, x, y) => {
    tip.textContent = words;
    tip.classList.add("shown");
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - width - 6)) + "px";
    tip.style.top = (y + 18 + height > innerHeight ? Math.max(6, y - height - 10) : y + 18) + "px";
  };
  const over = (event) => {
    const about = of(event, "[data-tip]"), holder = of(event, "[data-trial]");
    if (!pinned) pick(holder ? holder.dataset.trial : null);
    if (about) show(about.dataset.tip, event.clientX, event.clientY);
    else tip.classList.remove("shown");
  };
  document.addEventListener("pointermove", over);
  document.addEventListener("click", (event) => {
    const holder = of(event, "[data-trial]");
    pinned = holder !== null && !(pinned && holder.dataset.trial === trial);
    pick(holder && pinned ? holder.dataset.trial : null);
    over(event);
  });
  document.addEventListener("scroll", () => tip.classList.remove("shown"), true);

  // Tables are sorted by the column whose heading is pressed; cells without a value stay last.
  const key = (row, column) => {
    const cell = row.cells[column], raw = cell.dataset.value ?? cell.textContent.trim();
    const number = Number(raw);
    return raw === "" ? null : Number.isNaN(number) ? raw : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  const sort = (heading) => {
    const table = heading.closest("table"), rows = table.tBodies[0], column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending"
      || (heading.getAttribute("aria-sort") === null && heading.dataset.sort === "down");
    table.querySelectorAll("th").forEach((h) => h.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = [...rows.rows].map((row) => [key(row, column), row]).sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return down ? compare(b, a) : compare(a, b);
    });
    rows.append(...sorted.map(([, row]) => row));
  };
  document.querySelectorAll("th[data-sort]").forEach((heading) => {
    heading.tabIndex = 0;
    heading.addEventListener("click", () => sort(heading));
    heading.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(heading); }
    });
  });

  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  document.querySelectorAll("button[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(button.nextElementSibling.textContent); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(button.nextElementSibling); }
  }));
  body.dataset.ready = "";
})();
