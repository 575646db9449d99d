"use strict";
// Looks up the answers that Python computed and moves the marks that Python drew. Text is set through textContent only;
// the only markup that is added are parts of the page that Python wrote, escaped and compressed.
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];

  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  const pairs = (list, className) => {
    const made = element("dl", undefined, className);
    for (const [term, text] of list) {
      const pair = element("div");
      pair.append(element("dt", term), element("dd", text));
      made.append(pair);
    }
    return made;
  };

  // Everything about the rows of one machine; a page of one machine has one view. It starts when it is first shown.
  const views = all(".view");
  const [dataOf, deferredOf] = [new Map(), new Map()];

  async function unpack(view) {
    const packed = view.querySelector(".packed");
    if (!packed) return;
    const bytes = Uint8Array.from(atob(packed.textContent), letter => letter.charCodeAt(0));
    const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    deferredOf.set(view, JSON.parse(await new Response(inflated).text()));
  }

  function start(view) {
    if (dataOf.has(view)) return;
    const data = JSON.parse(view.querySelector(".data").textContent);
    dataOf.set(view, data);
    all(".deferred", view).forEach((place, i) => { place.outerHTML = deferredOf.get(view)[i]; });

    // The budget in the charts: lines at its limits, a ring around the choice.
    function line(mark, value, axis) {
      mark.setAttribute("visibility", value === null || value === undefined ? "hidden" : "visible");
      if (value === null || value === undefined) return;
      const [from, to, start, end] = mark.dataset.scale.split(" ").map(Number);
      const share = axis === "x" ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
      const place = start + (end - start) * Math.min(1, Math.max(0, share));
      mark.setAttribute(`${axis}1`, place);
      mark.setAttribute(`${axis}2`, place);
    }

    function mark(limits, choice) {
      for (const chart of all(".plane .chart", view)) {
        line(chart.querySelector(".limit"), limits[chart.dataset.chart], "x");
        line(chart.querySelector(".floor"), limits.ap, "y");
        const ring = chart.querySelector(".ring");
        const place = all(".point", chart).find(point => point.dataset.key === choice)?.getAttribute("transform");
        ring.setAttribute("visibility", place ? "visible" : "hidden");
        if (place) ring.setAttribute("transform", place);
      }
    }

    // The budget: slider positions index a table of answers.
    const sliders = all("form input", view);
    const outputs = all("form output", view);

    function answer() {
      const { axes, table, answers, parts } = data.answers;
      const whole = number => (Array.isArray(parts[number]) ? parts[number].map(each => whole(each)) : parts[number]);
      const place = axes.reduce((sum, axis, i) => sum * axis.stops.length + Number(sliders[i].value), 0);
      const [choice, kicker, title, numbers, notes] = whole(answers[table[place]]);
      return { choice, kicker, title, numbers, notes };
    }

    function decide() {
      const limits = {};
      data.answers.axes.forEach((axis, i) => {
        const place = Number(sliders[i].value);
        outputs[i].textContent = axis.texts[place];
        sliders[i].setAttribute("aria-valuetext", axis.texts[place]);
        limits[axis.field] = axis.stops[place];
      });
      const current = answer();
      show(current);
      [...body.rows].forEach(row => row.classList.toggle("chosen", row.dataset.id === current.choice));
      mark(limits, current.choice);
    }

    function show(current) {
      const card = view.querySelector(".card");
      card.dataset.choice = current.choice ?? "";
      const kicker = element("p", current.kicker, "kicker");
      if (data.answers.provisional) kicker.append(" ", element("span", "provisional", "badge"));
      card.replaceChildren(kicker, element("h3", current.title));
      if (current.numbers.length) card.append(pairs(current.numbers, "numbers"));
      for (const [heading, lines] of current.notes) {
        const list = element("ul");
        list.append(...lines.map(text => element("li", text)));
        card.append(element("h4", heading), list);
      }
    }

    // The table: a heading sorts by its column; unknown values stay last.
    const body = view.querySelector("[id^=rows] tbody");

    function sortBy(column) {
      const headers = all("[id^=rows] thead th", view);
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

    all("[id^=rows] thead button", view).forEach((button, column) => button.addEventListener("click", () => sortBy(column)));
    all("[id^=costs] input", view).forEach(input => input.addEventListener("change", () => {
      all(".plane", view).forEach(figure => { figure.hidden = figure.dataset.cost !== input.value; });
    }));
    if (data.answers) {
      sliders.forEach(slider => slider.addEventListener("input", decide));
      view.querySelector("form button").addEventListener("click", () => {
        sliders.forEach((slider, i) => { slider.value = data.answers.axes[i].free; });
        decide();
      });
      decide();
    }
  }

  // The tooltip of what is under the pointer or was tapped: a row's notes, or a bar's.
  const tip = document.getElementById("tip");

  function notesOf(target) {
    if (target.dataset.note) return element("p", target.dataset.note);
    const data = dataOf.get(target.closest(".view"));
    const notes = data.notes[target.dataset.key];
    const standing = data.standing[target.closest(".chart").dataset.chart]?.[target.dataset.key];
    return notes && pairs(standing === undefined ? notes : [...notes, ["Frontier", data.standings[standing]]]);
  }

  function point(event) {
    const target = event.target instanceof Element && event.target.closest(".chart [data-key], .chart [data-note]");
    const content = target && notesOf(target);
    tip.hidden = !content;
    if (!content) return;
    tip.replaceChildren(content);
    const [right, below] = [innerWidth - tip.offsetWidth - 8, innerHeight - tip.offsetHeight - 8];
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, right))}px`;
    tip.style.top = `${Math.max(8, event.clientY + 18 > below ? event.clientY - tip.offsetHeight - 14 : event.clientY + 18)}px`;
  }

  ["pointerover", "click"].forEach(kind => document.addEventListener(kind, point));
  document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { capture: true, passive: true });

  const machines = document.getElementById("machines");

  function showMachine() {
    const shown = machines ? machines.querySelector(":checked").value : "";
    views.forEach(view => { view.hidden = view.dataset.view !== shown; });
    start(views.find(view => !view.hidden));
  }

  if (!views[0].querySelector(".packed")) start(views[0]);
  Promise.all(views.map(unpack)).then(() => {
    machines?.addEventListener("change", showMachine);
    showMachine(); // a browser that goes back restores the choice
    document.documentElement.dataset.ready = "true";
  });
})();
