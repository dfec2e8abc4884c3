import { strict as assert } from "node:assert";
import { test } from "node:test";
import { live } from "../src/live.js";

// A feed whose connections and delays are in the test's hand.
function feed(after = 0) {
  const made = { sources: [], delays: [], batches: [], states: [] };
  class event_source extends EventTarget {
    closed = false;
    constructor(address) {
      super();
      this.address = address;
      made.sources.push(this);
    }
    close() {
      this.closed = true;
    }
    photo(sequence) {
      this.dispatchEvent(Object.assign(new Event("photo"), { data: JSON.stringify({ id: `id-${sequence}`, sequence }) }));
    }
    tell(name) {
      this.dispatchEvent(new Event(name));
    }
  }
  made.feed = new live({
    after,
    event_source,
    delay: (act, ms) => made.delays.push({ act, ms }),
    on_photos: (photos) => made.batches.push(photos.map((p) => p.sequence)),
    on_state: (state) => made.states.push(state),
  });
  return made;
}

test("photos of a burst are told together", () => {
  const made = feed(4);
  made.feed.start();
  assert.equal(made.sources[0].address, "/api/events?after=4");
  for (const sequence of [5, 6, 7]) made.sources[0].photo(sequence);
  assert.equal(made.delays.length, 1);
  made.delays[0].act();
  assert.deepEqual(made.batches, [[5, 6, 7]]);
});

test("a lost connection is made again after what was received, later each time, and soon again once it stood", () => {
  const made = feed(4);
  made.feed.start();
  made.sources[0].tell("open");
  made.sources[0].photo(9);
  made.delays.shift().act();
  const waits = [];
  for (let i = 0; i < 8; ++i) {
    made.sources.at(-1).tell("error");
    const { act, ms } = made.delays.shift();
    waits.push(ms);
    act();
    assert.equal(made.sources.at(-1).address, "/api/events?after=9");
  }
  assert.ok(waits[0] < 1000 && waits[3] > waits[0] && waits.every((ms) => ms <= 45_000));
  made.sources.at(-1).tell("open");
  made.sources.at(-1).tell("error");
  assert.ok(made.delays.shift().ms < 1000);
  assert.ok(made.sources.every((source) => source.closed), "no connection is left behind");
  assert.equal(made.states.at(-1), "lost");
});

test("stopped, it neither listens nor reconnects; started again, it resumes", () => {
  const made = feed(1);
  made.feed.start();
  made.sources[0].photo(2);
  made.sources[0].tell("error");
  made.feed.stop();
  for (const { act } of made.delays.splice(0)) act();
  assert.equal(made.sources.length, 1);
  assert.deepEqual(made.batches, [[2]]);
  made.feed.start();
  assert.equal(made.sources[1].address, "/api/events?after=2");
});
