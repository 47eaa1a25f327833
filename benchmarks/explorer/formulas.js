// The problems' formulas in two dimensions: (p, [x, y]) → [loss, gradient, Hessian].
// p has the problem's fields and the data of its instance, under the names that they have in Python. A Hessian
// [[a, b], [b, c]] is written [a, b, c]. An entry is named after the problem, and may also say when a run is solved
// (`accepted`, a level of the loss), where the loss is least along a line (`zero`, a function that is 0 there), and
// what a draw of the noise adds to the gradient (`push`, from noise of strength 1).

const minus = ([a, b], [c, d]) => [a - c, b - d];
const plus = ([a, b], [c, d]) => [a + c, b + d];
const times = (factor, [a, b]) => [factor * a, factor * b];
const dot = ([a, b], [c, d]) => a * c + b * d;
const norm = ([a, b]) => Math.hypot(a, b);
const product = ([a, b, c], [x, y]) => [a * x + b * y, b * x + c * y];
const sigmoid = x => 1 / (1 + Math.exp(-x));

// A formula in coordinates z = Qᵀ(x − center), the columns of Q being the axes.
function turned([[a, b], [c, d]], center, x, formula) {
  const [u, v] = minus(x, center);
  const [value, [g, h], [gg, gh, hh]] = formula([a * u + c * v, b * u + d * v]);
  return [
    value,
    [a * g + b * h, c * g + d * h],
    [
      a * a * gg + 2 * a * b * gh + b * b * hh,
      a * c * gg + (a * d + b * c) * gh + b * d * hh,
      c * c * gg + 2 * c * d * gh + d * d * hh,
    ],
  ];
}

// ½ (x − m)ᵀ H (x − m)
function form({minimizer, hessian: [[a, b], [, c]]}, x) {
  const error = minus(x, minimizer), gradient = product([a, b, c], error);
  return [dot(error, gradient) / 2, gradient, [a, b, c]];
}

// Σ φ(zᵢ), from φ and its first two derivatives.
function separable(profile) {
  return ([u, v]) => {
    const [f, df, ddf] = profile(u), [g, dg, ddg] = profile(v);
    return [f + g, [df, dg], [ddf, 0, ddg]];
  };
}

// S(t) = e^(−1/t)/(e^(−1/t) + e^(−1/(1−t))), from 0 to 1, and its first two derivatives.
function smoothStep(t) {
  if (!(t > 1e-3 && t < 1 - 1e-3)) return [t > 0.5 ? 1 : 0, 0, 0];
  const q = 1 / (1 - t) - 1 / t, dq = 1 / (1 - t) ** 2 + 1 / t ** 2, ddq = 2 / (1 - t) ** 3 - 2 / t ** 3;
  const s = sigmoid(q), slope = s * (1 - s);
  return [s, slope * dq, slope * ((1 - 2 * s) * dq * dq + ddq)];
}

// 1 − erf(x): a series of positive terms near 0, a continued fraction beyond.
function erfc(x) {
  if (x < 0) return 2 - erfc(-x);
  const bell = Math.exp(-x * x) / Math.sqrt(Math.PI);
  if (x < 2.5) {
    let term = x, sum = x;
    for (let n = 1; term > 1e-17 * sum; n++) sum += term *= 2 * x * x / (2 * n + 1);
    return 1 - 2 * bell * sum;
  }
  let below = x;
  for (let n = 80; n > 0; n--) below = x + n / 2 / below;
  return bell / below;
}

