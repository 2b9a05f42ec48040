// The decoder: z -> relu(z W0 + b0) -> sigmoid(h W1 + b1), for the sliders' z.
const z = [z1.value, z2.value];
const layer = (x, W, b) => Array.from(b, (bias, j) => x.reduce((sum, each, i) => sum + each * W[i * b.length + j], bias));
const h = layer(z, W0, b0).map(t => Math.max(t, 0));
const pixels = layer(h, W1, b1).map(t => 1 / (1 + Math.exp(-t)));
const shown = image.data.image[0];
for (let i = 0; i < 28; i++) for (let j = 0; j < 28; j++) shown[(27 - i) * 28 + j] = pixels[i * 28 + j];  // the first row is the lowest
image.change.emit();
if (here.data.x[0] !== z[0] || here.data.y[0] !== z[1]) here.data = {x: [z[0]], y: [z[1]]};
