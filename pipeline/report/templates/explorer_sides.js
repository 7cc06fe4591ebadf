// A side of the page: a run, what it is, and what it makes of the hand's state.
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// The language is the address's, or else the page's first.
const languages = Object.keys(page.languages);
let language = languages[0];
const say = (name, values = {}) => Object.entries(values).reduce(
  (text, [key, value]) => text.replaceAll(`{${key}}`, value), page.texts[language][name] ?? name);

function paint(canvas, { side, channels, data }) {
  canvas.width = canvas.height = side;
  const pixels = new ImageData(side, side);
  for (let i = 0; i < side * side; i++) {
    for (let color = 0; color < 3; color++) {
      pixels.data[4 * i + color] = Math.round(255 * data[i * channels + (color % channels)]);
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

const percent = (share) => {
  const text = (100 * share).toFixed(Math.abs(share) < 0.0995 ? 1 : 0);
  return `${text.replace(/^-(0\.0)$/, "$1").replace("-", "−")} %`;
};
const signed = (value) => {
  const sign = value < 0 ? "−" : "+";
  return value === 0 ? "0" : sign + Math.abs(value).toFixed(1);
};

// What a state is, in words.
function what({ start, offsets }) {
  const { image, code, to, share, prior, draw } = start;
  const words = prior
    ? [say("drawn", { draw: draw + 1, prior: say(`prior_${prior}`) })]
    : [say("image", { image: image + 1 })];
  if (!prior && code !== image) words.push(say("code_of", { other: code + 1 }));
  if (!prior && share) {
    words.push(say("share_of_path", { share: percent(share), other: to + 1 }));
  }
  offsets.forEach((offset, k) => {
    if (offset) words.push(`${say("direction", { direction: k + 1 })}: ${signed(offset)}`);
  });
  return words.join(", ");
}

class Side {
  constructor(element) {
    this.element = element;
    this.select = $("select", element);
    this.frames = $$(".sweep canvas", element);
  }
  get run() {
    return runs[this.select.selectedIndex]();
  }
  decode(of) {
    return this.run.decode(codeOf(this.run, of));
  }
  find(selector) {
    return $(selector, this.element);
  }
  // What is known of the run.
  describe() {
    const { label, active, size, kl, psnr, gain, dimensions } = this.run;
    this.find(".badge").textContent = say(`label_${label}`);
    this.find(".badge").dataset.label = label;
    this.find(".units").textContent = say("units", { active, size });
    const facts = { kl: kl.toFixed(1), psnr: psnr.toFixed(2), gain: percent(gain) };
    for (const name in facts) this.find(`[data-fact=${name}]`).textContent = facts[name];
    const highest = Math.max(...page.runs.map((run) => run.dimensions[0]), 1e-9);
    const top = (nats) => (30 - (29 * nats) / highest).toFixed(2);
    const right = (i) => ((100 * (i + 1)) / size).toFixed(2);
    const steps = dimensions.map((nats, i) => `V${top(nats)}H${right(i)}`);
    this.find("path").setAttribute("d", `M0 30${steps.join("")}V30Z`);
    this.find("figcaption").textContent = say("dimensions", { size });
  }
  // The state's image, and how far it is from the one before a choice or at the slider's zero.
  show(chosen) {
    if (chosen) this.before = this.image;
    this.image = this.decode(state);
    const slides = state.held === "path" || typeof state.held === "number";
    const reference = slides ? this.atRest() : this.before ?? this.image;
    this.moved = distance(this.image, reference).toFixed(1);
    const picture = this.find(".picture");
    paint(picture, this.image);
    const words = { run: this.run.name, what: what(state), moved: this.moved };
    picture.setAttribute("aria-label", say("alt", words));
    this.find(".moved .value").textContent = say("moved", { moved: this.moved });
    this.find(".bar span").style.width = `${Math.min(100, this.moved)}%`;
    this.find(".misses").textContent = this.misses();
  }
  // The image with every slider at its zero; it is the same while they move.
  atRest() {
    const rest = atRest(state), key = JSON.stringify([this.run.name, rest]);
    if (this.rest?.key !== key) this.rest = { key, image: this.decode(rest) };
    return this.rest.image;
  }
  // The detector's test: the error with an image's own code, and with another's.
  misses() {
    const { start, offsets } = state;
    if (start.prior || start.share || offsets.some(Boolean)) return "";
    const shown = squaredError(this.image, originals[start.image]);
    if (start.code === start.image) return say("misses", { own: shown.toFixed(4) });
    const made = this.decode({ start: { ...start, code: start.image }, offsets });
    const own = squaredError(made, originals[start.image]);
    const values = { own: own.toFixed(4), other: shown.toFixed(4), gain: percent(1 - own / shown) };
    return say("misses_more", values);
  }
  mark(place) {
    this.frames.forEach((frame, i) => frame.classList.toggle("now", i === Math.round(place)));
  }
}
