// SPDX-License-Identifier: Apache-2.0
// The report of an evaluation: reads the JSON beside it and draws it. It loads nothing; only a live report fetches.
'use strict';
(() => {
const HEMISPHERES = ['lh', 'rh'], SIDES = {lh: 'left', rh: 'right'};
const ICOSAHEDRON = [0, 3, 4, 0, 4, 5, 0, 5, 1, 0, 1, 2, 0, 2, 3, 3, 2, 8, 3, 8, 9, 3, 9, 4, 4, 9, 10, 4, 10, 5,
  5, 10, 6, 5, 6, 1, 1, 6, 7, 1, 7, 2, 2, 7, 8, 8, 11, 9, 9, 11, 10, 10, 11, 6, 6, 11, 7, 7, 11, 8];
/** Colours of runs that colour-blind readers tell apart (Okabe and Ito), and marks for those who print in grey. */
const RUN_COLOURS = ['#0072b2', '#d55e00', '#009e73', '#b8579a', '#b58900', '#3a8fd0', '#777777', '#8a3b00'];
const PRESETS = {
  'Early visual': roi => /^(V[123][vd]|hV4)$/.test(roi.name), Faces: roi => /faces/.test(roi.class),
  Bodies: roi => /bodies/.test(roi.class), Places: roi => /places/.test(roi.class),
  Words: roi => /words/.test(roi.class), Streams: roi => /streams/.test(roi.class), None: () => false
};
const VIEWS = {
  lateral: 'Lateral', medial: 'Medial', ventral: 'Ventral, front down', posterior: 'Posterior',
  dorsal: 'Dorsal, front up', together: 'Together, to turn'
};
const SURFACES = {inflated: 'Inflated', pial: 'Pial (folded)', flat: 'Flat map'};
/** For each view the axes of space (1 x right, 2 y front, 3 z up) that point right, away and up; a sign turns them. */
const FRAMES = {
  lateral: {lh: [-2, 1, 3], rh: [2, -1, 3]}, medial: {lh: [2, -1, 3], rh: [-2, 1, 3]},
  ventral: {lh: [1, 3, -2], rh: [1, 3, -2]}, posterior: {lh: [1, 2, 3], rh: [1, 2, 3]},
  dorsal: {lh: [1, -3, 2], rh: [1, -3, 2]}, together: {lh: [1, 2, 3], rh: [1, 2, 3]}
};
/** Opacity of a grey vertex, which tells the shader to shade it; that of a coloured vertex is 255. */
const GREY = 1;
/** Light falls from the reader's eye on grey alone, so that colours are those of the colour bar. */
const SHADER = `#version 300 es
precision highp int;
precision highp float;
uniform float opacity;
in vec4 vClr;
in vec3 vN;
out vec4 color;
void main() {
  color = vec4(vClr.rgb * (vClr.a > 0.5 ? 1.0 : 0.9 + 0.1 * abs(normalize(vN).z)), opacity);
}`;

let data, scene = null, triangles, neighbours;
let cache = new Map();
const state = {map: 'r', surface: 'inflated', view: 'lateral', run: null, against: null, threshold: null,
  min: 0, max: 1, colourmap: 'inferno', rois: []};
/** Which of the scale's values follow the data; a value that the reader set stays. */
const automatic = {min: true, max: true, colourmap: true};
/** The map whose values the scale and the threshold are of. */
let scaled = 'r';
/** The vertex under the pointer, the one kept by click or keys, and the ROI whose bar has the pointer. */
let hovered = null, kept = null, highlighted = null;
/** When the data that are drawn were made; a live report draws others. */
let drawn = null;
/** The row of the ROI chart that the Tab key reaches. */
let reachable = null;

// ---- Arrays ---------------------------------------------------------------------------------------------------------

async function inflate(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A packed array as Float32Array if it has scale, offset or NaN, otherwise as integers. Bytes lie in planes. */
async function decode(blob) {
  const bytes = await inflate(blob.data), n = blob.n, width = {u8: 1, i16: 2, i32: 4}[blob.type];
  if (!width || bytes.length !== n * width) {
    throw new Error(`a packed array of ${n} ${blob.type} has ${bytes.length} bytes`);
  }
  const whole = blob.scale === undefined && blob.offset === undefined && blob.nan === undefined;
  if (width === 1 && whole && blob.coding === 'plain') return bytes;
  const integers = new Int32Array(n), unzigzag = blob.coding !== 'plain', shift = 32 - 8 * width;
  for (let i = 0; i < n; i++) {
    let value = 0;
    for (let plane = 0; plane < width; plane++) value |= bytes[plane * n + i] << 8 * plane;
    if (unzigzag) value = value >>> 1 ^ -(value & 1);
    else if (width > 1) value = value << shift >> shift;
    integers[i] = value;
  }
  if (blob.coding === 'delta') for (let i = 1; i < n; i++) integers[i] += integers[i - 1];
  if (blob.coding === 'midpoint') addMidpoints(integers);
  if (whole) return integers;
  const values = new Float32Array(n), {scale = 1, offset = 0} = blob;
  for (let i = 0; i < n; i++) values[i] = integers[i] === blob.nan ? NaN : integers[i] * scale + offset;
  return values;
}

function addMidpoints(xyz) {
  const parents = icosphere(Math.round(Math.log2((xyz.length / 3 - 2) / 10) / 2)).parents;
  for (let v = 12; v < xyz.length / 3; v++) {
    const p = 3 * parents[2 * v], q = 3 * parents[2 * v + 1];
    for (let axis = 0; axis < 3; axis++) xyz[3 * v + axis] += xyz[p + axis] + xyz[q + axis] >> 1;
  }
}

/** Replaces every packed array below a value by its elements. */
async function decodeAll(value) {
  if (!value || typeof value !== 'object') return value;
  if (typeof value.data === 'string' && value.coding) return decode(value);
  await Promise.all(Object.keys(value).map(async key => { value[key] = await decodeAll(value[key]); }));
  return value;
}

const icospheres = [];

/** Triangles and parents of fsaverage's subdivision of a level, by the same rule as org.cortigan.surface.Fsaverage. */
function icosphere(level) {
  if (icospheres[level]) return icospheres[level];
  let faces = Int32Array.from(ICOSAHEDRON);
  const parents = new Int32Array(2 * (10 * 4 ** level + 2));
  for (let l = 0, next = 12; l < level; l++) {
    const n = faces.length / 3, out = new Int32Array(4 * faces.length), middles = new Map();
    const middle = (a, b) => {
      const low = Math.min(a, b), high = Math.max(a, b), edge = low * 262144 + high;
      let m = middles.get(edge);
      if (m === undefined) {
        m = next++;
        middles.set(edge, m);
        parents[2 * m] = low;
        parents[2 * m + 1] = high;
      }
      return m;
    };
    for (let t = 0; t < n; t++) {
      const a = faces[3 * t], b = faces[3 * t + 1], c = faces[3 * t + 2];
      const ac = middle(a, c), bc = middle(b, c), ab = middle(a, b);
      out.set([a, ab, ac], 3 * t);
      out.set([ac, bc, c, ab, bc, ac, ab, b, bc], 3 * (n + 3 * t));
    }
    faces = out;
  }
  return icospheres[level] = {triangles: faces, parents};
}

/** The neighbours of vertices: those of v are all[first[v]] .. all[first[v + 1] - 1]. */
function adjacency(vertices, faces) {
  const first = new Int32Array(vertices + 1), all = new Int32Array(faces.length);
  for (const v of faces) first[v + 1]++;
  for (let v = 0; v < vertices; v++) first[v + 1] += first[v];
  const at = first.slice();
  for (let i = 0; i < faces.length; i++) all[at[faces[i]]++] = faces[i % 3 === 2 ? i - 2 : i + 1];
  return {first, all};
}

function indexOf(ascending, value) {
  let low = 0, high = ascending.length - 1;
  while (low <= high) {
    const middle = low + high >> 1;
    if (ascending[middle] === value) return middle;
    if (ascending[middle] < value) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

function sorted(...arrays) {
  const finite = arrays.map(a => a.filter(Number.isFinite)),
    all = new Float32Array(finite.reduce((n, a) => n + a.length, 0));
  let at = 0;
  for (const a of finite) {
    all.set(a, at);
    at += a.length;
  }
  return all.sort();
}

/** A quantile of ascending values, linear between neighbours; NaN of none. */
function quantile(ascending, q) {
  if (!ascending.length) return NaN;
  const at = q * (ascending.length - 1), low = Math.floor(at), high = Math.min(low + 1, ascending.length - 1);
  return ascending[low] + (at - low) * (ascending[high] - ascending[low]);
}

/** Least and largest of a list, which may be too long for the arguments of a function. */
const bounds = list => list.reduce(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Infinity, -Infinity]);

function remembered(key, make) {
  if (!cache.has(key)) cache.set(key, make());
  return cache.get(key);
}

const both = make => ({lh: make('lh'), rh: make('rh')});

// ---- Runs and maps --------------------------------------------------------------------------------------------------

const runOf = id => data.runs.find(run => run.id === id);
const subjectOf = run => data.subjects[run.subject];
const current = () => runOf(state.run);
const compared = () => runOf(state.against);

const roleOf = run => run.role === 'unknown' ? 'not known' : run.role;

/** The run that the page shows first: a model, or else a run of which nobody knows what it is. */
const mainRun = () => ['model', 'unknown'].map(role => data.runs.find(run => run.role === role)).find(Boolean)
  || data.runs[0];

/** Runs of the same subject, which alone can be compared vertex by vertex; baselines first. */
function comparable(run) {
  const ranks = ['baseline', 'model', 'unknown', 'control'], rank = other => ranks.indexOf(other.role);
  return data.runs.filter(other => other !== run && other.subject === run.subject).sort((a, b) => rank(a) - rank(b));
}

/** Upper bound of a vertex's r: the square root of its noise ceiling. Null without noise ceilings. */
function boundOf(run) {
  const ceiling = subjectOf(run).ceiling;
  return ceiling ? remembered(`bound ${run.subject}`, () => both(h => ceiling[h].map(Math.sqrt))) : null;
}

/** Noise-normalised score of a vertex in percent, as the challenge counts it. */
function score(r, ceiling) {
  if (Number.isNaN(r) || Number.isNaN(ceiling)) return NaN;
  return r < 0 ? 0 : Math.min(100, 100 * r * r / Math.max(ceiling, 1e-14));
}

const positionOf = (run, axis) => both(h => run.readout.positions[h][axis]);
const hasPositions = run => Boolean(run.readout && run.readout.positions);
const NEEDS_CEILING = 'bound and score: unknown, because there are no noise ceilings';

/** The maps: what they are, and the values of a run by challenge vertex. */
const MAPS = {
  r: {label: 'Correlation r', of: run => run.maps.r},
  score: {label: 'Noise-normalised score', unit: '%', decimals: 1,
    has: run => subjectOf(run).ceiling, why: NEEDS_CEILING,
    of: run => both(h => run.maps.r[h].map((r, i) => score(r, subjectOf(run).ceiling[h][i])))},
  ceiling: {label: 'Noise ceiling', unit: '%', decimals: 1, has: run => subjectOf(run).ceiling, why: NEEDS_CEILING,
    of: run => both(h => subjectOf(run).ceiling[h].map(c => 100 * c))},
  difference: {label: 'Difference of r', diverging: true, has: run => comparable(run).length,
    why: 'a difference needs a second run of the same subject',
    of: (run, other) => both(h => run.maps.r[h].map((r, i) => r - other.maps.r[h][i]))},
  explained_variance: {label: 'Explained variance', has: run => run.maps.explained_variance,
    of: run => run.maps.explained_variance},
  r2: {label: 'Coefficient of determination', has: run => run.maps.r2, of: run => run.maps.r2},
  q: {label: 'Significance, −log₁₀ q', decimals: 2, has: run => run.maps.q,
    of: run => both(h => run.maps.q[h].map(q => -Math.log10(Math.max(q, 1e-4))))},
  x: {label: 'Learned place in the photograph, left to right', diverging: true, range: [-1, 1], has: hasPositions,
    of: run => positionOf(run, 'x')},
  y: {label: 'Learned place in the photograph, top to bottom', diverging: true, range: [-1, 1], has: hasPositions,
    of: run => positionOf(run, 'y')},
  layer: {label: 'Strongest layer', has: run => run.readout && run.readout.layers, colourmap: 'viridis',
    categories: run => run.readout.layers.names,
    of: run => both(h => Float32Array.from(run.readout.layers[h], layer => layer === 255 ? NaN : layer))}
};

const available = (map, run) => !MAPS[map].has || Boolean(MAPS[map].has(run));

function values(map = state.map, run = current(), other = compared()) {
  const key = `${map} ${run.id} ${map === 'difference' ? other.id : ''}`;
  return remembered(key, () => MAPS[map].of(run, other));
}

/** A round number not below x, so that a colour bar ends on a readable value. */
function roundUp(x) {
  if (!(x > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(x));
  const step = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10].find(s => s * power >= x * 0.9999);
  return Number((step * power).toPrecision(3));
}

/** The scale that the data suggest: from 0 to the 99th percentile, or as far to both sides of 0. */
function suggested() {
  const map = MAPS[state.map];
  if (map.range) return map.range;
  if (map.categories) return [0, Math.max(1, map.categories(current()).length - 1)];
  return remembered(`scale ${state.map} ${state.run} ${state.against}`, () => {
    const v = values(), top = map.diverging ? quantile(sorted(v.lh.map(Math.abs), v.rh.map(Math.abs)), 0.99)
      : quantile(sorted(v.lh, v.rh), 0.99);
    return [map.diverging ? -roundUp(top) : 0, roundUp(top)];
  });
}

/** Whether the threshold hides a value. A difference is hidden by its size, whatever its sign. */
const hides = value =>
  state.threshold !== null && (MAPS[state.map].diverging ? Math.abs(value) : value) < state.threshold;

/** Place of a colour in its table, for a position from 0 to 1; the same as org.cortigan.surface.Colourmap. */
const placeIn = position => 3 * Math.max(0, Math.min(255, Math.floor(256 * position)));

/** Position of a value between the ends. The difference's neutral colour lies at 0, so each side has its own scale. */
function positionOn(value) {
  const {min, max} = state;
  if (state.colourmap !== 'difference') return (value - min) / (max - min);
  const end = value < 0 ? (min < 0 ? -min : max) : max > 0 ? max : -min;
  return 0.5 + value / end / 2;
}

function lookup(value, lut, out, at) {
  const i = placeIn(positionOn(value));
  out[at] = lut[i];
  out[at + 1] = lut[i + 1];
  out[at + 2] = lut[i + 2];
}

/** The ROIs of a subject, each with an index; a mesh vertex belongs to the ROI of the vertex that it shows. */
const roisOf = run => subjectOf(run).rois;
const roiKey = roi => `${roi.class} ${roi.name}`;
const roisAt = (run, h, vertex) => roisOf(run).filter(roi => indexOf(roi[h], vertex) >= 0);
const roiValues = (v, roi, h) => roi[h].length ? Float32Array.from(roi[h], i => v[h][i]) : new Float32Array(0);

function membership(run, roi, h) {
  return remembered(`member ${run.subject} ${roiKey(roi)} ${h}`, () => {
    const inside = new Uint8Array(subjectOf(run).vertices[h]), shown = subjectOf(run).shown[h];
    for (const v of roi[h]) inside[v] = 1;
    return Uint8Array.from(shown, v => v < 0 ? 0 : inside[v]);
  });
}

/** Median and middle half of r in an ROI, and the median bound. */
function roiStatistics(run, roi, h) {
  return remembered(`roi ${run.id} ${roiKey(roi)} ${h}`, () => {
    const r = sorted(roiValues(run.maps.r, roi, h)), bound = boundOf(run);
    return {n: r.length, low: quantile(r, 0.25), median: quantile(r, 0.5), high: quantile(r, 0.75),
      bound: bound ? quantile(sorted(roiValues(bound, roi, h)), 0.5) : NaN};
  });
}

// ---- Elements -------------------------------------------------------------------------------------------------------

const byId = id => document.getElementById(id);

function build(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

const el = (name, attributes, ...children) => build(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) =>
  build(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);

/** Replaces what an element contains; the focus stays on the part of the same data-key. */
function fill(id, ...children) {
  const place = byId(id), active = document.activeElement;
  const key = place.contains(active) ? active.getAttribute('data-key') : null;
  const open = [...place.querySelectorAll('details')].map(d => d.open);
  place.replaceChildren(...children.flat().filter(Boolean));
  [...place.querySelectorAll('details')].forEach((d, i) => { d.open = Boolean(open[i]) || d.open; });
  const again = key && [...place.querySelectorAll('[data-key]')].find(e => e.getAttribute('data-key') === key);
  if (again) again.focus({preventScroll: true});
}

function fillSelect(id, options, chosen) {
  const select = byId(id), wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.replaceChildren(...options.map(([value, text, disabled]) => el('option', {value, disabled}, text)));
    select.dataset.options = wanted;
  }
  if (chosen !== undefined && chosen !== null) select.value = chosen;
  if (select.selectedIndex < 0 && options.length) select.selectedIndex = 0;
  return select.value;
}

const show = (id, visible) => { byId(id).hidden = !visible; };
const count = n => Number.isFinite(n) ? n.toLocaleString('en-US') : '–';

function number(value, decimals = 3) {
  return Number.isFinite(value) ? value.toFixed(decimals).replace('-', '−') : '–';
}

/** A number for an axis or a field, without the noise of binary fractions. */
const short = value => Number.isFinite(value) ? String(Number(value.toPrecision(6))).replace('-', '−') : '–';

function table(headings, rows, caption) {
  return el('table', {}, caption ? el('caption', {}, caption) : null,
    el('thead', {}, el('tr', {}, headings.map((h, i) => el('th', {scope: 'col', class: i ? 'number' : null}, h)))),
    el('tbody', {}, rows.map(row => el('tr', {},
      row.map((cell, i) => i ? el('td', {class: 'number'}, cell) : el('th', {scope: 'row'}, cell))))));
}

/** The numbers of a chart, for screen readers and for those who want digits. */
const asTable = (title, headings, rows, printed = false) =>
  el('details', {class: printed ? 'print-open' : null}, el('summary', {}, title),
    el('div', {class: 'scroll', tabindex: 0}, table(headings, rows)));

function ticks(low, high, n) {
  const raw = (high - low) / n, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 2.5, 5, 10].find(s => s * power >= raw * 0.999), out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(i * step);
  return out;
}

/** Axes of a chart: the SVG, its scales, and labels with units. Without a label y has no ticks. */
function axes({width, height, x, y, xLabel, yLabel, title, left = 64, right = 16, top = 10, bottom = 44}) {
  const px = v => left + (v - x[0]) / (x[1] - x[0]) * (width - left - right);
  const py = v => height - bottom - (v - y[0]) / (y[1] - y[0]) * (height - top - bottom);
  const root = svg('svg', {class: 'chart', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title});
  for (const t of ticks(x[0], x[1], 8)) {
    root.append(svg('line', {class: 'grid', x1: px(t), x2: px(t), y1: top, y2: height - bottom}),
      svg('text', {x: px(t), y: height - bottom + 16, 'text-anchor': 'middle'}, short(t)));
  }
  for (const t of yLabel ? ticks(y[0], y[1], 5) : []) {
    root.append(svg('line', {class: 'grid', x1: left, x2: width - right, y1: py(t), y2: py(t)}),
      svg('text', {x: left - 6, y: py(t) + 4, 'text-anchor': 'end'}, short(t)));
  }
  root.append(svg('path', {class: 'axis', d: `M${left},${top}V${height - bottom}H${width - right}`}),
    svg('text', {x: (left + width - right) / 2, y: height - 8, 'text-anchor': 'middle'}, xLabel),
    svg('text', {transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'},
      yLabel));
  return {root, px, py, left, right: width - right, top, bottom: height - bottom};
}

const key = (mark, text) => el('li', {}, mark, text);
const swatch = attributes => svg('svg', {viewBox: '0 0 22 12', 'aria-hidden': 'true'}, svg('rect',
  {x: 1, y: 2, width: 20, height: 8, ...attributes}));
const stroke = attributes => svg('svg', {viewBox: '0 0 22 12', 'aria-hidden': 'true'}, svg('line',
  {x1: 0, x2: 22, y1: 6, y2: 6, 'stroke-width': 2.5, ...attributes}));
const colourOf = run => RUN_COLOURS[data.runs.indexOf(run) % RUN_COLOURS.length];
/** A line of a chart: the run's number gives its colour. */
const styleOf = i => ({stroke: RUN_COLOURS[i % RUN_COLOURS.length], 'stroke-width': 2, fill: 'none',
  'stroke-dasharray': [null, '7 3', '2 3', '9 3 2 3'][i % 4]});

/** A mark at a place; shape and colour tell runs apart. */
function mark(i, x, y, colour, size = 4) {
  const s = size, d = [`M${x - s},${y}a${s},${s} 0 1 0 ${2 * s},0a${s},${s} 0 1 0 ${-2 * s},0`,
    `M${x - s},${y - s}h${2 * s}v${2 * s}h${-2 * s}z`, `M${x},${y - s}l${s},${2 * s}h${-2 * s}z`,
    `M${x},${y - s}l${s},${s}l${-s},${s}l${-s},${-s}z`,
    `M${x - s},${y - s}l${2 * s},${2 * s}m0,${-2 * s}l${-2 * s},${2 * s}`];
  return svg('path', {d: d[i % d.length], fill: 'none', stroke: colour, 'stroke-width': 1.8});
}

// ---- The surfaces, drawn by NiiVue ----------------------------------------------------------------------------------

async function startScene() {
  const probe = document.createElement('canvas').getContext('webgl2');
  if (!probe) return null;
  probe.getExtension('WEBGL_lose_context')?.loseContext();
  // The element of the same id answers to window.niivue until the script has run.
  if (!window.niivue.Niivue) {
    const script = document.createElement('script');
    script.textContent = new TextDecoder().decode(await inflate(byId('niivue').textContent.trim()));
    document.head.append(script);
  }
  const nv = new window.niivue.Niivue({interactive: false, dragAndDropEnabled: false, isResizeCanvas: true,
    isAntiAlias: true, logLevel: 'silent', loadingText: '', show3Dcrosshair: false, sliceType: 4, isOrientCube: false});
  await nv.attachToCanvas(byId('surface'), true);
  byId('stage').style.backgroundColor = '';
  return new Scene(nv);
}

/**
 * Both hemispheres and the outlines as meshes. Positions hold the view (right, away, up), so that two hemispheres
 * can be seen from two sides at once; NiiVue's camera turns the whole.
 */
class Scene {
  constructor(nv) {
    this.nv = nv;
    this.overlay = byId('overlay').getContext('2d');
    this.shader = nv.setCustomMeshShader(SHADER, 'Soft');
    this.meshes = {};
    this.pan = [0, 0];
    this.zoom = 1;
    this.names = [];
    nv.position = [0, 0, 0];
    new ResizeObserver(() => this.draw()).observe(byId('stage'));
  }

  /** Puts the hemispheres where surface and view want them. */
  place() {
    const flat = state.surface === 'flat', view = flat ? 'dorsal' : state.view;
    this.faces = both(h => flat ? flatTriangles(h) : triangles);
    this.points = both(h => turned(data.geometry.surfaces[state.surface][h], FRAMES[view][h]));
    const boxes = both(h => boxOf(this.points[h], this.faces[h]));
    this.shift(view, flat, boxes);
    this.box = join(boxOf(this.points.lh, this.faces.lh), boxOf(this.points.rh, this.faces.rh));
    this.depths = null;
  }

  /** Side by side with a gap, the left hemisphere on the left. Only "together" keeps the anatomical places. */
  shift(view, flat, boxes) {
    for (const h of HEMISPHERES) {
      const {low, high} = boxes[h], sign = h === 'lh' ? -1 : 1, by = [0, 0, 0];
      if (view === 'together') {
        // Inflated hemispheres both lie about x = 0; they are moved apart until they touch.
        if (state.surface === 'inflated') by[0] = h === 'lh' ? -1 - high[0] : 1 - low[0];
      } else {
        by[0] = sign * ((high[0] - low[0]) / 2 + (flat ? 6 : 8)) - (low[0] + high[0]) / 2;
        by[1] = -(low[1] + high[1]) / 2;
        by[2] = -(low[2] + high[2]) / 2;
      }
      const p = this.points[h];
      for (let i = 0; i < p.length; i++) p[i] += by[i % 3];
    }
  }

  resetCamera() {
    this.pan = [0, 0];
    this.zoom = 1;
    this.nv.scene.renderAzimuth = 0;
    this.nv.scene.renderElevation = state.view === 'together' && state.surface !== 'flat' ? 25 : 0;
  }

  /** Writes geometry and colours of the hemispheres; NiiVue keeps both in one buffer. */
  paint(painted) {
    for (const h of HEMISPHERES) {
      const {points, faces, colours} = cells(this.points[h], this.faces[h], painted[h]);
      this.put(h, points, faces, colours);
    }
  }

  put(name, points, faces, colours) {
    const visible = faces.length > 0, {nv} = this;
    let mesh = this.meshes[name];
    if (!mesh && !visible) return;
    if (!mesh) {
      mesh = new window.niivue.NVMesh(points, Uint32Array.from(faces), name, colours, 1, true, nv.gl);
      mesh.meshShaderIndex = this.shader;
      this.meshes[name] = mesh;
      mesh.extentsMin = this.box.low;
      mesh.extentsMax = this.box.high;
      nv.addMesh(mesh);
    }
    mesh.visible = visible;
    // All meshes have the same extent, so that outlines do not move the camera.
    mesh.extentsMin = this.box.low;
    mesh.extentsMax = this.box.high;
    if (!visible) return;
    mesh.pts = points;
    mesh.tris = faces;
    mesh.rgba255 = colours;
    mesh.updateMesh(nv.gl);
  }

  /** Outlines of the chosen ROIs as ribbons just above the surface: a dark one under a bright one. */
  outline() {
    const run = current(), ribbons = {points: [], faces: [], colours: []};
    this.names = [];
    for (const roi of roisOf(run)) {
      const lit = highlighted === roiKey(roi);
      if (!lit && !state.rois.includes(roi.name)) continue;
      for (const h of HEMISPHERES) {
        const member = membership(run, roi, h);
        this.contour(h, member, lit, ribbons);
        const centre = this.centre(h, member);
        if (centre >= 0) this.names.push({h, vertex: centre, member, text: roi.name, lit});
      }
    }
    this.put('outlines', Float32Array.from(ribbons.points), Uint32Array.from(ribbons.faces),
      Uint8Array.from(ribbons.colours));
  }

  contour(h, member, lit, ribbons) {
    const p = this.points[h], faces = this.faces[h];
    for (let t = 0; t < faces.length; t += 3) {
      const a = member[faces[t]], b = member[faces[t + 1]], c = member[faces[t + 2]];
      if (a === b && b === c) continue;
      // The contour of a triangle cuts off the corner that differs from the other two.
      const corner = b === c ? 0 : a === c ? 1 : 2;
      const i = 3 * faces[t + corner], j = 3 * faces[t + (corner + 1) % 3], k = 3 * faces[t + (corner + 2) % 3];
      ribbon(p, i, j, k, lit ? 2.6 : 1.9, 0.5, [20, 20, 20, 255], ribbons);
      ribbon(p, i, j, k, lit ? 1.6 : 0.9, 0.8, lit ? [0, 229, 255, 255] : [255, 255, 255, 255], ribbons);
    }
  }

  /** The member nearest to the members' mean place; -1 of none. */
  centre(h, member) {
    const p = this.points[h], used = this.used(h), mean = [0, 0, 0];
    let n = 0, best = -1, least = Infinity;
    for (let v = 0; v < member.length; v++) {
      if (!member[v] || !used[v]) continue;
      for (let axis = 0; axis < 3; axis++) mean[axis] += p[3 * v + axis];
      n++;
    }
    for (let v = 0; v < member.length; v++) {
      if (!member[v] || !used[v]) continue;
      const d = (p[3 * v] - mean[0] / n) ** 2 + (p[3 * v + 1] - mean[1] / n) ** 2 + (p[3 * v + 2] - mean[2] / n) ** 2;
      if (d < least) [least, best] = [d, v];
    }
    return best;
  }

  /** Which vertices a triangle uses: a flat map leaves some out. */
  used(h) {
    return remembered(`used ${state.surface === 'flat'} ${h}`, () => {
      const used = new Uint8Array(this.points[h].length / 3);
      for (const v of this.faces[h]) used[v] = 1;
      return used;
    });
  }

  /** Sets the camera so that the scene fits, and returns what projects a point to the canvas. */
  matrix() {
    const {nv} = this, {low, high} = this.box, width = nv.gl.canvas.width, height = nv.gl.canvas.height;
    const half = [0, 1, 2].map(axis => (high[axis] - low[axis]) / 2), furthest = Math.hypot(...half),
      aspect = width / height;
    const free = state.view === 'together' && state.surface !== 'flat', pad = free ? 1.02 : 1.12;
    const needed = free ? furthest / Math.min(1, aspect) : Math.max(half[2], half[0] / aspect);
    // NiiVue's camera shows 0.8 furthest / scale to each side of the middle along the shorter edge.
    const shorter = needed * pad * Math.min(1, aspect) / this.zoom, scale = 0.8 * furthest / shorter;
    nv.scene.volScaleMultiplier = scale;
    // The scene is moved away to the middle of the camera's range of depths, which otherwise cuts what is zoomed.
    nv.position = [-this.pan[0], this.pan[1], -2.2 * shorter];
    nv.setPivot3D();
    this.millimetre = Math.min(width, height) / (2 * shorter);
    const [m] = nv.calculateMvpMatrix(null, [0, 0, width, height], nv.scene.renderAzimuth, nv.scene.renderElevation);
    return m;
  }

  draw() {
    if (!this.points || !this.meshes.lh) return;
    const dark = !printing && matchMedia('(prefers-color-scheme: dark)').matches;
    this.nv.opts.backColor = dark ? [0.149, 0.165, 0.192, 1] : [1, 1, 1, 1];
    this.matrix();
    this.nv.drawScene();
    this.depths = null;
    this.annotate(dark);
  }

  /** Draws at most once a frame. */
  drawSoon() {
    if (!this.waiting) {
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.draw();
      });
    }
  }

  /** Places of all vertices on the canvas in its own pixels, and their depths; kept until the camera moves. */
  project() {
    if (this.depths) return this.depths;
    const m = this.matrix(), width = this.nv.gl.canvas.width, height = this.nv.gl.canvas.height;
    return this.depths = both(h => {
      const p = this.points[h], n = p.length / 3, x = new Float32Array(n), y = new Float32Array(n),
        z = new Float32Array(n);
      for (let v = 0; v < n; v++) {
        const a = p[3 * v], b = p[3 * v + 1], c = p[3 * v + 2];
        x[v] = (1 + m[0] * a + m[4] * b + m[8] * c + m[12]) / 2 * width;
        y[v] = (1 - m[1] * a - m[5] * b - m[9] * c - m[13]) / 2 * height;
        z[v] = m[2] * a + m[6] * b + m[10] * c + m[14];
      }
      return {x, y, z};
    });
  }

  /** The mesh vertex under a pixel of the canvas: of the nearest triangle's corners the one with the largest weight. */
  pick(px, py) {
    const places = this.project();
    let best = null, nearest = Infinity;
    for (const h of HEMISPHERES) {
      const {x, y, z} = places[h], faces = this.faces[h];
      for (let t = 0; t < faces.length; t += 3) {
        const a = faces[t], b = faces[t + 1], c = faces[t + 2];
        const xa = x[a] - px, xb = x[b] - px, xc = x[c] - px;
        if (xa < 0 && xb < 0 && xc < 0 || xa > 0 && xb > 0 && xc > 0) continue;
        const ya = y[a] - py, yb = y[b] - py, yc = y[c] - py;
        if (ya < 0 && yb < 0 && yc < 0 || ya > 0 && yb > 0 && yc > 0) continue;
        // Rows grow downwards, so a triangle that faces the reader has negative areas.
        const wa = yb * xc - xb * yc, wb = yc * xa - xc * ya, wc = ya * xb - xa * yb;
        if (wa < 0 || wb < 0 || wc < 0 || wa + wb + wc === 0) continue;
        const depth = (wa * z[a] + wb * z[b] + wc * z[c]) / (wa + wb + wc);
        if (depth >= nearest) continue;
        nearest = depth;
        best = {h, mesh: wa >= wb && wa >= wc ? a : wb >= wc ? b : c};
      }
    }
    return best;
  }

  /** Place of a mesh vertex on the canvas, or null where another part hides it or it faces away. */
  visible(h, vertex) {
    const places = this.project(), x = places[h].x[vertex], y = places[h].y[vertex], hit = this.pick(x, y);
    return hit && hit.h === h && hit.mesh === vertex ? {x, y} : null;
  }

  ratio() {
    return this.nv.gl.canvas.width / byId('surface').getBoundingClientRect().width;
  }

  /** L and R, names of ROIs and the crosshair, on a canvas above the surfaces. */
  annotate(dark) {
    const canvas = this.overlay.canvas, source = this.nv.gl.canvas, c = this.overlay, ratio = this.ratio();
    if (canvas.width !== source.width) canvas.width = source.width;
    if (canvas.height !== source.height) canvas.height = source.height;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, canvas.width, canvas.height);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const places = this.project();
    c.textAlign = 'center';
    c.textBaseline = 'middle';
    c.font = '700 20px system-ui, sans-serif';
    c.fillStyle = dark ? '#e9eaed' : '#1b1d21';
    for (const h of HEMISPHERES) {
      const {x, y} = extent(places[h], this.faces[h], ratio);
      // The letter stays on the canvas when its hemisphere is enlarged beyond it.
      const inside = Math.max(14, Math.min(canvas.width / ratio - 14, x));
      c.fillText(h === 'lh' ? 'L' : 'R', inside, Math.max(14, Math.min(canvas.height / ratio - 14, y - 14)));
    }
    if (!this.moving && byId('names').checked) this.writeNames(c, places, ratio);
    if (kept && kept.mesh >= 0) this.crosshair(c, ratio);
  }

  writeNames(c, places, ratio) {
    const taken = [];
    c.lineJoin = 'round';
    for (const {h, vertex, member, text, lit} of this.names) {
      if (!this.visible(h, vertex)) continue;
      c.font = `${lit ? 700 : 600} ${lit ? 14 : 12}px system-ui, sans-serif`;
      const w = c.measureText(text).width / 2 + 2, x = places[h].x[vertex] / ratio,
        y0 = this.above(h, vertex, member, places, ratio);
      const clash = y => taken.some(b => Math.abs(b.x - x) < b.w + w && Math.abs(b.y - y) < 13);
      const y = [0, -13, 13, -26, 26, -39, 39].map(d => y0 + d).find(at => !clash(at)) ?? y0;
      taken.push({x, y, w});
      c.lineWidth = 3.5;
      c.strokeStyle = 'rgba(0, 0, 0, .8)';
      c.strokeText(text, x, y);
      c.fillStyle = lit ? '#00e5ff' : '#fff';
      c.fillText(text, x, y);
    }
  }

  /** Where the name of an ROI stands: above its outline, unless that is far from its centre. */
  above(h, vertex, member, places, ratio) {
    const {y} = places[h], used = this.used(h);
    let top = Infinity;
    for (let v = 0; v < member.length; v++) if (member[v] && used[v] && y[v] < top) top = y[v];
    return Math.max(top / ratio - 9, y[vertex] / ratio - 32);
  }

  crosshair(c, ratio) {
    const at = this.visible(kept.h, kept.mesh);
    if (!at) return;
    const x = at.x / ratio, y = at.y / ratio;
    for (const [width, colour] of [[4, '#000'], [2, '#fff']]) {
      c.lineWidth = width;
      c.strokeStyle = colour;
      c.beginPath();
      c.arc(x, y, 6, 0, 7);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        c.moveTo(x + 6 * dx, y + 6 * dy);
        c.lineTo(x + 13 * dx, y + 13 * dy);
      }
      c.stroke();
    }
  }

  turn(azimuth, elevation) {
    if (state.surface === 'flat') return;
    this.nv.scene.renderAzimuth += azimuth;
    this.nv.scene.renderElevation = Math.max(-90, Math.min(90, this.nv.scene.renderElevation + elevation));
  }

  /** Moves the scene by pixels of the page. */
  move(dx, dy) {
    const scale = this.ratio() / this.millimetre;
    this.pan = [this.pan[0] + dx * scale, this.pan[1] - dy * scale];
  }

  enlarge(factor) {
    this.zoom = Math.max(0.5, Math.min(6, this.zoom * factor));
    this.drawSoon();
  }

  /** The surfaces with their labels as a picture; a WebGL canvas is only readable right after it is drawn. */
  snapshot() {
    this.draw();
    const source = this.nv.gl.canvas, out = document.createElement('canvas'), c = out.getContext('2d');
    out.width = source.width;
    out.height = source.height;
    c.drawImage(source, 0, 0);
    c.drawImage(this.overlay.canvas, 0, 0);
    return out.toDataURL('image/png');
  }

  /** Colours of the drawn canvas, without the labels, at places of the page, [x, y] each. */
  pixels(places) {
    const gl = this.nv.gl, box = byId('surface').getBoundingClientRect(), ratio = this.ratio();
    this.draw();
    return places.map(([x, y]) => {
      const rgba = new Uint8Array(4);
      gl.readPixels(Math.floor((x - box.left) * ratio), gl.canvas.height - 1 - Math.floor((y - box.top) * ratio), 1, 1,
        gl.RGBA, gl.UNSIGNED_BYTE, rgba);
      return [...rgba];
    });
  }
}

