// What the page holds, and which code a state of the hand means in a run's own code space.
const page = JSON.parse(document.querySelector("#page").textContent);
// Images of a strip, from one end of what the hand holds to the other.
const FRAMES = 9;

const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
// In steps of 8 bits, and the mean squared error.
const distance = (one, other) =>
  255 * mean(one.data.map((value, i) => Math.abs(value - other.data[i])));
const squaredError = (one, other) => mean(one.data.map((value, i) => (value - other.data[i]) ** 2));

// Test images as maps of numbers in [0, 1], and runs, each read when it is first looked at.
const { count } = page.originals;
const originals = [], runs = [];
async function readPage() {
  const texts = [...document.querySelectorAll("[type='text/plain']")];
  const [images, ...numbers] = await Promise.all(texts.map((text) => inflate(text.textContent)));
  const { channels, side } = page.originals, reader = new Reader(images);
  for (let i = 0; i < count; i++) {
    const pixels = reader.take(Uint8Array, channels * side * side);
    originals.push({ side, channels, data: Float32Array.from(pixels, (value) => value / 255) });
  }
  page.runs.forEach((run, i) => {
    let whole = null;
    runs.push(() => (whole ??= readRun(run, new Reader(numbers[i]))));
  });
}
function readRun(run, reader) {
  const codes = {};
  const rows = (length) => {
    const matrix = reader.matrix(length, run.size);
    return Array.from({ length }, (_, i) => matrix.subarray(i * run.size, (i + 1) * run.size));
  };
  for (const [name, length] of Object.entries(run.codes)) codes[name] = rows(length);
  const axes = rows(run.directions.length);
  return { ...run, codes, axes, decode: chain(run.layers, reader) };
}

// A state is {start, offsets, held}. `start`: the code of an image on its way to another's, or a
// draw from a prior; `code` is another image's than `image` when shuffled. `offsets`: standard
// deviations along each direction. `held`: what the hand moved last, a direction by its number.
function codeOf({ codes, axes }, { start, offsets }) {
  const ends = start.prior
    ? [codes[start.prior][start.draw], codes[start.prior][start.draw]]
    : [codes.images[start.code], codes.images[start.to]];
  const z = ends[0].map((value, i) => value + start.share * (ends[1][i] - value));
  axes.forEach((axis, k) => axis.forEach((step, i) => (z[i] += offsets[k] * step)));
  return z;
}

// The state with all that slides back at its start.
const atRest = ({ start, offsets }) => (
  { start: { ...start, share: 0 }, offsets: offsets.map(() => 0) });

// Whose code an image gets when codes are shuffled, by how many places: never its own.
const shuffled = (image, places) => (image + 1 + (places % Math.max(1, count - 1))) % count;

// What is held, from end to end: nine states, and where among them the present one is.
function endToEnd({ start, offsets, held }, places) {
  const nine = (change) => Array.from({ length: FRAMES }, (_, i) => change(i));
  const from = (changes) => ({ start: { ...start, ...changes }, offsets });
  const pageOf = (index) => FRAMES * Math.floor(index / FRAMES);
  if (held === "path") {
    const last = FRAMES - 1;
    return { states: nine((i) => from({ share: i / last })), place: start.share * last };
  }
  if (held === "draw") {
    const first = pageOf(start.draw), total = page.runs[0].codes[start.prior];
    return { states: nine((i) => from({ draw: (first + i) % total })), place: start.draw - first };
  }
  if (held === "image") {
    const first = pageOf(start.image);
    const code = (image) => (start.code === start.image ? image : shuffled(image, places));
    const at = (image) => from({ image, code: code(image) });
    return { states: nine((i) => at((first + i) % count)), place: start.image - first };
  }
  const reach = (FRAMES - 1) / 2;
  const moved = (i) => offsets.map((offset, k) => (k === held ? i - reach : offset));
  return {
    states: nine((i) => ({ start, offsets: moved(i) })),
    place: Math.round(offsets[held]) + reach,
  };
}
