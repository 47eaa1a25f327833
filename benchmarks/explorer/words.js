// What happened to a run, in words, as far as it is shown.

const WINDOW = 20, SHARE = 0.1;  // steps, and share of all, over which noisy runs are judged: the longer of the two
const FLAT = 1e-4;  // a curvature that is as good as none
const AMOUNTS = [[0.95, "nearly all"], [0.6, "most"], [0.4, "half"], [0.27, "a third"], [-1, ""]];

const digits = (number, count = 2) => {
  if (number === 0) return "0";
  const size = Math.abs(number), text = Number(number.toPrecision(count));
  return size < 1e-3 || size >= 1e5 ? text.toExponential().replace("e+", "e") : String(text);
};

// The sentence about a run: `path` is what is shown of it, `ended` whether that is all, and `width` the map's.
function told(landscape, p, path, ended, count, width) {
  const steps = path.length - 1;
  if (steps === 0) return "at the start.";
  if (ended && steps < count) return `diverged: ${diverged(path)}.`;
  const [outcome, open] = reached(landscape, p, path, ended), parts = [outcome, ...mishaps(p, path, width)];
  if (ended && open) parts.push(...standing(path, width));
  return `${parts.join("; ")}.`;
}

function diverged(path) {
  const far = path.findIndex(point => point.gap > CEILING);
  if (far < 0) return `step ${path.length} leads to a number that is not finite`;
  return `from step ${far} on the gap is above 1e6 times that at the start`;
}

// What has been reached, and whether something is left.
function reached(landscape, p, path, ended) {
  const steps = path.length - 1, last = path.at(-1);
  if (p.draws) return [steps < 4 ? `after ${steps} steps` : onAverage(p, path), false];
  const level = landscape.accepted?.(p) ?? p.floor + p.target * (path[0].value - p.floor);
  const within = path.map(point => point.value <= level);
  const entry = within.findIndex((_, at) => at + HOLD <= path.length && within.slice(at, at + HOLD).every(Boolean));
  const target = landscape.accepted ? `the loss is below ${digits(level)}` : `the gap is below ${digits(p.target)} of that at the start`;
  if (entry >= 0) return [`solved at step ${entry}: ${target}`, false];
  if (ended && within.at(-1)) return [`solved at step ${within.lastIndexOf(false) + 1}: ${target}`, false];
  if (within.at(-1)) return [`within the target after ${steps} steps`, false];
  return [`after ${steps} steps ${left(last.gap)}`, true];
}

function left(gap) {
  if (gap > 1.05) return `the gap is ${digits(gap)} times that at the start`;
  return `${gap > 0.995 ? "all" : `${digits(100 * gap)} %`} of the gap is left`;
}

// With noise the mean gap of the last steps counts.
function onAverage(p, path) {
  const steps = path.length - 1, window = Math.min(Math.max(WINDOW, Math.round(SHARE * steps)), Math.floor(steps / 2));
  const mean = path.slice(-window).reduce((sum, point) => sum + point.gap, 0) / window;
  const target = `mean gap is ${digits(mean)} of that at the start (target ${digits(p.target)})`;
  return `${mean <= p.target ? "solved" : "not solved"}: over the last ${window} steps the ${target}`;
}

// Steps that leap across the map, and steps that turn back on the one before, which with noise they do anyway.
function mishaps(p, path, width) {
  const found = [], lengths = path.slice(0, -1).map(point => norm(point.step));
  const longest = lengths.reduce((best, length, at) => length > lengths[best] ? at : best, 0);
  if (lengths[longest] > width / 2) found.push(`one step threw it ${digits(lengths[longest], 3)} away (step ${longest + 1})`);
  if (path.length > 10 && !p.draws) {
    const back = path.slice(1, -1).filter((point, at) => dot(point.step, path[at].step) < 0).length;
    const share = back / (path.length - 2);
    const [, amount] = AMOUNTS.find(([least]) => share > least);
    if (amount) found.push(`${amount} of the steps go back and forth across the valley`);
  }
  return found;
}

// Where a run has come to a stop, or nearly so.
function standing(path, width) {
  const last = path.at(-1), length = norm(path.at(-2).step);
  if (norm(last.gradient) < 1e-6 * Math.max(1, norm(path[0].gradient))) return [place(last)];
  return length < 1e-3 * width ? [`its last step is ${digits(length)} long`] : [];
}

function place({value, hessian}) {
  const curvatures = modes(hessian).map(([curvature]) => curvature), loss = `at a loss of ${digits(value, 3)}`;
  const flat = curvatures.filter(each => Math.abs(each) <= FLAT).length, down = curvatures.filter(each => each < -FLAT).length;
  if (flat === 2) return `it stands where gradient and curvatures are 0, ${loss}`;
  if (flat) return `it stands on nearly level ground, ${loss}`;
  return [`it rests in another minimum, ${loss}`, "it stands at a saddle", "it stands on a maximum"][down];
}
