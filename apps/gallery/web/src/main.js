// main: the page. What happens between the parts is here; how each does its work is in theirs.
//
//   service ──pages──▶ collection ◀──arrivals── live
//                          │
//                  grid ───┴─── lightbox ◀──▶ the address bar
import { fragment_of, photo_named } from "./address.js";
import { collection } from "./collection.js";
import { grid } from "./grid.js";
import { lightbox } from "./lightbox.js";
import { live } from "./live.js";
import { words_for } from "./photo.js";
import { one_photo, photo_page } from "./service.js";

const page_size = 100;
const settled_ms = 150; // this long without a scroll event, the reader's hand is off
const announce_every_ms = 8_000;

const part = (id) => document.getElementById(id);
const known = new collection();

// ---- the grid and its pages

const photos = new grid(part("photos"), known, {
  on_open: (photo, event) => open_from_grid(photo, event.detail === 0 ? null : { x: event.clientX, y: event.clientY }),
});

let loading = null;

// Loads the next page, or joins the request that is under way. Rejects if it fails; the page says so by itself.
function load_more(limit = page_size) {
  if (!known.has_more) return Promise.resolve();
  return (loading ??= load(limit).finally(() => (loading = null)));
}

async function load(limit) {
  const first = !known.started;
  part("failure").hidden = part("more-failure").hidden = true;
  part("loading").hidden = !first;
  part("more-loading").hidden = first;
  try {
    known.add_page(await photo_page(limit, known.next));
  } catch (error) {
    if (first) part("failure-reason").textContent = error.message;
    part(first ? "failure" : "more-failure").hidden = false;
    throw error;
  } finally {
    part("loading").hidden = part("more-loading").hidden = true;
  }
  show_state();
  photos.extend();
  if (first) listen();
  watch_the_end();
}

function show_state() {
  const none = known.photos.length === 0;
  part("empty").hidden = !none;
  part("photos").hidden = none;
  part("count").textContent = none ? "" : `${known.total.toLocaleString("en")} ${known.total === 1 ? "photo" : "photos"}`;
}

const end_watcher = new IntersectionObserver(
  (entries) => {
    if (entries.some((entry) => entry.isIntersecting)) load_more().catch(() => {}); // told below the photos, with a button
  },
  { rootMargin: "0px 0px 250% 0px" },
);

// An observer only tells of changes: the end may still be near after a page was added. After a failure only the button asks again.
function watch_the_end() {
  end_watcher.disconnect();
  if (known.has_more) end_watcher.observe(part("more"));
}

for (const id of ["failure-retry", "more-retry"]) part(id).addEventListener("click", () => load_more().catch(() => {}));

// ---- photos that arrive while somebody looks

let arrived = []; // told, not yet in the grid
let above = 0; // in the grid above the reader since he was last at the top
let hand_on = false; // the reader scrolls or touches: nothing may be put above him now
let touching = false;
let hand_timer = null;

const at_top = () => scrollY < 16;

function listen() {
  const feed = new live({
    after: known.newest,
    on_photos: (told) => {
      arrived.push(...told.filter((p) => !known.knows(p.id) && !arrived.some((a) => a.id === p.id)));
      settle();
      show_arrivals();
    },
    on_state: (state) => (part("connection").hidden = state === "open"),
  });
  const listen_if_seen = () => (document.hidden ? feed.stop() : feed.start());
  document.addEventListener("visibilitychange", listen_if_seen);
  addEventListener("pagehide", () => feed.stop());
  addEventListener("pageshow", listen_if_seen);
  addEventListener("online", () => feed.hurry());
  listen_if_seen();
}

// Puts what arrived into the grid, unless that would disturb: then it is called again when the disturbance is over.
function settle() {
  if (arrived.length === 0 || viewer.is_open) return;
  const top = at_top() || known.photos.length === 0;
  if (hand_on && !top) return;
  const { count, front } = known.add_arrivals(arrived.splice(0));
  if (count === 0) return;
  show_state();
  if (top || !front) photos.rebuild({ keep_place: !top });
  else photos.grow_above(count);
  if (!top) above += count;
  announce(count);
}

function show_arrivals() {
  const count = viewer.is_open ? 0 : above + (at_top() ? 0 : arrived.length);
  const pill = part("arrivals");
  pill.hidden = count === 0;
  if (count > 0) pill.textContent = `${count.toLocaleString("en")} new ${count === 1 ? "photo" : "photos"}`;
}

function hand_moved() {
  hand_on = true;
  if (at_top()) above = 0;
  clearTimeout(hand_timer);
  hand_timer = setTimeout(() => {
    hand_on = touching;
    settle();
    show_arrivals();
  }, settled_ms);
  show_arrivals();
}

