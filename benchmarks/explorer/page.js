// Drawing and controls. What is chosen is in `state`; everything that is shown follows from it.
const {scenes, lecture, methods} = JSON.parse(one("#explorer").textContent);
const SIZE = 600, CELLS = 150, LEVELS = 18;  // of the map: its side, and the grid on which level lines are found
const SECONDS = 6;  // that a run takes to play
const state = {scene: "", stop: 0, start: null, steps: 100, on: new Set(), rates: {}, momentum: 0.9, clip: false, threshold: 1, at: 0, playing: false};
let p, runs, trails, box;

const scene = () => scenes[state.scene];
const landscape = () => LANDSCAPES[state.scene];
const decibel = place => Number((10 ** (place / 20)).toPrecision(3));  // a slider's place → its value, 20 to a decade
const placeOf = value => Math.round(20 * Math.log10(value));
const across = x => (x - box[0][0]) / (box[0][1] - box[0][0]) * SIZE;
const up = y => (box[1][1] - y) / (box[1][1] - box[1][0]) * SIZE;
const look = name => `c${methods.indexOf(name)}`;
const longest = () => Math.max(...Object.values(runs).map(path => path.length - 1), 0);

function element(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, text] of Object.entries(attributes)) made.setAttribute(key, text);
  made.append(...children);
  return made;
}

// A function's values on a grid, which begins and ends one cell outside the map, so that no line runs along its border.
function grid(formula) {
  const [[left, right], [low, high]] = box, share = cell => (cell - 0.5) / (CELLS - 2);
  return Array.from({length: CELLS * CELLS}, (_, i) =>
    formula(p, [left + share(i % CELLS) * (right - left), high - share(Math.floor(i / CELLS)) * (high - low)]));
}
function lines(values, levels) {
  const spot = point => point.map(at => ((at - 1) / (CELLS - 2) * SIZE).toFixed(1)).join();
  return d3.contours().size([CELLS, CELLS]).thresholds(levels)(values)
    .map(({coordinates}) => element("path", {d: coordinates.flat().map(ring => `M${ring.map(spot).join("L")}`).join("")}));
}
function levels(values) {
  const {decades} = scene(), shares = Array.from({length: LEVELS}, (_, i) => (i + 0.5) / LEVELS);
  const highest = values.reduce((best, each) => each > best && each < Infinity ? each : best, -Infinity);
  const lowest = values.reduce((best, each) => Math.min(best, each), Infinity);
  if (!decades) return shares.map(share => lowest + share * (highest - lowest));
  return shares.map(share => p.floor + (highest - p.floor) * 10 ** (-decades * (1 - share)));
}

const MARKS = {
  best: "M0-9L2.6-2.8L9-2.8L3.9,1.2L5.7,7.5L0,3.7L-5.7,7.5L-3.9,1.2L-9-2.8L-2.6-2.8z",
  minimum: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0-10,0z",
  saddle: "M-5-5L5,5M-5,5L5-5",
  level: "M-5-5H5V5H-5z",
  maximum: "M0-6L5.5,4.5H-5.5z",
};
const KEY = {best: "★ the solution", minimum: "○ another minimum", saddle: "× a saddle", level: "□ level ground", maximum: "△ a maximum"};
const kind = ({index, nullity}) => nullity === 2 ? "level" : ["minimum", "saddle", "maximum"][index];

