import { strict as assert } from "node:assert";
import { test } from "node:test";
import { append, fill, fill_whole, height_of, insert_above, row_below, row_of, shape_for } from "../src/rows.js";

// A small generator, so that a failure can be repeated: the seed is in the message.
function aspects_of(seed, count) {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return [1.5, 1.5, 0.667, 1.333, 1.778, 1, 0.75, 3.2, 0.3, 6][state % 10];
  });
}

function check(rows, count, shape, what) {
  let next = 0;
  let top = 0;
  for (const row of rows) {
    assert.equal(row.first, next, `${what}: every photo once, in order`);
    assert.equal(row.count, row.boxes.length, what);
    assert.equal(row.top, top, `${what}: rows are one gap apart`);
    let left = 0;
    for (const box of row.boxes) {
      assert.ok(box.left >= left && box.width > 0 && box.left + box.width <= shape.width, `${what}: boxes do not overlap, nor leave the row`);
      assert.ok(Number.isInteger(box.left) && Number.isInteger(box.width), `${what}: whole pixels`);
      left = box.left + box.width + 1;
    }
    next += row.count;
    top += row.height + shape.gap;
  }
  assert.equal(next, count, `${what}: none left out`);
}

const is_full = (row, shape) => row.boxes.at(-1).left + row.boxes.at(-1).width === shape.width;

test("rows hold every photo once, in order, and all but the last fill the width", () => {
  for (const width of [312, 500, 760, 1256, 1903, 3800]) {
    for (const count of [0, 1, 2, 7, 199, 200, 201, 1000]) {
      const shape = shape_for(width);
      const { rows, full } = fill(aspects_of(width + count, count), shape);
      check(rows, count, shape, `${count} photos in ${width}`);
      for (const row of rows.slice(0, -1)) assert.ok(is_full(row, shape), `${count} photos in ${width}`);
      if (count > 0 && full) assert.ok(is_full(rows.at(-1), shape));
    }
  }
});

test("adding page by page gives the rows that all photos at once give", () => {
  const shape = shape_for(1256);
  const all = aspects_of(5, 530);
  let state = { rows: [], full: true };
  for (const count of [100, 200, 201, 300, 530]) state = append(state.rows, state.full, all.slice(0, count), shape);
  check(state.rows, 530, shape, "appended");
  const shapes_of = (rows) => rows.map((row) => row.count);
  assert.deepEqual(shapes_of(state.rows), shapes_of(fill(all, shape).rows));
});

test("adding a page leaves all rows but the last as they were", () => {
  const shape = shape_for(900);
  const all = aspects_of(6, 200);
  const before = append([], true, all.slice(0, 100), shape);
  const after = append(before.rows, before.full, all, shape);
  assert.deepEqual(after.rows.slice(0, before.rows.length - 1), before.rows.slice(0, -1));
});

test("what is put above the reader changes no row he sees, and moves all of them by the same distance", () => {
  const shape = shape_for(1256);
  for (let seed = 1; seed <= 60; ++seed) {
    const count = 1 + (seed % 9);
    const old = aspects_of(seed, 150);
    const rows = fill(old, shape).rows;
    const anchor = seed % rows.length;
    const all = [...aspects_of(seed + 1000, count), ...old];
    const { rows: after, by } = insert_above(rows, anchor, count, all, shape);
    check(after, all.length, shape, `seed ${seed}`);
    const below = after.slice(after.length - (rows.length - anchor));
    below.forEach((row, i) => {
      const was = rows[anchor + i];
      assert.deepEqual(row.boxes, was.boxes, `seed ${seed}`);
      assert.equal(row.height, was.height, `seed ${seed}`);
      assert.equal(row.first, was.first + count, `seed ${seed}`);
      assert.equal(row.top, was.top + by, `seed ${seed}`);
    });
  }
});

test("a block of a few rows and more ends with a full row", () => {
  const shape = shape_for(1256);
  for (let seed = 1; seed <= 2000; ++seed) {
    const ordinary = aspects_of(seed, 30 + (seed % 20)).map((a) => Math.min(2, Math.max(0.6, a)));
    const { rows, full } = fill_whole(ordinary, shape);
    assert.ok(full, `seed ${seed}`);
    check(rows, ordinary.length, shape, `seed ${seed}`);
    assert.ok(is_full(rows.at(-1), shape), `seed ${seed}`);
  }
});

test("rows are found by height and by photo", () => {
  const { rows } = fill(aspects_of(9, 300), shape_for(1000));
  assert.equal(row_below(rows, -5), 0);
  assert.equal(row_below(rows, height_of(rows)), rows.length);
  for (let i = 0; i < 300; ++i) {
    const row = rows[row_of(rows, i)];
    assert.ok(row.first <= i && i < row.first + row.count);
  }
  for (const [i, row] of rows.entries()) assert.equal(row_below(rows, row.top), i);
});
