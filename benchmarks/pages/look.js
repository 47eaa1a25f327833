"use strict";
const all = (query, root = document) => [...root.querySelectorAll(query)];
const one = (query, root = document) => root.querySelector(query);

// Sort within each body of a table, missing values last; a group's heading row stays first.
function value(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.v === undefined) return cell.textContent.trim();
  return cell.dataset.v === "" ? null : Number(cell.dataset.v);
}
function sort(header) {
  const table = header.closest("table"), column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const each of all("thead th", table)) each.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter(row => !row.matches(".group"));
    const keyed = rows.map(row => [value(row, column), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", {numeric: true});
      return down ? -order : order;
    });
    body.append(...keyed.map(([, row]) => row));
  }
}
for (const button of all("table.sortable thead button")) button.addEventListener("click", () => sort(button.parentElement));

// Compute values from the figures: a point's position, through the scale of its axis.
const tip = one("#tip");
const axes = new WeakMap();
function scaled(text) {
  const [kind, low, high, threshold] = text.split(",");
  return place => {
    const bent = Number(low) + place * (high - low);
    if (kind === "log") return 10 ** bent;
    if (kind === "symlog") return Math.sign(bent) * threshold * (10 ** Math.abs(bent) - 1);
    return bent;
  };
}
function shown(number) {
  if (Math.abs(number) > 9e59) return "∞";  // a run that diverged
  if (!number) return "0";
  const text = Number(number.toPrecision(3));
  return Math.abs(text) >= 1e5 || Math.abs(text) < 1e-3 ? text.toExponential(1).replace("e+", "e") : String(text);
}
function points(path) {
  const found = [];
  let x = 0, y = 0;
  for (const [, letter, a, b] of path.getAttribute("d").matchAll(/([MLHV])(-?[\d.]+)(?:,(-?[\d.]+))?/g)) {
    if (letter === "H") { x = Number(a); continue; }
    if (letter === "V") y = Number(a);
    else [x, y] = [Number(a), Number(b)];
    found.push([x, y]);
  }
  return found;
}
function read(svg) {
  if (!axes.has(svg)) {
    const frame = one("svg.in", svg), get = name => frame[name].baseVal.value;
    axes.set(svg, {
      frame: {x: get("x"), y: get("y"), width: get("width"), height: get("height")},
      x: scaled(svg.dataset.x), y: scaled(svg.dataset.y),
      named: (svg.dataset.xt || "").split("|").filter(Boolean).map(each => each.split("=")),
      series: all("g[data-n]", frame).map(g => ({g, name: g.dataset.n, points: one(".p", g) ? points(one(".p", g)) : []})),
    });
  }
  return axes.get(svg);
}
function shows(svg, at, client) {
  const {frame, x, y, named, series} = read(svg);
  const seen = series.filter(each => each.points.length && getComputedStyle(each.g).display !== "none");
  if (!seen.length) return hide();
  const isPath = Boolean(one(".land", svg));
  const rows = seen.map(each => {
    const away = ([a, b]) => isPath && client ? Math.hypot(a - at.x, b - at.y) : Math.abs(a - at.x);
    const near = each.points.reduce((best, point) => away(point) < away(best) ? point : best);
    return {name: each.name, near, value: y(1 - near[1] / frame.height), away: away(near)};
  });
  const nearest = rows.reduce((best, row) => row.away < best.away ? row : best);
  const here = nearest.near[0], label = svg.dataset.xl;
  const close = rows.filter(row => Math.abs(row.near[0] - here) < (isPath ? 1 : frame.width / 8));
  close.sort((a, b) => a.near[1] - b.near[1]);
  const value = x(here / frame.width);
  const name = named.length
    ? named.reduce((best, each) => Math.abs(each[0] - value) < Math.abs(best[0] - value) ? each : best)[1]
    : shown(value);
  tip.replaceChildren(line(label || "at", name), ...close.slice(0, 14).map(row => line(row.name, shown(row.value))));
  tip.firstChild.style.color = "var(--quiet)";
  tip.hidden = false;
  const box = svg.getBoundingClientRect(), wide = box.width / svg.viewBox.baseVal.width;
  const left = client ? client.x : box.left + (frame.x + here) * wide, top = client ? client.y : box.top + 10;
  tip.style.left = `${Math.max(4, Math.min(left + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(top + 14, innerHeight - tip.offsetHeight - 8))}px`;
  let cursor = one(".cursor", svg);
  if (!cursor) {
    cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cursor.setAttribute("class", "cursor");
    svg.append(cursor);
  }
  cursor.setAttribute("d", `M${frame.x + here},${frame.y}v${frame.height}`);
  svg.dataset.at = here;
}
function line(name, text) {
  const row = document.createElement("div"), number = document.createElement("b");
  number.textContent = text;
  row.append(name, number);
  return row;
}
function hide() {
  tip.hidden = true;
  for (const each of all(".cursor")) each.remove();
}
for (const svg of all("svg[role=img]")) {
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), wide = svg.viewBox.baseVal.width / box.width, {frame} = read(svg);
    for (const each of all(".cursor")) if (each.parentElement !== svg) each.remove();
    shows(svg, {x: (event.clientX - box.left) * wide - frame.x, y: (event.clientY - box.top) * wide - frame.y}, {x: event.clientX, y: event.clientY});
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) shows(svg, {x: read(svg).frame.width, y: 0}); });
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", event => {
    const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === "Escape") hide();
    if (!by) return;
    event.preventDefault();
    const xs = [...new Set(read(svg).series.flatMap(each => each.points.map(point => point[0])))].sort((a, b) => a - b);
    const at = Number(svg.dataset.at ?? xs.at(-1)), ahead = xs.filter(x => by * (x - at) > .5);
    if (ahead.length) shows(svg, {x: by > 0 ? ahead[0] : ahead.at(-1), y: 0});
  });
}

// Light or dark: as the system, until the button is pressed, which names the other of the two.
const theme = one("#theme"), dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
const press = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; press(); });
dark.addEventListener("change", press);
press();

// A link to a closed part opens it.
function open() {
  const there = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (there && there.matches("details")) { there.open = true; there.scrollIntoView(); }
}
addEventListener("hashchange", open);
open();
addEventListener("beforeprint", () => { for (const each of all("details:not(.runs)")) each.open = true; });
