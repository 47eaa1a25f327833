// The optimizers, and runs of them. METHODS[name](settings) returns a function that takes what is seen at a point,
// {gradient, hessian}, and returns the step; settings have lr and momentum. Other values are the package's defaults.

const BETA1 = 0.9, BETA2 = 0.999, ALPHA = 0.99, EPS = 1e-8, DAMPING = 0.1;
const HOLD = 10;  // steps in a row within the target that make a run solved
const CEILING = 1e6;  // gap above which a run diverges, if it is so for HOLD steps in a row

const METHODS = {
  sgd: ({lr}) => ({gradient}) => times(-lr, gradient),

  momentum({lr, momentum}) {
    let velocity = [0, 0];
    return ({gradient}) => {
      velocity = plus(times(momentum, velocity), gradient);
      return times(-lr, velocity);
    };
  },

  nesterov({lr, momentum}) {
    let velocity = [0, 0];
    return ({gradient}) => {
      velocity = plus(times(momentum, velocity), gradient);
      return times(-lr, plus(gradient, times(momentum, velocity)));
    };
  },

  rmsprop({lr}) {
    let square = [0, 0];
    return ({gradient}) => {
      square = square.map((v, i) => ALPHA * v + (1 - ALPHA) * gradient[i] ** 2);
      return gradient.map((g, i) => -lr * g / (Math.sqrt(square[i]) + EPS));
    };
  },

  adam({lr}) {
    let mean = [0, 0], square = [0, 0], t = 0;
    return ({gradient}) => {
      t++;
      mean = mean.map((m, i) => BETA1 * m + (1 - BETA1) * gradient[i]);
      square = square.map((v, i) => BETA2 * v + (1 - BETA2) * gradient[i] ** 2);
      const rate = -lr / (1 - BETA1 ** t);
      return mean.map((m, i) => rate * m / (Math.sqrt(square[i] / (1 - BETA2 ** t)) + EPS));
    };
  },

  newton: ({lr}) => ({gradient, hessian}) => times(-lr, solved(hessian, gradient)),

  saddle_free_newton: ({lr}) => ({gradient, hessian}) =>
    along(hessian, gradient, curvature => -lr / (Math.abs(curvature) + DAMPING)),
};

// Gradients longer than the threshold are shortened to it.
function clipped(threshold, method) {
  return seen => method({...seen, gradient: times(Math.min(1, threshold / (norm(seen.gradient) + 1e-6)), seen.gradient)});
}

// The curvatures of a Hessian and their directions, by one of Jacobi's rotations.
function modes([a, b, c]) {
  if (b === 0) return [[a, [1, 0]], [c, [0, 1]]];
  const half = (c - a) / (2 * b), tangent = Math.sign(half || 1) / (Math.abs(half) + Math.hypot(1, half));
  const cosine = 1 / Math.hypot(1, tangent), sine = tangent * cosine;
  return [[a - tangent * b, [cosine, -sine]], [c + tangent * b, [sine, cosine]]];
}

// The vector, its part along each mode multiplied by a function of the curvature.
function along(hessian, vector, factor) {
  const part = ([curvature, direction]) => times(factor(curvature) * dot(direction, vector), direction);
  const [first, second] = modes(hessian).map(part);
  return plus(first, second);
}

// H⁻¹ g by elimination; H⁺ g, the shortest solution, where H is exactly singular.
function solved([a, b, c], [p, q]) {
  const rows = [[a, b, p], [b, c, q]];
  const [[first, second, right], [under, low, below]] = Math.abs(a) >= Math.abs(b) ? rows : rows.reverse();
  const pivot = low - under / first * second;
  if (first !== 0 && pivot !== 0) {
    const y = (below - under / first * right) / pivot;
    return [(right - second * y) / first, y];
  }
  const largest = Math.max(...modes([a, b, c]).map(([curvature]) => Math.abs(curvature)));
  return along([a, b, c], [p, q], curvature => Math.abs(curvature) > 2 * Number.EPSILON * largest ? 1 / curvature : 0);
}

// A run: the points {x, value, gap, gradient, hessian, step} up to `count` steps, the last one without a step. It ends
// early where it has diverged, or a number is no longer finite.
function run(landscape, p, name, settings, start, count) {
  const plain = METHODS[name](settings), method = settings.clip ? clipped(settings.clip, plain) : plain;
  const path = [];
  let x = start, height, above = 0;
  for (let t = 0; t <= count; t++) {
    const [value, gradient, hessian] = landscape.at(p, x);
    height ??= value - p.floor;
    if (![value, ...gradient].every(Number.isFinite)) break;
    const point = {x, value, gap: (value - p.floor) / height, gradient, hessian};
    path.push(point);
    above = point.gap > CEILING ? above + 1 : 0;
    if (t === count || above === HOLD) break;
    const noise = p.draws ? landscape.push(p, p.draws[t]) : [0, 0];
    point.step = method({gradient: plus(gradient, noise), hessian});
    x = plus(x, point.step);
  }
  return path;
}
