"use strict";
/* Names the dots of a figure: nearest to the pointer, or one after the other with the arrow keys. */
(() => {
  const tip = document.getElementById("tip"), live = document.getElementById("live");
  const SVG = "http://www.w3.org/2000/svg";
  function dots(svg) {
    const found = [];
    svg.querySelectorAll("path.dots").forEach((path) => {
      const cases = path.dataset.cases.split(" ").map(Number);
      [...path.getAttribute("d").matchAll(/M([-\d.]+) ([-\d.]+)/g)].forEach((at, index) =>
        found.push({ x: Number(at[1]), y: Number(at[2]), case: cases[index] }));
    });
    return found.sort((a, b) => a.x - b.x);
  }
  document.querySelectorAll("svg[data-texts]").forEach((svg) => {
    const all = dots(svg), texts = JSON.parse(svg.dataset.texts);
    let current = -1;
    function point(dot, say) {
      svg.querySelector(".here")?.remove();
      if (!dot) { tip.hidden = true; return; }
      const ring = document.createElementNS(SVG, "circle");
      ring.setAttribute("class", "here"); ring.setAttribute("r", "6");
      ring.setAttribute("cx", dot.x); ring.setAttribute("cy", dot.y);
      svg.append(ring);
      const spot = new DOMPoint(dot.x, dot.y).matrixTransform(svg.getScreenCTM());
      tip.textContent = texts[dot.case];
      tip.hidden = false;
      tip.style.left = `${Math.max(4, Math.min(spot.x + 10, innerWidth - tip.offsetWidth - 4))}px`;
      tip.style.top = `${Math.max(4, spot.y - tip.offsetHeight - 10)}px`;
      if (say) live.textContent = tip.textContent;
    }
    svg.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const far = (dot) => (dot.x - at.x) ** 2 + (dot.y - at.y) ** 2;
      const best = all.reduce((a, b) => (!a || far(b) < far(a) ? b : a), null);
      point(best && far(best) < 200 ? best : null, false);
    });
    svg.addEventListener("pointerleave", () => point(null, false));
    svg.addEventListener("blur", () => point(null, false));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step || !all.length) return;
      current = (current + step + all.length) % all.length;
      point(all[current], true);
      event.preventDefault();
    });
  });
})();
