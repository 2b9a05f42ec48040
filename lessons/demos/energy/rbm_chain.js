// What was pressed: a button by its name, the toggle, or the picture of the pixels.
const pressed = (cb_obj.origin ?? cb_obj).name;
const n = bias.length, hiddens = a.length, side = 28;
const sigmoid = t => 1 / (1 + Math.exp(-t));

function step() {
  const {v, held} = state.data;
  const hidden = new Float64Array(hiddens), h = new Float64Array(hiddens), visible = new Float64Array(n), next = new Float64Array(n);
  let F = 0;
  for (let j = 0; j < hiddens; j++) {
    let input = a[j];
    for (let i = 0; i < n; i++) if (v[i]) input += W[i * hiddens + j];
    hidden[j] = sigmoid(input);
    h[j] = Math.random() < hidden[j] ? 1 : 0;
    F -= Math.max(input, 0) + Math.log1p(Math.exp(-Math.abs(input)));
  }
  for (let i = 0; i < n; i++) {
    F -= bias[i] * v[i];
    let input = bias[i];
    for (let j = 0; j < hiddens; j++) if (h[j]) input += W[i * hiddens + j];
    visible[i] = held[i] ? held[i] - 1 : sigmoid(input);  // held: 0 no, 1 black, 2 white
    next[i] = Math.random() < visible[i] ? 1 : 0;
  }
  state.data = {...state.data, v: next, visible, before: v};
  units.data = {h, hidden};
  said.text = `F = ${F.toFixed(2)} nats`;
  show();
}

function show() {
  const {v, held, visible} = state.data;
  const put = (picture, values, width) => {
    const image = picture.data.image[0], height = values.length / width;
    for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) image[(height - 1 - i) * width + j] = values[i * width + j];
    picture.change.emit();
  };
  put(pictures[0], Array.from(v, (each, i) => held[i] ? held[i] + 1 : each), side);
  put(pictures[1], visible, side);
  put(pictures[2], units.data.hidden, 10);
}

function hold(i) {
  const held = Float64Array.from(state.data.held), v = Float64Array.from(state.data.v);
  held[i] = {0: 2, 2: 1, 1: 0}[held[i]];
  if (held[i]) v[i] = held[i] - 1;
  state.data = {...state.data, held, v};
  show();
}

if (pressed === "step") step();
else if (pressed === "run") {
  if (cb_obj.active) window.pydgm_chain = setInterval(step, 120); else clearInterval(window.pydgm_chain);
} else if (pressed === "from_noise") {
  const {held} = state.data;
  state.data = {...state.data, v: Float64Array.from(held, each => each ? each - 1 : Math.random() < 0.5 ? 1 : 0)};
  show();
} else if (pressed === "let_all_go") {
  state.data = {...state.data, held: new Float64Array(n)};
  show();
} else if (pressed === "hold") hold((row.value - 1) * side + column.value - 1);
else {
  const i = side - 1 - Math.floor(cb_obj.y), j = Math.floor(cb_obj.x);
  if (0 <= i && i < side && 0 <= j && j < side) hold(i * side + j);
}
