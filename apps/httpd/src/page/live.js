"use strict";

// As many as a browser has connections to one server.
const DOWNLOADS = 6;
const DOWNLOAD_LEN = 1_000_000;

// Byte i of the body must be i modulo 256.
async function download(place) {
  place.innerHTML = `<progress max="${DOWNLOAD_LEN}" value="0"></progress> <span></span>`;
  const [bar, text] = place.children;
  const reader = (await fetch(`/bytes/${DOWNLOAD_LEN}`)).body.getReader();
  let len = 0;
  let isSound = true;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    isSound &&= part.value.every((byte, i) => byte === (len + i) % 256);
    len += part.value.length;
    bar.value = len;
  }
  text.textContent = isSound && len === DOWNLOAD_LEN ? "whole" : "damaged";
}

let last = {};

async function show() {
  const stats = await (await fetch("/stats")).json();
  const row = ([name, value]) => {
    const change = value - (last[name] ?? value);
    return `<tr><td>${name}<td id="${name}">${value.toLocaleString("en")}` +
      `<td>${change > 0 ? "+" : ""}${change ? change.toLocaleString("en") : ""}`;
  };
  document.getElementById("stats").innerHTML = Object.entries(stats).map(row).join("");
  last = stats;
  setTimeout(show, 1000);
}

for (let i = 0; i < DOWNLOADS; i++) {
  const place = document.createElement("li");
  document.getElementById("downloads").append(place);
  download(place);
}
show();
