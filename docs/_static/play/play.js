// The page to play with: two clouds to turn, a point to drag in the lens, a sum, and a query box.
"use strict";
(() => {
const byId = (id) => document.getElementById(id);
const shown = (value, digits = 3) => Number(value.toPrecision(digits)).toString();
const percent = (value) => `${Math.round(100 * value)} %`;
const radians = Math.PI / 180;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Add an SVG element, or a text in one, to a parent. */
function draw(parent, name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}

/** Show pairs of a name and a value as a list. */
function tell(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value]) => {
    const group = document.createElement("div");
    group.append(Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }));
    return group;
  }));
}

/** Say it aloud only once it has come to rest: a screen reader cannot follow a drag. */
function say(element, text) {
  clearTimeout(element.timer);
  element.timer = setTimeout(() => { element.textContent = text; }, element.textContent ? 150 : 0);
}

// --- Arithmetic -----------------------------------------------------------------------------

/** Eigenvalues of a symmetric matrix, by Jacobi's rotations. */
function eigenvalues(matrix) {
  const A = matrix.map((row) => [...row]), n = A.length;
  const scale = Math.hypot(...A.flat()) || 1;
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) off += A[i][j] ** 2;
    if (Math.sqrt(off) < 1e-15 * scale) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) {
      if (Math.abs(A[p][q]) < 1e-300) continue;
      const tau = (A[q][q] - A[p][p]) / (2 * A[p][q]);
      const tan = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
      const c = 1 / Math.sqrt(1 + tan * tan), s = c * tan;
      for (let k = 0; k < n; k++) [A[k][p], A[k][q]] = [c * A[k][p] - s * A[k][q], s * A[k][p] + c * A[k][q]];
      for (let k = 0; k < n; k++) [A[p][k], A[q][k]] = [c * A[p][k] - s * A[q][k], s * A[p][k] + c * A[q][k]];
    }
  }
  return A.map((row, i) => row[i]);
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** XᵀY of two lists of points in the plane, its entries row by row. */
function cross(X, Y) {
  const entry = (i, j) => X.reduce((sum, x, k) => sum + x[i] * Y[k][j], 0);
  return [entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1)];
}

/** Sum of the singular values of a 2 × 2 matrix: (σ₁ + σ₂)² = ‖M‖² + 2|det M|. */
const nuclear2 = ([a, b, c, d]) => Math.sqrt(a * a + b * b + c * c + d * d + 2 * Math.abs(a * d - b * c));

/** The certificate of two clouds in the plane, per object, as procrustes_lab.certify has it. */
function certify(X, Y) {
  const n = X.length;
  const D = X.map((_, i) => X.map((_, j) => dot(X[i], X[j]) - dot(Y[i], Y[j])));
  const t = dot(X.flat(), X.flat()) + dot(Y.flat(), Y.flat());
  const delta = Math.hypot(...D.flat());
  const nuclear = Math.min(t, eigenvalues(D).reduce((sum, value) => sum + Math.abs(value), 0));
  return {
    energy: t / n, delta: delta / n, nuclear: nuclear / n,
    error: Math.max(0, t - 2 * nuclear2(cross(X, Y))) / n,
    lower: nuclear * nuclear / (t + Math.sqrt((t - nuclear) * (t + nuclear))) / n,
    upper: nuclear / n, theorem: 2 * delta / n,
  };
}

/** Points turned by an angle in degrees, after a mirror if asked for. */
function turned(points, angle, mirrored) {
  const c = Math.cos(angle * radians), s = Math.sin(angle * radians);
  return points.map(([x, y]) => [x * c - (mirrored ? -y : y) * s, x * s + (mirrored ? -y : y) * c]);
}

const error = (X, Y) => X.reduce((sum, [a, b], i) => sum + (a - Y[i][0]) ** 2 + (b - Y[i][1]) ** 2, 0) / X.length;

/** The best turn of X onto Y in degrees, without or with a mirror. */
function bestAngle(X, Y, mirrored) {
  const [a, b, c, d] = cross(turned(X, 0, mirrored), Y);
  return Math.atan2(b - c, a + d) / radians;
}

