// grid: the justified grid in the document.
//
// Only rows near the window are in the document (one window's height more on either side), so that ten thousand photos cost as much as
// eighty; the row that has the keyboard's focus and its neighbours stay, so that Tab goes on from where it was. Rows are positioned by
// the numbers of rows.js, never by the images. Positions are kept by scrolling explicitly; the browser's own
// scroll anchoring is off (main.css), since both at once would correct twice.
import { append, fill, height_of, insert_above, row_below, row_of, shape_for } from "./rows.js";
import { aspect_of, rendition_for, srcset_of, words_for } from "./photo.js";
import { fragment_of } from "./address.js";

export class grid {
  #list;
  #collection;
  #rows = [];
  #full = true;
  #shape = shape_for(320);
  #items = new Map(); // id → <li> in the document
  #scheduled = false;
  #on_open;

  // list: the <ul>. on_open(photo, event): somebody activates a photo.
  constructor(list, collection, { on_open }) {
    this.#list = list;
    this.#collection = collection;
    this.#on_open = on_open;
    list.addEventListener("click", (event) => this.#click(event));
    list.addEventListener("focusin", () => this.render());
    addEventListener("scroll", () => this.schedule(), { passive: true });
    new ResizeObserver(() => this.#resize()).observe(list.parentElement);
  }

  // Photos were added at the end of the collection.
  extend() {
    const { rows, full } = append(this.#rows, this.#full, this.#aspects(), this.#shape);
    this.#adopt(rows, full);
  }

  // Photos were added anywhere; everything is laid out anew. What the reader looks at stays, unless he is at the top.
  rebuild({ keep_place }) {
    const place = keep_place ? this.#place() : null;
    const { rows, full } = fill(this.#aspects(), this.#shape);
    this.#adopt(rows, full);
    if (place) this.#return_to(place);
  }

  // `count` photos were added at the front of the collection, while the reader is further down. REQUIRES: there were photos before.
  grow_above(count) {
    const y = this.#window_top();
    const anchor = Math.min(row_below(this.#rows, y), this.#rows.length - 1);
    const { rows, by } = insert_above(this.#rows, anchor, count, this.#aspects(), this.#shape);
    this.#adopt(rows, this.#full, by);
  }

  // Brings the photo at `index` into the window if it is not there, and returns its link.
  reveal(index) {
    const row = this.#rows[row_of(this.#rows, index)];
    if (!row) return null;
    const top = row.top - this.#window_top();
    if (top < 0 || top + row.height > innerHeight) {
      scrollBy({ top: top - Math.max(0, (innerHeight - row.height) / 2), behavior: "instant" });
    }
    this.render();
    return this.link_of(this.#collection.photos[index]);
  }

  // Returns the photo's link if it is in the document.
  link_of(photo) {
    return this.#items.get(photo.id)?.firstElementChild ?? null;
  }

  // Renders with the next frame.
  schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.render();
    });
  }

  // Brings the document in line with the rows near the window.
  render() {
    const { photos, total } = this.#collection;
    const top = this.#window_top();
    const wanted = new Set();
    const from = row_below(this.#rows, top - innerHeight);
    for (let i = from; i < this.#rows.length && this.#rows[i].top < top + 2 * innerHeight; ++i) wanted.add(i);
    for (const i of this.#focused_rows()) wanted.add(i);

    const order = [...wanted].sort((a, b) => a - b);
    const present = new Set();
    for (const i of order) {
      const row = this.#rows[i];
      for (let k = 0; k < row.count; ++k) present.add(photos[row.first + k].id);
    }
    for (const [id, item] of this.#items) {
      if (present.has(id)) continue;
      item.remove();
      this.#items.delete(id);
    }

    // Those that stay are never moved within the list (a moved element loses the focus); new ones go between them.
    let next = this.#list.firstElementChild;
    for (const i of order) {
      const row = this.#rows[i];
      for (let k = 0; k < row.count; ++k) {
        const photo = photos[row.first + k];
        let item = this.#items.get(photo.id);
        if (item) {
          next = item.nextElementSibling;
        } else {
          item = make_item(photo);
          this.#items.set(photo.id, item);
        }
        place_item(item, row, row.boxes[k]);
        item.ariaPosInSet = row.first + k + 1;
        item.ariaSetSize = total;
        if (!item.isConnected) {
          this.#list.insertBefore(item, next);
          show_image(item, photo, row.boxes[k].width);
        }
      }
    }
  }

  #adopt(rows, full, scroll_by = 0) {
    this.#rows = rows;
    this.#full = full;
    this.#list.style.height = `${height_of(rows)}px`;
    if (scroll_by !== 0) scrollBy({ top: scroll_by, behavior: "instant" });
    this.render();
  }

  #resize() {
    const shape = shape_for(this.#list.parentElement.clientWidth - this.#margins());
    if (shape.width === this.#shape.width) {
      this.schedule();
      return;
    }
    this.#shape = shape;
    if (this.#collection.photos.length > 0) this.rebuild({ keep_place: true });
  }

  #margins() {
    const style = getComputedStyle(this.#list.parentElement);
    return parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
  }

  #aspects() {
    return this.#collection.photos.map(aspect_of);
  }

  // Where the window's upper edge is, in the list's own coordinates.
  #window_top() {
    return -this.#list.getBoundingClientRect().top;
  }

  // The photo at the window's upper edge and how far below the edge it starts; null at the very top.
  #place() {
    const top = this.#window_top();
    const row = this.#rows[row_below(this.#rows, top)];
    if (!row || top <= 0) return null;
    return { photo: this.#collection.photos[row.first], offset: row.top - top };
  }

  #return_to({ photo, offset }) {
    const row = this.#rows[row_of(this.#rows, this.#collection.index_of(photo))];
    scrollBy({ top: row.top - this.#window_top() - offset, behavior: "instant" });
    this.render();
  }

  #focused_rows() {
    const item = document.activeElement?.closest?.("li");
    if (!item || item.parentElement !== this.#list) return [];
    const row = row_of(this.#rows, this.#collection.index_of(item.photo));
    return [row - 1, row, row + 1].filter((i) => i >= 0 && i < this.#rows.length);
  }

  #click(event) {
    const link = event.target.closest("a");
    // With a modifier the link is a link: to a new tab, to a window, to the disk.
    if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#on_open(link.parentElement.photo, event);
  }
}

function make_item(photo) {
  const item = document.createElement("li");
  item.photo = photo;
  const link = document.createElement("a");
  link.href = fragment_of(photo.id);
  const image = document.createElement("img");
  image.alt = words_for(photo);
  image.decoding = "async";
  image.loading = "lazy";
  image.draggable = false;
  link.append(image);
  item.append(link);
  return item;
}

function place_item(item, row, box) {
  const { style } = item;
  style.transform = `translate(${box.left}px, ${row.top}px)`;
  style.width = `${box.width}px`;
  style.height = `${row.height}px`;
  item.firstElementChild.firstElementChild.sizes = `${box.width}px`;
}

// Starts loading. A picture that is in the cache is there at once; one that is not fades in over its placeholder.
function show_image(item, photo, width) {
  const image = item.firstElementChild.firstElementChild;
  // Decoded before it fades in: large ones would otherwise pop up when the fading is over.
  const fade_in = () => image.classList.add("there");
  image.addEventListener("load", () => image.decode().then(fade_in, fade_in), { once: true });
  image.addEventListener("error", () => item.classList.add("broken"), { once: true });
  image.width = photo.width;
  image.height = photo.height;
  image.srcset = srcset_of(photo);
  image.src = rendition_for(photo, width * devicePixelRatio).url;
  if (image.complete && image.naturalWidth > 0) image.classList.add("there", "at-once");
}
