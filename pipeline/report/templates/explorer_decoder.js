"use strict";
// What a decoder computes, in plain arithmetic. A map is {side, channels, data}: `data` has a
// pixel's channels beside each other, pixel by pixel, row by row.

// The bytes that a text holds: deflated, in base64.
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Reads numbers in the order in which they were packed; every one is little-endian.
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  take(Type, count) {
    const end = this.at + count * Type.BYTES_PER_ELEMENT;
    const numbers = new Type(this.bytes.slice(this.at, end).buffer);
    this.at = end;
    return numbers;
  }
  // Rows of whole numbers times the row's scale; of 16 bits where the row is wide, else of 8.
  matrix(rows, size) {
    const scales = this.take(Float32Array, rows), wide = this.take(Uint8Array, rows);
    const numbers = new Float32Array(rows * size);
    for (let row = 0; row < rows; row++) {
      const whole = this.take(wide[row] ? Int16Array : Int8Array, size);
      for (let i = 0; i < size; i++) numbers[row * size + i] = scales[row] * whole[i];
    }
    return numbers;
  }
}

const newMap = (side, channels) => (
  { side, channels, data: new Float32Array(side * side * channels) });

const eachNumber = (change) => (map) => ({ ...map, data: map.data.map(change) });

// A frame of one zero around a map.
function padded({ side, channels, data }) {
  const frame = newMap(side + 2, channels), row = side * channels;
  for (let y = 0; y < side; y++) {
    frame.data.set(data.subarray(y * row, (y + 1) * row), ((y + 1) * (side + 2) + 1) * channels);
  }
  return frame;
}

// The windows of a frame as rows of numbers: those whose corners are (top + y, left + x).
function windows({ side, channels, data }, window, top, left, count) {
  const row = window * channels, size = window * row;
  const found = new Float32Array(count * count * size);
  let to = 0;
  for (let y = 0; y < count; y++) {
    for (let x = 0; x < count; x++) {
      for (let line = 0; line < window; line++, to += row) {
        const from = ((top + y + line) * side + left + x) * channels;
        for (let i = 0; i < row; i++) found[to + i] = data[from + i];
      }
    }
  }
  return found;
}

// bias + patch . row for each patch and each row of weights, which begin at `from`. Two patches
// and four rows at once, so that a number that is read is used more than once; at an odd end the
// last patch or row is taken twice.
function products(patches, size, weights, from, bias) {
  const outputs = bias.length, count = patches.length / size;
  const sums = new Float32Array(count * outputs);
  const lastPatch = count - 1, lastRow = outputs - 1;
  for (let patch = 0; patch < count; patch += 2) {
    const next = Math.min(patch + 1, lastPatch);
    const u = patch * size, v = next * size, to = patch * outputs, beside = next * outputs;
    for (let a = 0; a < outputs; a += 4) {
      const [b, c, d] = [1, 2, 3].map((more) => Math.min(a + more, lastRow));
      const k = from + a * size, l = from + b * size, m = from + c * size, n = from + d * size;
      let ua = bias[a], ub = bias[b], uc = bias[c], ud = bias[d];
      let va = ua, vb = ub, vc = uc, vd = ud;
      for (let i = 0; i < size; i++) {
        const x = patches[u + i], y = patches[v + i];
        const p = weights[k + i], q = weights[l + i], r = weights[m + i], s = weights[n + i];
        ua += x * p; ub += x * q; uc += x * r; ud += x * s;
        va += y * p; vb += y * q; vc += y * r; vd += y * s;
      }
      sums[to + a] = ua; sums[to + b] = ub; sums[to + c] = uc; sums[to + d] = ud;
      sums[beside + a] = va; sums[beside + b] = vb; sums[beside + c] = vc; sums[beside + d] = vd;
    }
  }
  return sums;
}

// Each layer by its name: from what the page says of it, and the reader that has its numbers, to a
// function of what comes before it.
const LAYERS = {
  // z to a map: a row of what is read is what one dimension of z adds to it.
  linear({ rows, size, side, channels }, reader) {
    const added = reader.matrix(rows, size), bias = reader.take(Float32Array, size);
    const weights = added.map((_, i) => added[(i % rows) * size + Math.floor(i / rows)]);
    return (z) => ({ side, channels, data: products(z, rows, weights, 0, bias) });
  },
  // A convolution of odd window that keeps the side.
  conv({ rows, size, window }, reader) {
    const weights = reader.matrix(rows, size), bias = reader.take(Float32Array, rows);
    const corner = window === 1 ? 1 : 0;
    return (map) => {
      const patches = windows(padded(map), window, corner, corner, map.side);
      const data = products(patches, size, weights, 0, bias);
      return { side: map.side, channels: rows, data };
    };
  },
  // The transposed 4x4 convolution that doubles the side: four 2x2 ones, one for the pixels of even
  // rows and columns, one for even rows and odd columns, and so on.
  up({ rows, size }, reader) {
    const channels = rows / 4;
    const weights = reader.matrix(rows, size), bias = reader.take(Float32Array, channels);
    return ({ side, ...map }) => {
      const frame = padded({ side, ...map }), made = newMap(2 * side, channels);
      for (const [part, [odd, right]] of [[0, 0], [0, 1], [1, 0], [1, 1]].entries()) {
        const patches = windows(frame, 2, odd, right, side);
        const quarter = products(patches, size, weights, part * channels * size, bias);
        for (let pixel = 0; pixel < side * side; pixel++) {
          const y = 2 * Math.floor(pixel / side) + odd, x = 2 * (pixel % side) + right;
          const own = quarter.subarray(pixel * channels, (pixel + 1) * channels);
          made.data.set(own, (y * 2 * side + x) * channels);
        }
      }
      return made;
    };
  },
  // x + body(x).
  add({ body }, reader) {
    const branch = chain(body, reader);
    return (map) => {
      const added = branch(map).data;
      return { ...map, data: map.data.map((value, i) => value + added[i]) };
    };
  },
  // Each 2x2 patch of a channel to four channels, and back.
  unshuffle: () => (map) => {
    const made = newMap(map.side / 2, 4 * map.channels);
    eachPatch(map, made, (wide, narrow) => (made.data[narrow] = map.data[wide]));
    return made;
  },
  shuffle: () => (map) => {
    const made = newMap(2 * map.side, map.channels / 4);
    eachPatch(made, map, (wide, narrow) => (made.data[wide] = map.data[narrow]));
    return made;
  },
  relu: () => eachNumber((x) => (x > 0 ? x : 0)),
  silu: () => eachNumber((x) => x / (1 + Math.exp(-x))),
  sigmoid: () => eachNumber((x) => 1 / (1 + Math.exp(-x))),
  clamp: () => eachNumber((x) => Math.min(1, Math.max(0, x))),
  // From [0, 1] to [-1, 1].
  center: () => eachNumber((x) => 2 * x - 1),
};

// Pairs the numbers of a map with those of the one that has its 2x2 patches as channels.
function eachPatch(wide, narrow, pair) {
  for (let y = 0; y < wide.side; y++) {
    for (let x = 0; x < wide.side; x++) {
      for (let channel = 0; channel < wide.channels; channel++) {
        const patch = (y >> 1) * narrow.side + (x >> 1);
        const within = 4 * channel + 2 * (y % 2) + (x % 2);
        pair((y * wide.side + x) * wide.channels + channel, patch * narrow.channels + within);
      }
    }
  }
}

// Layers one after another.
function chain(layers, reader) {
  const steps = layers.map((layer) => LAYERS[layer.name](layer, reader));
  return (input) => steps.reduce((value, step) => step(value), input);
}