function turned(xyz, frame) {
  const out = new Float32Array(xyz.length);
  for (let axis = 0; axis < 3; axis++) {
    const from = Math.abs(frame[axis]) - 1, sign = Math.sign(frame[axis]);
    for (let i = 0; i < xyz.length; i += 3) out[i + axis] = sign * xyz[i + from];
  }
  return out;
}

/** Triangles of a hemisphere's flat map, which leaves out the medial wall and the cuts. */
function flatTriangles(h) {
  return remembered(`flat ${h}`, () => {
    const kept = data.geometry.flat_triangles[h], out = new Int32Array(3 * kept.length);
    for (let i = 0; i < out.length; i++) out[i] = triangles[3 * kept[Math.floor(i / 3)] + i % 3];
    return out;
  });
}

function boxOf(points, faces) {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (const v of faces) {
    for (let axis = 0; axis < 3; axis++) {
      const x = points[3 * v + axis];
      if (x < low[axis]) low[axis] = x;
      if (x > high[axis]) high[axis] = x;
    }
  }
  return {low, high};
}

const join = (a, b) => ({low: a.low.map((x, i) => Math.min(x, b.low[i])),
  high: a.high.map((x, i) => Math.max(x, b.high[i]))});

/** The middle and the top of a hemisphere on the page. */
function extent({x, y}, faces, ratio) {
  let left = Infinity, right = -Infinity, top = Infinity;
  for (const v of faces) {
    if (x[v] < left) left = x[v];
    if (x[v] > right) right = x[v];
    if (y[v] < top) top = y[v];
  }
  return {x: (left + right) / 2 / ratio, y: top / ratio};
}

