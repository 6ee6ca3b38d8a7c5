// The viewer of a walk. The page has every event as a list item, which is what is
// shown without scripts. This module draws the lanes from the trace's JSON lines,
// and shows one event at a time beside them.
//
//   ← →        the event before, the next one       Home End   the first, the last
//   ↑ ↓        the same within the goroutine        Enter      what caused it

const LAYERS = ['socket', 'transport', 'callstack', 'cq', 'surface', 'stubs', 'application'];
const ROW = 16, HEAD = 42, TOP = 14, LEFT = 8, LEAST = 80, MOST = 180; // pixels
const NARROW = '(max-width: 48rem)';
const SVG = 'http://www.w3.org/2000/svg';

for (const root of document.querySelectorAll('.walk')) start(root);

/** start fetches the trace and puts the viewer into root. */
async function start(root) {
  const response = await fetch(root.dataset.trace);
  if (!response.ok) throw new Error(`walk: ${root.dataset.trace}: ${response.status}`);
  const lines = (await response.text()).trim().split('\n').map((line) => JSON.parse(line));
  new Walk(root, lines.slice(1));
}

/** el makes an SVG element with attributes. */
function el(name, attributes, parent, text) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
}

/** A Walk is one viewer. */
class Walk {
  constructor(root, events) {
    this.root = root;
    this.events = events;
    this.stage = root.querySelector('.walk-stage');
    this.items = new Map([...root.querySelectorAll('.step')].map((li) => [Number(li.dataset.i), li]));
    this.codes = new Map([...root.querySelectorAll('.walk-codes figure')].map((f) => [f.dataset.code, f]));
    this.narrow = matchMedia(NARROW);
    this.build();
    this.draw();
    this.narrow.addEventListener('change', () => { this.draw(); this.show(this.at, false); });
    document.addEventListener('keydown', (e) => this.key(e));
    addEventListener('hashchange', () => this.fromHash());
    if (!this.fromHash()) this.show(1, false);
    root.classList.add('ready');
  }

  /** build makes what stands beside the lanes. */
  build() {
    this.stage.hidden = false;
    this.stage.innerHTML = `
      <div class="walk-lanes" role="group" tabindex="0" aria-label="The events, a column for each goroutine"></div>
      <div class="walk-card">
        <div class="walk-bar">
          <button type="button" class="prev" aria-label="The event before">←</button>
          <span class="walk-count"></span>
          <button type="button" class="next" aria-label="The next event">→</button>
        </div>
        <p class="walk-scene"></p>
        <div class="walk-step" aria-live="polite"></div>
        <div class="walk-bytes"></div>
        <div class="walk-code"></div>
      </div>`;
    this.lanesBox = this.stage.querySelector('.walk-lanes');
    this.stage.querySelector('.prev').onclick = () => this.show(this.at - 1);
    this.stage.querySelector('.next').onclick = () => this.show(this.at + 1);
    const list = document.createElement('details');
    list.className = 'walk-all';
    list.innerHTML = '<summary>All events as a list</summary>';
    const steps = this.root.querySelector('.walk-steps');
    steps.replaceWith(list);
    list.append(steps);
    list.addEventListener('click', (e) => {
      const a = e.target.closest('a.cause');
      if (!a) return;
      e.preventDefault();
      this.show(Number(a.hash.slice('#event-'.length)));
    });
  }

  /** columns returns the lanes from left to right: one a goroutine, or one an end where there is little room. */
  columns() {
    const column = (e) => (this.narrow.matches ? e.ep : e.lane.startsWith(`${e.ep}/whoever`) ? `${e.ep}/recycled` : e.lane);
    const rank = ['client/application', 'client/http2 client flusher', 'client/http2 client reader', 'client/recycled',
      'server/http2 server reader', 'server/server handler', 'server/http2 server flusher', 'server/recycled'];
    const names = [...new Set(this.events.map(column))];
    names.sort((a, b) => (rank.indexOf(a) - rank.indexOf(b)) || a.localeCompare(b));
    return { names, column };
  }

