"use strict";

const SVG = "http://www.w3.org/2000/svg";
const detail = document.getElementById("detail");

function makeElement(tag, text = "", children = []) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...children);
  return element;
}

function makeBar(share, className) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 1 1");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("class", className);
  path.setAttribute("d", `M0 0H${share}V1H0z`);
  svg.append(path);
  return svg;
}

function makeRow(head, ...cells) {
  const th = makeElement("th", head);
  th.scope = "row";
  return makeElement("tr", "", [th, ...cells.map((cell) => (cell instanceof Node ? makeElement("td", "", [cell]) : makeElement("td", cell)))]);
}

/* The tables about one item: its label's values, and the words near a sentence's vectors. */
function makeTables(item, names, classes, wordHeads) {
  const most = Math.max(...item.values.map(([, value]) => Math.abs(value))) || 1;
  const values = item.values.map(([k, value]) => makeRow(names[k], value, makeBar(Math.abs(value) / most, value < 0 ? "down" : "up")));
  const hidden = classes - values.length;
  const rest = hidden ? [makeRow("other classes", `${hidden}, with smaller values`)] : [];
  const spread = item.spread.toFixed(1);
  const label = makeElement("table", "", [...values, ...rest, makeRow("spread over", `about ${spread} ${spread === "1.0" ? "class" : "classes"}`)]);
  if (!item.words) return [label];
  const heads = [...wordHeads, ...(item.words[0].neighbours.length ? ["near by cosine", "near by distance"] : []), ...(item.words[0].attention ? ["attention"] : [])];
  const head = makeElement("tr", "", heads.map((text) => Object.assign(makeElement("th", text), { scope: "col" })));
  return [label, makeElement("table", "", [head, ...item.words.map((word) => makeRow(word.word, word.length, ...word.neighbours, ...(word.attention ? [word.attention] : [])))])];
}

function startSet(root) {
  const { names, classes, current, snapshots, heads } = JSON.parse(root.querySelector(".data").textContent);
  const list = root.querySelector(".items");
  const entries = [...list.children];
  const caption = root.querySelector(".caption");
  const slider = root.querySelector(".slider");
  const itemType = list.classList.contains("images") ? "Image" : list.classList.contains("sentences") ? "Sentence" : "Item";
  let snapshot = snapshots[current];

  function describe(i) {
    const item = snapshot.items[i];
    const words = item.words ? ": " + item.words.map((word) => word.word).join(" ") : "";
    return `${itemType} ${i + 1}${words}, largest label ${names[item.top]} (${item.largest.toFixed(2)})`;
  }

  function draw() {
    entries.forEach((entry, i) => {
      const item = snapshot.items[i];
      const image = entry.querySelector("img");
      if (image && item.picture) image.src = item.picture;
      entry.querySelectorAll(".word").forEach((word, p) => {
        word.firstChild.textContent = item.words[p].word;
        word.querySelector("rect").setAttribute("width", item.words[p].share);
        word.querySelector(".attention rect")?.setAttribute("fill-opacity", item.words[p].heat ?? 0);
      });
      entry.querySelector(".up").setAttribute("d", item.up);
      entry.querySelector(".down").setAttribute("d", item.down);
      entry.querySelectorAll(".values span").forEach((value, k) => (value.textContent = item.values[k][1]));
      entry.querySelector(".top").replaceChildren(Object.assign(makeElement("span", names[item.top]), { className: "name" }), ` ${item.largest.toFixed(2)}`);
      entry.querySelector("button").setAttribute("aria-label", describe(i));
    });
    caption.textContent = snapshot.caption;
    slider?.setAttribute("aria-valuetext", snapshot.caption);
    root.querySelectorAll(".curve").forEach((curve) => {
      const x = Math.min(1000, (1000 * snapshot.step) / curve.dataset.last);
      curve.querySelector(".marker")?.setAttribute("d", `M${x.toFixed(1)} 0V300`);
    });
  }

  root.querySelector(".sort").addEventListener("change", ({ target }) => {
    const keys = {
      index: (i) => i,
      top: (i) => snapshot.items[i].top,
      spread: (i) => snapshot.items[i].spread,
      largest: (i) => -snapshot.items[i].largest,
    };
    const key = keys[target.value];
    const order = entries.map((_, i) => i).sort((a, b) => key(a) - key(b) || a - b);
    list.append(...order.map((i) => entries[i]));
    caption.textContent = `${snapshot.caption}; sorted by ${target.selectedOptions[0].text}`;
  });

  slider?.addEventListener("input", () => {
    snapshot = snapshots[slider.value];
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
    let k = Number(slider.value) + 1 < snapshots.length ? Number(slider.value) : -1;
    play.textContent = "Stop";
    timer = setInterval(() => {
      k += 1;
      slider.value = k;
      slider.dispatchEvent(new Event("input"));
      if (k + 1 === snapshots.length) stop();
    }, 500);
  });

  function showDetail(button) {
    const i = Number(button.parentElement.dataset.index);
    hideDetail();
    detail.replaceChildren(makeElement("strong", describe(i)), ...makeTables(snapshot.items[i], names, classes, heads));
    detail.hidden = false;
    button.classList.add("open");
    button.setAttribute("aria-describedby", "detail");
    const item = button.getBoundingClientRect();
    const box = detail.getBoundingClientRect();
    const lowest = innerHeight - box.height - 8;
    const above = item.bottom + 6 > lowest && item.top + item.bottom > innerHeight;
    detail.style.left = Math.max(8, Math.min(item.left, innerWidth - box.width - 8)) + "px";
    detail.style.top = (above ? Math.max(8, item.top - box.height - 6) : Math.max(8, Math.min(item.bottom + 6, lowest))) + "px";
  }
  entries.forEach((entry) => {
    const button = entry.querySelector("button");
    button.addEventListener("mouseenter", () => showDetail(button));
    button.addEventListener("focus", () => showDetail(button));
    button.addEventListener("mouseleave", ({ relatedTarget }) => detail.contains(relatedTarget) || hideDetail());
    button.addEventListener("blur", hideDetail);
  });

  draw();
}

function startCopying(command) {
  command.querySelector(".copy").addEventListener("click", async ({ target }) => {
    const copied = await copyText(command.querySelector("code"));
    command.querySelector(".copied").textContent = copied ? "Copied." : "The text is selected: copy it with Ctrl-C.";
    if (copied) target.focus();
  });
}

function hideDetail() {
  detail.hidden = true;
  document.querySelectorAll(".open").forEach((button) => {
    button.classList.remove("open");
    button.removeAttribute("aria-describedby");
  });
}

/* A page that is opened from a file may have no clipboard: then the text is selected and copied the old way. */
async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

detail.addEventListener("mouseleave", hideDetail);
addEventListener("keydown", ({ key }) => key === "Escape" && hideDetail());
addEventListener("scroll", () => document.querySelector(".item:focus") || hideDetail(), { passive: true });
document.querySelectorAll(".set").forEach(startSet);
document.querySelectorAll(".command").forEach(startCopying);