/** A ribbon (mm wide and above the triangle) between the middles of the edges i-j and i-k; lists grow by it. */
function ribbon(p, i, j, k, width, above, colour, {points, faces, colours}) {
  const u = [0, 1, 2].map(x => p[j + x] - p[i + x]), v = [0, 1, 2].map(x => p[k + x] - p[i + x]);
  const unit = w => w.map(x => x / (Math.hypot(...w) || 1));
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const up = unit(cross(u, v)), along = unit(v.map((x, axis) => x - u[axis])), side = cross(up, along),
    first = points.length / 3;
  for (const [edge, end] of [[u, -1], [v, 1]]) {
    for (const s of [-1, 1]) {
      for (let x = 0; x < 3; x++) {
        points.push(p[i + x] + edge[x] / 2 + up[x] * above + side[x] * s * width / 2 + along[x] * end * width / 4);
      }
      colours.push(...colour);
    }
  }
  faces.push(first, first + 2, first + 1, first + 1, first + 2, first + 3);
}

/**
 * Colours and kinds of the mesh's vertices. A vertex is grey, shaded by the folds, where there is no value or the
 * threshold hides it: kind -1. Other kinds are the category of a map that has some, otherwise 0.
 */
function meshColours() {
  const lut = data.colourmaps[state.colourmap], v = values(), {shown} = subjectOf(current()), {sulc} = data.geometry;
  const {categories} = MAPS[state.map];
  return both(h => {
    const n = shown[h].length, colours = new Uint8Array(4 * n), kinds = new Int16Array(n);
    for (let i = 0; i < n; i++) {
      const value = shown[h][i] < 0 ? NaN : v[h][shown[h][i]], at = 4 * i;
      const grey = Number.isNaN(value) || hides(value);
      if (grey) colours.fill(sulc ? 135 + sulc[h][i] * 70 / 255 : 170, at, at + 3);
      else lookup(value, lut, colours, at);
      colours[at + 3] = grey ? GREY : 255;
      kinds[i] = grey ? -1 : categories ? value : 0;
    }
    return {colours, kinds};
  });
}

