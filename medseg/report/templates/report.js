"use strict";
/* Sorts, filters and pages the table, and names the dots. The data are in the page as JSON; nothing is loaded. */
(() => {
  const table = JSON.parse(document.getElementById("table-data").textContent);
  const PAGE = 50;
  const $ = (id) => document.getElementById(id);
  const state = { column: -1, down: false, page: 0, rows: table.rows };

  // A cell of a row is a number, "inf", "-inf" or null where it was measured, else a text.
  const value = (cell) => (cell === "inf" ? Infinity : cell === "-inf" ? -Infinity : cell);
  const shown = (cell, column) => {
    if (!column.numeric) return column.words ? (column.words[cell] ?? cell) : column.names ? column.names[cell] : cell;
    const number = value(cell);
    if (number === null) return "–";
    if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
    return number.toFixed(column.digits).replace("-", "−");
  };
  const named = (row) => String(table.cases[row[0]]).toLowerCase() + " " + String(table.patients[row[0]] ?? "").toLowerCase();
  const text = (row, index) => (index === 0 ? table.cases[row[0]] : shown(row[index], table.columns[index]));

  function compare(index, down) {
    const column = table.columns[index];
    if (!column.numeric) {
      const order = new Intl.Collator(undefined, { numeric: true });
      return (a, b) => order.compare(text(a, index), text(b, index)) * (down ? -1 : 1);
    }
    return (a, b) => {
      const x = value(a[index]), y = value(b[index]);
      if (x === null || y === null) return (x === null) - (y === null);
      return x === y ? 0 : (x < y ? -1 : 1) * (down ? -1 : 1);
    };
  }

  function select() {
    const words = $("filter-text").value.trim().toLowerCase();
    const structure = $("filter-structure").value, status = $("filter-status").value;
    const failed = new Set(table.failures);
    state.rows = table.rows.filter((row) =>
      (!words || named(row).includes(words)) &&
      (structure === "" || row[1] === Number(structure)) &&
      (status === "" || (status === "failed" ? failed.has(row[2]) || String(row[2]).startsWith("error") : row[2] === status)));
    if (state.column >= 0) state.rows.sort(compare(state.column, state.down));
    state.page = 0;
    draw();
  }

  function draw(whole = false) {
    const body = document.querySelector("#case-table tbody");
    const first = state.page * PAGE, part = whole ? state.rows : state.rows.slice(first, first + PAGE);
    body.replaceChildren(...part.map((row) => {
      const line = document.createElement("tr");
      table.columns.forEach((column, index) => {
        const cell = document.createElement(index ? "td" : "th");
        if (!index) { cell.scope = "row"; cell.className = "name"; }
        if (column.numeric) cell.className = "n";
        if (index === 2 && (table.failures.includes(row[2]) || String(row[2]).startsWith("error"))) cell.className = "alarm";
        cell.textContent = text(row, index);
        line.append(cell);
      });
      return line;
    }));
    const pages = Math.max(1, Math.ceil(state.rows.length / PAGE));
    $("case-count").textContent = `${state.rows.length} of ${table.rows.length} rows`;
    $("page-count").textContent = `Page ${state.page + 1} of ${pages}`;
    $("page-back").disabled = state.page === 0;
    $("page-next").disabled = state.page + 1 >= pages;
  }

  document.querySelectorAll("#case-table th button").forEach((button) => button.addEventListener("click", () => {
    const index = Number(button.dataset.column);
    state.down = state.column === index ? !state.down : false;
    state.column = index;
    document.querySelectorAll("#case-table thead th").forEach((head) => head.removeAttribute("aria-sort"));
    button.closest("th").setAttribute("aria-sort", state.down ? "descending" : "ascending");
    select();
  }));
  for (const id of ["filter-text", "filter-structure", "filter-status"]) $(id).addEventListener("input", select);
  $("filter-clear").addEventListener("click", () => {
    for (const id of ["filter-text", "filter-structure", "filter-status"]) $(id).value = "";
    select();
  });
  $("page-back").addEventListener("click", () => { state.page -= 1; draw(); });
  $("page-next").addEventListener("click", () => { state.page += 1; draw(); });
  // On paper there is no next page to press: every row that the filter lets pass.
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw());
  function show(name) {
    $("filter-text").value = name;
    $("filter-structure").value = ""; $("filter-status").value = "";
    select();
    $("cases").scrollIntoView();
  }

  // Dots: a path holds one stroke per case; where each stroke starts is where its case is.
  const rowOf = new Map(table.rows.map((row) => [`${row[0]} ${row[1]}`, row]));
  const dotsOf = new WeakMap();
  function dots(svg) {
    if (!dotsOf.has(svg)) {
      const found = [];
      svg.querySelectorAll("path.dots").forEach((path) => {
        const cases = path.dataset.cases.split(" ").map(Number);
        const structure = Number(path.closest("g").dataset.structure);
        [...path.getAttribute("d").matchAll(/M([-\d.]+) ([-\d.]+)/g)].forEach((at, index) =>
          found.push({ x: Number(at[1]), y: Number(at[2]), case: cases[index], structure }));
      });
      dotsOf.set(svg, found.sort((a, b) => a.structure - b.structure || a.x - b.x));
    }
    return dotsOf.get(svg);
  }
  function label(svg, dot) {
    const row = rowOf.get(`${dot.case} ${dot.structure}`);
    const parts = [table.cases[dot.case], table.structures[dot.structure]];
    const wanted = svg.dataset.metric ? [svg.dataset.metric] : svg.dataset.kind === "dice" ? ["dice", "volume_reference_ml"] : ["volume_difference_ml"];
    table.columns.forEach((column, index) => {
      if (wanted.includes(column.metric)) parts.push(`${column.title} ${shown(row[index], column)}`);
    });
    if (row[2] !== "ok") parts.push(shown(row[2], table.columns[2]));
    return parts.join(" · ");
  }
  const tip = $("tip");
  function point(svg, dot, say) {
    svg.querySelector(".here")?.remove();
    if (!dot) { tip.hidden = true; return; }
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    ring.setAttribute("class", "here"); ring.setAttribute("r", "6");
    ring.setAttribute("cx", dot.x); ring.setAttribute("cy", dot.y);
    svg.append(ring);
    const spot = new DOMPoint(dot.x, dot.y).matrixTransform(svg.getScreenCTM());
    tip.textContent = label(svg, dot);
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(spot.x + 10, innerWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(4, spot.y - tip.offsetHeight - 10)}px`;
    if (say) $("live").textContent = tip.textContent;
  }
  function nearest(svg, event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = null, least = 14 * 14;
    for (const dot of dots(svg)) {
      const far = (dot.x - at.x) ** 2 + (dot.y - at.y) ** 2;
      if (far < least) { least = far; best = dot; }
    }
    return best;
  }
  document.querySelectorAll("svg[data-metric], svg[data-kind]").forEach((svg) => {
    let current = -1;
    svg.addEventListener("pointermove", (event) => point(svg, nearest(svg, event), false));
    svg.addEventListener("pointerleave", () => point(svg, null, false));
    svg.addEventListener("blur", () => point(svg, null, false));
    svg.addEventListener("click", (event) => { const dot = nearest(svg, event); if (dot) show(table.cases[dot.case]); });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const all = dots(svg);
      if (step && all.length) {
        current = (current + step + all.length) % all.length;
        point(svg, all[current], true);
        event.preventDefault();
      } else if (event.key === "Enter" && current >= 0) show(table.cases[all[current].case]);
      else if (event.key === "Escape") point(svg, null, false);
    });
  });
  draw();
})();