function drawMap() {
  const values = grid((...at) => landscape().at(...at)[0]).map(each => each < Infinity ? each : Number.MAX_VALUE);
  const land = element("g", {class: "land"}, ...lines(values, levels(values)));
  const solution = element("g", {class: "solution"});
  const marked = [...p.minima.map(x => ({x, name: "best"})), ...p.others.map(each => ({x: each.x, name: kind(each)}))];
  if (landscape().zero) {
    solution.append(...lines(grid(landscape().zero), [0]));
    solution.lastChild.setAttribute("class", "zero");
  }
  for (const {x, name} of landscape().zero ? marked.filter(each => each.name !== "best") : marked)
    solution.append(element("path", {class: `mark ${name}`, d: MARKS[name], transform: `translate(${across(x[0])} ${up(x[1])})`}));
  const ticks = element("g", {stroke: "none"});
  for (const x of d3.ticks(...box[0], 6)) if (across(x) > 40 && across(x) < SIZE - 20) ticks.append(element("text", {x: across(x), y: SIZE - 6, class: "m"}, digits(x, 3)));
  for (const y of d3.ticks(...box[1], 6)) if (up(y) > 20 && up(y) < SIZE - 30) ticks.append(element("text", {x: 6, y: up(y) + 4}, digits(y, 3)));
  one("#map").replaceChildren(land, ticks, solution, element("g", {id: "trails"}), handle);
  const names = [...new Set(marked.map(each => each.name))].filter(name => name !== "best" || !landscape().zero).map(name => KEY[name]);
  if (landscape().zero) names.unshift("dotted line: all solutions");
  else if (!p.minima.length) names.unshift("there is no minimum: far out the loss falls towards f*");
  one("#key").textContent = [...names, "greyer: higher loss", "◎ the start: drag it, click, or focus it and use the arrow keys"].join(" · ");
}

const handle = element("g", {id: "start", tabindex: 0, role: "button"}, element("circle", {class: "reach", r: 34}), element("circle", {class: "ring", r: 8}), element("circle", {class: "ring", r: 2}));

// The charts: a line for each run, dotted where a value is negative; a clip shows it up to the step shown.
const WIDE = 360, HIGH = 150, LEFT = 46, RIGHT = 16, BOTTOM = 18;
const CHARTS = {
  loss: point => point.value - p.floor,
  gradient: point => norm(point.gradient),
  curvature: point => dot(point.gradient, product(point.hessian, point.gradient)),
  ratio: ({step, hessian, gradient}) => step ? dot(step, product(hessian, step)) / 2 / -dot(gradient, step) : NaN,
};
function drawChart(name, measure) {
  const series = Object.entries(runs).map(([method, path]) => [method, path.map(measure)]);
  const sizes = series.flatMap(([, values]) => values).map(Math.abs).filter(each => each > 0 && each < Infinity);
  let high = Math.ceil(Math.log10(Math.max(...sizes, 1e-300))), low = Math.floor(Math.log10(Math.min(...sizes, 1e300)));
  if (!sizes.length) [low, high] = [-1, 1];
  if (name === "ratio") [low, high] = [Math.max(low, -4), Math.min(Math.max(high, 1), 4)];
  low = Math.min(Math.max(low, high - 16), high - 1);
  const x = step => LEFT + (WIDE - LEFT - RIGHT) * step / Math.max(longest(), 1);
  const y = size => Math.max(-20, Math.min(HIGH + 20, 6 + (HIGH - BOTTOM - 6) * (high - Math.log10(size)) / (high - low)));
  const svg = one(`#chart-${name}`), every = Math.ceil((high - low) / 5);
  const parts = [element("clipPath", {id: `shown-${name}`}, element("rect", {y: 5, height: HIGH - BOTTOM - 4, x: LEFT}))];
  for (let power = high; power >= low; power -= every)
    parts.push(element("path", {class: "grid", d: `M${LEFT},${y(10 ** power)}H${WIDE - RIGHT}`}), element("text", {x: LEFT - 5, y: y(10 ** power) + 4, class: "e"}, `1e${power}`));
  for (const step of d3.ticks(0, Math.max(longest(), 1), 5)) if (Number.isInteger(step)) parts.push(element("text", {x: x(step), y: HIGH - 4, class: "m"}, String(step)));
  if (name === "ratio") parts.push(element("path", {class: "rule", d: `M${LEFT},${y(1)}H${WIDE - RIGHT}`}));
  const drawn = element("g", {"clip-path": `url(#shown-${name})`});
  for (const [method, values] of series) for (const sign of [1, -1]) {
    const spots = values.map((each, step) => sign * each > 0 && each * sign < Infinity ? `${x(step).toFixed(1)},${y(sign * each).toFixed(1)}` : "");
    const d = spots.map((spot, i) => spot && (spots[i - 1] ? "L" : "M") + spot + (spots[i - 1] || spots[i + 1] ? "" : "h1.5")).join("");
    if (d) drawn.append(element("g", {class: look(method)}, element("path", {class: sign > 0 ? "p" : "p minus", d})));
  }
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${svg.previousElementSibling.textContent}, by step`);
  svg.replaceChildren(...parts, drawn);
}

// What is shown up to the step `state.at`.
function drawStep() {
  const end = longest(), now = state.at;
  for (const rect of all(".chart clipPath rect")) rect.setAttribute("width", Math.max(0, (WIDE - LEFT - RIGHT) * now / Math.max(end, 1) + 1));
  const parts = Object.entries(runs).map(([name, path]) => {
    const spots = trails[name].slice(0, now + 1), [x, y] = spots.at(-1).split(","), line = `M${spots.join("L")}`;
    const dots = spots.length < 150 ? [element("path", {class: "dots", d: spots.map(spot => `M${spot}h0`).join("")})] : [];
    return element("g", {class: look(name)}, element("path", {class: "run", d: line}), ...dots, element("circle", {class: "end", cx: x, cy: y, r: 5}));
  });
  one("#trails").replaceChildren(...parts);
  one("#time").max = end;
  one("#time").value = now;
  one("#now").textContent = `step ${now} of ${end}`;
  one("#told").setAttribute("aria-busy", String(state.playing));
  one("#told").replaceChildren(...Object.entries(runs).map(([name, path]) => {
    const item = document.createElement("li"), sample = one(`#methods [value="${name}"]`).nextElementSibling.cloneNode(true), text = document.createElement("span"), bold = document.createElement("b");
    bold.textContent = name.replaceAll("_", " ");
    text.append(bold, `: ${told(landscape(), p, path.slice(0, now + 1), now >= path.length - 1, state.steps, Math.max(...box.map(([a, b]) => b - a)))}`);
    item.append(sample, text);
    return item;
  }));
  one("#play").textContent = state.playing ? "Pause" : "Play";
}

