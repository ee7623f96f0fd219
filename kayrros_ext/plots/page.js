"use strict";
const page = JSON.parse(document.getElementById("page").textContent);
const chart = document.getElementById("chart");
const status = document.getElementById("values");
const shownDate = document.getElementById("date");
const list = document.getElementById("names");
const dark = matchMedia("(prefers-color-scheme: dark)");
const formatDate = (date) => new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC", ...(date % 864e5 && { timeStyle: "short" }) }).format(date).replace("Sept", "Sep");
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 7 });
let view, drawnWidth, hasCursor, only, index, names, dates, atDate, pointerX, over;

function showValues(date, asset) {
  const values = (atDate.get(date) ?? []).filter((row) => names.length || asset === undefined || row.asset === asset);
  const texts = new Map(); // of several metrics, if there are
  for (const row of values) texts.set(row.asset, [...(texts.get(row.asset) ?? []), number.format(row.value)]);
  status.textContent = values.length ? [formatDate(date), ...values.slice(0, names.length ? undefined : 6).map((row) => `${row.asset ?? row.panel}${names.length && row.panel ? `, ${row.panel}` : ""} ${number.format(row.value)}`)].join(" · ") : "";
  status.classList.toggle("unseen", names.length > 0);
  shownDate.textContent = values.length && names.length ? formatDate(date) : "";
  for (const button of list.querySelectorAll("button")) {
    button.lastChild.textContent = (texts.get(button.dataset.name) ?? []).map((text, number) => (number ? " · " : "  ") + text).join("");
  }
}

function moveTo(number) {
  index = number;
  showValues(dates[index]);
  if (hasCursor) view.signal("at_date", dates[index] ?? null).runAsync();
}

// To the nearest date, where Vega selects the nearest point.
function followPointer() {
  const time = +view.scale("x").invert(pointerX - chart.querySelector(".mark-path.role-mark").getScreenCTM().e);
  moveTo(dates.reduce((best, date, number) => (Math.abs(date - time) < Math.abs(dates[best] - time) ? number : best), 0));
}

function isolate(name) {
  only = only === name ? null : name;
  for (const button of list.querySelectorAll("button")) button.ariaPressed = String(only === null || only === button.dataset.name);
  view.signal("only", only).runAsync();
}

function makeButton(name, colour) {
  const button = document.createElement("button");
  const swatch = document.createElement("i");
  swatch.style.background = colour;
  button.append(swatch, name, document.createElement("b")); // its value at a date
  button.dataset.name = name;
  button.dir = "auto";
  button.ariaPressed = "true";
  button.addEventListener("click", () => isolate(name));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

async function draw() {
  const isDark = page.theme === "auto" ? dark.matches : page.theme === "dark";
  document.documentElement.classList.toggle("dark", isDark);
  document.documentElement.style.setProperty("--width", `${page.width}px`);
  const width = (drawnWidth = chart.clientWidth);
  const isNarrow = width < page.width - 32;
  const { spec, ...drawing } = isNarrow ? page.narrow : page.wide;
  const rows = (page.datasets[spec.data?.name] ?? []).filter((row) => row.value != null && typeof row.date === "number");
  dates = [...new Set(rows.map((row) => row.date))].sort((one, other) => one - other);
  atDate = new Map(dates.map((date) => [date, []]));
  for (const row of rows) atDate.get(row.date).push(row);
  [names, only, index, over] = [drawing.names, null, -1];
  if (spec.autosize) spec.width = width;
  const config = page.config[isDark ? "dark" : "light"];
  list.replaceChildren(...names.map((name, number) => makeButton(name, config.range.category[number])));
  view?.finalize();
  const options = { mode: "vega-lite", renderer: "svg", config, ast: true, actions: false, defaultStyle: false, tooltip: names.length ? false : { disableDefaultStyle: true } };
  view = (await vegaEmbed(chart, { ...spec, datasets: page.datasets }, options)).view;
  const params = (spec.params ?? []).map((param) => param.name);
  hasCursor = params.includes("at_date");
  if (hasCursor) {
    view.addSignalListener("hover", (_, { date, asset }) => {
      over = asset?.[0];
      if (over !== undefined && names.length) return followPointer();
      if (date) index = dates.indexOf(+date[0]);
      view.signal("at_date", null).runAsync();
      // Later, because a tap on a name ends this, and the names must not move before its click.
      setTimeout(() => over === asset?.[0] && showValues(date ? +date[0] : null, over));
    });
  }
  if (params.includes("map_zoom")) zoomMap(view, chart);
}

chart.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -dates.length, End: dates.length }[event.key];
  if (!dates.length || (step === undefined && event.key !== "Escape")) return;
  event.preventDefault();
  const start = index < 0 && step === -1 ? dates.length : index;
  moveTo(step === undefined ? -1 : Math.min(Math.max(start + step, 0), dates.length - 1));
});
for (const type of ["mouseover", "mousemove"]) {
  chart.addEventListener(type, ({ clientX }) => {
    pointerX = clientX;
    if (over !== undefined && names.length) followPointer();
  }, true);
}
// A tap has no move, which shows the values of a bar, a cell or a small chart.
chart.addEventListener("click", (event) => event.target.dispatchEvent(new PointerEvent("pointermove", event)));
dark.addEventListener("change", draw);
let resized;
addEventListener("resize", () => {
  clearTimeout(resized);
  // A phone also sends this when its address bar appears.
  if (chart.clientWidth !== drawnWidth) resized = setTimeout(draw, 150);
});
draw();