/**
 * The mesh with every triangle whose corners are of several kinds cut into the parts that are nearest to a corner.
 * Colours of several kinds are never mixed then, and a part has the vertex that the pointer finds there.
 */
function cells(points, faces, {colours, kinds}) {
  const isMixed = t => kinds[faces[t]] !== kinds[faces[t + 1]] || kinds[faces[t]] !== kinds[faces[t + 2]];
  let mixed = 0;
  for (let t = 0; t < faces.length; t += 3) if (isMixed(t)) mixed++;
  if (!mixed) return {points, faces, colours};
  const out = {points: new Float32Array(points.length + 27 * mixed), faces: new Uint32Array(faces.length + 15 * mixed),
    colours: new Uint8Array(colours.length + 36 * mixed)};
  out.points.set(points);
  out.colours.set(colours);
  let vertex = points.length / 3, face = 0;
  // A new vertex lies in the middle of some corners and has the mean colour of those of its own kind.
  const add = (own, corners) => {
    const alike = corners.filter(c => kinds[c] === kinds[own]);
    for (let x = 0; x < 3; x++) {
      out.points[3 * vertex + x] = corners.reduce((sum, c) => sum + points[3 * c + x], 0) / corners.length;
      out.colours[4 * vertex + x] = Math.round(alike.reduce((sum, c) => sum + colours[4 * c + x], 0) / alike.length);
    }
    out.colours[4 * vertex + 3] = colours[4 * own + 3];
    return vertex++;
  };
  for (let t = 0; t < faces.length; t += 3) {
    const corners = [faces[t], faces[t + 1], faces[t + 2]];
    if (isMixed(t)) {
      corners.forEach((a, i) => {
        const b = corners[(i + 1) % 3], c = corners[(i + 2) % 3];
        const ab = add(a, [a, b]), middle = add(a, corners), ac = add(a, [a, c]);
        out.faces.set([a, ab, middle, a, middle, ac], face);
        face += 6;
      });
    } else {
      out.faces.set(corners, face);
      face += 3;
    }
  }
  return out;
}

// ---- Changing what is shown -----------------------------------------------------------------------------------------

/** Makes the state possible for the data, and lets the scale follow them where the reader left it alone. */
function settle(given = {}) {
  if (!current()) state.run = mainRun().id;
  // A folder of meshes may lack the inflated surface.
  if (!data.geometry.surfaces[state.surface]) state.surface = Object.keys(data.geometry.surfaces)[0];
  const others = comparable(current());
  if (!others.some(run => run.id === state.against)) state.against = others.length ? others[0].id : null;
  const refused = !available(state.map, current());
  if (refused) state.map = 'r';
  // Runs are compared on one scale; another map has a scale and a threshold of its own.
  if (refused || state.map !== scaled) {
    Object.assign(automatic, {min: true, max: true, colourmap: true});
    if (refused || given.threshold === undefined) state.threshold = null;
    scaled = state.map;
  }
  if (!refused) for (const name of ['min', 'max', 'colourmap']) if (given[name] !== undefined) automatic[name] = false;
  const map = MAPS[state.map], [min, max] = suggested();
  if (automatic.min) state.min = min;
  if (automatic.max) state.max = max;
  if (automatic.colourmap || !data.colourmaps[state.colourmap]) {
    const wanted = map.diverging ? 'difference' : map.colourmap || 'inferno';
    state.colourmap = data.colourmaps[wanted] ? wanted : Object.keys(data.colourmaps)[0];
  }
  if (!(state.max > state.min)) state.max = state.min + 1e-6;
}

/** Refuses options that name nothing in the report. */
function check(options) {
  const known = {map: Object.keys(MAPS), surface: Object.keys(data.geometry.surfaces), view: Object.keys(VIEWS),
    run: data.runs.map(run => run.id), against: data.runs.map(run => run.id), colourmap: Object.keys(data.colourmaps)};
  for (const [name, value] of Object.entries(options)) {
    if (!(name in state)) throw new Error(`there is no option ${name}; there are ${Object.keys(state).join(', ')}`);
    if (known[name] && !known[name].includes(value)) {
      throw new Error(`${name}: there is no ${value}; there are ${known[name].join(', ')}`);
    }
  }
}

/** Applies options and draws all that they change. */
function set(options) {
  const before = {...state}, {subject} = current();
  check(options);
  Object.assign(state, options);
  settle(options);
  const another = state.map !== before.map || state.run !== before.run || state.against !== before.against;
  if (current().subject !== subject) findAgain();
  const moved = state.surface !== before.surface || state.view !== before.view;
  refresh(moved, another);
  return new Promise(resolve => requestAnimationFrame(() => resolve()));
}

function refresh(moved, another) {
  if (scene) {
    if (moved) {
      scene.place();
      scene.resetCamera();
    }
    scene.paint(meshColours());
    scene.outline();
    scene.draw();
  }
  drawControls();
  drawColourbar();
  drawStill();
  tell();
  if (another) {
    drawRuns();
    drawScatter();
    drawReadout();
    drawPhotographs();
    drawMade();
  }
  drawRoiChart();
  drawHistogram();
}

/** Redraws the outlines only, for a pointer that moves over the bars. */
function highlight(roi) {
  if (highlighted === roi) return;
  highlighted = roi;
  if (scene) {
    scene.outline();
    scene.drawSoon();
  }
}

function toggle(name) {
  set({rois: state.rois.includes(name) ? state.rois.filter(other => other !== name) : [...state.rois, name]});
}

function drawControls() {
  const run = current(), others = comparable(run), map = MAPS[state.map];
  fillSelect('run', data.runs.map(r => [r.id, `${r.name} (${r.subject})`]), state.run);
  // A map with a reason why it may be missing is listed all the same.
  fillSelect('map', Object.keys(MAPS).filter(m => available(m, run) || MAPS[m].why)
    .map(m => [m, MAPS[m].label + (available(m, run) ? '' : ' (unknown)'), !available(m, run)]), state.map);
  fillSelect('against', others.length ? others.map(r => [r.id, r.name]) : [['', 'no other run']], state.against);
  byId('against').disabled = !others.length;
  fillSelect('geometry', Object.entries(SURFACES).filter(([s]) => data.geometry.surfaces[s]), state.surface);
  fillSelect('view', Object.entries(VIEWS), state.view);
  byId('view').disabled = state.surface === 'flat';
  fillSelect('colourmap', Object.keys(data.colourmaps).map(name => [name, name]), state.colourmap);
  const low = map.diverging ? 0 : Math.min(state.min, bottom()), slider = byId('threshold-slider');
  const field = (id, value) => { if (document.activeElement !== byId(id)) byId(id).value = value; };
  field('min', Number(state.min.toPrecision(6)));
  field('max', Number(state.max.toPrecision(6)));
  Object.assign(slider, {min: low, max: state.max, step: (state.max - low) / 200});
  slider.value = state.threshold === null ? low : state.threshold;
  slider.setAttribute('aria-valuetext', state.threshold === null ? 'nothing is hidden' : short(state.threshold));
  field('threshold', state.threshold === null ? '' : Number(state.threshold.toPrecision(6)));
  // Categories have neither ends nor an order by which to hide them.
  for (const id of ['min', 'max', 'threshold', 'threshold-slider']) byId(id).disabled = Boolean(map.categories);
  drawRoiChoice(run);
}

