// collection: the photos the page knows, newest first, each once, whichever way it heard of them.
//
// Pages come from the newest backwards; arrivals come at the front. `next` is what to ask the following page with, and
// null once there is none. `newest` is the sequence from which to listen for arrivals.

export class collection {
  photos = []; // newest first
  next = undefined; // undefined: nothing loaded yet
  total = 0; // as far as known, those not loaded included
  newest = 0;
  #known = new Set();

  get started() {
    return this.next !== undefined;
  }

  get has_more() {
    return this.next !== null;
  }

  // Takes the answer to a request with `before` = next. Returns how many photos were new; they stand at the end.
  add_page(page) {
    // Only the first page's total counts: a later one may include arrivals that have not been told yet.
    if (!this.started) this.total = page.total;
    const oldest = this.photos.at(-1)?.sequence ?? Infinity;
    const fresh = page.photos.filter((p) => !this.#known.has(p.id) && p.sequence < oldest);
    for (const p of fresh) this.#remember(p);
    this.photos.push(...fresh);
    this.next = page.photos.length === 0 ? null : (page.next ?? null);
    if (this.next === null) this.total = this.photos.length;
    return fresh.length;
  }

  // Takes photos that became visible, in any order. Returns { count, front }: how many were new, and whether all of them
  // stand at the front (they do unless the server tells late of an earlier one).
  add_arrivals(arrivals) {
    const fresh = [];
    for (const p of arrivals) {
      if (this.#known.has(p.id)) continue;
      this.#remember(p);
      fresh.push(p);
    }
    if (fresh.length === 0) return { count: 0, front: true };
    fresh.sort((a, b) => b.sequence - a.sequence);
    this.total += fresh.length;
    const front = this.photos.length === 0 || fresh.at(-1).sequence > this.photos[0].sequence;
    this.photos.unshift(...fresh);
    if (!front) this.photos.sort((a, b) => b.sequence - a.sequence);
    return { count: fresh.length, front };
  }

  knows(id) {
    return this.#known.has(id);
  }

  // Returns where the photo stands, or -1.
  index_of(photo) {
    let low = 0;
    let high = this.photos.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.photos[middle].sequence <= photo.sequence) high = middle;
      else low = middle + 1;
    }
    return this.photos[low]?.id === photo.id ? low : -1;
  }

  // True iff the photo can only be on a page that is not loaded yet.
  is_beyond(photo) {
    return this.has_more && (this.photos.length === 0 || photo.sequence < this.photos.at(-1).sequence);
  }

  #remember(photo) {
    this.#known.add(photo.id);
    if (photo.sequence > this.newest) this.newest = photo.sequence;
  }
}