  /** draw draws all lanes. */
  draw() {
    const { names, column } = this.columns();
    const lane = Math.min(Math.max((this.lanesBox.clientWidth - 2 * LEFT) / names.length, LEAST), MOST), depth = (lane - 28) / 6;
    const width = LEFT * 2 + names.length * lane, height = TOP + this.events.length * ROW + 20;
    const svg = el('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'presentation' });
    const heads = el('svg', { viewBox: `0 0 ${width} ${HEAD}`, width, height: HEAD, role: 'presentation', class: 'heads' });
    names.forEach((name, i) => {
      const x = LEFT + i * lane, [ep, ...rest] = name.split('/');
      el('rect', { x: x + 2, y: 0, width: lane - 4, height, class: `lane ${ep}` }, svg);
      el('rect', { x: x + 2, y: 0, width: lane - 4, height: HEAD, class: `head ${ep}` }, heads);
      el('text', { x: x + lane / 2, y: 18, class: 'lane-end' }, heads, ep);
      el('text', { x: x + lane / 2, y: 32, class: 'lane-name' }, heads, rest.join('/').replace('http2 ', '').replace(`${ep} `, ''));
    });
    this.place = new Map(this.events.map((e, row) => [e.i, {
      x: LEFT + names.indexOf(column(e)) * lane + 14 + (6 - e.layer) * depth, y: TOP + row * ROW, column: column(e),
    }]));
    this.arrows = el('g', { class: 'arrows' }, svg);
    this.drawThreads(svg, names);
    this.chain = el('g', { class: 'chain' }, svg);
    for (const e of this.events) this.drawEvent(svg, e);
    this.cursor = el('circle', { r: 8, class: 'cursor' }, svg);
    this.lanesBox.replaceChildren(heads, svg);
  }

  /** drawThreads joins the events of each goroutine, in its order. */
  drawThreads(svg, names) {
    const g = el('g', { class: 'threads' });
    for (const name of names) {
      const points = this.events.map((e) => this.place.get(e.i)).filter((p) => p.column === name);
      el('polyline', { points: points.map((p) => `${p.x},${p.y}`).join(' ') }, g);
    }
    this.arrows.before(g);
  }

  /** drawEvent draws one event, and the arrow from its cause if that is in another lane. */
  drawEvent(svg, e) {
    const p = this.place.get(e.i), from = this.place.get(e.cause);
    if (from && from.column !== p.column) this.arrow(this.arrows, from, p, 'arrow');
    const a = el('g', { class: `event l${e.layer}`, 'data-i': e.i }, svg);
    if (e.layer <= 1) el('rect', { x: p.x - 4, y: p.y - 4, width: 8, height: 8 }, a);
    else el('circle', { cx: p.x, cy: p.y, r: 4.4 }, a);
    el('rect', { x: p.x - 9, y: p.y - ROW / 2, width: 18, height: ROW, class: 'hit' }, a);
    el('title', {}, a, `${e.i}: ${LAYERS[e.layer]} ${e.comp} ${e.op}`);
    a.addEventListener('click', () => this.show(e.i));
  }

  arrow(parent, from, to, kind) {
    const mid = (from.x + to.x) / 2;
    return el('path', { d: `M${from.x} ${from.y} C${mid} ${from.y} ${mid} ${to.y} ${to.x} ${to.y}`, class: kind }, parent);
  }

  /** show makes i the present event. */
  show(i, move = true) {
    i = Math.min(Math.max(i, 1), this.events.length);
    this.at = i;
    const item = this.items.get(i), p = this.place.get(i);
    this.cursor.setAttribute('cx', p.x);
    this.cursor.setAttribute('cy', p.y);
    this.showChain(i);
    const step = item.cloneNode(true);
    step.querySelectorAll('.bytes').forEach((b) => b.remove());
    step.removeAttribute('id');
    step.querySelectorAll('a.cause').forEach((a) => a.addEventListener('click', (e) => { e.preventDefault(); this.show(Number(a.hash.slice('#event-'.length))); }));
    this.stage.querySelector('.walk-step').replaceChildren(...step.childNodes);
    this.stage.querySelector('.walk-count').textContent = `${i} of ${this.events.length}`;
    this.stage.querySelector('.walk-scene').textContent = this.sceneOf(item);
    this.showBytes(this.events[i - 1]);
    const code = this.codes.get(item.dataset.code);
    this.stage.querySelector('.walk-code').replaceChildren(...(code ? [code.cloneNode(true)] : []));
    this.stage.querySelector('.walk-code [id]')?.removeAttribute('id');
    const box = this.lanesBox;
    if (p.y < box.scrollTop + 40 || p.y > box.scrollTop + box.clientHeight - 60) box.scrollTop = p.y - box.clientHeight / 3;
    if (p.x < box.scrollLeft + 20 || p.x > box.scrollLeft + box.clientWidth - 20) box.scrollLeft = p.x - box.clientWidth / 2;
    if (move) history.replaceState(null, '', `#e${i}`);
  }

  /** sceneOf returns the title of the scene that an item belongs to. */
  sceneOf(item) {
    let li = item;
    while (li && !li.classList.contains('scene')) li = li.previousElementSibling;
    return li ? li.querySelector('h3').textContent : '';
  }

  /** showChain stresses what led to i, event by event. */
  showChain(i) {
    this.chain.replaceChildren();
    for (let e = this.events[i - 1]; e && e.cause; e = this.events[e.cause - 1]) {
      this.arrow(this.chain, this.place.get(e.cause), this.place.get(e.i), 'because');
    }
  }

  /** showBytes shows the bytes of a frame beside their meaning. */
  showBytes(e) {
    const box = this.stage.querySelector('.walk-bytes');
    box.replaceChildren();
    if (!e.bytes) return;
    const table = document.createElement('table');
    for (const part of frameParts(e.bytes)) {
      const row = table.insertRow();
      row.insertCell().innerHTML = `<code>${part.hex}</code>`;
      row.insertCell().textContent = part.is;
    }
    box.append(table);
  }

  /** key steps by keyboard. */
  key(e) {
    if (e.altKey || e.ctrlKey || e.metaKey || e.target.closest('input, textarea, select, summary, a, [contenteditable]')) return;
    const to = {
      ArrowRight: () => this.at + 1, ArrowLeft: () => this.at - 1, Home: () => 1, End: () => this.events.length,
      ArrowDown: () => this.inLane(1), ArrowUp: () => this.inLane(-1),
      Enter: () => e.target.closest('button') ? null : this.events[this.at - 1].cause || this.at,
    }[e.key]?.();
    if (to == null) return;
    e.preventDefault();
    this.show(to);
  }

  /** inLane returns the next event of the same goroutine, in one direction. */
  inLane(step) {
    const lane = this.place.get(this.at).column;
    for (let i = this.at + step; i >= 1 && i <= this.events.length; i += step) {
      if (this.place.get(i).column === lane) return i;
    }
    return this.at;
  }

  /** fromHash shows the event, or the beginning of the scene, that the address names, and reports whether it names one. */
  fromHash() {
    const name = location.hash.slice(1), m = name.match(/^e(\d+)$/);
    const scene = name && this.root.querySelector(`.scene[data-scene="${CSS.escape(name)}"]`);
    if (m) this.show(Number(m[1]), false);
    else if (scene) this.show(Number(scene.nextElementSibling.dataset.i), false);
    return Boolean(m || scene);
  }
}

const FRAME_TYPES = ['DATA', 'HEADERS', 'PRIORITY', 'RST_STREAM', 'SETTINGS', 'PUSH_PROMISE', 'PING', 'GOAWAY', 'WINDOW_UPDATE', 'CONTINUATION'];
const FLAGS = [[0x1, 'END_STREAM', [0, 1]], [0x1, 'ACK', [4, 6]], [0x4, 'END_HEADERS', [1, 9]], [0x8, 'PADDED', [0, 1]], [0x20, 'PRIORITY', [1]]];

/** frameParts cuts a frame, in hex, into its fields. RFC 9113 §4.1 */
function frameParts(hex) {
  const cut = (from, to) => hex.slice(2 * from, to === undefined ? undefined : 2 * to).replace(/(..)(?=.)/g, '$1 ');
  const number = (from, to) => parseInt(hex.slice(2 * from, 2 * to), 16);
  const type = number(3, 4), flags = number(4, 5);
  const set = FLAGS.filter(([bit, , types]) => flags & bit && types.includes(type)).map(([, name]) => name);
  const parts = [
    { hex: cut(0, 3), is: `length: ${number(0, 3)} bytes follow the header` },
    { hex: cut(3, 4), is: `type ${type}: ${FRAME_TYPES[type] ?? 'unknown'}` },
    { hex: cut(4, 5), is: `flags: ${set.join(', ') || 'none'}` },
    { hex: cut(5, 9), is: `stream ${number(5, 9) & 0x7fffffff}` },
  ];
  if (hex.length > 18) parts.push({ hex: cut(9), is: type === 1 ? 'a header block, compressed by HPACK' : 'payload' });
  return parts;
}