/** The least value of the map, where the threshold's slider begins. */
const bottom = () => remembered(`bottom ${state.map} ${state.run} ${state.against}`, () => {
  const v = values(), all = sorted(v.lh, v.rh);
  return all.length ? all[0] : 0;
});

function drawRoiChoice(run) {
  const classes = [...new Set(roisOf(run).map(roi => roi.class))], wanted = roisOf(run).map(roiKey).join();
  if (byId('rois').dataset.rois !== wanted) {
    byId('rois').dataset.rois = wanted;
    fill('presets', Object.keys(PRESETS).map(name => el('button', {type: 'button', onclick: () =>
      set({rois: roisOf(current()).filter(PRESETS[name]).map(roi => roi.name)})}, name)));
    fill('rois', classes.map(name => el('div', {role: 'group', 'aria-label': name}, el('span', {class: 'class'}, name),
      el('div', {class: 'names'}, roisOf(run).filter(roi => roi.class === name).map(roi => el('label', {},
        el('input', {type: 'checkbox', value: roi.name, onchange: () => toggle(roi.name)}), roi.name))))));
  }
  for (const box of byId('rois').querySelectorAll('input')) box.checked = state.rois.includes(box.value);
}

const nameOf = (map, run, other) => map === 'difference' ? `Difference of r: ${run.name} minus ${other.name}`
  : map === 'ceiling' ? `Noise ceiling (${run.subject})` : `${MAPS[map].label}: ${run.name}`;

function drawColourbar() {
  const lut = data.colourmaps[state.colourmap], map = MAPS[state.map], unit = map.unit ? ` (${map.unit})` : '';
  const x0 = 30, width = 580, at = value => x0 + (value - state.min) / (state.max - state.min) * width;
  const name = nameOf(state.map, current(), compared()) + unit, colour = value => {
    const rgb = [];
    lookup(value, lut, rgb, 0);
    return `rgb(${rgb})`;
  };
  if (map.categories) {
    fill('colourbar', el('p', {class: 'bar-title'}, name), el('ul', {class: 'legend'},
      map.categories(current()).map((category, i) => key(swatch({fill: colour(i)}), category)),
      key(swatch({fill: '#aaaaaa'}), 'unknown')));
    return;
  }
  const stops = Array.from({length: 129}, (_, i) => svg('stop', {offset: i / 128,
    'stop-color': colour(state.min + (state.max - state.min) * i / 128)}));
  const root = svg('svg', {viewBox: '0 0 640 70', role: 'img', 'aria-label':
    `Colour bar: ${name}, from ${short(state.min)} to ${short(state.max)}`
    + (state.threshold === null ? '' : `; below ${short(state.threshold)} hidden`)},
    svg('defs', {}, svg('linearGradient', {id: 'gradient'}, stops)),
    svg('rect', {x: x0, y: 28, width, height: 14, fill: 'url(#gradient)', stroke: 'var(--quiet)'}));
  root.append(svg('text', {x: 320, y: 13, 'text-anchor': 'middle'}, name));
  for (const t of ticks(state.min, state.max, 6)) {
    root.append(svg('line', {class: 'axis', x1: at(t), x2: at(t), y1: 42, y2: 46}),
      svg('text', {x: at(t), y: 59, 'text-anchor': 'middle'}, short(t)));
  }
  if (state.threshold !== null) {
    const from = map.diverging ? at(Math.max(state.min, -state.threshold)) : x0;
    const to = Math.max(x0, Math.min(x0 + width, at(state.threshold)));
    root.append(svg('rect', {x: from, y: 28, width: Math.max(0, to - from), height: 14, fill: '#aaaaaa'}));
    for (const t of map.diverging ? [from, to] : [to]) {
      root.append(svg('path', {d: `M${t},27l-4,-6h8zM${t},28v14`, fill: 'var(--ink)', stroke: 'var(--ink)'}));
    }
  }
  fill('colourbar', root);
}

/** The run's own picture, for browsers without WebGL and for print. */
function drawStill() {
  const still = byId('still');
  if (scene) return;
  const run = current();
  if (run.picture) still.src = run.picture;
  still.alt = `Correlation r of ${run.name}: four views and the flat map`;
  still.hidden = !run.picture;
}

// ---- One vertex -----------------------------------------------------------------------------------------------------

/** A place on the mesh with the challenge vertex that it shows, -1 of none, and the fsaverage vertex of that. */
function placeOf(h, mesh) {
  const {shown, fsaverage} = subjectOf(current()), vertex = shown[h][mesh];
  return {h, mesh, vertex, fsaverage: vertex < 0 ? mesh : fsaverage[h][vertex]};
}

/** The place of an fsaverage vertex; null where neither the subject nor the mesh has it. */
function locate(h, at) {
  const {shown, fsaverage} = subjectOf(current()), vertex = indexOf(fsaverage[h], at);
  if (vertex < 0) return shown[h][at] === -1 ? placeOf(h, at) : null;
  return {h, vertex, fsaverage: at, mesh: shown[h][at] === vertex ? at : shown[h].indexOf(vertex)};
}

/** Finds the kept vertex in the data of another subject. */
function findAgain() {
  hovered = null;
  if (kept) kept = kept.mesh >= 0 ? placeOf(kept.h, kept.mesh) : locate(kept.h, kept.fsaverage);
}

function describe({h, mesh, vertex, fsaverage: at}) {
  const run = current(), subject = subjectOf(run), side = h === 'lh' ? 'Left' : 'Right';
  if (vertex < 0) return `${side} hemisphere, fsaverage vertex ${at}: outside the measured cortex.`;
  const rois = roisAt(run, h, vertex), bound = boundOf(run),
    r = run.maps.r[h][vertex];
  let text = `${side} hemisphere, challenge vertex ${vertex}, fsaverage vertex ${at}`;
  if (mesh < 0) text += ' (not on this coarser surface)';
  else if (mesh !== at) text += ` (shown at mesh vertex ${mesh})`;
  text += `. ROI: ${rois.length ? rois.map(roi => `${roi.name} (${roi.class})`).join(', ') : 'none'}. `;
  text += `${run.name}: r ${Number.isNaN(r) ? 'not measured' : number(r)}`;
  const ceiling = bound ? subject.ceiling[h][vertex] : NaN;
  text += bound ? `, noise ceiling ${number(100 * ceiling, 1)} %, bound ${number(bound[h][vertex])}, `
    + `score ${number(score(r, ceiling), 1)} %.` : `; ${NEEDS_CEILING}.`;
  const map = MAPS[state.map], value = values()[h][vertex];
  if (state.map === 'difference') {
    text += ` ${compared().name}: r ${number(compared().maps.r[h][vertex])}. Difference ${number(value)}.`;
  } else if (state.map === 'layer') {
    text += ` Strongest layer: ${run.readout.layers.names[value] ?? 'unknown'}.`;
  } else if (!['r', 'score', 'ceiling'].includes(state.map)) {
    text += ` ${map.label}: ${number(value, map.decimals)}${map.unit ? ` ${map.unit}` : ''}.`;
  }
  return text;
}

/** Writes about the vertex under the pointer, or else the kept one, and lights the bars of its ROIs. */
function tell() {
  const place = hovered || kept, hover = byId('hover');
  const text = place ? describe(place) : scene ? 'Point at a vertex, or find one by its number.' : hover.textContent;
  if (hover.textContent !== text) hover.textContent = text;
  const lit = place && place.vertex >= 0 ? roisAt(current(), place.h, place.vertex).map(roiKey) : [];
  for (const row of document.querySelectorAll('.roi-row')) {
    row.classList.toggle('lit', lit.includes(row.getAttribute('data-key')));
  }
  const found = place ? {hemisphere: place.h, vertex: place.vertex, mesh: place.mesh} : {};
  for (const name of ['hemisphere', 'vertex', 'mesh']) {
    if (name in found) hover.dataset[name] = found[name];
    else delete hover.dataset[name];
  }
}

function keep(place) {
  kept = place;
  hovered = null;
  tell();
  if (scene) scene.drawSoon();
}

/** Finds a vertex by its number in the challenge's or fsaverage's space. */
function find(event) {
  event.preventDefault();
  const h = byId('find-hemisphere').value, wanted = Number(byId('find-vertex').value), subject = subjectOf(current());
  const challenge = byId('find-space').value === 'challenge', size = challenge ? subject.vertices[h] : 163842;
  if (byId('find-vertex').value === '' || !Number.isInteger(wanted) || wanted < 0 || wanted >= size) {
    byId('hover').textContent = `The ${SIDES[h]} hemisphere has vertices 0 to ${size - 1} in this numbering.`;
    return;
  }
  keep(locate(h, challenge ? subject.fsaverage[h][wanted] : wanted));
  if (!kept) {
    byId('hover').textContent = `fsaverage vertex ${wanted} of the ${SIDES[h]} hemisphere is not measured.`;
  } else if (scene && kept.mesh >= 0 && !scene.visible(h, kept.mesh)) {
    byId('hover').textContent += ' It faces away in this view.';
  }
}

/** Walks to the neighbour that lies most in a direction of the screen. */
function walk(dx, dy) {
  if (!kept || kept.mesh < 0) {
    const box = byId('surface'), middle = scene.pick(box.width * 0.35, box.height * 0.5) || {h: 'lh', mesh: 0};
    return keep(placeOf(middle.h, middle.mesh));
  }
  const {x, y} = scene.project()[kept.h], v = kept.mesh, used = scene.used(kept.h);
  let best = v, most = 0;
  for (let e = neighbours.first[v]; e < neighbours.first[v + 1]; e++) {
    const u = neighbours.all[e], a = x[u] - x[v], b = y[u] - y[v], along = (a * dx + b * dy) / (Math.hypot(a, b) || 1);
    if (used[u] && along > most) [most, best] = [along, u];
  }
  return keep(placeOf(kept.h, best));
}

// ---- Charts ---------------------------------------------------------------------------------------------------------

function drawRuns() {
  const columns = [['mean_r', 'mean r', 3], ['median_r', 'median r', 3], ['challenge_score_percent', 'score (%)', 1],
    ['mean_sqrt_noise_ceiling', 'mean bound', 3]];
  const rows = data.runs.map(run => el('tr', {class: run.id === state.run ? 'chosen' : null},
    el('th', {scope: 'row'}, el('button', {type: 'button', 'data-key': run.id,
      'aria-pressed': String(run.id === state.run),
      onclick: () => set({run: run.id})}, run.name)),
    [roleOf(run), run.subject, run.label].map(text => el('td', {}, text)),
    el('td', {class: 'number'}, count(run.images)),
    columns.map(([name, , decimals]) => el('td', {class: 'number'}, number(run.summary?.[name], decimals)))));
  fill('runs-table', el('table', {}, el('thead', {}, el('tr', {},
    ['run', 'role', 'subject', 'weights and images'].map(h => el('th', {scope: 'col'}, h)),
    ['images', ...columns.map(c => c[1])].map(h => el('th', {scope: 'col', class: 'number'}, h)))),
      el('tbody', {}, rows)));
  const warnings = data.runs.flatMap(run => (run.warnings || []).map(text => `${run.name}: ${text}`));
  show('warnings', warnings.length);
  fill('warnings', warnings.map(text => el('li', {}, text)));
}

