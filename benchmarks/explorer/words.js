// What happened to a run, in words, as far as it is shown.

const PATIENCE = 20, SHARE = 0.1;  // steps, and share of all, over which noisy runs are judged: the longer of the two
const FLAT = 1e-4;  // a curvature that is as good as none

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
  const [outcome, open] = reached(landscape, p, path), parts = [outcome, ...mishaps(p, path, width)];
  if (ended && open) parts.push(...standing(path, width));
  return `${parts.join("; ")}.`;
}

function diverged(path) {
  const far = path.findIndex(point => point.gap > CEILING);
  return far < 0 ? `step ${path.length} leads to a number that is not finite` : `from step ${far} on the gap is above 1e6 times that at the start`;
}

// What has been reached, and whether something is left.
function reached(landscape, p, path) {
  const steps = path.length - 1, last = path.at(-1);
  if (p.draws) {
    if (steps < 4) return [`after ${steps} steps`, false];
    const window = Math.min(Math.max(PATIENCE, Math.round(SHARE * steps)), Math.floor(steps / 2));
    const mean = path.slice(-window).reduce((sum, point) => sum + point.gap, 0) / window;
    return [`${mean <= p.target ? "solved" : "not solved"}: over the last ${window} steps the mean gap is ${digits(mean)} of that at the start (target ${digits(p.target)})`, false];
  }
  const level = landscape.accepted?.(p) ?? p.floor + p.target * (path[0].value - p.floor);
  const entry = path.findIndex((_, at) => at + HOLD <= path.length && path.slice(at, at + HOLD).every(point => point.value <= level));
  if (entry >= 0) return [`solved at step ${entry}: ${landscape.accepted ? `the loss is below ${digits(level)}` : `gap below ${digits(p.target)} of the start`}`, false];
  if (last.value <= level) return [`within the target after ${steps} steps`, false];
  const left = last.gap > 1.05 ? `the gap is ${digits(last.gap)} times that at the start` : last.gap > 0.995 ? "all of the gap is left" : `${digits(100 * last.gap)} % of the gap is left`;
  return [`after ${steps} steps ${left}`, true];
}

// Steps that leap across the map, and steps that turn back on the one before, which with noise they do anyway.
function mishaps(p, path, width) {
  const found = [], lengths = path.slice(0, -1).map(point => norm(point.step));
  const longest = lengths.reduce((best, length, at) => length > lengths[best] ? at : best, 0);
  if (lengths[longest] > width / 2) found.push(`one step threw it ${digits(lengths[longest], 3)} away (step ${longest + 1})`);
  if (path.length > 10 && !p.draws) {
    const back = path.slice(1, -1).filter((point, at) => dot(point.step, path[at].step) < 0).length;
    const share = back / (path.length - 2);
    const amount = share > 0.95 ? "nearly all" : share > 0.6 ? "most" : share > 0.4 ? "half" : share > 0.27 ? "a third" : "";
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
  const curvatures = modes(hessian).map(([curvature]) => curvature), down = curvatures.filter(each => each < -FLAT).length;
  const flat = curvatures.filter(each => Math.abs(each) <= FLAT).length;
  if (flat) return `it stands on ${flat === 2 ? "level" : "nearly level"} ground, at a loss of ${digits(value, 3)}`;
  return down === 2 ? "it stands on a maximum" : down ? "it stands at a saddle" : `it rests in another minimum, at a loss of ${digits(value, 3)}`;
}
