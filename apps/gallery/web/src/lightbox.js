// lightbox: one photo at a time, over the page.
//
// The gestures, zooming and drawing are PhotoSwipe's. Added here: it goes on where the loaded pages end; it can open with a photo no page
// of which has been loaded yet (`alone`) and finds its neighbours while that is looked at; Home and End; the link to copy; a
// name and a voice for screen readers; the rest of the page is inert meanwhile.
//
// ENDING   close() at any time, also within the opening animation, where PhotoSwipe alone would not listen.
import PhotoSwipe from "photoswipe";
import { fragment_of } from "./address.js";
import { rendition_for, srcset_of, words_for } from "./photo.js";

const near_the_end = 15;

const link_icon = {
  isCustomSVG: true,
  size: 32,
  outlineID: "lightbox-link",
  inner:
    '<path id="lightbox-link" d="M13.2 18.8a4 4 0 0 0 5.7 0l4.2-4.2a4 4 0 0 0-5.7-5.7l-1.3 1.3 1.4 1.4 1.3-1.3a2 2 0 1 1 2.9 2.9l-4.2 ' +
    "4.2a2 2 0 0 1-2.9 0l-1.4 1.4zm5.6-5.6a4 4 0 0 0-5.7 0l-4.2 4.2a4 4 0 0 0 5.7 5.7l1.3-1.3-1.4-1.4-1.3 1.3a2 2 0 1 1-2.9-2.9l4.2-4.2a2 2 " +
    '0 0 1 2.9 0l1.4-1.4z"/>',
};

export class lightbox {
  #collection;
  #options;
  #swipe = null;
  #alone = null; // the photo shown while its place in the collection is not known
  #opened = false;
  #waiting = []; // what to do once opened
  #journey = null; // the latest request to go somewhere; an older one that waited for a page gives up
  #closed = Promise.resolve();

  // load_more(limit): loads the next page, resolves when the collection has it, rejects when it cannot.
  // thumbnail_of(photo): its <img> if in the document. reveal(index): scrolls the grid there.
  // on_show(photo): the photo shown changed. on_close(): closing begins. on_closed(photo, index): closed, index -1 if its place is unknown.
  constructor(collection, options) {
    this.#collection = collection;
    this.#options = options;
  }

  get is_open() {
    return this.#swipe !== null;
  }