addEventListener("scroll", hand_moved, { passive: true });
for (const [name, down] of Object.entries({ touchstart: true, touchend: false, touchcancel: false })) {
  addEventListener(name, () => ((touching = down), hand_moved()), { passive: true });
}

part("arrivals").addEventListener("click", () => {
  scrollTo({ top: 0, behavior: "instant" });
  photos.render();
  above = 0;
  settle();
  show_arrivals();
  photos.link_of(known.photos[0])?.focus({ preventScroll: true });
});

// Tells a screen reader, at once but then not again for a while: a camera may send one photo per second.
let to_announce = 0;
let announce_timer = null;
function announce(count) {
  to_announce += count;
  if (announce_timer !== null) return;
  part("announcer").textContent = `${to_announce} new ${to_announce === 1 ? "photo" : "photos"}`;
  to_announce = 0;
  announce_timer = setTimeout(() => {
    announce_timer = null;
    if (to_announce > 0) announce(0);
  }, announce_every_ms);
}

// ---- one photo, and the address that names it
//
// While a photo is open the history has an entry of its own for it, above the gallery's, whichever way it was opened; so "back" always
// closes it. Turning pages replaces that entry.

const viewer = new lightbox(known, {
  load_more,
  thumbnail_of: (photo) => photos.link_of(photo)?.firstElementChild,
  reveal: (index) => photos.reveal(index),
  on_show: (photo) => {
    document.title = `${words_for(photo)} – Gallery`;
    if (photo_named(location.hash) !== photo.id) history.replaceState({ photo: true }, "", fragment_of(photo.id));
  },
  on_close: () => {
    document.title = "Gallery";
    if (!told_by_address) leave_entry();
  },
  on_closed: (photo, index) => {
    const link = index === -1 ? null : photos.reveal(index);
    (link ?? photos.link_of(known.photos[0] ?? photo))?.focus({ preventScroll: true });
    settle();
    show_arrivals();
  },
});

let left = Promise.resolve(); // until the history has gone back, a new entry would be the one that is left
function leave_entry() {
  left = new Promise((resolve) => addEventListener("popstate", resolve, { once: true }));
  history.back();
}

async function open_from_grid(photo, pointer) {
  await viewer.closed;
  await left;
  if (viewer.is_open) return; // two clicks
  history.pushState({ photo: true }, "", fragment_of(photo.id));
  viewer.open(photo, pointer);
  show_arrivals();
}

const without_fragment = () => location.pathname + location.search;

let route_number = 0;
let told_by_address = false; // the history is already where it belongs

// Shows what the address says.
async function follow_address() {
  const route = ++route_number;
  const id = photo_named(location.hash);
  if (id !== null && id === viewer.photo?.id) return;
  if (viewer.is_open) {
    told_by_address = true;
    viewer.close();
    await viewer.closed;
    told_by_address = false;
  }
  if (id === null || route !== route_number) return;
  let photo;
  try {
    if (id === "") throw { status: 404 };
    photo = known.photos.find((p) => p.id === id) ?? (await one_photo(id));
  } catch (error) {
    if (route !== route_number) return;
    history.replaceState(null, "", without_fragment());
    if (error.status === 404 || error.status === 400) {
      notify("This photo is not in the gallery. It may have been removed, or the link may be incomplete.");
    } else {
      notify(`The photo could not be loaded. ${error.message}`, "Try again", () => {
        history.replaceState(null, "", fragment_of(id));
        follow_address();
      });
    }
    return;
  }
  await viewer.closed;
  if (route !== route_number) return;
  if (!history.state?.photo) {
    history.replaceState(null, "", without_fragment());
    history.pushState({ photo: true }, "", fragment_of(id));
  }
  viewer.open(photo);
  show_arrivals();
}

function notify(words, action = null, act = null) {
  part("notice").hidden = false;
  part("notice-text").textContent = words;
  part("notice-action").hidden = action === null;
  part("notice-action").textContent = action ?? "";
  part("notice-action").onclick = () => {
    part("notice").hidden = true;
    act();
  };
}

part("notice-close").addEventListener("click", () => (part("notice").hidden = true));

// The sign-in page adds a query to come here. It belongs in no link that is copied from the address bar.
if (location.search) history.replaceState(history.state, "", location.pathname + location.hash);

history.scrollRestoration = "manual"; // the grid keeps its own place
addEventListener("popstate", follow_address);

load_more().catch(() => {}); // told on the page, with a button
follow_address();
