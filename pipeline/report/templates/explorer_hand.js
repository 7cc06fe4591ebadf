// The hand: what it holds, what it does, and that every change of it moves both sides.
let state = {
  start: { image: 0, code: 0, to: 1 % count, share: 0, prior: null, draw: 0 },
  offsets: $$(".direction").map(() => 0),
  held: "image",
};
// How far apart shuffled codes are, and which draw of each prior was the last.
let places = 0;
const draws = {};

const sides = $$(".side").map((element) => new Side(element));

// The hand shows what it holds.
function showHand() {
  const { start, offsets } = state;
  const original = $(".original canvas"), drawn = start.prior !== null;
  paint(original, originals[start.image]);
  original.hidden = drawn;
  original.setAttribute("aria-label", say("image", { image: start.image + 1 }));
  $(".original figcaption").textContent = say(drawn ? "no_original" : "original");
  const [from, to] = $$(".path canvas");
  paint(from, originals[start.image]);
  paint(to, originals[start.to]);
  $(".path input").value = start.share;
  $$(".images input").forEach((input, i) => (input.checked = !drawn && i === start.image));
  $("[data-do=own]").disabled = drawn || start.code === start.image;
  $$("[data-prior]").forEach(
    (button) => button.setAttribute("aria-pressed", button.dataset.prior === start.prior));
  $$(".direction").forEach((row, k) => {
    $(".name", row).textContent = say("direction", { direction: k + 1 });
    $(".value", row).textContent = signed(offsets[k]);
    $("input", row).value = offsets[k];
    const position = say("position", { position: signed(offsets[k]) });
    $("input", row).setAttribute("aria-valuetext", position);
    $$(".share", row).forEach((cell, i) => showShare(cell, sides[i]?.run.directions[k]));
  });
}
function showShare(cell, direction) {
  const text = direction && say(direction.active ? "active" : "inactive",
    { kl: direction.kl.toFixed(1) });
  cell.replaceChildren();
  if (!direction) return;
  for (const [tag, content] of [["strong", percent(direction.variance)], ["small", text]]) {
    cell.append(Object.assign(document.createElement(tag), { textContent: content }));
  }
}

// The strips take nine images a side: drawn one by one, so that the hand never waits for them.
let strip = { key: "", done: true, stop: () => {} };
function showStrips() {
  const { states, place } = endToEnd(state, places);
  sides.forEach((side) => side.mark(place));
  const key = JSON.stringify([states, sides.map((side) => side.run.name), language]);
  if (key === strip.key) return;
  strip.stop();
  let timer = 0;
  const drawing = { key, done: false, stop: () => clearTimeout(timer) };
  const made = sides.map(() => []);
  const next = (i) => {
    sides.forEach((side, k) => {
      made[k].push(side.decode(states[i]));
      paint(side.frames[i], made[k][i]);
    });
    if (i + 1 < FRAMES) return void (timer = setTimeout(next, 0, i + 1));
    sides.forEach((side, k) => nameStrip(side, made[k]));
    drawing.done = true;
  };
  timer = setTimeout(next, 0, 0);
  strip = drawing;
}
function nameStrip(side, made) {
  const moved = Math.max(...made.map((one) => distance(one, made[0]))).toFixed(1);
  side.find(".sweep").setAttribute("aria-label", say("sweep", { run: side.run.name, moved }));
}

// Everything is drawn once a frame at most, however fast the hand is.
let waiting = null;
function change(changes, chosen = false) {
  state = { ...state, ...changes };
  if (waiting) return void (waiting.chosen ||= chosen);
  waiting = { chosen };
  requestAnimationFrame(() => {
    const { chosen } = waiting;
    waiting = null;
    sides.forEach((side) => side.show(chosen));
    showHand();
    showStrips();
  });
}

// What hands can do.
const on = (event, elements, act) => elements.forEach(
  (element, index) => element.addEventListener(event, () => act(element, index)));
const start = (changes, held) =>
  change({ start: { ...state.start, prior: null, share: 0, ...changes }, held }, true);

on("change", $$(".images input"), (_, image) =>
  start({ image, code: image, to: (image + 1) % count }, "image"));
on("click", $$("[data-do=shuffle]"), () => {
  places += 5;
  start({ code: shuffled(state.start.image, places) }, "image");
});
on("click", $$("[data-do=own]"), () => start({ code: state.start.image }, "image"));
on("click", $$("[data-prior]"), ({ dataset: { prior } }) => {
  draws[prior] = ((draws[prior] ?? -1) + 1) % page.runs[0].codes[prior];
  start({ prior, draw: draws[prior] }, "draw");
});
on("input", $$(".path input"), ({ value }) =>
  change({ start: { ...state.start, prior: null, share: Number(value) }, held: "path" }));
on("click", $$("[data-do=end]"), () => {
  const { image, to } = state.start;
  const next = (to + 1) % count === image ? (to + 2) % count : (to + 1) % count;
  change({ start: { ...state.start, prior: null, to: next }, held: "path" });
});
on("input", $$(".direction input"), ({ value }, held) => change({
  offsets: state.offsets.map((offset, k) => (k === held ? Number(value) : offset)), held }));
on("click", $$("[data-do=reset]"), () => change({ offsets: state.offsets.map(() => 0) }));
on("change", $$(".side select"), (_, index) => {
  sides[index].describe();
  sides[index].image = sides[index].before = undefined;
  change({});
});

// What has moved is said once the hand is still.
for (const event of ["change", "click"]) {
  document.addEventListener(event, () => setTimeout(() => {
    const [left, right] = sides.map((side) => side.moved);
    if (sides.length) $(".status").textContent = say("status", { left, right: right ?? left });
  }, 300));
}

function speak() {
  const wanted = location.hash.slice(1);
  language = languages.includes(wanted) ? wanted : languages[0];
  document.documentElement.lang = language;
  document.title = say("title");
  for (const element of $$("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of $$("[data-say-label]")) {
    element.setAttribute("aria-label", say(element.dataset.sayLabel));
  }
  $$(".images input").forEach(
    (input, image) => input.setAttribute("aria-label", say("image", { image: image + 1 })));
  $("[data-report]").href = page.reports[language];
  sides.forEach((side) => side.describe());
  if (sides.length) change({});
}
window.addEventListener("hashchange", speak);
readPage().then(() => {
  $("main").hidden = false;
  $$(".images canvas").forEach((canvas, image) => paint(canvas, originals[image]));
  speak();
});
