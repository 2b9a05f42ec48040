// What moving_gaussian.compute does, for the mean m of the fakes. Both Gaussians have the deviation 1.
const m = mean.value, towards = Math.sign(m - REAL);
const x = curves.data.x, n = x.length, step = x[1] - x[0];
const log_normal = (t, at) => -0.5 * (t - at) ** 2 - 0.5 * Math.log(2 * Math.PI);
const p = new Float64Array(n), q = new Float64Array(n), D = new Float64Array(n), critic = new Float64Array(n);
let jsd = 0, w1 = 0, F = 0;
for (let i = 0; i < n; i++) {
  const log_p = log_normal(x[i], REAL), log_q = log_normal(x[i], m);
  p[i] = Math.exp(log_p);
  q[i] = Math.exp(log_q);
  D[i] = 1 / (1 + Math.exp(log_q - log_p));
  critic[i] = -towards * (x[i] - 0.5 * (m + REAL));
  const log_m = Math.max(log_p, log_q) + Math.log1p(Math.exp(-Math.abs(log_p - log_q))) - Math.log(2);
  jsd += 0.5 * (p[i] * (log_p - log_m) + q[i] * (log_q - log_m)) * step;
  const before = F;  // the difference of the distribution functions
  if (i) F += 0.5 * (p[i] - q[i] + p[i - 1] - q[i - 1]) * step;
  if (i) w1 += 0.5 * (Math.abs(before) + Math.abs(F)) * step;
}
curves.data = {x, p, q, D, critic};
now.data = {mean: [m, m], distance: [jsd, w1]};

// At x = m the logit is d = log p - log q, with the slope REAL - m: log(1 - D) pushes by D |d'|, -log D by (1 - D) |d'|.
const at_fakes = 1 / (1 + Math.exp(0.5 * (m - REAL) ** 2)), slope = Math.abs(m - REAL);
const push = [at_fakes * slope, (1 - at_fakes) * slope, Math.abs(towards)];
pushes.data = {loss: pushes.data.loss, push: push.map(each => Math.max(each, 1e-12))};
if (fake.data.x[0] !== m || fake.data.y[0] !== 0) fake.data = {x: [m], y: [0]};
