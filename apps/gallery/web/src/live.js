// live: tells of photos as they become visible, across lost connections, restarted servers and sleeping laptops.
//
//   const feed = new live({ after: 17, on_photos, on_state });
//   feed.start();
//
// Photos come in batches: a burst costs one layout, not one per photo. The same photo may be told twice; the collection
// knows. A hidden tab does not listen: each listener holds one of the few connections a browser allows per server, and the
// seventh tab would load nothing. It catches up when it is shown.
//
// Not EventSource's own reconnecting: it gives up for good on an answer like 502, which is what a restarting server behind
// a proxy gives.

const longest_wait_ms = 30_000;

export class live {
  #after;
  #source = null;
  #timer = null;
  #batch = [];
  #wait_ms = 0;
  #running = false;
  #options;

  // on_photos(photos), on_state("open" | "lost"). event_source and delay can be replaced for tests.
  constructor({ after, on_photos, on_state, event_source = globalThis.EventSource, delay = (act, ms) => setTimeout(act, ms) }) {
    this.#after = after;
    this.#options = { on_photos, on_state, event_source, delay };
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#connect();
  }

  // Stops listening; what was received is still told. start() resumes after it.
  stop() {
    this.#running = false;
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  // Reconnects now if a wait is under way: the network came back.
  hurry() {
    if (!this.#running || this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  #connect() {
    this.#timer = null;
    const source = new this.#options.event_source(`/api/events?after=${this.#after}`);
    this.#source = source;
    source.addEventListener("open", () => {
      if (source !== this.#source) return;
      this.#wait_ms = 0;
      this.#options.on_state("open");
    });
    source.addEventListener("photo", (event) => {
      if (source === this.#source) this.#receive(event);
    });
    source.addEventListener("error", () => {
      if (source !== this.#source) return;
      source.close();
      this.#source = null;
      this.#options.on_state("lost");
      this.#wait_ms = Math.min(longest_wait_ms, Math.max(500, this.#wait_ms * 2));
      // Up to half again as long: a hundred pages must not knock at a restarted server in the same instant.
      this.#timer = this.#options.delay(() => this.#running && this.#connect(), this.#wait_ms * (1 + Math.random() / 2));
    });
  }

  #receive(event) {
    const photo = JSON.parse(event.data);
    this.#after = Math.max(this.#after, photo.sequence);
    this.#batch.push(photo);
    if (this.#batch.length > 1) return;
    this.#options.delay(() => {
      const photos = this.#batch;
      this.#batch = [];
      this.#options.on_photos(photos);
    }, 60);
  }
}