function drawPictures() {
  const pictured = data.runs.filter(run => run.picture);
  show('pictures', pictured.length);
  fill('pictures-list', pictured.map(run => el('figure', {},
    el('img', {src: run.picture, alt: `Correlation r of ${run.name} on the cortex: four views and the flat map`}),
    el('figcaption', {}, `${run.name} (${roleOf(run)}), ${run.subject}: mean r ${number(run.summary?.mean_r)}`))));
}

function drawRoiChart() {
  const run = current(), rois = roisOf(run), others = data.runs.filter(r => r !== run && r.subject === run.subject);
  show('roi-chart', rois.length);
  if (!rois.length) return;
  const classes = [...new Set(rois.map(roi => roi.class))], rowHeight = 27, statistics = new Map();
  if (!rois.some(roi => roiKey(roi) === reachable)) {
    reachable = roiKey(rois.find(roi => roi.class === classes[0]));
  }
  let low = 0, high = 0.1;
  for (const roi of rois) {
    for (const h of HEMISPHERES) {
      const s = roiStatistics(run, roi, h);
      statistics.set(roiKey(roi) + h, s);
      for (const v of [s.low, ...others.map(o => roiStatistics(o, roi, h).median)]) if (v < low) low = v;
      for (const v of [s.high, s.bound, ...others.map(o => roiStatistics(o, roi, h).median)]) if (v > high) high = v;
    }
  }
  const height = 20 + rois.length * rowHeight + classes.length * 22 + 44, title = `Median r by ROI: ${run.name}`;
  const chart = axes({width: 1000, height, x: [low < 0 ? -roundUp(-low) : 0, roundUp(high)], y: [0, 1], left: 130,
    xLabel: 'correlation r', yLabel: '', title});
  chart.root.setAttribute('role', 'group');
  let y = 14;
  for (const name of classes) {
    chart.root.append(svg('text', {x: 4, y: y + 14, 'font-weight': 700}, name));
    y += 22;
    for (const roi of rois.filter(r => r.class === name)) {
      chart.root.append(roiRow(run, others, roi, statistics, chart, y, rowHeight));
      y += rowHeight;
    }
  }
  const colours = {lh: 'var(--left)', rh: 'var(--right)'};
  const legend = el('ul', {class: 'legend'}, HEMISPHERES.map(h =>
    key(swatch({fill: colours[h]}), `${SIDES[h]} hemisphere, median`)),
    key(stroke({stroke: 'var(--ink)'}), 'middle half of the vertices'),
    boundOf(run) ? key(swatch({fill: 'var(--bound)'}), 'bound of r (median square root of the noise ceiling)') : null,
    others.map(o => key(svg('svg', {viewBox: '0 0 22 12', 'aria-hidden': 'true'},
      mark(data.runs.indexOf(o), 11, 6, colourOf(o))), o.name)));
  const rows = rois.flatMap(roi => HEMISPHERES.map(h => [`${roi.name} (${roi.class}), ${SIDES[h]}`,
    statistics.get(roiKey(roi) + h)]))
    .map(([name, s]) => [name, count(s.n), number(s.low), number(s.median), number(s.high), number(s.bound)]);
  fill('roi-body', el('p', {class: 'quiet'},
    `${run.name}, ${run.subject}. A row lights its outline on the brain; a click or Enter keeps it. `
    + 'Up and down keys walk from row to row.',
    boundOf(run) ? '' : ` Bound: unknown, because there are no noise ceilings.`), legend, chart.root,
    asTable('Numbers of this chart', ['ROI', 'vertices', 'lower quartile', 'median r', 'upper quartile', 'bound'],
      rows, true));
  tell();
}

function roiRow(run, others, roi, statistics, {px, right}, y, rowHeight) {
  const key = roiKey(roi), zero = px(0), chosen = state.rois.includes(roi.name), parts = [];
  const told = HEMISPHERES.map(h => {
    const s = statistics.get(key + h), top = y + (h === 'lh' ? 3 : rowHeight / 2 + 1), bar = rowHeight / 2 - 4;
    if (!s.n) return `${SIDES[h]}: no vertices`;
    const bound = {x: zero, y: top - 1, width: px(s.bound) - zero, height: bar + 2, fill: 'var(--bound)'};
    if (s.bound > 0) parts.push(svg('rect', bound));
    parts.push(svg('rect', {x: Math.min(zero, px(s.median)), y: top, width: Math.abs(px(s.median) - zero), height: bar,
      fill: h === 'lh' ? 'var(--left)' : 'var(--right)'}),
      svg('line', {x1: px(s.low), x2: px(s.high), y1: top + bar / 2, y2: top + bar / 2, stroke: 'var(--ink)',
        'stroke-width': 1.6}));
    others.forEach(o => {
      const m = roiStatistics(o, roi, h).median;
      if (!Number.isNaN(m)) parts.push(mark(data.runs.indexOf(o), px(m), top + bar / 2, colourOf(o), 3.5));
    });
    return `${SIDES[h]}: median r ${number(s.median)}, middle half ${number(s.low)} to ${number(s.high)}`
      + (Number.isNaN(s.bound) ? '' : `, bound ${number(s.bound)}`);
  });
  return svg('g', {class: 'roi-row', role: 'button', tabindex: key === reachable ? 0 : -1, 'data-key': key,
    'aria-pressed': String(chosen), 'aria-label': `${roi.name}, ${roi.class}. ${told.join('. ')}`,
    onmouseenter: () => highlight(key), onmouseleave: () => highlight(null),
    onfocus: event => {
      document.querySelector('.roi-row[tabindex="0"]').setAttribute('tabindex', -1);
      event.currentTarget.setAttribute('tabindex', 0);
      reachable = key;
      highlight(key);
    },
    onblur: () => highlight(null), onclick: () => toggle(roi.name),
    onkeydown: event => {
      const rows = [...document.querySelectorAll('.roi-row')], at = rows.indexOf(event.currentTarget);
      const next = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key];
      if (event.key === 'Enter' || event.key === ' ') toggle(roi.name);
      else if (next === undefined) return;
      else rows[next]?.focus();
      event.preventDefault();
    }}, svg('rect', {class: 'back', x: 1, y: y + .5, width: right - 2, height: rowHeight - 1}),
    svg('text', {class: 'name', x: 122, y: y + rowHeight / 2 + 4, 'text-anchor': 'end'},
      (chosen ? '✓ ' : '') + roi.name), parts);
}

function histogramOf(maps, low, width, bins) {
  const counts = new Float64Array(bins);
  for (const h of HEMISPHERES) {
    for (const v of maps[h]) {
      if (!Number.isNaN(v)) counts[Math.max(0, Math.min(bins - 1, Math.floor((v - low) / width)))]++;
    }
  }
  return counts;
}

/** Histogram of r with the bound and the control; a dragged range, or the arrow keys, set the threshold. */
function drawHistogram() {
  const run = current(), bound = boundOf(run);
  const control = data.runs.find(r => r.role === 'control' && r.subject === run.subject && r !== run);
  const measured = control ? [run, control] : [run];
  const all = sorted(...measured.flatMap(r => [r.maps.r.lh, r.maps.r.rh])), width = 0.02;
  if (!all.length) {
    fill('histogram-body', el('p', {}, 'No vertex has an r.'));
    return;
  }
  const top = bound ? quantile(sorted(bound.lh, bound.rh), 1) || 0 : 0;
  const low = Math.floor(Math.min(-0.1, all[0]) / width) * width;
  const high = Math.ceil(Math.max(0.1, all[all.length - 1], top) / width) * width,
    bins = Math.round((high - low) / width);
  const kinds = [['r', run.maps.r, run.name, {fill: 'var(--left)', 'fill-opacity': .55}],
    bound ? ['bound', bound, 'bound of r', {fill: 'none', stroke: 'var(--ink)', 'stroke-width': 1.6}] : null,
    control ? ['control', control.maps.r, control.name, {fill: 'none', stroke: 'var(--right)', 'stroke-width': 1.8,
      'stroke-dasharray': '6 3'}] : null].filter(Boolean);
  const counts = kinds.map(([name, maps]) => remembered(`histogram ${name} ${run.id}`,
    () => histogramOf(maps, low, width, bins)));
  const most = Math.max(1, ...counts.map(c => Math.max(...c))), threshold = state.map === 'r' ? state.threshold : null;
  const chart = axes({width: 1000, height: 290, x: [low, high], y: [0, most * 1.05], xLabel: 'correlation r',
    yLabel: 'vertices', title: `Histogram of r: ${run.name}, both hemispheres`});
  counts.forEach((c, k) => {
    let path = `M${chart.px(low)},${chart.bottom}`;
    c.forEach((n, i) => { path += `V${chart.py(n)}H${chart.px(low + (i + 1) * width)}`; });
    chart.root.append(svg('path', {d: `${path}V${chart.bottom}`, ...kinds[k][3]}));
  });
  chart.root.setAttribute('role', 'group');
  chart.root.append(brush(chart, low, high, threshold, width));
  const legend = el('ul', {class: 'legend'}, kinds.map(([, , name, style]) =>
    key(style.fill === 'none' ? stroke(style) : swatch(style), name)));
  const rows = Array.from({length: bins},
    (_, i) => [`${number(low + i * width, 2)} to ${number(low + (i + 1) * width, 2)}`,
    ...counts.map(c => count(c[i]))]);
  fill('histogram-body', el('p', {class: 'quiet'}, 'Drag a range: the brain hides what lies below it. ',
    bound ? '' : 'Bound: unknown, because there are no noise ceilings. ',
    control ? '' : 'Shuffled control: give the report a run of one beside this to see what chance looks like.'),
      legend, chart.root,
    asTable('Numbers of this chart', ['r', ...kinds.map(k => k[2])], rows));
}

function brush(chart, low, high, threshold, step) {
  const at = threshold === null ? low : Math.max(low, Math.min(high, threshold));
  const veil = svg('rect', {x: chart.left, y: chart.top, width: chart.px(at) - chart.left,
    height: chart.bottom - chart.top,
    fill: 'var(--paper)', 'fill-opacity': .6});
  const line = svg('line', {x1: chart.px(at), x2: chart.px(at), y1: chart.top, y2: chart.bottom, stroke: 'var(--ink)',
    'stroke-width': threshold === null ? 0 : 2});
  const toR = event => {
    const box = chart.root.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * 1000;
    return Math.max(low, Math.min(high, low + (x - chart.left) / (chart.right - chart.left) * (high - low)));
  };
  const choose = value => set({map: 'r', threshold: value === null || value <= low ? null : Number(value.toFixed(3))});
  let from = null;
  const area = svg('rect', {x: chart.left, y: chart.top, width: chart.right - chart.left,
    height: chart.bottom - chart.top,
    fill: 'transparent', style: 'cursor: ew-resize; touch-action: pan-y'});
  const group = svg('g', {class: 'brush', role: 'slider', tabindex: 0, 'data-key': 'brush',
    'aria-label': 'Hide vertices below this r',
    'aria-valuemin': low.toFixed(2), 'aria-valuemax': high.toFixed(2), 'aria-valuenow': at.toFixed(2),
    'aria-valuetext': threshold === null ? 'nothing is hidden' : number(threshold, 3)}, veil, line, area);
  const preview = event => {
    const a = Math.min(from, toR(event)), b = Math.max(from, toR(event));
    veil.setAttribute('width', chart.px(a) - chart.left);
    line.setAttribute('stroke-width', Math.max(2, chart.px(b) - chart.px(a)));
    line.setAttribute('stroke-opacity', b - a > step / 4 ? .3 : 1);
    for (const name of ['x1', 'x2']) line.setAttribute(name, chart.px((a + b) / 2));
  };
  group.addEventListener('pointerdown', event => {
    from = toR(event);
    group.setPointerCapture(event.pointerId);
    preview(event);
  });
  group.addEventListener('pointermove', event => { if (from !== null) preview(event); });
  group.addEventListener('pointerup', event => {
    if (from === null) return;
    const chosen = Math.min(from, toR(event));
    from = null;
    choose(chosen);
  });
  group.addEventListener('keydown', event => {
    const by = {ArrowRight: step / 2, ArrowUp: step / 2, ArrowLeft: -step / 2, ArrowDown: -step / 2, PageUp: 5 * step,
      PageDown: -5 * step}[event.key];
    if (by) choose(Math.min(high, (threshold === null ? (by > 0 ? 0 : low) : threshold) + by));
    else if (event.key === 'Home' || event.key === 'Escape' || event.key === 'Delete') choose(null);
    else return;
    event.preventDefault();
  });
  return group;
}

