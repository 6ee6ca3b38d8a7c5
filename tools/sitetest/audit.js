// What can only be seen of a page that has been laid out. The expression is a
// function: audit(what) returns lines about what is wrong. pages.go calls it.
(() => {
  const LARGE = 24, LARGE_BOLD = 18.66; // pixels, WCAG 2.2 §1.4.3
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

  /** rgba returns the parts of any colour that CSS can say. */
  const known = new Map();
  function rgba(colour) {
    if (!known.has(colour)) {
      paint.clearRect(0, 0, 1, 1);
      paint.fillStyle = colour;
      paint.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = paint.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  }

  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];

  /** luminance and ratioOf are those of WCAG 2.2. */
  function luminance(c) {
    const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function ratioOf(a, b) {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  }

  /** describe names an element briefly. */
  function describe(e) {
    const text = e.textContent.trim().replace(/\s+/g, ' ');
    const c = (e.getAttribute('class') || '').split(' ').filter((n) => n && !n.includes('hx-')).slice(0, 2).join('.');
    return `<${e.tagName.toLowerCase()}${c && '.' + c}> "${text.length > 40 ? text.slice(0, 40) + '…' : text}"`;
  }

  /** texts yields the elements that hold visible text of their own. */
  function* texts() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const had = new Set();
    for (let n = walker.nextNode(); n; n = walker.nextNode()) {
      const e = n.parentElement;
      if (!n.data.trim() || had.has(e) || e.closest('script, style, noscript, title, desc')) continue;
      had.add(e);
      const style = getComputedStyle(e), box = e.getBoundingClientRect();
      if (box.width < 2 || box.height < 2 || style.visibility !== 'visible' || box.right < 0 || box.bottom + scrollY < 0) continue;
      yield [e, style, box];
    }
  }

  /** opacity is that of an element and all around it. */
  function opacity(e) {
    let o = 1;
    for (; e; e = e.parentElement) o *= getComputedStyle(e).opacity;
    return o;
  }

  /** ground is the colour behind an element, or null behind a picture. */
  function ground(e, box) {
    const layers = [];
    const svg = e.closest('svg');
    if (svg) { // shapes painted before the text, under its middle
      const x = box.x + box.width / 2, y = box.y + box.height / 2;
      for (const s of svg.querySelectorAll('rect')) {
        const r = s.getBoundingClientRect(), fill = getComputedStyle(s).fill;
        if (!(s.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING) || fill === 'none') continue;
        if (r.left <= x && x <= r.right && r.top <= y && y <= r.bottom) {
          const [R, G, B, A] = rgba(fill);
          layers.unshift([R, G, B, A * opacity(s)]);
        }
      }
    }
    for (let p = e; p; p = p.parentElement) {
      const style = getComputedStyle(p);
      if (style.backgroundImage !== 'none') return null;
      const c = rgba(style.backgroundColor);
      if (c[3] > 0) layers.push(c);
      if (c[3] === 1) break;
    }
    const dark = getComputedStyle(document.documentElement).colorScheme === 'dark';
    return layers.reduceRight((under, c) => over(c, under), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
  }

  /** contrast: text stands out from what is behind it. */
  function contrast() {
    const found = new Map();
    for (const [e, style, box] of texts()) {
      const behind = ground(e, box), o = opacity(e);
      if (!behind || o === 0) continue;
      const [r, g, b, a] = rgba(e.closest('svg') ? style.fill : style.color);
      const size = parseFloat(style.fontSize);
      const least = size >= LARGE || (size >= LARGE_BOLD && style.fontWeight >= 700) ? 3 : 4.5;
      const ratio = ratioOf(over([r, g, b, a * o], behind), behind);
      if (ratio < least) {
        const key = `${style.color} ${style.fill} ${behind} ${e.tagName} ${e.className.baseVal ?? e.className}`;
        if (!found.has(key)) found.set(key, `contrast ${ratio.toFixed(2)}, least ${least}: ${describe(e)}`);
      }
    }
    return [...found.values()];
  }

  /** layout: nothing is wider than the window, cut off, or on top of other text. */
  function layout() {
    const found = [];
    const page = document.scrollingElement, window = page.clientWidth; // a phone's innerWidth grows with the page
    if (page.scrollWidth > window + 1) {
      const wide = [...document.body.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > window + 1 && !scrolls(e.parentElement));
      found.push(`the page is ${page.scrollWidth} pixels wide, the window ${window}: ${wide.slice(0, 3).map(describe).join(', ')}`);
    }
    if (window > 1000) for (const t of document.querySelectorAll('table')) if (t.scrollWidth > t.clientWidth + 1) found.push(`cut: ${describe(t)}`);
    const inPicture = new Map();
    for (const [e, style, box] of texts()) {
      if (style.overflowX === 'hidden' && e.scrollWidth > e.clientWidth + 1 && style.textOverflow !== 'ellipsis' && !e.closest('.sr-only')) found.push(`cut: ${describe(e)}`);
      const svg = e.closest('svg');
      if (!svg) continue;
      const frame = svg.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) found.push(`outside its picture: ${describe(e)}`);
      const own = e.parentElement.querySelector(':scope > rect')?.getBoundingClientRect();
      if (own && e.parentElement !== svg && box.right > own.right + 0.5) found.push(`wider than its box: ${describe(e)}`);
      const others = inPicture.get(svg) ?? inPicture.set(svg, []).get(svg);
      for (const [other, o] of others) {
        const w = Math.min(box.right, o.right) - Math.max(box.left, o.left), h = Math.min(box.bottom, o.bottom) - Math.max(box.top, o.top);
        if (w > 1 && h > Math.min(box.height, o.height) / 2) found.push(`on top of each other: ${describe(other)}, ${describe(e)}`);
      }
      others.push([e, box]);
    }
    return found;
  }

  /** scrolls reports whether what is inside can be reached by scrolling a part. */
  function scrolls(e) {
    for (; e && e !== document.body; e = e.parentElement) if (getComputedStyle(e).overflowX !== 'visible') return true;
    return false;
  }

  /** motion: nothing moves. */
  function motion() {
    const found = new Map();
    const longest = (list) => Math.max(...list.split(',').map(parseFloat));
    for (const e of document.querySelectorAll('*')) {
      const style = getComputedStyle(e);
      for (const [is, bad] of [
        ['transition', style.transitionProperty !== 'none' && longest(style.transitionDuration) > 0.01],
        ['animation', style.animationName !== 'none' && longest(style.animationDuration) > 0.01],
        ['smooth scrolling', style.scrollBehavior === 'smooth'],
      ]) if (bad && !found.has(is)) found.set(is, `${is}: ${describe(e)}`);
    }
    return [...found.values()];
  }

  for (const d of document.querySelectorAll('details')) d.open = true;
  return { contrast, layout, motion };
})()
