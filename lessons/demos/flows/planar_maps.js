// What planar_maps.compute does, for the sliders' values. f(z) = z + u tanh(w'z + b).
const u = [u1.value, u2.value], w = [w1.value, w2.value], bias = b.value;
const uw = u[0] * w[0] + u[1] * w[1];
const a = (x, y) => w[0] * x + w[1] * y + bias;

// The grid.
const ticks = Array.from({length: 13}, (_, i) => -3 + i * 0.5);
const along = Array.from({length: 41}, (_, i) => -3 + i * 0.15);
const of = [...ticks.map(t => along.map(s => [t, s])), ...ticks.map(t => along.map(s => [s, t]))];
const moved = of.map(line => line.map(([x, y]) => [x + u[0] * Math.tanh(a(x, y)), y + u[1] * Math.tanh(a(x, y))]));
lines.data = {xs: moved.map(line => line.map(p => p[0])), ys: moved.map(line => line.map(p => p[1]))};

// The one t with t + u'w tanh(t) = y: between y and y - u'w, by halving.
function solve(y) {
  let low = y - Math.abs(uw) - 1, high = y + Math.abs(uw) + 1;
  for (let i = 0; i < 60; i++) {
    const middle = 0.5 * (low + high);
    if (middle + uw * Math.tanh(middle) < y) low = middle; else high = middle;
  }
  return 0.5 * (low + high);
}

const p = density.data.image[0], d = log_det.data.image[0];
for (let i = 0; i < CELLS; i++) for (let j = 0; j < CELLS; j++) {
  const x = (j + 0.5) * 2 * REACH / CELLS - REACH, y = (i + 0.5) * 2 * REACH / CELLS - REACH;
  const slope = 1 - Math.tanh(a(x, y)) ** 2;
  d[i * CELLS + j] = Math.min(3, Math.max(-3, Math.log(Math.abs(1 + slope * uw))));
  if (uw <= -1) { p[i * CELLS + j] = 0; continue; }
  const t = Math.tanh(solve(a(x, y)));
  const z = [x - u[0] * t, y - u[1] * t];
  p[i * CELLS + j] = Math.exp(-0.5 * (z[0] ** 2 + z[1] ** 2)) / (2 * Math.PI) / (1 + (1 - t * t) * uw);
}
density.change.emit();
log_det.change.emit();
said.text = `u'w = ${uw.toFixed(2)}` + (uw <= -1 ? ": at most -1, so the map has no inverse, and x no density" : "");