/** Density of vertices by both runs' r, as a picture inside the axes. */
function drawScatter() {
  const run = current(), other = compared();
  if (!other) {
    fill('scatter-body', el('p', {},
      'There is no other run of this subject. Give the report a second run: cortigan report RUN BASELINE.'));
    return;
  }
  const a = run.maps.r, b = other.maps.r, all = sorted(a.lh, a.rh, b.lh, b.rh), bins = 110;
  if (![a, b].every(maps => sorted(maps.lh, maps.rh).length)) {
    fill('scatter-body', el('p', {}, 'No vertex has an r in both runs.'));
    return;
  }
  const low = Math.floor(all[0] * 20) / 20, high = Math.max(low + 0.1, Math.ceil(all[all.length - 1] * 20) / 20);
  const counts = new Uint32Array(bins * bins), bin = v =>
    Math.max(0, Math.min(bins - 1, Math.floor((v - low) / (high - low) * bins)));
  let above = 0, below = 0, most = 1;
  for (const h of HEMISPHERES) {
    for (let i = 0; i < a[h].length; i++) {
      const y = a[h][i], x = b[h][i];
      if (Number.isNaN(x) || Number.isNaN(y)) continue;
      if (y > x) above++;
      else if (y < x) below++;
      const n = ++counts[(bins - 1 - bin(y)) * bins + bin(x)];
      if (n > most) most = n;
    }
  }
  const title = `r of ${run.name} against ${other.name}, ${count(above + below)} vertices`;
  const chart = axes({width: 560, height: 540, x: [low, high], y: [low, high], xLabel: `correlation r, ${other.name}`,
    yLabel: `correlation r, ${run.name}`, title, right: 20, top: 10});
  chart.root.style.maxWidth = '560px';
  const side = {x: chart.left, y: chart.top, width: chart.right - chart.left, height: chart.bottom - chart.top};
  chart.root.append(svg('image', {...side, href: densityPicture(counts, bins, most), preserveAspectRatio: 'none',
    style: 'image-rendering: pixelated'}),
    svg('line', {x1: chart.px(low), y1: chart.py(low), x2: chart.px(high), y2: chart.py(high), stroke: 'var(--ink)',
      'stroke-width': 1.2, 'stroke-dasharray': '5 4'}));
  const share = n => `${count(n)} (${number(100 * n / Math.max(1, above + below), 1)} %)`;
  fill('scatter-body', el('p', {},
    `${run.name} predicts better at ${share(above)} vertices, ${other.name} at ${share(below)}. `
    + 'Brighter means more vertices, on a logarithmic scale; the dashed line is equality.'), chart.root,
    asTable('Numbers of this chart', ['side of the line', 'vertices'],
      [[`${run.name} better`, share(above)], [`${other.name} better`, share(below)]]));
}

function densityPicture(counts, bins, most) {
  const canvas = el('canvas', {width: bins, height: bins}), c = canvas.getContext('2d'),
    image = c.createImageData(bins, bins);
  const lut = data.colourmaps.viridis || data.colourmaps[Object.keys(data.colourmaps)[0]];
  counts.forEach((n, i) => {
    if (!n) return;
    const at = placeIn(Math.log1p(n) / Math.log1p(most));
    image.data.set([lut[at], lut[at + 1], lut[at + 2], 255], 4 * i);
  });
  c.putImageData(image, 0, 0);
  return canvas.toDataURL('image/png');
}

// The columns that have a number in some row: without validation its columns are empty.
const curveColumns = run => run.curves.columns.filter(name =>
  !['epoch', 'step'].includes(name) && pointsOf(run, name).length);

function drawCurves() {
  const runs = data.runs.filter(run => run.curves && run.curves.rows.length);
  show('curve', runs.length);
  if (!runs.length) {
    fill('curves-body', el('p', {},
      'No run has training curves: they are in metrics.csv of a folder that cortigan train wrote.'));
    return;
  }
  const columns = [...new Set(runs.flatMap(curveColumns))];
  const losses = columns.filter(name => /loss/i.test(name));
  const wanted = columns.find(name => /valid.*(r$|corr)|(^|_)r$/i.test(name))
    || columns.find(name => name === 'loss') || columns[0];
  const options = [...(losses.length > 1 ? [['losses', `all losses of ${runs[0].name}`]] : []),
    ...columns.map(name => [name, name])];
  const chosen = fillSelect('curve', options, byId('curve').value || wanted);
  const lines = (chosen === 'losses' ? losses.map(name => [runs[0], name]) : runs.map(run => [run, chosen]))
    .map(([run, name], i) => chosen === 'losses' ? {name, points: pointsOf(run, name), style: styleOf(i)}
      : {name: run.name, points: pointsOf(run, name), style: styleOf(data.runs.indexOf(run))})
    .filter(line => line.points.length);
  const along = runs[0].curves.columns.includes('epoch') ? 'epoch' : 'step', all = lines.flatMap(line => line.points);
  if (!all.length) {
    fill('curves-body', el('p', {}, `${chosen}: no values yet.`));
    return;
  }
  const [first, last] = bounds(all.map(p => p[0])), [low, high] = bounds(all.map(p => p[1]));
  const pad = (high - low) * 0.05 || 0.5;
  const chart = axes({width: 1000, height: 300, x: [first, Math.max(first + 1, last)], y: [low - pad, high + pad],
    xLabel: along, yLabel: chosen === 'losses' ? 'loss' : chosen, title: `${chosen} by ${along}`});
  for (const {points, style} of lines) {
    chart.root.append(svg('path', {d: 'M' + points.map(([x, y]) =>
      `${chart.px(x).toFixed(1)},${chart.py(y).toFixed(1)}`).join('L'), ...style}));
  }
  const steps = [...new Set(all.map(p => p[0]))].sort((a, b) => a - b);
  const lookups = lines.map(line => new Map(line.points));
  fill('curves-body', el('ul', {class: 'legend'}, lines.map(line => key(stroke(line.style), line.name))), chart.root,
    asTable('Numbers of this chart', [along, ...lines.map(line => line.name)],
      steps.map(x => [short(x), ...lookups.map(m => number(m.get(x), 4))])));
}

function pointsOf(run, name) {
  const {columns, rows} = run.curves, y = columns.indexOf(name), x = Math.max(0, columns.indexOf('epoch'));
  return y < 0 ? [] : rows.map(row => [row[x], row[y]]).filter(p => Number.isFinite(p[0]) && Number.isFinite(p[1]));
}

// ---- Readout, photographs, origin -----------------------------------------------------------------------------------

const photograph = id => data.photographs && data.photographs[id];

function drawReadout() {
  const run = current(), readout = run.readout, has = readout && (readout.attention?.length || readout.positions);
  show('readout', data.runs.some(r => r.readout));
  byId('readout-roi').parentElement.hidden = !has;
  if (!has) {
    const without = data.photographs_left_out && readout?.attention
      ? 'attention on photographs is left out (--no-photographs)'
      : 'its readout has no attention and no learned positions';
    fill('readout-body', el('p', {}, `${run.name}: ${without}.`
      + (readout && readout.layers ? ' Its choice of layers is a map of the brain above.' : '')));
    return;
  }
  const attended = readout.attention ? [...new Set(readout.attention.map(a => a.roi))] : [];
  const names = readout.positions ? roisOf(run).map(roi => roi.name) : attended;
  const chosen = fillSelect('readout-roi', [...new Set([...attended, ...names])].map(n => [n, n]),
    byId('readout-roi').value);
  const shown = (readout.attention || []).filter(a => a.roi === chosen && photograph(a.photograph));
  const roi = roisOf(run).find(r => r.name === chosen), parts = [];
  if (shown.length) {
    parts.push(el('h3', {}, `Attention of ${chosen} on photographs`), el('p', {class: 'quiet'},
      'Brighter parts weigh more in the prediction; each photograph has its own scale, from 0 to its largest weight.'),
      el('div', {class: 'photographs'}, shown.map(a => el('figure', {}, attentionPicture(a),
        el('figcaption', {}, `${a.name || a.photograph}: ${strongestPart(a)}`)))));
  }
  if (readout.positions && roi) {
    parts.push(el('h3', {}, `Learned positions of ${chosen}`), el('p', {class: 'quiet'},
      'Each point is the place in the photograph that a vertex reads; the map of the brain shows them too.'),
        positionsChart(run, roi));
  }
  fill('readout-body', parts);
}

/** Where the largest weight lies, in words. */
function strongestPart({grid: [rows, columns], values: v}) {
  const at = v.indexOf(Math.max(...v)), third = (i, n) => Math.min(2, Math.floor(3 * i / n));
  const place = [['top', 'middle', 'bottom'][third(Math.floor(at / columns), rows)],
    ['left', 'centre', 'right'][third(at % columns, columns)]].join(' ');
  return `strongest at the ${place}`;
}

function attentionPicture(a) {
  const size = 224, [rows, columns] = a.grid, canvas = el('canvas', {width: size, height: size, role: 'img',
    'aria-label': `Attention of ${a.roi} on ${a.name || a.photograph}: ${strongestPart(a)}`}), c = canvas.getContext('2d');
  const heat = el('canvas', {width: columns, height: rows}), h = heat.getContext('2d'),
    image = h.createImageData(columns, rows);
  const lut = data.colourmaps.inferno || Object.values(data.colourmaps)[0], most = Math.max(...a.values) || 1;
  a.values.forEach((v, i) => {
    const at = placeIn(v / most);
    image.data.set([lut[at], lut[at + 1], lut[at + 2], 60 + 150 * Math.max(0, v) / most], 4 * i);
  });
  h.putImageData(image, 0, 0);
  const photo = new Image();
  photo.onload = () => {
    c.filter = 'grayscale(1)';
    c.drawImage(photo, 0, 0, size, size);
    c.filter = 'none';
    c.drawImage(heat, 0, 0, size, size);
  };
  photo.src = photograph(a.photograph);
  return canvas;
}

function positionsChart(run, roi) {
  const chart = axes({width: 420, height: 400, x: [-1, 1], y: [1, -1], xLabel: 'place in the photograph, left to right',
    yLabel: 'top to bottom', title: `Learned positions of the vertices of ${roi.name} in the photograph`});
  chart.root.style.maxWidth = '420px';
  const id = Object.keys(data.photographs || {})[0], rows = [];
  if (id) {
    chart.root.append(svg('image', {x: chart.left, y: chart.top, width: chart.right - chart.left,
      height: chart.bottom - chart.top,
      href: photograph(id), preserveAspectRatio: 'none', opacity: .3}));
  }
  for (const h of HEMISPHERES) {
    const {x, y} = run.readout.positions[h];
    for (const v of roi[h]) {
      if (!Number.isFinite(x[v] + y[v])) continue;
      chart.root.append(svg('circle', {cx: chart.px(x[v]).toFixed(1), cy: chart.py(y[v]).toFixed(1), r: 2,
        fill: h === 'lh' ? 'var(--left)' : 'var(--right)', 'fill-opacity': .6}));
    }
    const median = axis => quantile(sorted(Float32Array.from(roi[h], v => axis[v])), 0.5);
    rows.push([SIDES[h], count(roi[h].length), number(median(x), 2), number(median(y), 2)]);
  }
  return el('div', {}, el('ul', {class: 'legend'}, HEMISPHERES.map(h =>
    key(swatch({fill: h === 'lh' ? 'var(--left)' : 'var(--right)'}), `${SIDES[h]} hemisphere`))), chart.root,
    asTable('Numbers of this chart', ['hemisphere', 'vertices', 'median x', 'median y'], rows));
}