  get photo() {
    if (!this.#swipe) return null;
    return this.#alone ?? this.#collection.photos[this.#swipe.currIndex];
  }

  // Resolves when it is closed and everything is put back; at once if it is not open.
  get closed() {
    return this.#closed;
  }

  // REQUIRES: not open.
  open(photo, pointer = null) {
    const index = this.#collection.index_of(photo);
    this.#alone = index === -1 ? photo : null;
    this.#opened = false;
    this.#waiting = [];
    this.#journey = null;

    const swipe = new PhotoSwipe({
      dataSource: [],
      index: Math.max(0, index),
      loop: false,
      counter: false,
      bgOpacity: 1,
      wheelToZoom: true,
      trapFocus: true,
      returnFocus: false,
      initialPointerPos: pointer,
      showAnimationDuration: 220,
      hideAnimationDuration: 220,
      maxWidthToAnimate: 8000,
      preload: [1, 2],
      closeTitle: "Close (Esc)",
      zoomTitle: "Zoom",
      arrowPrevTitle: "Newer photo (←)",
      arrowNextTitle: "Older photo (→)",
      errorMsg: "This photo could not be loaded. Please try again later.",
      paddingFn: (viewport) => (viewport.x < 700 ? { top: 0, bottom: 0, left: 0, right: 0 } : { top: 44, bottom: 44, left: 12, right: 12 }),
    });
    this.#swipe = swipe;
    this.#closed = new Promise((resolve) => {
      swipe.on("destroy", () => resolve(this.#finish()));
    });
    swipe.addFilter("numItems", () => (this.#alone ? 1 : this.#collection.photos.length));
    swipe.addFilter("itemData", (_, i) => this.#slide(i));
    swipe.addFilter("thumbEl", (_, data) => this.#options.thumbnail_of(data.photo) ?? undefined);
    swipe.addFilter("placeholderSrc", (_, content) => this.#options.thumbnail_of(content.data.photo)?.currentSrc || false);
    swipe.on("keydown", (event) => this.#key(event));
    swipe.on("uiRegister", () => this.#furnish());
    swipe.on("change", () => this.#changed());
    // Not openingAnimationEnd, which is told before PhotoSwipe binds its events: closed there, it would bind them after unbinding.
    swipe.on("bindEvents", () => {
      this.#opened = true;
      for (const action of this.#waiting.splice(0)) action();
    });
    swipe.on("close", () => this.#options.on_close());
    swipe.init();

    swipe.element.setAttribute("aria-label", "Photo viewer");
    swipe.element.setAttribute("aria-modal", "true");
    for (const sibling of document.body.children) sibling.inert = sibling !== swipe.element;
    swipe.element.focus({ preventScroll: true });
    // PhotoSwipe hears the keyboard only after its opening animation. Who opens and turns the page at once must not lose a key.
    addEventListener("keydown", this.#early_key, true);
    if (this.#alone) this.#find_place().catch(() => {}); // stays alone; the next key that needs the place tries again
  }

  close() {
    this.#once_opened(() => this.#swipe?.close());
  }

  #once_opened(action) {
    if (this.#opened) action();
    else this.#waiting.push(action);
  }

  #early_key = (event) => {
    if (this.#opened || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") this.close();
    else if (!this.#turn(event.key)) return;
    event.preventDefault();
  };

  #key(event) {
    const { originalEvent: original } = event;
    if (original.ctrlKey || original.metaKey || original.altKey || original.shiftKey) return;
    if (!this.#turn(original.key)) return;
    original.preventDefault();
    event.preventDefault();
  }

  // Returns whether the key is one that goes to another photo, and if so goes there.
  #turn(key) {
    const go = {
      ArrowLeft: () => this.#step(-1),
      ArrowRight: () => this.#step(1),
      Home: () => this.#swipe.goTo(0),
      End: () => this.#go_to_end(),
    }[key];
    if (!go) return false;
    this.#once_opened(() => this.#travel(go));
    return true;
  }

  // Goes there once the place of the photo shown is known; an earlier journey that still waits for a page is off.
  async #travel(go) {
    const journey = Symbol("journey");
    this.#journey = journey;
    try {
      if (this.#alone) await this.#find_place();
      if (this.#journey === journey && this.#swipe && !this.#alone) await go(journey);
    } catch {
      if (this.#journey === journey) this.#say("More photos could not be loaded. Please try again.", true);
    }
  }

  async #step(by) {
    const journey = this.#journey;
    const swipe = this.#swipe;
    if (by > 0 && swipe.potentialIndex === swipe.getNumItems() - 1 && this.#collection.has_more) {
      await this.#load(100);
      if (this.#journey !== journey) return;
    }
    swipe.goTo(swipe.potentialIndex + by);
  }

  async #go_to_end() {
    const journey = this.#journey;
    while (this.#collection.has_more) {
      this.#say(`Loading, ${this.#collection.photos.length} of ${this.#collection.total}…`, true);
      await this.#load(500);
      if (this.#journey !== journey) return;
    }
    this.#swipe.goTo(this.#collection.photos.length - 1);
  }

  // Loads pages until the photo shown has its neighbours. Ends early, in silence, when the lightbox is closed meanwhile.
  async #find_place() {
    const photo = this.#alone;
    const swipe = this.#swipe;
    const still_wanted = () => this.#swipe === swipe && this.#alone === photo;
    while (still_wanted() && this.#collection.is_beyond(photo)) await this.#options.load_more(500);
    await new Promise((resolve) => this.#once_opened(resolve));
    if (!still_wanted() || swipe.isDestroying) return;
    const index = this.#collection.index_of(photo);
    if (index === -1) return;
    // PhotoSwipe has one slide, the first. It becomes the one at `index`, untouched; its neighbours are put beside it.
    swipe.currIndex = swipe.potentialIndex = index;
    swipe.currSlide.index = swipe.currSlide.content.index = index;
    this.#alone = null;
    swipe.refreshSlideContent(index - 1);
    swipe.refreshSlideContent(index + 1);
  }

  // Loads a page; the slide after the last gets its content if it is the neighbour.
  async #load(limit) {
    const swipe = this.#swipe;
    const last = this.#collection.photos.length - 1;
    await this.#options.load_more(limit);
    if (this.#swipe !== swipe || swipe.isDestroying || this.#alone) return;
    if (this.#opened && swipe.currIndex === last) swipe.refreshSlideContent(last + 1);
  }

  #slide(index) {
    const photo = this.#alone ?? this.#collection.photos[index];
    return {
      photo,
      src: rendition_for(photo, innerWidth * devicePixelRatio).url,
      srcset: srcset_of(photo),
      width: photo.width,
      height: photo.height,
      alt: words_for(photo),
    };
  }

  #changed() {
    const { photo } = this;
    const index = this.#alone ? -1 : this.#swipe.currIndex;
    const { photos, total, has_more } = this.#collection;
    this.#fill_in?.(photo, index === -1 ? "" : `${index + 1} / ${total}`);
    this.#say(index === -1 ? words_for(photo) : `${words_for(photo)}, ${index + 1} of ${total}`);
    this.#options.on_show(photo);
    if (this.#opened && index !== -1) this.#options.reveal(index);
    if (has_more && index > photos.length - near_the_end) this.#load(100).catch(() => {}); // the key that needs it will tell
  }

  #fill_in = null;
  #say = () => {};

  #furnish() {
    const { ui } = this.#swipe;
    let place;
    let caption;
    ui.registerElement({
      name: "place",
      className: "pswp__counter",
      order: 5,
      onInit: (element) => (place = element),
    });
    ui.registerElement({
      name: "copy",
      ariaLabel: "Copy a link to this photo",
      title: "Copy a link to this photo",
      order: 9,
      isButton: true,
      html: link_icon,
      onClick: async () => {
        const copied = await copy(new URL(fragment_of(this.photo.id), location.href).href, this.#swipe.element);
        this.#say(copied ? "Link copied" : "The link could not be copied. It is in the address bar.", true);
      },
    });
    ui.registerElement({
      name: "caption",
      appendTo: "root",
      onInit: (element) => (caption = element),
    });
    ui.registerElement({
      name: "voice",
      appendTo: "root",
      onInit: (element) => {
        element.setAttribute("role", "status");
        this.#say = (words, visible = false) => {
          element.textContent = words;
          element.classList.toggle("unseen", !visible);
          // Started anew for the same words, so that a second copy is seen too.
          for (const animation of element.getAnimations()) animation.play();
        };
      },
    });
    this.#fill_in = (photo, where) => {
      place.textContent = where;
      caption.replaceChildren(...Object.entries(photo.fields ?? {}).map(([name, value]) => {
        const line = document.createElement("p");
        line.textContent = `${name}: ${value}`;
        return line;
      }));
    };
  }

  #finish() {
    const { photo } = this;
    removeEventListener("keydown", this.#early_key, true);
    for (const sibling of document.body.children) sibling.inert = false;
    const index = this.#collection.index_of(photo);
    this.#swipe = null;
    this.#alone = null;
    this.#journey = null;
    this.#fill_in = null;
    this.#say = () => {};
    // So that who waits for the place or the opening goes on, sees that it is closed, and ends.
    for (const action of this.#waiting.splice(0)) action();
    this.#options.on_closed(photo, index);
  }
}

// Returns whether the text is in the clipboard. The modern way exists on https and localhost only; galleries are also on http://some-host.
async function copy(text, inside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "unseen";
    const before = document.activeElement;
    inside.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    before?.focus({ preventScroll: true });
    return copied;
  }
}
