"use strict";
// Tables: a click on a head sorts by its column, a second click turns the order; what has no
// number comes last in both.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") === "ascending";
    const sign = falling ? -1 : 1;
    const text = ({ cells }) => cells[column].textContent;
    const number = ({ cells }) => Number(cells[column].dataset.value);
    const byText = (a, b) => sign * text(a).localeCompare(text(b));
    const byNumber = (a, b) => isNaN(a) - isNaN(b) || sign * (a - b);
    const compare = head.classList.contains("number")
      ? (a, b) => byNumber(number(a), number(b)) : byText;
    const body = table.tBodies[0];
    [...body.rows].sort(compare).forEach((row) => body.append(row));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  }));
}
// A link to what is folded opens it.
const reveal = () => {
  const target = document.getElementById(location.hash.slice(1));
  const folded = target && target.closest("details:not([open])");
  if (!folded) return;
  folded.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();
// Charts: what is seen of a drawing is its viewBox.
for (const chart of document.querySelectorAll(".chart")) {
  const svg = chart.querySelector("svg");
  const whole = svg.getAttribute("viewBox").split(" ").map(Number);
  let seen = [...whole];
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  const show = (box) => svg.setAttribute("viewBox", (seen = box).join(" "));
  const zoom = (factor, x = 0.5, y = 0.5) => {
    const [left, top, width, height] = seen;
    const scale = Math.min(1, Math.max(0.05, (width * factor) / whole[2]));
    const wide = whole[2] * scale, high = whole[3] * scale;
    show([left + (width - wide) * x, top + (height - high) * y, wide, high]);
  };
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  for (const button of chart.querySelectorAll("[data-zoom]")) {
    const factor = Number(button.dataset.zoom);
    button.addEventListener("click", () => (factor ? zoom(factor) : show([...whole])));
  }
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && seen[2] === whole[2] && event.deltaY > 0) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.15 : 0.87, ...place(event));
  }, { passive: false });
  svg.addEventListener("dblclick", () => show([...whole]));
  let held = null;
  svg.addEventListener("pointerdown", (event) => {
    held = place(event);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [x, y] = place(event);
    show([seen[0] - (x - held[0]) * seen[2], seen[1] - (y - held[1]) * seen[3], seen[2], seen[3]]);
    held = [x, y];
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (held = null));
}