function drawPhotographs() {
  const run = current(), lists = run.photographs;
  // A run that trains has no scores of photographs yet.
  show('photographs', data.runs.some(r => r.photographs) || !data.live);
  byId('photographs-roi').parentElement.hidden = !lists;
  if (!lists) {
    const why = run.role === 'baseline' ? 'of a ridge regression single photographs are not scored'
      : data.photographs_left_out ? 'left out (--no-photographs)' : 'unknown; evaluate the run again to have them';
    fill('photographs-body', el('p', {}, `${run.name}: ${why}.`));
    return;
  }
  const named = lists.map((list, i) => [String(i), list.class ? `${list.roi} (${list.class})` : list.roi]);
  const list = lists[Number(fillSelect('photographs-roi', named, byId('photographs-roi').value))];
  const pictures = photos => el('div', {class: 'photographs'}, photos.map(p => el('figure', {},
    photograph(p.photograph) ? el('img', {src: photograph(p.photograph), alt: `Photograph ${p.name}`}) : null,
    el('figcaption', {}, `r ${number(p.r, 2)}`, el('br'), p.name))));
  fill('photographs-body',
    el('p', {class: 'quiet'}, `${run.name}, ${list.roi}: r between predicted and measured responses `
    + 'of the ROI\'s vertices to one photograph.'), el('h3', {}, 'Most predicted'), pictures(list.most),
    el('h3', {}, 'Least predicted'), pictures(list.least));
}

function copyButton(text) {
  const button = el('button', {type: 'button', class: 'no-print', onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      // Browsers deny the clipboard to some files; the selected text can still be copied by hand.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = 'Selected: press Ctrl+C';
    }
  }}, 'Copy');
  return button;
}

function drawMade() {
  const block = (title, text) => [el('h3', {}, title), el('div', {}, el('pre', {}, text), copyButton(text))];
  const parts = [...block('Makes this report again', data.command)];
  for (const run of data.runs) {
    const inner = [];
    if (run.command) inner.push(...block('Command', run.command));
    if (run.recipe) inner.push(...block('Recipe', run.recipe));
    else inner.push(el('p', {class: 'quiet'}, 'No recipe: the run\'s folder has no recipe.yaml.'));
    if (run.environment) {
      inner.push(el('h3', {}, 'Environment'), table(['what', 'value'], Object.entries(run.environment)
        .map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)])));
    }
    parts.push(el('details', {class: 'print-open', open: run === current()}, el('summary', {}, run.name), inner));
  }
  fill('made-body', parts);
}

/** What the data say in a sentence: where the model predicts, how far below the bound, and against the baseline. */
function finding() {
  const run = mainRun(), bound = boundOf(run);
  const median = maps => quantile(sorted(maps.lh, maps.rh), 0.5), all = median(run.maps.r);
  if (!Number.isFinite(all)) return 'No vertex has an r yet.';
  const ranked = roisOf(run).map(roi => ({roi, r: sorted(roiValues(run.maps.r, roi, 'lh'),
    roiValues(run.maps.r, roi, 'rh'))}))
    .filter(entry => entry.r.length >= 10).map(entry => ({name: entry.roi.name, median: quantile(entry.r, 0.5)}))
    .sort((a, b) => b.median - a.median);
  let text = `${run.name} (${run.subject}) predicts `;
  if (ranked.length > 1) {
    const [best, worst] = [ranked[0], ranked[ranked.length - 1]];
    text += `best in ${best.name} (median r ${number(best.median, 2)}) and worst in ${worst.name} `
      + `(${number(worst.median, 2)}); over all vertices the median r is ${number(all, 2)}`;
  } else text += `responses with a median r of ${number(all, 2)}`;
  const most = bound ? median(bound) : NaN;
  if (Number.isFinite(most)) {
    text += `, ${number(Math.abs(most - all), 2)} ${all > most ? 'above' : 'below'} the median bound of `
      + number(most, 2);
  }
  const baseline = comparable(run).find(r => r.role === 'baseline');
  if (baseline) {
    const d = values('difference', run, baseline), differences = sorted(d.lh, d.rh), gain = quantile(differences, 0.5);
    if (differences.length) {
      const better = 100 * differences.filter(x => x > 0).length / differences.length;
      text += `; the median vertex is ${number(Math.abs(gain), 3)} ${gain < 0 ? 'below' : 'above'} ${baseline.name}, `
        + `and ${number(better, 0)} % of vertices are predicted better than by it`;
    }
  }
  return text + (bound ? '.' : '. Bound and score are unknown, because there are no noise ceilings.');
}

// ---- Start ----------------------------------------------------------------------------------------------------------

let printing = false;

function connect() {
  const on = (id, type, act) => byId(id).addEventListener(type, act);
  const choose = (id, option) => on(id, 'change', () => set({[option]: byId(id).value}));
  for (const [id, option] of [['run', 'run'], ['map', 'map'], ['geometry', 'surface'], ['view', 'view'],
    ['colourmap', 'colourmap']]) {
    choose(id, option);
  }
  on('against', 'change', () => set({against: byId('against').value,
    map: state.map === 'r' ? 'difference' : state.map}));
  for (const id of ['min', 'max']) {
    on(id, 'change', () => {
      const value = byId(id).valueAsNumber;
      if (Number.isFinite(value)) set({[id]: value});
    });
  }
  on('threshold', 'change', () => {
    const value = byId('threshold').valueAsNumber;
    set({threshold: Number.isFinite(value) ? value : null});
  });
  on('threshold-slider', 'input', event => {
    const {valueAsNumber, min} = event.target;
    set({threshold: valueAsNumber <= Number(min) ? null : valueAsNumber});
  });
  on('reset-scale', 'click', () => {
    Object.assign(automatic, {min: true, max: true, colourmap: true});
    set({threshold: null});
  });
  on('reset-view', 'click', resetView);
  on('zoom-in', 'click', () => scene && scene.enlarge(1.25));
  on('zoom-out', 'click', () => scene && scene.enlarge(0.8));
  on('controls', 'submit', find);
  on('names', 'change', () => scene && scene.draw());
  on('curve', 'change', drawCurves);
  on('readout-roi', 'change', drawReadout);
  on('photographs-roi', 'change', drawPhotographs);
  addEventListener('beforeprint', preparePrint);
  addEventListener('afterprint', endPrint);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => scene && scene.draw());
  if (scene) connectCanvas(byId('surface'));
}

function resetView() {
  if (!scene) return;
  scene.resetCamera();
  scene.draw();
}

function connectCanvas(canvas) {
  let drag = null;
  const pickAt = event => {
    const box = canvas.getBoundingClientRect(), ratio = scene.ratio();
    const hit = scene.pick((event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio);
    return hit && placeOf(hit.h, hit.mesh);
  };
  canvas.addEventListener('pointerdown', event => {
    drag = {x: event.clientX, y: event.clientY, far: 0};
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({preventScroll: true});
  });
  canvas.addEventListener('pointermove', event => {
    if (!drag) {
      hovered = pickAt(event);
      return tell();
    }
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    drag = {x: event.clientX, y: event.clientY, far: drag.far + Math.abs(dx) + Math.abs(dy)};
    if (drag.far < 4) return undefined;
    scene.moving = true;
    if (event.shiftKey || event.buttons !== 1 || state.surface === 'flat') scene.move(dx, dy);
    else scene.turn(0.4 * dx, 0.4 * dy);
    return scene.drawSoon();
  });
  const end = event => {
    if (drag && drag.far < 4 && event.type === 'pointerup') keep(pickAt(event));
    drag = null;
    scene.moving = false;
    scene.drawSoon();
  };
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
  canvas.addEventListener('pointerleave', () => {
    hovered = null;
    tell();
  });
  canvas.addEventListener('contextmenu', event => event.preventDefault());
  // The wheel scrolls the page unless the surface has the focus.
  canvas.addEventListener('wheel', event => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    scene.enlarge(Math.exp(-event.deltaY / 600));
  }, {passive: false});
  canvas.addEventListener('keydown', keys);
}

function keys(event) {
  const arrow = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (arrow && event.shiftKey) {
    if (state.surface === 'flat') scene.move(-20 * arrow[0], -20 * arrow[1]);
    else scene.turn(10 * arrow[0], -10 * arrow[1]);
    scene.drawSoon();
  } else if (arrow) walk(...arrow);
  else if (event.key === '+' || event.key === '=') scene.enlarge(1.25);
  else if (event.key === '-') scene.enlarge(0.8);
  else if (event.key === '0') resetView();
  else if (event.key === 'Escape') keep(null);
  else return;
  event.preventDefault();
}

function preparePrint() {
  printing = true;
  if (scene) {
    byId('still').src = scene.snapshot();
    byId('still').alt = nameOf(state.map, current(), compared());
  }
  for (const details of document.querySelectorAll('.print-open')) {
    details.dataset.open = details.open;
    details.open = true;
  }
}

function endPrint() {
  printing = false;
  for (const details of document.querySelectorAll('.print-open')) details.open = details.dataset.open === 'true';
  if (scene) scene.draw();
}

const time = () => data.created.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC');

function drawPage() {
  byId('title').textContent = data.title;
  byId('finding').textContent = finding();
  byId('origin').textContent = `Made by ${data.version} on ${time()}.`;
  fill('notes-list', (data.notes || []).map(note => el('li', {}, note)));
  show('notes', (data.notes || []).length);
  drawPictures();
  refresh(true, true);
  drawCurves();
  drawn = data.created;
  fill('contents', [...document.querySelectorAll('main > section:not([hidden])')].map(section =>
    el('li', {}, el('a', {href: `#${section.id}`}, section.querySelector('h2').textContent))));
}

async function take(fresh) {
  data = Object.assign(data || {}, await decodeAll(fresh));
  cache = new Map();
  triangles = icosphere(data.geometry.level).triangles;
  neighbours = neighbours || adjacency(10 * 4 ** data.geometry.level + 2, triangles);
  settle();
}

/** Asks the program that serves a live report for newer data, again and again. */
async function poll() {
  let fresh = null;
  try {
    const answer = await fetch(data.live.url, {cache: 'no-store'});
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    fresh = await answer.json();
  } catch {
    say('Live: training has ended or cannot be reached; this is the last state that was received.');
  }
  if (fresh) {
    try {
      if (fresh.created !== drawn) await follow(fresh);
      say(`Live: as of ${time()}.`);
    } catch (error) {
      console.error(error);
      say(`Live: the new data cannot be drawn: ${error.message}`);
    }
  }
  if (data.live) setTimeout(poll, data.live.interval_ms);
}

/** Draws newer data; camera, scale and choices stay. */
async function follow(fresh) {
  await take(fresh);
  findAgain();
  const camera = scene && [scene.nv.scene.renderAzimuth, scene.nv.scene.renderElevation, scene.pan, scene.zoom];
  drawPage();
  if (scene) {
    [scene.nv.scene.renderAzimuth, scene.nv.scene.renderElevation, scene.pan, scene.zoom] = camera;
    scene.draw();
  }
}

function say(text) {
  show('status', true);
  if (byId('status').textContent !== text) byId('status').textContent = text;
}

async function start() {
  if (!window.DecompressionStream) throw new Error('it needs a browser of 2023 or later (Chromium 103, Firefox 113)');
  await take(JSON.parse(byId('report-data').textContent));
  try {
    scene = await startScene();
  } catch (error) {
    say(`The surfaces cannot be drawn: ${error.message}`);
  }
  if (!scene) {
    document.querySelectorAll('.stage canvas').forEach(canvas => { canvas.hidden = true; });
    show('keys', false);
    byId('hover').textContent = 'This browser has no WebGL 2, so the surface cannot be turned; the picture shows r, '
      + 'and all else works.';
  }
  connect();
  drawPage();
  await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  if (data.live) setTimeout(poll, data.live.interval_ms);
}

/** For tests: places and pixels are in CSS pixels of the page. */
window.cortigan = {
  ready: start().catch(error => {
    say(`The report cannot be shown: ${error.message}`);
    throw error;
  }),
  set,
  state: () => ({...state, rois: [...state.rois]}),
  project(hemisphere, vertex) {
    const at = scene && scene.visible(hemisphere, vertex), box = byId('surface').getBoundingClientRect();
    return at ? {x: box.left + at.x / scene.ratio(), y: box.top + at.y / scene.ratio()} : null;
  },
  pixels: places => scene.pixels(places)
};
})();