/** Uniform numbers in (0, 1) that are the same on every machine (a linear congruence). */
function randomNumbers(seed) {
  let state = seed;
  return () => (state = (state * 1664525 + 1013904223) % 4294967296, (state + 0.5) / 4294967296);
}

/** The same points, with a mean square length of 1. */
function scaled(points) {
  const size = Math.sqrt(dot(points.flat(), points.flat()) / points.length);
  return points.map((point) => point.map((value) => value / size));
}

/** Points spread evenly over an ellipse about the origin. */
function randomCloud(random, n) {
  return scaled(Array.from({ length: n }, () => {
    const radius = Math.sqrt(random()), angle = 2 * Math.PI * random();
    return [1.6 * radius * Math.cos(angle), radius * Math.sin(angle)];
  }));
}

/** Draw matched clouds: lines between, hollow circles for the source, squares for the target. */
function drawPair(svg, X, Y) {
  const layer = svg.querySelector("g") || draw(svg, "g", {});
  layer.replaceChildren();
  draw(layer, "path", { d: "M-1.8 0H1.8M0 -1.8V1.8", class: "axis", "stroke-width": 0.006 });
  X.forEach(([x, y], i) => draw(layer, "line", { x1: x, y1: -y, x2: Y[i][0], y2: -Y[i][1], class: "line", "stroke-width": 0.016 }));
  Y.forEach(([x, y]) => draw(layer, "rect", { x: x - 0.045, y: -y - 0.045, width: 0.09, height: 0.09, class: "target" }));
  X.forEach(([x, y]) => draw(layer, "circle", { cx: x, cy: -y, r: 0.06, class: "source", "stroke-width": 0.035 }));
}

/** The place of a pointer in the coordinates of an SVG. */
function placeOf(svg, event) {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [x, y];
}

// --- Turn a cloud -----------------------------------------------------------------------------

