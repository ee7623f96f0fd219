// Zoom and pan of a map, by its parameters map_zoom, map_x and map_y. Lines, symbols and letters keep their size.
// Wheel, pinch, + and - zoom; dragging and arrow keys pan; a double click and 0 reset.
function zoomMap(view, element) {
  const pointers = new Map();
  const limit = (value, low, high) => Math.min(Math.max(value, low), high);
  const centre = () => [view.width() / 2, view.height() / 2];

  // Enlarge by a factor about a point of the map, then move. Return whether anything changed: the page scrolls otherwise.
  function change(factor, [x, y] = centre(), dx = 0, dy = 0) {
    const old = ["map_zoom", "map_x", "map_y"].map((name) => view.signal(name));
    const zoom = limit(old[0] * factor, 1, 81);
    const left = limit(x + dx - ((x - old[1]) * zoom) / old[0], view.width() * (1 - zoom), 0);
    const top = limit(y + dy - ((y - old[2]) * zoom) / old[0], view.height() * (1 - zoom), 0);
    view.signal("map_zoom", zoom).signal("map_x", left).signal("map_y", top).runAsync();
    element.style.touchAction = zoom > 1 ? "none" : "pan-y";
    return zoom !== old[0] || left !== old[1] || top !== old[2];
  }

  // The position of an event on the map, also where the page shows the drawing smaller or larger than it is.
  function position(event) {
    const drawing = element.querySelector("svg, canvas");
    const box = drawing.getBoundingClientRect();
    const width = drawing.viewBox ? drawing.viewBox.baseVal.width : drawing.width / devicePixelRatio;
    const [left, top] = view.origin();
    const { left: padding = 0, top: above = 0 } = view.padding();
    const scale = width / box.width;
    return [(event.clientX - box.left) * scale - left - padding, (event.clientY - box.top) * scale - top - above];
  }

  // The middle of one or two fingers, and how far apart they are.
  function grip() {
    const [a, b = a] = [...pointers.values()];
    return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, spread: Math.hypot(a[0] - b[0], a[1] - b[1]) || 1 };
  }

  const keys = { "+": [2], "=": [2], "-": [0.5], 0: [0], ArrowLeft: [1, 80, 0], ArrowRight: [1, -80, 0], ArrowUp: [1, 0, 80], ArrowDown: [1, 0, -80] };
  const on = (type, listener) => element.addEventListener(type, (event) => listener(event) && event.preventDefault(), { passive: false });
  on("wheel", (event) => change(2 ** (-event.deltaY / (event.deltaMode ? 9 : 300)), position(event)));
  on("dblclick", () => change(0));
  on("keydown", (event) => {
    const key = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    return key && change(key[0], centre(), key[1], key[2]);
  });
  on("pointerdown", (event) => void (pointers.size < 2 && pointers.set(event.pointerId, position(event))));
  // A drag goes on outside of the map.
  addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = grip();
    pointers.set(event.pointerId, position(event));
    const after = grip();
    change(after.spread / before.spread, [before.x, before.y], after.x - before.x, after.y - before.y);
  });
  for (const type of ["pointerup", "pointercancel"]) addEventListener(type, (event) => pointers.delete(event.pointerId));
  element.tabIndex = 0;
  Object.assign(element.style, { touchAction: "pan-y", userSelect: "none" });
}
