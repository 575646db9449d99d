"use strict";
// Looks up what Python decided and draws what Python laid out. Text reaches the document through textContent alone.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const views = new Map(); // chart key -> {width, view}
  const settings = { limits: {}, choice: null };

  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // Charts: the widest drawing that fits, drawn again when another fits better.
  const fitting = (widths, room) => widths.filter(width => width <= room).pop() ?? widths[0];

  async function draw(container) {
    const key = container.dataset.chart;
    const drawings = data.charts[key];
    const width = fitting(Object.keys(drawings).map(Number).sort((a, b) => a - b), container.clientWidth);
    if (!container.clientWidth || views.get(key)?.width === width) return;
    views.get(key)?.view?.finalize();
    views.set(key, { width });
    const { view } = await vegaEmbed(container, drawings[width], {
      actions: false, ast: true, defaultStyle: false, renderer: "svg", tooltip: { disableDefaultStyle: true },
    });
    views.set(key, { width, view });
    mark(key);
  }

  const drawAll = () => Promise.all([...document.querySelectorAll(".chart")].map(draw));

  function mark(key) {
    const view = views.get(key)?.view;
    if (!view || !data.planes.includes(key)) return;
    view.signal("limit", settings.limits[key] ?? null).signal("floor", settings.limits.ap ?? null);
    view.signal("choice", settings.choice).runAsync();
  }

  // The budget: slider positions index a table of answers.
  const sliders = [...document.querySelectorAll("#budget input")];

  function answer() {
    const { axes, table, answers } = data.answers;
    const place = axes.reduce((sum, axis, i) => sum * axis.stops.length + Number(sliders[i].value), 0);
    return answers[table[place]];
  }

  function decide() {
    data.answers.axes.forEach((axis, i) => {
      const place = Number(sliders[i].value);
      document.getElementById(`output-${i}`).textContent = axis.texts[place];
      sliders[i].setAttribute("aria-valuetext", axis.texts[place]);
      settings.limits[axis.field] = axis.stops[place];
    });
    const found = answer();
    settings.choice = found.choice;
    show(found);
    document.querySelectorAll("#rows tbody tr").forEach(row => row.classList.toggle("chosen", row.dataset.id === found.choice));
    data.planes.forEach(mark);
  }

  function show(found) {
    const card = document.getElementById("card");
    card.dataset.choice = found.choice ?? "";
    card.replaceChildren(element("p", found.kicker, "kicker"), element("h3", found.title));
    if (found.numbers.length) {
      const numbers = element("dl", undefined, "numbers");
      for (const [term, text] of found.numbers) {
        const pair = element("div");
        pair.append(element("dt", term), element("dd", text));
        numbers.append(pair);
      }
      card.append(numbers);
    }
    for (const [heading, lines] of found.notes) {
      const list = element("ul");
      list.append(...lines.map(line => element("li", line)));
      card.append(element("h4", heading), list);
    }
  }

  // The table: click or press a header to sort by it; unknown values stay last.
  const body = document.querySelector("#rows tbody");

  function sortBy(column) {
    const headers = [...document.querySelectorAll("#rows thead th")];
    const header = headers[column];
    const numeric = header.classList.contains("number");
    const falling = header.getAttribute("aria-sort") === "ascending";
    headers.forEach(other => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = row => row.cells[column].dataset.value;
    const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return falling ? compare(y, x) : compare(x, y);
    };
    body.append(...[...body.rows].sort(order));
  }

  document.querySelectorAll("#rows thead button").forEach((button, column) => {
    button.addEventListener("click", () => sortBy(column));
  });
  document.querySelectorAll("#costs input").forEach(input => input.addEventListener("change", () => {
    document.querySelectorAll(".plane").forEach(figure => { figure.hidden = figure.dataset.cost !== input.value; });
    drawAll();
  }));
  if (data.answers) {
    sliders.forEach(slider => slider.addEventListener("input", decide));
    document.getElementById("reset").addEventListener("click", () => {
      sliders.forEach((slider, i) => { slider.value = data.answers.axes[i].free; });
      decide();
    });
    decide();
  }
  let waiting = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawAll);
  });
  drawAll().then(() => { document.documentElement.dataset.ready = "true"; });
})();
