// Drawing and controls. What is chosen is in `state`; everything that is shown follows from it.
const {scenes, lecture, methods} = JSON.parse(one("#explorer").textContent);
const SIZE = 600, CELLS = 150, LEVELS = 18;  // of the map: its side, and the grid on which level lines are found
const SECONDS = 6;  // that a run takes to play
const state = {
  scene: "", stop: 0, start: null, steps: 100,  // `stop`: of the problem's slider
  on: new Set(), rates: {}, momentum: 0.9, clip: false, threshold: 1,
  at: 0, playing: false,  // `at`: the step shown
};
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

const label = (x, y, content, anchor = "") => element("text", {x, y, class: anchor}, content);

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
const KEY = {
  best: "★ the solution",
  minimum: "○ another minimum",
  saddle: "× a saddle",
  level: "□ no slope and no curvature",
  maximum: "△ a maximum",
};
const kind = ({index, nullity}) => nullity === 2 ? "level" : ["minimum", "saddle", "maximum"][index];

const handle = element(
  "g", {id: "start", tabindex: 0, role: "button"},
  element("circle", {class: "reach", r: 34}), element("circle", {class: "ring", r: 8}), element("circle", {class: "ring", r: 2}),
);

function drawMap() {
  const {at, zero} = landscape();
  const values = grid((...point) => at(...point)[0]).map(each => each < Infinity ? each : Number.MAX_VALUE);
  const land = element("g", {class: "land"}, ...lines(values, levels(values)));
  const solution = element("g", {class: "solution"}), others = p.others.map(each => ({x: each.x, name: kind(each)}));
  const marked = zero ? others : [...p.minima.map(x => ({x, name: "best"})), ...others];
  if (zero) solution.append(...lines(grid(zero), [0]));
  for (const line of solution.children) line.setAttribute("class", "zero");
  for (const {x: [x, y], name} of marked)
    solution.append(element("path", {class: `mark ${name}`, d: MARKS[name], transform: `translate(${across(x)} ${up(y)})`}));
  one("#map").replaceChildren(land, ticks(), solution, element("g", {id: "trails"}), handle);
  drawKey(zero, [...new Set(marked.map(each => each.name))]);
}
function ticks() {
  const [horizontal, vertical] = box.map(ends => d3.ticks(...ends, 6));
  return element(
    "g", {stroke: "none"},
    ...horizontal.filter(x => across(x) > 40 && across(x) < SIZE - 20).map(x => label(across(x), SIZE - 6, digits(x, 3), "m")),
    ...vertical.filter(y => up(y) > 20 && up(y) < SIZE - 30).map(y => label(6, up(y) + 4, digits(y, 3))),
  );
}
function drawKey(zero, names) {
  const parts = names.map(name => KEY[name]);
  if (zero) parts.unshift("dotted line: all solutions");
  else if (!p.minima.length) parts.unshift("there is no minimum: far out the loss falls towards f*");
  parts.push("greyer: higher loss", "◎ the start: drag it, click, or focus it and use the arrow keys");
  one("#key").textContent = parts.join(" · ");
}