// Run everything again, and show all of it.
function runAll(at = Infinity) {
  runs = {};
  for (const name of methods) if (state.on.has(name))
    runs[name] = run(landscape(), p, name, {lr: state.rates[name], momentum: state.momentum, clip: state.clip ? state.threshold : 0}, state.start, state.steps);
  const near = at => Math.max(-4 * SIZE, Math.min(5 * SIZE, at)).toFixed(1);
  trails = Object.fromEntries(Object.entries(runs).map(([name, path]) => [name, path.map(({x}) => `${near(across(x[0]))},${near(up(x[1]))}`)]));
  state.at = Math.min(at, longest());
  const [x, y] = state.start;
  handle.setAttribute("transform", `translate(${across(x)} ${up(y)})`);
  handle.setAttribute("aria-label", `Start at ${digits(x, 4)}, ${digits(y, 4)}. Arrow keys move it, with Shift by less.`);
  one("#where").textContent = `start (${digits(x, 4)}, ${digits(y, 4)})`;
  for (const [name, measure] of Object.entries(CHARTS)) drawChart(name, measure);
  drawStep();
  one("#snippet").textContent = snippet();
  one("#copied").textContent = "";
}

// The settings as the controls show them.
function drawControls() {
  one("#scene").value = state.scene;
  one("#about").textContent = `${scene().summary} ${scene().note}`;
  one("#dial-name").textContent = `${scene().slider.name}${scene().slider.isDial ? " (the dial)" : ""}`;
  one("#dial").max = scene().stops.length - 1;
  one("#dial").value = state.stop;
  one("#dial-value").textContent = digits(p[scene().slider.name], 3);
  one("#dial").setAttribute("aria-valuetext", digits(p[scene().slider.name], 3));
  for (const box of all("#methods [type=checkbox]")) box.checked = state.on.has(box.value);
  for (const slider of all("#methods [data-rate]")) show(slider, placeOf(state.rates[slider.dataset.rate]), state.rates[slider.dataset.rate]);
  show(one("#momentum"), state.momentum, state.momentum);
  show(one("#threshold"), placeOf(state.threshold), state.threshold);
  show(one("#count"), state.steps, state.steps);
  one("#clip").checked = state.clip;
}
function show(slider, place, value) {
  slider.value = place;
  slider.nextElementSibling.textContent = digits(value, 3);
  slider.setAttribute("aria-valuetext", digits(value, 3));
}

