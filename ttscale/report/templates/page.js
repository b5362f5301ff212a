"use strict";
// Everything a text from outside touches goes through textContent; nothing here writes markup.
const ACTIVE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

function visible(text) {
  return String(text).replace(ACTIVE, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
  });
}

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function read(id) {
  const holder = document.getElementById(id);
  return holder ? JSON.parse(holder.textContent) : null;
}

function save(name, kind, text) {
  const url = URL.createObjectURL(new Blob([text], { type: kind }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function setUpTheme() {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  });
}

function setUpTabs() {
  for (const tabs of document.querySelectorAll(".tabs")) {
    const buttons = [...tabs.children];
    const choose = (button) => {
      for (const other of buttons) {
        other.setAttribute("aria-selected", String(other === button));
        document.getElementById(other.dataset.shows).hidden = other !== button;
      }
    };
    tabs.hidden = false;
    for (const button of buttons) button.addEventListener("click", () => choose(button));
    choose(buttons[0]);
  }
}

const tip = document.getElementById("tip");

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 4)) + "px";
  tip.style.top = (y + box.height + 24 > innerHeight ? y - box.height - 12 : y + 16) + "px";
}

class Figure {
  constructor(holder, said) {
    this.svg = holder.querySelector("svg");
    this.name = holder.dataset.name;
    this.spots = said.spots;
    this.grid = said.grid;
    this.off = new Set();
    this.at = -1;
    this.ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    this.ring.setAttribute("class", "ring hidden");
    this.ring.setAttribute("r", "6");
    this.svg.append(this.ring);
    this.svg.setAttribute("tabindex", "0");
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerdown", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.leave());
    this.svg.addEventListener("blur", () => this.leave());
    this.svg.addEventListener("keydown", (event) => this.step(event));
    this.svg.addEventListener("click", (event) => this.open(event));
    for (const key of this.svg.querySelectorAll("[data-key]")) key.addEventListener("click", () => this.toggle(key.dataset.key));
    const button = holder.querySelector("button.svg");
    button.hidden = false;
    button.addEventListener("click", () => save(this.name + ".svg", "image/svg+xml", this.file()));
  }

  place(event) {
    const box = this.svg.getBoundingClientRect(), view = this.svg.viewBox.baseVal;
    return [(event.clientX - box.left) * view.width / box.width, (event.clientY - box.top) * view.height / box.height];
  }

  cell(x, y) {
    if (!this.grid) return null;
    const [left, top, right, bottom] = this.grid.box;
    if (x < left || x >= right || y < top || y >= bottom) return null;
    const column = Math.floor((x - left) / (right - left) * this.grid.columns.length);
    const row = Math.floor((y - top) / (bottom - top) * this.grid.rows.length);
    return [column, row];
  }

  point(event) {
    const [x, y] = this.place(event), cell = this.cell(x, y);
    if (cell) {
      const [column, row] = cell, value = this.grid.values[row][column];
      const said = value === null ? "unknown" : row_is_chance(this.grid.rows[row]) ? (100 * value).toFixed(1) + " %" : value ? "right" : "wrong";
      showTip(visible(`problem ${this.grid.columns[column]}\n${this.grid.rows[row]}: ${said}`), event.clientX, event.clientY);
      return;
    }
    let best = -1, least = 24 * 24;
    this.spots.forEach(([sx, sy, series], i) => {
      const distance = (sx - x) ** 2 + (sy - y) ** 2;
      if (distance < least && !this.off.has(String(series))) { least = distance; best = i; }
    });
    if (best < 0) this.leave();
    else this.say(best, event.clientX, event.clientY);
  }

  say(index, x, y) {
    const [sx, sy, , text] = this.spots[index];
    this.at = index;
    this.ring.setAttribute("cx", sx);
    this.ring.setAttribute("cy", sy);
    this.ring.classList.remove("hidden");
    showTip(text, x, y);
  }

  step(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || !this.spots.length) return;
    event.preventDefault();
    const box = this.svg.getBoundingClientRect(), view = this.svg.viewBox.baseVal;
    const next = (this.at + by + this.spots.length) % this.spots.length, [x, y] = this.spots[next];
    this.say(next, box.left + x * box.width / view.width, box.top + y * box.height / view.height);
  }

  open(event) {
    const cell = this.cell(...this.place(event));
    if (cell) location.hash = "p=" + encodeURIComponent(this.grid.columns[cell[0]]);
  }

  leave() {
    tip.hidden = true;
    this.at = -1;
    this.ring.classList.add("hidden");
  }

  toggle(series) {
    const off = !this.off.has(series);
    if (off) this.off.add(series); else this.off.delete(series);
    for (const part of this.svg.querySelectorAll(`[data-series="${series}"]`)) part.classList.toggle("hidden", off);
    for (const part of this.svg.querySelectorAll(`[data-key="${series}"]`)) part.classList.toggle("off", off);
  }

  file() {
    const copy = this.svg.cloneNode(true);
    for (const extra of copy.querySelectorAll(".ring, .hidden")) extra.remove();
    copy.removeAttribute("tabindex");
    return new XMLSerializer().serializeToString(copy).replace(/var\(--[a-z0-9-]+, *(#[0-9a-f]{6})\)/g, "$1");
  }
}

function row_is_chance(label) {
  return label.startsWith("pass@");
}

function setUpFigures() {
  const said = read("figures");
  if (!said) return;
  for (const holder of document.querySelectorAll("figure[data-name]")) new Figure(holder, said[holder.dataset.name]);
}

setUpTheme();
setUpTabs();
setUpFigures();
