import { strict as assert } from "node:assert";
import { test } from "node:test";
import { fragment_of, photo_named } from "../src/address.js";
import { rendition_for, words_for } from "../src/photo.js";

const id = "0123456789abcdef".repeat(4);

test("a photo's fragment names the photo", () => {
  assert.equal(photo_named(fragment_of(id)), id);
  assert.equal(photo_named(fragment_of(id.toUpperCase())), id);
});

test("a fragment for something else names none, a mangled one is told apart", () => {
  for (const other of ["", "#", "#top"]) assert.equal(photo_named(other), null);
  for (const mangled of ["#photo=", "#photo=12", `#photo=${id}0`, "#photo=../../x"]) assert.equal(photo_named(mangled), "");
});

test("the rendition chosen is the smallest that suffices, or the largest", () => {
  const photo = { renditions: [{ width: 2048 }, { width: 800 }, { width: 320 }] };
  for (const [pixels, width] of [[100, 320], [320, 320], [321, 800], [900, 2048], [4000, 2048]]) {
    assert.equal(rendition_for(photo, pixels).width, width);
  }
});

test("a photo is called by its owner's words, or by its number", () => {
  assert.equal(words_for({ sequence: 17, fields: {} }), "Photo 17");
  assert.equal(words_for({ sequence: 17 }), "Photo 17");
  assert.equal(words_for({ sequence: 17, fields: { title: "Dawn" } }), "Dawn");
});