// Go to a stop of the problem's slider. A start that was dragged stays, unless the slider moves the start.
function setStop(stop) {
  state.stop = stop;
  p = parameters(scene(), stop);
  if (scene().follows || !state.start) state.start = scene().stops[stop].start;
}
function setScene(name, {stop, steps, on, rates, momentum, clip} = {}) {
  pause();
  Object.assign(state, {scene: name, start: null, momentum: momentum ?? 0.9, clip: Boolean(clip), threshold: clip || 1});
  state.steps = steps ?? scene().steps;
  state.on = new Set(on ?? scene().on);
  state.rates = {...scene().rates, ...rates};
  box = scene().box;
  setStop(stop ?? scene().first);
  drawControls();
  drawMap();
  runAll();
}

// The same runs with this package.
function snippet() {
  const {module, given, slider, seed, ...it} = scene(), fields = {...given, [slider.name]: p[slider.name]};
  const call = Object.entries(fields).map(([name, value]) => `${name}=${value}`).join(", ");
  const lists = methods.filter(name => state.on.has(name)).map(name => {
    const values = [`lr=${state.rates[name]}`, ...(["momentum", "nesterov"].includes(name) ? [`momentum=${state.momentum}`] : []), ...(state.clip ? [`threshold=${state.threshold}`] : [])];
    return `    "${name}": OPTIMIZERS["${name}${state.clip ? "+clip" : ""}"].replace(${values.join(", ")}),`;
  });
  return [
    "import torch",
    "from optimizers import OPTIMIZERS, as_torch",
    `from ${module} import ${it.class}`,
    "",
    "torch.set_default_dtype(torch.float64)",
    `problem = ${it.class}(${call})`,
    `data = problem.example(seed=${seed})`,
    "optimizers = {", ...lists, "}",
    "paths = {}",
    "for name, method in optimizers.items():",
    `    x = torch.nn.Parameter(torch.tensor([${state.start.join(", ")}]))`,
    "    optimizer = as_torch(method, [x])",
    ...(p.draws ? [`    draws = problem.draws(data, torch.Generator().manual_seed(${seed}))`] : []),
    "    paths[name] = [x.tolist()]",
    `    for step in range(${state.steps}):`,
    ...(p.draws
      ? ["        draw = next(draws)", "        optimizer.step(lambda: problem.sampled_loss(x, data, draw))"]
      : ["        optimizer.step(lambda: problem.loss(x, data))"]),
    "        paths[name].append(x.tolist())",
    '    print(f"{name}: loss {problem.loss(x, data).item():.6g} at {x.tolist()}")',
    "",
  ].join("\n");
}

// Playing.
let before = 0, elapsed = 0;  // milliseconds, steps
function frame(now) {
  if (!state.playing) return;
  elapsed += Math.max(0, now - before) / 1000 * Math.max(10, longest() / SECONDS);  // the first frame may be of before the click
  before = now;
  state.at = Math.min(Math.floor(elapsed), longest());
  if (state.at >= longest()) state.playing = false;
  drawStep();
  requestAnimationFrame(frame);
}
function play() {
  state.playing = true;
  elapsed = state.at = state.at >= longest() ? 0 : state.at;
  before = performance.now();
  drawStep();
  requestAnimationFrame(frame);
}
function pause() {
  state.playing = false;
}
function showStep(at) {
  pause();
  state.at = Math.max(0, Math.min(at, longest()));
  drawStep();
}
one("#play").addEventListener("click", () => { if (state.playing) { pause(); drawStep(); } else play(); });
one("#step").addEventListener("click", () => showStep(state.at >= longest() ? 0 : state.at + 1));
one("#home").addEventListener("click", () => showStep(0));
one("#time").addEventListener("input", event => showStep(Number(event.target.value)));