const turn = (() => {
  const cloud = byId("turn-cloud"), curve = byId("turn-curve"), mirror = byId("turn-mirror");
  const kinds = {
    "turned and disturbed": (X, random) => turned(X, 115, false).map((p) => p.map((v) => v + 0.5 * (random() - 0.5))),
    "turned, nothing else": (X) => turned(X, 115, false),
    "mirrored and disturbed": (X, random) => turned(X, 115, true).map((p) => p.map((v) => v + 0.5 * (random() - 0.5))),
    "one direction stretched": (X) => scaled(turned(X.map(([x, y]) => [x, y / 4]), 115, false)),
    "another cloud altogether": (X, random) => randomCloud(random, X.length),
  };
  for (const kind of Object.keys(kinds)) byId("turn-kind").append(new Option(kind));
  const state = { X: [], Y: [], angle: 0 };

  function choose() {
    const random = randomNumbers(7);
    state.X = randomCloud(random, 12);
    state.Y = kinds[byId("turn-kind").value](state.X, random);
    state.angle = 0;
    mirror.checked = false;
    show();
  }

  function show() {
    const { X, Y, angle } = state, mirrored = mirror.checked;
    const moved = turned(X, angle, mirrored), c = certify(X, Y), now = error(moved, Y);
    drawPair(cloud, moved, Y);
    const layer = cloud.querySelector("g"), [hx, hy] = turned([[1.78, 0]], angle, false)[0];
    draw(layer, "line", { x1: 0, y1: 0, x2: hx, y2: -hy, class: "curve", "stroke-width": 0.02 }).style.strokeWidth = 0.02;
    draw(layer, "circle", { cx: hx, cy: -hy, r: 0.11, class: "point handle", "stroke-width": 0.03 }).style.strokeWidth = 0.03;
    cloud.setAttribute("aria-valuenow", Math.round(angle));
    cloud.setAttribute("aria-valuetext", `${Math.round(angle)} degrees, error ${shown(now)}`);
    drawCurve(c, now);
    const rest = now - c.error < 5e-4 * c.energy ? "the best there is"
      : `the best turn leaves ${shown(c.error)}${bestIsMirrored() === mirrored ? "" : mirrored ? ", without the mirror" : ", with the mirror"}`;
    say(byId("turn-said"), `Turned by ${Math.round(angle)}°: mean squared distance ${shown(now)}, ${rest}.`);
    tell(byId("turn-numbers"), [["error now", shown(now)], ["least error", shown(c.error)], ["cannot be less (lens, T2)", shown(c.lower)],
      ["cannot be more (lens, T2)", shown(c.upper)], ["the paper's bound (T1)", shown(c.theorem)], ["energy", shown(c.energy)]]);
  }

  function bestIsMirrored() {
    const [a, b, c, d] = cross(state.X, state.Y);
    return a * d - b * c < 0;
  }

  function drawCurve(c, now) {
    const { X, Y, angle } = state, most = 2 * c.energy, left = 40, top = 12, width = 308, height = 250;
    const px = (degrees) => left + (degrees + 180) / 360 * width, py = (value) => top + height * (1 - Math.min(value, most) / most);
    const path = (mirrored) => "M" + Array.from({ length: 121 }, (_, i) => `${px(3 * i - 180).toFixed(1)} ${py(error(turned(X, 3 * i - 180, mirrored), Y)).toFixed(2)}`).join("L");
    curve.replaceChildren();
    draw(curve, "rect", { x: left, width, y: py(c.upper), height: Math.max(1.5, py(c.lower) - py(c.upper)), class: "band" });
    if (c.theorem < most) {
      draw(curve, "line", { x1: left, x2: left + width, y1: py(c.theorem), y2: py(c.theorem), class: "theorem" });
      draw(curve, "text", { x: left + width - 4, y: py(c.theorem) - 4, "text-anchor": "end" }, "T1");
    }
    draw(curve, "path", { d: `M${left} ${top}V${top + height}H${left + width}`, class: "axis" });
    draw(curve, "path", { d: path(!mirror.checked), class: "other" });
    draw(curve, "path", { d: path(mirror.checked), class: "curve" });
    draw(curve, "circle", { cx: px(angle), cy: py(now), r: 6, class: "point" });
    for (const tick of [-180, -90, 0, 90, 180]) draw(curve, "text", { x: px(tick), y: 278, "text-anchor": tick < 180 ? "middle" : "end" }, `${tick}°`);
    for (const share of [0, 0.5, 1]) draw(curve, "text", { x: left - 5, y: py(share * most) + 4, "text-anchor": "end" }, shown(share * most, 2));
    draw(curve, "text", { x: left + width / 2, y: 294, "text-anchor": "middle" }, "angle");
    draw(curve, "text", { transform: "translate(11 137) rotate(-90)", "text-anchor": "middle" }, "mean squared distance");
  }

  function turnTo(angle) {
    state.angle = ((angle + 180) % 360 + 360) % 360 - 180;
    show();
  }

  let held = null;
  cloud.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" && !event.target.classList.contains("handle")) return;
    const [x, y] = placeOf(cloud, event);
    held = state.angle - Math.atan2(-y, x) / radians;
    cloud.setPointerCapture(event.pointerId);
    cloud.focus();
    event.preventDefault();
  });
  cloud.addEventListener("pointermove", (event) => {
    if (held === null) return;
    const [x, y] = placeOf(cloud, event);
    turnTo(held + Math.atan2(-y, x) / radians);
  });
  for (const end of ["pointerup", "pointercancel"]) cloud.addEventListener(end, () => { held = null; });
  cloud.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 2, ArrowUp: 2, ArrowRight: -2, ArrowDown: -2, PageUp: 15, PageDown: -15 }[event.key];
    if (step === undefined && event.key !== "Home") return;
    turnTo(event.key === "Home" ? 0 : state.angle + step);
    event.preventDefault();
  });
  byId("turn-kind").addEventListener("change", choose);
  mirror.addEventListener("change", show);
  byId("turn-best").addEventListener("click", () => {
    mirror.checked = bestIsMirrored();
    turnTo(bestAngle(state.X, state.Y, mirror.checked));
  });
  choose();
  return state;
})();