const LANDSCAPES = {
  quadratic: {at: form},

  rosenbrock: {
    at({b}, [x, y]) {
      const wall = y - x * x;
      return [
        b * wall ** 2 + (1 - x) ** 2,
        [-4 * b * x * wall - 2 * (1 - x), 2 * b * wall],
        [2 - 4 * b * (y - 3 * x * x), -4 * b * x, 2 * b],
      ];
    },
  },

  winding_ravine: {
    at({shear, swing, across: b, along: c, minimizer}, x) {
      const [u, v] = minus(x, minimizer), angle = shear / swing * u;
      const wall = v - swing * Math.sin(angle), slope = shear * Math.cos(angle), bend = -shear * shear / swing * Math.sin(angle);
      return [
        (c * u * u + b * wall * wall) / 2,
        [c * u - b * wall * slope, b * wall],
        [c + b * (slope * slope - wall * bend), -b * slope, b],
      ];
    },
  },

  narrowing_valley: {
    at({narrowing, length, minimizer}, x) {
      const [u, v] = minus(x, minimizer), rate = narrowing / length, stiffness = Math.exp(narrowing + rate * u);
      const wall = stiffness * v * v / 2;
      return [
        u * u / (2 * length) + wall,
        [u / length + rate * wall, stiffness * v],
        [1 / length + rate * rate * wall, rate * stiffness * v, stiffness],
      ];
    },
    push: ({noise}, draw) => times(noise, draw),
  },

  rastrigin: {
    at({amplitude, basis, minimizer}, x) {
      const turn = 2 * Math.PI;
      return turned(basis, minimizer, x, separable(z => [
        z * z + amplitude * (1 - Math.cos(turn * z)),
        2 * z + turn * amplitude * Math.sin(turn * z),
        2 + turn * turn * amplitude * Math.cos(turn * z),
      ]));
    },
  },

  bad_neuron: {
    at({asymptotic, examples, counts}, w) {
      let value = 0, gradient = [0, 0], hessian = [0, 0, 0];
      examples.forEach((example, i) => {
        const output = Math.tanh(dot(w, example)), error = output - (asymptotic ? 1 : 0.8), slope = 1 - output * output;
        const bend = counts[i] * slope * (slope - 2 * output * error), [x, y] = example;
        value += counts[i] * error * error / 2;
        gradient = plus(gradient, times(counts[i] * error * slope, example));
        hessian = [hessian[0] + bend * x * x, hessian[1] + bend * x * y, hessian[2] + bend * y * y];
      });
      return [value, gradient, hessian];
    },
  },

  monkey_saddle: {
    at({wall: q, basis, center}, x) {
      return turned(basis, center, x, ([u, v]) => {
        const square = u * u + v * v;
        return [
          u * (u * u - 3 * v * v) + q / 4 * square * square,
          [3 * (u * u - v * v) + q * square * u, -6 * u * v + q * square * v],
          [6 * u + q * (square + 2 * u * u), -6 * v + 2 * q * u * v, -6 * u + q * (square + 2 * v * v)],
        ];
      });
    },
  },

  mexican_hat: {
    at({center}, x) {
      const [u, v] = minus(x, center), height = u * u + v * v - 1;
      return [height * height / 4, [height * u, height * v], [height + 2 * u * u, 2 * u * v, height + 2 * v * v]];
    },
    zero: ({center}, x) => dot(minus(x, center), minus(x, center)) - 1,
  },

  shelf: {
    at({width, basis, minimizer}, x) {
      return turned(basis, minimizer, x, separable(z => {
        const beyond = z - 1 - width, [r, dr, ddr] = smoothStep(beyond);
        const [l, slope, bend] = smoothStep(2 * z - 1), dl = 2 * slope, ddl = 4 * bend;
        return [
          ((1 - l) * z * z + l + r * beyond ** 2) / 2,
          (1 - l) * z + r * beyond + (dl * (1 - z * z) + dr * beyond ** 2) / 2,
          1 - l + r - 2 * dl * z + 2 * dr * beyond + (ddl * (1 - z * z) + ddr * beyond ** 2) / 2,
        ];
      }));
    },
  },

  // x_t and its derivatives by w and b are carried along.
  cliff: {
    at({steps}, [w, b]) {
      let s = sigmoid(0.5), x, u = 0, v = 0, uu = 0, uv = 0, vv = 0;
      for (let t = 0; t < steps; t++) {
        const slope = s * (1 - s), factor = w * slope, bend = factor * (1 - 2 * s);
        uu = factor * uu + u * (bend * u + 2 * slope);
        uv = factor * uv + v * (bend * u + slope);
        vv = factor * vv + v * bend * v;
        u = factor * u + s;
        v = factor * v + 1;
        x = w * s + b;
        s = sigmoid(x);
      }
      const error = s - 0.7, slope = s * (1 - s), pull = 2 * error * slope;
      const along = 2 * (slope * slope + error * slope * (1 - 2 * s));
      return [
        error * error,
        [pull * u, pull * v],
        [along * u * u + pull * uu, along * u * v + pull * uv, along * v * v + pull * vv],
      ];
    },
    zero({steps}, [w, b]) {
      let s = sigmoid(0.5);
      for (let t = 0; t < steps; t++) s = sigmoid(w * s + b);
      return s - 0.7;
    },
  },

  generalized_smoothness: {
    at({growth, slope, axes, minimizer}, x) {
      return turned(axes, minimizer, x, ([steep, gentle]) => {
        const bottom = Math.max(-1, Math.min(1, gentle)), square = bottom * bottom;
        const wall = 2 * Math.sinh(growth / 2 * steep) ** 2 / growth ** 2;
        return [
          wall + slope * (square * (6 - square) / 8 + Math.abs(gentle) - Math.abs(bottom)),
          [Math.sinh(growth * steep) / growth, slope / 2 * bottom * (3 - square)],
          [Math.cosh(growth * steep), 0, 1.5 * slope * (1 - square)],
        ];
      });
    },
    accepted: ({target, slope}) => target * slope * 9.625,
  },

  // ½ |R (x − m)|², R the product of all steps
  matrix_power: {
    at({minimizer, root: [[a, b], [c, d]], hessian: [[h, i], [, j]]}, x) {
      const [u, v] = minus(x, minimizer), first = a * u + b * v, second = c * u + d * v;
      return [(first * first + second * second) / 2, [a * first + c * second, b * first + d * second], [h, i, j]];
    },
  },

  noisy_quadratic: {at: form, push: ({noise}, draw) => times(Math.sqrt(noise), draw)},

  mountain: {
    at({tilt, height, center, ahead}, x) {
      const [u, v] = minus(x, center), [a, b] = ahead, along = a * u + b * v;
      const top = height * Math.exp(-(u * u + v * v) / 2), slope = tilt / Math.sqrt(2 * Math.PI) * Math.exp(-along * along / 2);
      const bend = slope * along;
      return [
        top + tilt / 2 * erfc(along / Math.SQRT2),
        [-top * u - slope * a, -top * v - slope * b],
        [top * (u * u - 1) + bend * a * a, top * u * v + bend * a * b, top * (v * v - 1) + bend * b * b],
      ];
    },
  },

  step_units: {
    at({sharpness, inputs, outputs}, w) {
      let value = 0, gradient = [0, 0], hessian = [0, 0, 0];
      inputs.forEach(([x, y], i) => {
        const answer = sigmoid(sharpness * (w[0] * x + w[1] * y)), error = answer - outputs[i];
        const slope = sharpness * answer * (1 - answer), bend = slope * slope + error * sharpness * slope * (1 - 2 * answer);
        value += error * error / 2;
        gradient = plus(gradient, times(error * slope, [x, y]));
        hessian = [hessian[0] + bend * x * x, hessian[1] + bend * x * y, hessian[2] + bend * y * y];
      });
      return [value / inputs.length, times(1 / inputs.length, gradient), hessian.map(each => each / inputs.length)];
    },
  },
};

// What a formula gets at a stop of the slider, and what else the page knows about the problem there.
function parameters(scene, stop) {
  const {value, data, start, ...known} = scene.stops[stop];
  return {...scene.fields, ...data, ...known, [scene.slider.name]: value, target: scene.target, draws: scene.draws};
}