// The start: dragged, put where the map is clicked, or moved by arrow keys.
function moveTo([x, y]) {
  const inside = ([low, high], value) => Number(Math.max(low, Math.min(high, value)).toPrecision(6));
  pause();
  state.start = [inside(box[0], x), inside(box[1], y)];
  runAll();
}
function spot(event) {
  const {left, top, width, height} = one("#map").getBoundingClientRect(), [[first, last], [low, high]] = box;
  return [first + (event.clientX - left) / width * (last - first), high - (event.clientY - top) / height * (high - low)];
}
handle.addEventListener("touchstart", event => event.preventDefault(), {passive: false});  // it moves the start, not the page
handle.addEventListener("pointerdown", event => handle.setPointerCapture(event.pointerId));
handle.addEventListener("pointermove", event => { if (handle.hasPointerCapture(event.pointerId)) moveTo(spot(event)); });
one("#map").addEventListener("click", event => { if (!handle.contains(event.target)) moveTo(spot(event)); });
handle.addEventListener("keydown", event => {
  const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
  if (!by) return;
  event.preventDefault();
  const share = event.shiftKey ? 0.002 : 0.02;
  moveTo(state.start.map((value, i) => value + by[i] * share * (box[i][1] - box[i][0])));
});
one("#reset").addEventListener("click", () => { pause(); state.start = scene().stops[state.stop].start; runAll(); });

// The other controls.
one(".controls").addEventListener("submit", event => event.preventDefault());
one("#scene").addEventListener("change", event => { setScene(event.target.value); lesson(null); });
one("#dial").addEventListener("input", event => { pause(); setStop(Number(event.target.value)); drawControls(); drawMap(); runAll(); });
one("#methods").addEventListener("input", ({target}) => {
  pause();
  if (target.dataset.rate) state.rates[target.dataset.rate] = decibel(target.value);
  else state.on[target.checked ? "add" : "delete"](target.value);
  drawControls();
  runAll();
});
for (const [id, set] of Object.entries({
  momentum: slider => { state.momentum = Number(slider.value); },
  threshold: slider => { state.threshold = decibel(slider.value); },
  count: slider => { state.steps = Number(slider.value); },
  clip: box => { state.clip = box.checked; },
})) one(`#${id}`).addEventListener("input", ({target}) => { pause(); set(target); drawControls(); runAll(); });
one("#copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(snippet());
    one("#copied").textContent = "Copied.";
  } catch {
    one("details").open = true;
    getSelection().selectAllChildren(one("#snippet"));
    one("#copied").textContent = "Selected below: copy it from there.";
  }
});

// The lecture.
function lesson(number) {
  all("#lecture button").forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
  const text = one("#lesson"), it = lecture[number];
  text.replaceChildren();
  if (!it) return;
  const title = document.createElement("b");
  title.textContent = `${it.title}. `;
  text.append(title, it.text);
  setScene(it.scene, it);
}
lecture.forEach((it, number) => {
  const button = document.createElement("button");
  Object.assign(button, {type: "button", textContent: it.button});
  button.addEventListener("click", () => lesson(number));
  one("#lecture").append(button);
});

const groups = Object.groupBy(Object.keys(scenes), name => scenes[name].section);
for (const [section, names] of Object.entries(groups).sort()) {
  const group = document.createElement("optgroup");
  group.label = section;
  group.append(...names.map(name => new Option(name.replaceAll("_", " "), name)));
  one("#scene").append(group);
}
if (lecture.length) lesson(0); else setScene(Object.keys(scenes)[0]);
