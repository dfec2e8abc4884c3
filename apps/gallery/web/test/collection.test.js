import { strict as assert } from "node:assert";
import { test } from "node:test";
import { collection } from "../src/collection.js";

const photo = (sequence) => ({ id: `id-${sequence}`, sequence });
const down_from = (from, to) => Array.from({ length: from - to + 1 }, (_, i) => photo(from - i));
const sequences = (c) => c.photos.map((p) => p.sequence);

test("pages follow one another to the oldest photo", () => {
  const c = new collection();
  assert.equal(c.started, false);
  c.add_page({ photos: down_from(9, 6), next: 6, total: 9 });
  assert.equal(c.next, 6);
  assert.ok(c.has_more);
  c.add_page({ photos: down_from(5, 1), next: null, total: 9 });
  assert.deepEqual(sequences(c), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
  assert.ok(!c.has_more);
  assert.equal(c.total, 9);
});

test("a photo told twice is there once, whether by page, by event or by both", () => {
  const c = new collection();
  c.add_page({ photos: down_from(5, 4), next: 4, total: 5 });
  assert.deepEqual(c.add_arrivals([photo(6), photo(6), photo(5)]), { count: 1, front: true });
  assert.deepEqual(c.add_arrivals([photo(6)]), { count: 0, front: true });
  assert.equal(c.add_page({ photos: [photo(4), photo(3), photo(2), photo(1)], next: null, total: 6 }), 3);
  assert.deepEqual(sequences(c), [6, 5, 4, 3, 2, 1]);
  assert.equal(c.total, 6);
});

test("arrivals count towards the total once, even when a later page's total has them too", () => {
  const c = new collection();
  c.add_page({ photos: down_from(200, 101), next: 101, total: 200 });
  c.add_page({ photos: down_from(100, 51), next: 51, total: 203 });
  c.add_arrivals(down_from(203, 201));
  assert.equal(c.total, 203);
});

test("arrivals stand newest first, in whatever order they are told", () => {
  const c = new collection();
  c.add_page({ photos: [photo(3)], next: null, total: 1 });
  assert.equal(c.add_arrivals([photo(5), photo(7), photo(6)]).front, true);
  assert.equal(c.add_arrivals([photo(4)]).front, false);
  assert.deepEqual(sequences(c), [7, 6, 5, 4, 3]);
  assert.equal(c.newest, 7);
});

test("a photo is found where it stands, and known to be beyond the loaded pages", () => {
  const c = new collection();
  assert.ok(c.is_beyond(photo(3)));
  c.add_page({ photos: [photo(9), photo(7), photo(4)], next: 4, total: 5 });
  assert.equal(c.index_of(photo(7)), 1);
  assert.equal(c.index_of(photo(8)), -1);
  assert.equal(c.index_of({ id: "other", sequence: 7 }), -1);
  assert.ok(c.is_beyond(photo(3)));
  assert.ok(!c.is_beyond(photo(5)));
  c.add_page({ photos: [photo(2)], next: null, total: 5 });
  assert.ok(!c.is_beyond(photo(1)));
});

test("an empty page ends the paging, so that a faulty server cannot keep the page asking", () => {
  const c = new collection();
  c.add_page({ photos: [], next: 4, total: 0 });
  assert.ok(!c.has_more);
});
