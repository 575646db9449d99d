"use strict";
// Shows what Python computed for every stop of the slider. Text is set through textContent only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const MEMBER = "4";

  const element = (tag, text) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const marks = all(".mark");
  const slider = document.getElementById("time");
  const list = document.querySelector("#members tbody");
  const titles = all("#members thead th").map(title => title.textContent);

  function draw(mark, [kind, x, y, low, high]) {
    mark.setAttribute("class", `mark kind-${kind}`);
    if (x === undefined) return;
    mark.querySelector(".point").setAttribute("transform", `translate(${x} ${y})`);
    mark.querySelector(".interval").setAttribute("d", `M${low} ${y}H${high}`);
  }

  function row(member) {
    const made = element("tr");
    member.forEach((text, place) => {
      const cell = element(place ? "td" : "th", text);
      if (place) {
        cell.className = "number";
        cell.dataset.label = titles[place];
      } else cell.scope = "row";
      made.append(cell);
    });
    return made;
  }

  function show() {
    const moment = data.moments[Number(slider.value)];
    moment.marks.forEach((mark, place) => draw(marks[place], mark));
    document.querySelector(".staircase").setAttribute("points", moment.stairs);
    const members = new Set(marks.filter(mark => mark.classList.contains(`kind-${MEMBER}`)).map(mark => mark.dataset.key));
    all(".label").forEach(label => label.setAttribute("visibility", members.has(label.dataset.of) ? "visible" : "hidden"));
    document.getElementById("time-output").textContent = moment.label;
    document.getElementById("known").textContent = moment.text;
    slider.setAttribute("aria-valuetext", `${moment.label}: ${moment.text}`);
    list.replaceChildren(...moment.members.map(row));
  }

  // The tooltip of the mark under the pointer, or that was tapped.
  const tip = document.getElementById("tip");

  function point(event) {
    const target = event.target instanceof Element && event.target.closest(".mark");
    tip.hidden = !target;
    if (!target) return;
    const pairs = element("dl");
    for (const [term, text] of data.notes[target.dataset.key]) {
      const pair = element("div");
      pair.append(element("dt", term), element("dd", text));
      pairs.append(pair);
    }
    tip.replaceChildren(pairs);
    const [right, below] = [innerWidth - tip.offsetWidth - 8, innerHeight - tip.offsetHeight - 8];
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, right))}px`;
    tip.style.top = `${Math.max(8, event.clientY + 18 > below ? event.clientY - tip.offsetHeight - 14 : event.clientY + 18)}px`;
  }

  ["pointerover", "click"].forEach(kind => document.addEventListener(kind, point));
  document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { capture: true, passive: true });
  slider.addEventListener("input", show);
  show();
  document.documentElement.dataset.ready = "true";
})();
