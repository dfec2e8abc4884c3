// rows: where every photo stands before any of them has arrived; arithmetic only, no document.
//
//   const shape = shape_for(window_width);
//   const { rows, full } = fill(aspects, shape);     // rows: [{ first, count, top, height, boxes: [{ left, width }] }]
//
// A row belongs to a block of photos that was laid out together. Photos that arrive while somebody reads further down get a
// block of their own above the reader, so that no row he looks at is broken anew. Numbers are whole pixels: fractions
// would let hairlines of the background through the gaps.
import justified_layout from "justified-layout";

// Narrower or wider than this, a photo is shown cropped in the grid (never in the lightbox).
const narrowest = 0.4;
const widest = 4;

// justified-layout copies all boxes at the end of each row; in portions of this many photos that stays linear.
const portion = 200;

// To end a block without a rest, this many of its last rows share their photos out anew; what comes out least uneven is taken.
const shared_rows = [3, 4, 6, 9];

// A row more than this many times too high or too low is worse than one that is not full.
const bearable = 1.9;

export function shape_for(width) {
  const height = Math.min(420, Math.max(120, 84 + width * 0.115));
  return { width: Math.floor(width), height: Math.round(height), gap: width < 600 ? 3 : 4 };
}

// Returns rows for all of `aspects`, with `first` counted from `first` and `top` from 0, and whether the last one is full.
// The last row keeps its photos at the height of its neighbours when it is not.
export function fill(aspects, shape, first = 0) {
  const rows = [];
  let top = 0;
  let full = true;
  for (let from = 0; from < aspects.length; ) {
    const to = Math.min(from + portion, aspects.length);
    const input = aspects.slice(from, to).map(within_bounds);
    const layout = justified_layout(input, {
      containerWidth: shape.width,
      containerPadding: 0,
      boxSpacing: shape.gap,
      targetRowHeight: shape.height,
    });
    const last = to === aspects.length;
    full = layout.widowCount === 0;
    // What does not fill a row goes to the next portion, unless the portion had nothing else.
    const taken = last || layout.widowCount === input.length ? input.length : input.length - layout.widowCount;
    for (let i = 0; i < taken; ) {
      const height = Math.round(layout.boxes[i].height);
      const row = { first: first + from + i, count: 0, top, height, boxes: [] };
      const { top: line } = layout.boxes[i];
      for (; i < taken && layout.boxes[i].top === line; ++i) {
        const left = Math.round(layout.boxes[i].left);
        const right = Math.min(shape.width, Math.round(layout.boxes[i].left + layout.boxes[i].width));
        row.boxes.push({ left, width: right - left });
        ++row.count;
      }
      rows.push(row);
      top += height + shape.gap;
    }
    from += taken;
  }
  return { rows, full };
}

// Like fill(), but the last row is full too, except where there are too few photos for even one.
export function fill_whole(aspects, shape) {
  const plain = fill(aspects, shape);
  if (plain.full) return plain;
  let best = plain;
  let least = bearable;
  for (const count of shared_rows) {
    const kept = plain.rows.slice(0, -count);
    const first = kept.length === 0 ? 0 : kept.at(-1).first + kept.at(-1).count;
    const top = kept.length === 0 ? 0 : height_of(kept) + shape.gap;
    const rows = share_out(aspects.slice(first), shape, first, top);
    const worst = Math.max(...rows.map(({ height }) => Math.max(height / shape.height, shape.height / height)));
    if (worst < least) {
      least = worst;
      best = { rows: kept.concat(rows), full: true };
    }
    if (kept.length === 0) break;
  }
  return best;
}

// Returns full rows of about the same sum of aspects each, and so of about the same height.
function share_out(aspects, shape, first, top) {
  const bounded = aspects.map(within_bounds);
  const sum = bounded.reduce((a, b) => a + b, 0);
  const count = Math.min(bounded.length, Math.max(1, Math.round((sum * shape.height) / shape.width)));
  const rows = [];
  let from = 0;
  let before = 0; // the sum of all rows so far
  for (let k = 1; k <= count; ++k) {
    const until = (sum * k) / count;
    let to = from + 1;
    let row_sum = bounded[from];
    // One more photo as long as that brings the end nearer to where it ought to be, and one is left for each row to come.
    while (to < bounded.length - (count - k) && (k === count || before + row_sum + bounded[to] / 2 <= until)) row_sum += bounded[to++];
    rows.push(justified_row(bounded.slice(from, to), row_sum, shape, first + from, top));
    top += rows.at(-1).height + shape.gap;
    before += row_sum;
    from = to;
  }
  return rows;
}

function justified_row(aspects, sum, shape, first, top) {
  const width = shape.width - (aspects.length - 1) * shape.gap;
  const boxes = [];
  let left = 0;
  let before = 0;
  aspects.forEach((aspect, i) => {
    before += aspect;
    const right = Math.round((width * before) / sum) + i * shape.gap;
    boxes.push({ left, width: right - left });
    left = right + shape.gap;
  });
  return { first, count: aspects.length, top, height: Math.round(width / sum), boxes };
}

function within_bounds(aspect) {
  return Math.min(widest, Math.max(narrowest, aspect));
}

export function height_of(rows) {
  return rows.length === 0 ? 0 : rows.at(-1).top + rows.at(-1).height;
}

// Returns the index of the first row that reaches below `y`, or rows.length.
export function row_below(rows, y) {
  return first_where(rows, (row) => row.top + row.height > y);
}

// Returns the index of the row that holds the photo at `index`.
export function row_of(rows, index) {
  return first_where(rows, (row) => row.first + row.count > index);
}

// Appends `aspects.length - (photos in rows)` photos; only the last row is laid out again, and only if it was not full.
export function append(rows, full, aspects, shape) {
  const kept = full ? rows : rows.slice(0, -1);
  const first = kept.length === 0 ? 0 : kept.at(-1).first + kept.at(-1).count;
  const top = kept.length === 0 ? 0 : height_of(kept) + shape.gap;
  const more = fill(aspects.slice(first), shape, first);
  for (const row of more.rows) row.top += top;
  return { rows: kept.concat(more.rows), full: more.rows.length === 0 ? full : more.full };
}

// Puts `count` photos before all others without touching the rows from `anchor` on, apart from their distance to the top.
// Returns the rows and how far those below went down. REQUIRES: there is a row `anchor`. `aspects` are those of all photos, the new ones first.
export function insert_above(rows, anchor, count, aspects, shape) {
  const below = rows.slice(anchor);
  const seam = below[0].first + count;
  const above = fill_whole(aspects.slice(0, seam), shape);
  const by = height_of(above.rows) + shape.gap - below[0].top;
  const moved = below.map((row) => ({ ...row, first: row.first + count, top: row.top + by }));
  return { rows: above.rows.concat(moved), by };
}

function first_where(rows, test) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(rows[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}
