// Two runs side by side: a window shows one row of a picture, of snapshots the step's epoch.
{
  const tool = document.querySelector("#compare");
  const kind = tool.querySelector("[data-choose=kind]");
  const step = tool.querySelector("[data-choose=step]");
  const find = (run) => [...document.querySelectorAll("main .strip img")].find(
    (image) => image.dataset.run === run && image.dataset.kind === kind.value);
  const frame = (pane, source, row, rows) => {
    const image = pane.firstElementChild;
    if (image.getAttribute("src") !== source.src) image.src = source.src;
    image.alt = source.alt;
    const [width, height] = ["width", "height"].map((side) => source.getAttribute(side));
    pane.style.aspectRatio = `${width} / ${height / rows}`;
    image.style.transform = `translateY(${(-100 * row) / rows}%)`;
  };
  const show = () => {
    const sides = [...tool.querySelectorAll(".side")];
    const sources = sides.map((side) => find(side.querySelector("select").value));
    const stepped = kind.value === "snapshots";
    step.parentElement.hidden = !stepped;
    if (stepped) step.max = Math.max(...sources.map((source) => source.dataset.rows - 1));
    sides.forEach((side, index) => {
      const source = sources[index];
      const [whole, chosen] = side.querySelectorAll(".window");
      const rows = stepped ? Number(source.dataset.rows) : 1;
      const row = Math.min(Number(step.value), rows - 1);
      const caption = side.querySelector("figcaption");
      frame(whole, source, 0, rows);
      chosen.hidden = !stepped;
      if (stepped) frame(chosen, source, row, rows);
      const epoch = stepped ? source.dataset.epochs.split(" ")[row - 1] : "";
      caption.textContent = stepped ? `${caption.dataset.epoch} ${epoch}` : "";
    });
  };
  tool.hidden = false;
  document.querySelector("nav [href='#compare']").hidden = false;
  tool.addEventListener("input", show);
  show();
}
// What a link leads to is seen, and what is printed is whole.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  const fold = link && document.getElementById(link.hash.slice(1))?.closest("details");
  if (fold) fold.open = true;
});
{
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((fold) => (fold.open = true));
  });
  window.addEventListener("afterprint", () => closed.forEach((fold) => (fold.open = false)));
}