// The charts: a line for each run, dotted where a value is negative; a clip shows it up to the step shown.
const WIDE = 360, HIGH = 150, LEFT = 46, RIGHT = 16, TOP = 6, BOTTOM = 18;
const CHARTS = {
  loss: point => point.value - p.floor,
  gradient: point => norm(point.gradient),
  curvature: point => dot(point.gradient, product(point.hessian, point.gradient)),
  ratio: ({step, hessian, gradient}) => step ? dot(step, product(hessian, step)) / 2 / -dot(gradient, step) : NaN,
};
// The powers of ten between which a chart goes.
function decades(name, sizes) {
  if (!sizes.length) return [-1, 1];
  let low = Math.floor(Math.log10(Math.min(...sizes))), high = Math.ceil(Math.log10(Math.max(...sizes)));
  if (name === "ratio") [low, high] = [Math.max(low, -4), Math.min(Math.max(high, 1), 4)];
  return [Math.min(Math.max(low, high - 16), high - 1), high];
}
function drawChart(name, measure) {
  const series = Object.entries(runs).map(([method, path]) => [method, path.map(measure)]);
  const sizes = series.flatMap(([, values]) => values).map(Math.abs).filter(each => each > 0 && each < Infinity);
  const [low, high] = decades(name, sizes), every = Math.ceil((high - low) / 5), end = Math.max(longest(), 1);
  const x = step => LEFT + (WIDE - LEFT - RIGHT) * step / end;
  const y = power => Math.max(-20, Math.min(HIGH + 20, TOP + (HIGH - BOTTOM - TOP) * (high - power) / (high - low)));
  const rule = (power, look) => element("path", {class: look, d: `M${LEFT},${y(power)}H${WIDE - RIGHT}`});
  const shown = element("rect", {x: LEFT, y: TOP - 1, height: HIGH - BOTTOM - TOP + 2});
  const parts = [element("clipPath", {id: `shown-${name}`}, shown)];
  for (let power = high; power >= low; power -= every)
    parts.push(rule(power, "grid"), label(LEFT - 5, y(power) + 4, `1e${power}`, "e"));
  parts.push(...d3.ticks(0, end, 5).filter(Number.isInteger).map(step => label(x(step), HIGH - 4, step, "m")));
  if (name === "ratio") parts.push(rule(0, "axis"));
  const drawn = element("g", {"clip-path": `url(#shown-${name})`});
  for (const [method, values] of series) for (const sign of [1, -1]) {
    const spot = (size, step) => size > 0 ? `${x(step).toFixed(1)},${y(Math.log10(size)).toFixed(1)}` : "";
    const spots = values.map((value, step) => spot(sign * value, step));
    const path = element("path", {class: sign > 0 ? "p" : "p minus", d: pieces(spots)});
    drawn.append(element("g", {class: look(method)}, path));
  }
  const svg = one(`#chart-${name}`);
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${svg.previousElementSibling.textContent}, by step`);
  svg.replaceChildren(...parts, drawn);
}
// A line through spots, interrupted where one is empty; a spot alone is a short line.
function pieces(spots) {
  const joined = at => Boolean(spots[at]);
  return spots.map((spot, at) => spot && (joined(at - 1) ? `L${spot}` : `M${spot}${joined(at + 1) ? "" : "h1.5"}`)).join("");
}

// What is shown up to the step `state.at`.
function drawStep() {
  const end = longest(), now = state.at, width = (WIDE - LEFT - RIGHT) * now / Math.max(end, 1) + 1;
  for (const rect of all(".chart clipPath rect")) rect.setAttribute("width", width);
  const parts = Object.keys(runs).map(name => {
    const spots = trails[name].slice(0, now + 1), [x, y] = spots.at(-1).split(",");
    const line = element("path", {class: "run", d: `M${spots.join("L")}`});
    const dots = spots.length < 150 ? [element("path", {class: "dots", d: spots.map(spot => `M${spot}h0`).join("")})] : [];
    return element("g", {class: look(name)}, line, ...dots, element("circle", {class: "end", cx: x, cy: y, r: 5}));
  });
  one("#trails").replaceChildren(...parts);
  one("#time").max = end;
  one("#time").value = now;
  one("#now").textContent = `step ${now} of ${end}`;
  one("#told").setAttribute("aria-busy", String(state.playing));
  one("#told").replaceChildren(...Object.keys(runs).map(sentence));
  one("#play").textContent = state.playing ? "Pause" : "Play";
}

// What happened to a run, behind a sample of its line.
function sentence(name) {
  const path = runs[name], shown = path.slice(0, state.at + 1), width = Math.max(...box.map(([low, high]) => high - low));
  const item = document.createElement("li"), text = document.createElement("span"), bold = document.createElement("b");
  bold.textContent = name.replaceAll("_", " ");
  const outside = shown.at(-1).x.some((value, i) => !(value >= box[i][0] && value <= box[i][1]));
  text.append(bold, `: ${told(landscape(), p, shown, shown.length === path.length, state.steps, width)}`);
  if (outside) text.append(" It is off the map.");
  item.append(one(`#methods [value="${name}"]`).nextElementSibling.cloneNode(true), text);
  return item;
}

// Run everything again, and show all of it.
function runAll() {
  runs = {};
  trails = {};
  const near = at => Math.max(-4 * SIZE, Math.min(5 * SIZE, at)).toFixed(1);
  for (const name of methods.filter(name => state.on.has(name))) {
    const settings = {lr: state.rates[name], momentum: state.momentum, clip: state.clip ? state.threshold : 0};
    runs[name] = run(landscape(), p, name, settings, state.start, state.steps);
    trails[name] = runs[name].map(({x: [x, y]}) => `${near(across(x))},${near(up(y))}`);
  }
  state.at = longest();
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
  for (const slider of all("#methods [data-rate]")) {
    const rate = state.rates[slider.dataset.rate];
    show(slider, placeOf(rate), rate);
  }
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
  const named = values => Object.entries(values).map(([name, value]) => `${name}=${value}`).join(", ");
  const lists = methods.filter(name => state.on.has(name)).map(name => {
    const values = {lr: state.rates[name]};
    if (["momentum", "nesterov"].includes(name)) values.momentum = state.momentum;
    if (state.clip) values.threshold = state.threshold;
    return `    "${name}": OPTIMIZERS["${name}${state.clip ? "+clip" : ""}"].replace(${named(values)}),`;
  });
  return [
    "import torch",
    "from optimizers import OPTIMIZERS, as_torch",
    `from ${module} import ${it.class}`,
    "",
    "torch.set_default_dtype(torch.float64)",
    `problem = ${it.class}(${named(fields)})`,
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
one("#dial").addEventListener("input", event => {
  pause();
  setStop(Number(event.target.value));
  drawControls();
  drawMap();
  runAll();
});
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