// --- Drag a point in the lens -------------------------------------------------------------------

const lens = (() => {
  const plane = byId("lens-plane"), size = 300, state = { x: 0.6, y: 0.35, X: [], Y: [] };
  const lowest = (x) => x * x / (1 + Math.sqrt((1 - x) * (1 + x)));
  const arc = `M0 ${size}L${size} 0A${size} ${size} 0 0 1 0 ${size}Z`;
  draw(plane, "path", { d: `M0 0V${size}H${size}`, class: "axis" });
  draw(plane, "path", { d: arc, class: "region" });
  for (const value of [0, 0.5, 1]) {
    draw(plane, "text", { x: size * value, y: size + 18, "text-anchor": "middle" }, value);
    if (value) draw(plane, "text", { x: -8, y: size * (1 - value) + 4, "text-anchor": "end" }, value);
  }
  draw(plane, "text", { x: size / 2, y: size + 38, "text-anchor": "middle" }, "Gram discrepancy Δ/t");
  draw(plane, "text", { transform: `translate(-38 ${size / 2}) rotate(-90)`, "text-anchor": "middle" }, "error p²/t");
  const real = typeof PLAY === "undefined" ? null : PLAY.lens;
  if (real) {
    draw(plane, "circle", { cx: size * real[0], cy: size * (1 - real[1]), r: 9, class: "star" }).append(
      Object.assign(document.createElementNS("http://www.w3.org/2000/svg", "title"), { textContent: "the two models of this page" }));
    byId("lens-real").hidden = false;
  }
  const point = draw(plane, "circle", { r: 8, class: "point" });

  /** Two tilts α and 90° − α, and the share of the second, that stand at (x, y). */
  function tilts(x, y) {
    const spread = Math.acos(clamp((1 + x - y) / Math.SQRT2, Math.SQRT1_2, 1));
    const small = Math.PI / 4 - spread, large = Math.PI / 4 + spread;
    const share = spread < 1e-9 ? 0 : clamp((x - Math.sin(small)) / (Math.sin(large) - Math.sin(small)), 0, 1);
    return { small, large, share };
  }

  /** A figure of eight and its tilted copy: four orthogonal waves, two a direction. */
  function clouds({ small, large, share }, n = 24) {
    const a = Math.sqrt(2 * (1 - share)), b = Math.sqrt(2 * share);
    const at = (phase) => Array.from({ length: n }, (_, i) => 2 * Math.PI * i / n).map((f) => [a * Math.cos(f - phase * small), b * Math.sin(2 * f - phase * large)]);
    return [at(0), at(1)];
  }

  function show() {
    const { x, y } = state, found = tilts(x, y);
    [state.X, state.Y] = clouds(found);
    const c = certify(state.X, state.Y);
    point.setAttribute("cx", size * x);
    point.setAttribute("cy", size * (1 - y));
    drawPair(byId("lens-cloud"), state.X, state.Y);
    const degrees = (angle) => `${(angle / radians).toFixed(1)}°`;
    const both = found.share > 0.002 && found.share < 0.998;
    const words = both ? `tilts ${degrees(found.small)} and ${degrees(found.large)}, the second with ${percent(found.share)} of the energy`
      : `one tilt, ${degrees(found.share < 0.5 ? found.small : found.large)}: on the lower side`;
    say(byId("lens-said"), `Δ/t = ${x.toFixed(3)}, p²/t = ${y.toFixed(3)}: ${words}.`);
    tell(byId("lens-numbers"), [["first tilt", degrees(found.small)], ["its share", percent(1 - found.share)], ["second tilt", degrees(found.large)],
      ["its share", percent(found.share)], ["Δ/t of the clouds drawn", (c.nuclear / c.energy).toFixed(4)], ["p²/t of the clouds drawn", (c.error / c.energy).toFixed(4)]]);
  }

  function moveTo(x, y) {
    state.x = clamp(x, 0, 1);
    state.y = clamp(y, lowest(state.x), state.x);
    show();
  }

  let held = false;
  const follow = (event) => { const [x, y] = placeOf(plane, event); moveTo(x / size, 1 - y / size); };
  plane.addEventListener("pointerdown", (event) => {
    held = true;
    plane.setPointerCapture(event.pointerId);
    plane.focus();
    event.preventDefault();
    follow(event);
  });
  plane.addEventListener("pointermove", (event) => { if (held) follow(event); });
  for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { held = false; });
  plane.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.01;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key] || [0, 0];
    if (!dx && !dy) return;
    moveTo(state.x + dx, state.y + dy);
    event.preventDefault();
  });
  for (const button of document.querySelectorAll("#lens [data-to]")) {
    button.addEventListener("click", () => moveTo(...button.dataset.to.split(" ").map(Number)));
  }
  if (real) byId("lens-real").addEventListener("click", () => moveTo(...real));
  show();
  return state;
})();

