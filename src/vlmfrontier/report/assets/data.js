// The data that the page was made with; the laws of a target are read when they are asked for.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

Object.values(data.targets).forEach((target, place) => {
  let laws = null;
  const get = () => (laws ||= JSON.parse(document.getElementById(`laws-${place}`).textContent));
  Object.defineProperty(target, "laws", { get, enumerable: true });
});
