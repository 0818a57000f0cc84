"use strict";

const SVG = "http://www.w3.org/2000/svg";
const detail = document.getElementById("detail");

function make(tag, text = "", children = []) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...children);
  return element;
}

function bar(share, kind) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 1 1");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("class", kind);
  path.setAttribute("d", `M0 0H${share}V1H0z`);
  svg.append(path);
  return svg;
}

function row(head, ...cells) {
  const th = make("th", head);
  th.scope = "row";
  return make("tr", "", [th, ...cells.map((cell) => (cell instanceof Node ? make("td", "", [cell]) : make("td", cell)))]);
}

/* What is told of one item when it is pointed at. */
function tables(item, names, classes) {
  const most = Math.max(...item.values.map(([, v]) => Math.abs(v))) || 1;
  const values = item.values.map(([k, v]) => row(names[k], v, bar(Math.abs(v) / most, v < 0 ? "down" : "up")));
  const more = classes - values.length;
  const rest = more ? [row("others", `${more} smaller ones`)] : [];
  const label = make("table", "", [...values, ...rest, row("speaks of", `${item.spread.toFixed(1)} classes`)]);
  if (!item.words) return [label];
  const heads = ["word", "length", ...(item.words[0].near.length ? ["near by cosine", "near by distance"] : [])];
  const head = make("tr", "", heads.map((text) => Object.assign(make("th", text), { scope: "col" })));
  return [label, make("table", "", [head, ...item.words.map((word) => row(word.word, word.length, ...word.near))])];
}

function wire(root) {
  const { names, classes, now, looks } = JSON.parse(root.querySelector(".told").textContent);
  const list = root.querySelector(".items");
  const entries = [...list.children];
  const caption = root.querySelector(".caption");
  const scrub = root.querySelector(".scrub");
  const one = list.classList.contains("images") ? "Image" : list.classList.contains("sentences") ? "Sentence" : "Item";
  let look = looks[now];

  function name(i) {
    const item = look.items[i];
    const words = item.words ? ": " + item.words.map((word) => word.word).join(" ") : "";
    return `${one} ${i + 1}${words}, largest label ${names[item.top]} (${item.largest.toFixed(2)})`;
  }

  function draw() {
    entries.forEach((entry, i) => {
      const item = look.items[i];
      const image = entry.querySelector("img");
      if (image && item.picture) image.src = item.picture;
      entry.querySelectorAll(".word").forEach((word, p) => {
        word.firstChild.textContent = item.words[p].word;
        word.querySelector("rect").setAttribute("width", item.words[p].share);
      });
      entry.querySelector(".up").setAttribute("d", item.up);
      entry.querySelector(".down").setAttribute("d", item.down);
      entry.querySelectorAll(".values span").forEach((value, k) => (value.textContent = item.values[k][1]));
      entry.querySelector(".top").replaceChildren(Object.assign(make("span", names[item.top]), { className: "name" }), ` ${item.largest.toFixed(2)}`);
      entry.querySelector("button").setAttribute("aria-label", name(i));
    });
    caption.textContent = look.caption;
    scrub?.setAttribute("aria-valuetext", look.caption);
    root.querySelectorAll(".curve").forEach((curve) => {
      const x = Math.min(1000, (1000 * look.step) / curve.dataset.last);
      curve.querySelector(".marker")?.setAttribute("d", `M${x.toFixed(1)} 0V300`);
    });
  }

  root.querySelector(".sort").addEventListener("change", ({ target }) => {
    const key = { index: (i) => i, top: (i) => look.items[i].top, spread: (i) => look.items[i].spread, largest: (i) => -look.items[i].largest }[target.value];
    const order = entries.map((_, i) => i).sort((a, b) => key(a) - key(b) || a - b);
    list.append(...order.map((i) => entries[i]));
    caption.textContent = `${look.caption}; sorted by ${target.selectedOptions[0].text}`;
  });

  scrub?.addEventListener("input", () => {
    look = looks[scrub.value];
    draw();
  });

  const play = root.querySelector(".play");
  let timer = 0;
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  play?.addEventListener("click", () => {
    if (timer) return stop();
    let k = Number(scrub.value) + 1 < looks.length ? Number(scrub.value) : -1;
    play.textContent = "Stop";
    timer = setInterval(() => {
      k += 1;
      scrub.value = k;
      scrub.dispatchEvent(new Event("input"));
      if (k + 1 === looks.length) stop();
    }, 500);
  });

  function show(button) {
    const i = Number(button.parentElement.dataset.index);
    hide();
    detail.replaceChildren(make("strong", name(i)), ...tables(look.items[i], names, classes));
    detail.hidden = false;
    button.classList.add("open");
    button.setAttribute("aria-describedby", "detail");
    const at = button.getBoundingClientRect();
    const own = detail.getBoundingClientRect();
    const low = innerHeight - own.height - 8;
    const above = at.bottom + 6 > low && at.top + at.bottom > innerHeight;
    detail.style.left = Math.max(8, Math.min(at.left, innerWidth - own.width - 8)) + "px";
    detail.style.top = (above ? Math.max(8, at.top - own.height - 6) : Math.max(8, Math.min(at.bottom + 6, low))) + "px";
  }
  entries.forEach((entry) => {
    const button = entry.querySelector("button");
    button.addEventListener("mouseenter", () => show(button));
    button.addEventListener("focus", () => show(button));
    button.addEventListener("mouseleave", ({ relatedTarget }) => detail.contains(relatedTarget) || hide());
    button.addEventListener("blur", hide);
  });

  root.querySelector(".copy")?.addEventListener("click", async ({ target }) => {
    const code = root.querySelector("code");
    const copied = await copy(code);
    root.querySelector(".copied").textContent = copied ? "Copied." : "It is selected: copy it with Ctrl-C.";
    if (copied) target.focus();
  });
  draw();
}

function hide() {
  detail.hidden = true;
  document.querySelectorAll(".open").forEach((button) => {
    button.classList.remove("open");
    button.removeAttribute("aria-describedby");
  });
}

/* The clipboard of a page opened from a file may be closed: then the old command, which wants a selection. */
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

detail.addEventListener("mouseleave", hide);
addEventListener("keydown", ({ key }) => key === "Escape" && hide());
addEventListener("scroll", () => document.querySelector(".item:focus") || hide(), { passive: true });
document.querySelectorAll(".set").forEach(wire);