// --- Break even -------------------------------------------------------------------------------

(() => {
  const form = byId("break"), names = ["old", "new", "kept", "documents", "pairs", "price", "seconds"];
  const amount = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 4 : 0 });
  const time = (seconds) => seconds < 120 ? `${shown(seconds)} s` : seconds < 7200 ? `${shown(seconds / 60)} min`
    : seconds < 172800 ? `${shown(seconds / 3600)} h` : `${shown(seconds / 86400)} days`;

  function show() {
    const values = Object.fromEntries(names.map((name) => [name, byId(`break-${name}`).valueAsNumber]));
    const bad = names.find((name) => !byId(`break-${name}`).validity.valid && !byId(`break-${name}`).validity.stepMismatch || Number.isNaN(values[name]));
    for (const name of names) byId(`break-${name}`).setAttribute("aria-invalid", String(name === bad));
    if (bad) {
      const field = byId(`break-${bad}`);
      const range = field.max ? `from ${field.min} to ${field.max}` : "of at least 0";
      say(byId("break-said"), `${field.parentNode.firstChild.textContent}: a number ${range} is expected.`);
      tell(byId("break-numbers"), []);
      byId("break-bar").replaceChildren();
      return;
    }
    const aligned = values.kept / 100 * values.new, even = values.new > 0 ? values.old / values.new : Infinity;
    const [fit, all] = [values.pairs, values.documents].map((count) => count / 1000);
    let words;
    if (values.new <= values.old) words = "Leave things alone: the new model is no better than the old one.";
    else if (aligned <= values.old) words = `Re-embed: the map would have to keep more than ${percent(even)} of the new score to beat what you have.`;
    else if (values.kept >= 100 * form.dataset.kept) words = "Align and keep the index: the map keeps nearly all that embedding everything again would give.";
    else words = `Align now, re-embed later: ${percent((aligned - values.old) / (values.new - values.old))} of the gain is to be had today.`;
    say(byId("break-said"), words);
    tell(byId("break-numbers"), [["new queries over the old index", shown(aligned)], ["the map breaks even at", Number.isFinite(even) ? percent(even) : "never"],
      ["price of the pairs", amount(fit * values.price)], ["price of all documents", amount(all * values.price)],
      ["time for the pairs", time(fit * values.seconds)], ["time for all documents", time(all * values.seconds)]]);
    const bar = byId("break-bar"), most = Math.max(values.old, values.new, aligned, 1e-9);
    bar.replaceChildren();
    [["old", values.old, ""], ["aligned", aligned, "aligned"], ["new", values.new, ""]].forEach(([name, value, kind], i) => {
      draw(bar, "text", { x: 62, y: 20 + 26 * i, "text-anchor": "end" }, name);
      draw(bar, "rect", { x: 70, y: 6 + 26 * i, width: 460 * value / most, height: 18, class: `bar ${kind}` });
      draw(bar, "text", { x: 76 + 460 * value / most, y: 20 + 26 * i }, shown(value));
    });
  }

  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();

// --- The query box ----------------------------------------------------------------------------

