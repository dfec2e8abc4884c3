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

// How far from the wished height rows may go to end a block without a rest, the least noticeable first.
const stretches = [1, 0.95, 1.05, 0.9, 1.1, 0.85, 1.15, 0.8, 1.2, 0.75, 1.25, 0.7, 1.3, 1.4, 1.5];

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
    const input = aspects.slice(from, to).map((a) => Math.min(widest, Math.max(narrowest, a)));
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

// Like fill(), with the heights stretched until the last row is full, where any stretch does that.
export function fill_whole(aspects, shape) {
  for (const stretch of stretches) {
    const tried = fill(aspects, { ...shape, height: Math.round(shape.height * stretch) });
    if (tried.full) return tried;
  }
  return fill(aspects, shape);
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
// Returns the rows and how far those below went down. `aspects` are those of all photos, the new ones first.
export function insert_above(rows, anchor, count, aspects, shape) {
  const below = rows.slice(anchor);
  const seam = below.length === 0 ? aspects.length : below[0].first + count;
  const above = fill_whole(aspects.slice(0, seam), shape);
  const by = below.length === 0 ? 0 : height_of(above.rows) + shape.gap - below[0].top;
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