const search = (() => {
  if (typeof PLAY === "undefined") {
    byId("search-about").textContent = "This copy of the page was built without the vectors.";
    byId("search-box").disabled = byId("search-another").disabled = true;
    return null;
  }
  /** Rows of signed bytes, each to be divided by its length. */
  function matrix(text, width) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const signed = new Int8Array(bytes.buffer);
    return Array.from({ length: signed.length / width }, (_, row) => {
      const values = Float64Array.from(signed.subarray(row * width, (row + 1) * width));
      const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)) || 1;
      return values.map((value) => value / length);
    });
  }
  const sides = Object.fromEntries(Object.entries(PLAY.vectors).map(([name, [width, text]]) => [name, matrix(text, width)]));
  const box = byId("search-box"), list = byId("search-list");
  let options = [], active = -1;

  /** All documents by their dot product with a query, the best first; ties as they stand. */
  function ranked(query, documents) {
    const scores = documents.map((document) => dot(query, document));
    return scores.map((_, i) => i).sort((i, j) => scores[j] - scores[i] || i - j);
  }

  function ask(number) {
    box.value = PLAY.queries[number];
    close();
    const places = PLAY.ways.map(({ title, short, queries, documents }) => {
      const order = ranked(sides[queries][number], sides[documents]);
      return { title, short, top: order.slice(0, 5), place: order.indexOf(number) + 1 };
    });
    byId("search-lists").replaceChildren(...places.map(({ title, top, place }) => {
      const section = document.createElement("section"), ordered = document.createElement("ol");
      section.append(Object.assign(document.createElement("h3"), { textContent: title }), ordered);
      for (const row of top) {
        const item = document.createElement("li");
        item.append(Object.assign(document.createElement("code"), { textContent: PLAY.names[row] }),
          Object.assign(document.createElement("small"), { textContent: PLAY.queries[row] }));
        if (row === number) item.className = "answer";
        ordered.append(item);
      }
      section.dataset.place = place;
      section.dataset.top = top.join(" ");
      return section;
    }));
    byId("search").dataset.query = number;
    say(byId("search-said"), `Place of the answer among ${PLAY.queries.length}: ` + places.map(({ short, place }) => `${place} ${short}`).join(", ") + ".");
  }

  function close() {
    list.hidden = true;
    active = -1;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  function suggest() {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    options = PLAY.queries.map((text, number) => ({ text, number }))
      .filter(({ text }) => words.every((word) => text.toLowerCase().includes(word))).slice(0, 12);
    list.replaceChildren(...options.map(({ text, number }, i) => {
      const item = Object.assign(document.createElement("li"), { id: `search-option-${i}`, textContent: text });
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.addEventListener("pointerdown", (event) => { event.preventDefault(); ask(number); });
      return item;
    }));
    active = -1;
    list.hidden = !options.length;
    box.setAttribute("aria-expanded", String(!list.hidden));
    box.removeAttribute("aria-activedescendant");
    if (!options.length) say(byId("search-said"), "No prepared query has all of these words.");
  }

  function highlight(number) {
    active = (number + options.length) % options.length;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === active)));
    list.children[active].scrollIntoView({ block: "nearest" });
    box.setAttribute("aria-activedescendant", `search-option-${active}`);
  }

  box.addEventListener("input", suggest);
  box.addEventListener("focus", () => box.select());
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && options.length) ask(options[Math.max(active, 0)].number);
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (list.hidden) suggest();
    if (options.length) highlight(active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1));
  });
  const random = randomNumbers(3);
  byId("search-another").addEventListener("click", () => ask(Math.floor(random() * PLAY.queries.length)));
  byId("search-about").textContent = PLAY.about;
  const first = PLAY.ways.map(({ short, queries, documents }) => {
    const hits = sides[queries].filter((query, i) => ranked(query, sides[documents])[0] === i).length;
    return `${percent(hits / PLAY.queries.length)} ${short}`;
  });
  byId("search-all").textContent = `Over all ${PLAY.queries.length} queries here, the answer comes first for ${first.join(", ")}.`;
  ask(0);
  return { ranked, sides };
})();

// What the page computes with, for a console and for the tests.
window.procrustesPlay = { certify, turn, lens, search };
})();
