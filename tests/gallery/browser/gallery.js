// gallery: the page in a real browser on a real server.
//
//   node gallery.js PENSTOCK [--shots DIR] [--pictures DIR] [--only WORDS]
//
// Starts `PENSTOCK gallery serve`, publishes pictures through its HTTP interface and looks at the page as a reader would. Each test is a
// sentence. Nothing waits for a time: it waits for a condition, and a condition that does not come fails the test.
// --shots writes screenshots, --pictures takes the JPEGs of a folder in place of drawn ones, --only runs the tests whose sentence has WORDS.
// The browser is $CHROMIUM, or `chromium` on the PATH. The last line is "N passed, N failed".
import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { start_browser } from "./browser.js";
import { draw_pictures } from "./pictures.js";
import { start_server, token } from "./server.js";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { shots: { type: "string" }, pictures: { type: "string" }, only: { type: "string" } },
});
if (positionals.length !== 1) {
  console.error("Usage: node gallery.js PENSTOCK [--shots DIR] [--pictures DIR] [--only WORDS]");
  process.exit(2);
}

const axe_source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const scratch = await mkdtemp(path.join(tmpdir(), "penstock-gallery-browser-"));
const browser = await start_browser();
const pictures = await draw_pictures(browser, options.pictures);
if (options.shots) await mkdir(options.shots, { recursive: true });

const desk = { width: 1280, height: 800 };
let server; // the one the present tests look at
let passed = 0;
let failed = 0;

// Signed in, as a reader usually is, unless `signed_in` says otherwise.
async function test(sentence, body, { signed_in = true, ...context_options } = {}) {
  if (options.only && !sentence.includes(options.only)) return;
  const context = await browser.newContext({ viewport: desk, baseURL: server.url, ...context_options });
  if (signed_in) await context.request.post("/api/session", { headers: { authorization: `Bearer ${token}` } });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // A refused or failed request is often what the test is about; a script error or a broken policy never is.
    if (message.type() !== "error" || message.text().startsWith("Failed to load resource")) return;
    complaints.push(message.text());
  });
  page.setDefaultTimeout(15_000);
  await page.addInitScript(watch_layout_shifts);
  try {
    await body(page, context);
    assert.deepEqual(complaints, [], "the page complained");
    ++passed;
    console.log(`ok      ${sentence}`);
  } catch (error) {
    ++failed;
    console.log(`FAILED  ${sentence}\n${String(error.stack ?? error).replace(/^/gm, "        ")}`);
    for (const complaint of complaints) console.log(`        page: ${complaint}`);
    if (options.shots) await page.screenshot({ path: path.join(options.shots, `failed-${failed}.png`) }).catch(() => {});
  } finally {
    await context.close();
  }
}

function watch_layout_shifts() {
  window.layout_shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      window.layout_shift += entry.value;
      window.shifted = entry.sources.map(({ node, previousRect: from, currentRect: to }) =>
        `${node?.outerHTML?.slice(0, 80)} from ${JSON.stringify(from)} to ${JSON.stringify(to)}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
}

// ---- what the tests look at

const thumbnails = "#photos li a";

async function open_gallery(page, address = "/") {
  await page.goto(address);
  await page.waitForSelector(thumbnails);
}

// Where the visible photos stand: { name, x, y, width, height } in window coordinates, in document order.
function boxes(page) {
  return page.$$eval("#photos li", (items) =>
    items.map((item) => {
      const { x, y, width, height } = item.getBoundingClientRect();
      return { name: item.querySelector("img").alt, x, y, width, height };
    }),
  );
}

function rows_of(some_boxes) {
  const rows = new Map();
  for (const box of some_boxes) rows.set(box.y, [...(rows.get(box.y) ?? []), box]);
  return rows;
}

function until(page, condition, argument) {
  return page.waitForFunction(condition, argument);
}

const lightbox_open = (page) => until(page, () => document.querySelector(".pswp--ui-visible"));
const lightbox_closed = (page) => until(page, () => !document.querySelector(".pswp"));
const shown = (page, name) =>
  until(page, (wanted) => document.querySelector('.pswp__item[aria-hidden="false"] img:not(.pswp__img--placeholder)')?.alt === wanted, name);
const place_is = (page, words) => until(page, (wanted) => document.querySelector(".pswp__counter")?.textContent === wanted, words);
const focused = (page) => page.evaluate(() => document.activeElement?.querySelector?.("img")?.alt ?? document.activeElement?.tagName);
const thumbnail = (page, name) => page.locator(`#photos img[alt="${name}"]`);
const images_there = (page) =>
  until(page, () =>
    [...document.querySelectorAll("#photos img")].every((image) => {
      const { top, bottom } = image.getBoundingClientRect();
      return bottom < 0 || top > innerHeight || (image.complete && image.classList.contains("there") && getComputedStyle(image).opacity === "1");
    }),
  );

// Resolves when the page takes the reader's hand to be off: only then may photos be put above him.
async function scroll_to(page, y) {
  await page.evaluate((to) => scrollTo({ top: to, behavior: "instant" }), y);
  await until(page, (to) => Math.abs(scrollY - to) < 2, y);
}

async function no_layout_shift(page) {
  const { sum, last } = await page.evaluate(() => ({ sum: window.layout_shift, last: window.shifted }));
  assert.ok(sum < 0.001, `layout shift ${sum}, the last of ${last?.join("\n")}`);
}

async function shot(page, name) {
  if (!options.shots) return;
  await page.screenshot({ path: path.join(options.shots, `${name}.png`) });
}

async function accessible(page, name) {
  await page.evaluate(axe_source);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const grave = violations.filter((v) => v.impact === "serious" || v.impact === "critical");
  const told = (list) => list.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(", ")}`);
  for (const line of told(violations.filter((v) => !grave.includes(v)))) console.log(`        note, ${name}: ${line}`);
  assert.deepEqual(told(grave), [], `accessibility of ${name}`);
}

// From now on records in every frame how far the photo in the middle of the window is from where it is now.
async function watch_the_middle(page) {
  return page.evaluate(() => {
    const item = document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest("li");
    const y = item.getBoundingClientRect().y;
    const x = item.getBoundingClientRect().x;
    window.moved = 0;
    const look = () => {
      const now = item.getBoundingClientRect();
      window.moved = item.isConnected ? Math.max(window.moved, Math.abs(now.y - y), Math.abs(now.x - x)) : Infinity;
      requestAnimationFrame(look);
    };
    look();
    return item.querySelector("img").alt;
  });
}

const two_frames = (page) => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

let published = 0;
async function publish(count = 1, fields = {}) {
  for (let i = 0; i < count; ++i) await server.publish(pictures[published++ % pictures.length], fields);
}

// ---- an empty gallery

server = await start_server(positionals[0], path.join(scratch, "empty"));

await test("an empty gallery says how to publish", async (page) => {
  await page.goto("/");
  await page.getByText("penstock photos FOLDER").waitFor();
  assert.equal(await page.locator("#photos").isVisible(), false);
  await accessible(page, "the empty gallery");
  await shot(page, "empty");
});

await test("the first photo takes the place of the empty gallery's message", async (page) => {
  await page.goto("/");
  await page.locator("#empty").waitFor();
  await publish(1);
  await page.waitForSelector(thumbnails);
  assert.equal(await page.locator("#empty").isVisible(), false);
  assert.equal(await page.locator("#count").textContent(), "1 photo");
  await images_there(page);
  await page.click(thumbnails);
  await shown(page, "Photo 1");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
});

await test("the owner's fields are shown as text", async (page) => {
  await publish(1, { title: "<b>Dawn</b> & dusk", camera: "A \"box\"" });
  await open_gallery(page);
  await page.click(thumbnails);
  await shown(page, "<b>Dawn</b> & dusk");
  assert.match(await page.locator(".pswp__caption").innerText(), /<b>Dawn<\/b> & dusk/);
  assert.equal(await page.locator(".pswp__caption b").count(), 0);
});

await server.stop();

// ---- a gallery with several pages

published = 0;
server = await start_server(positionals[0], path.join(scratch, "full"));
await publish(250);
let total = 250;

await test("the page shows the newest photos, their number and no script error", async (page) => {
  await open_gallery(page);
  assert.equal(await page.locator("h1").textContent(), "Gallery");
  assert.equal(await page.locator("#count").textContent(), "250 photos");
  assert.equal((await boxes(page))[0].name, "Photo 250");
  await images_there(page);
  await shot(page, "desk-light");
  await accessible(page, "the grid");
});

await test("a stranger sees nothing but a page to sign in with", async (page) => {
  const asked = [];
  page.on("response", (answer) => asked.push(`${answer.status()} ${new URL(answer.url()).pathname}`));
  assert.equal((await page.goto("/")).status(), 401);
  await page.getByLabel("Token").waitFor();
  await two_frames(page);
  assert.equal(await page.locator("img").count(), 0);
  assert.ok(asked.every((line) => /^200 \/assets\/(sign_in|icon)/.test(line) || /^401 /.test(line)), asked.join("\n"));
  await accessible(page, "the sign-in page");
  await shot(page, "sign-in");
}, { signed_in: false });

await test("the token opens what the address names, and is kept nowhere a page can read", async (page, context) => {
  const addresses = [];
  page.on("request", (request) => addresses.push(request.url()));
  await page.goto(`/#photo=${server.id(200)}`);
  await page.getByLabel("Token").fill(`${token.slice(0, -1)}x`);
  await page.keyboard.press("Enter");
  await page.getByText("This is not the gallery's token.").waitFor();
  await accessible(page, "the sign-in page after a wrong token");
  await shot(page, "sign-in-wrong");
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await shown(page, "Photo 200");
  assert.equal(page.url(), `${server.url}/#photo=${server.id(200)}`);
  assert.ok(addresses.every((address) => !address.includes(token)));
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)), "{}{}");
  const [cookie] = await context.cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes(token));
  await page.reload();
  await shown(page, "Photo 200");
  await page.goto("about:blank");
  await open_gallery(page);
  assert.equal(await page.locator("#count").textContent(), "250 photos");
}, { signed_in: false });

await test("a link on another site opens the photo when the reader is signed in", async (page) => {
  await page.route("http://elsewhere.invalid/", (route) =>
    route.fulfill({ contentType: "text/html", body: `<a href="${server.url}/#photo=${server.id(100)}">a photo</a>` }));
  await page.goto("http://elsewhere.invalid/");
  await page.click("a");
  await shown(page, "Photo 100");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  assert.equal(page.url(), `${server.url}/`);
});

await test("photos stand in justified rows before any image arrives, and the images move nothing", async (page) => {
  let let_through;
  const wait = new Promise((resolve) => (let_through = resolve));
  await page.route("**/photos/*/*", async (route) => {
    await wait;
    await route.continue();
  });
  let answer;
  const asked = new Promise((resolve) => (answer = resolve));
  await page.route("**/api/photos?*", async (route) => {
    await asked;
    await route.continue();
  });
  await page.goto("/");
  await until(page, () => getComputedStyle(document.getElementById("loading")).opacity === "1");
  answer();
  await page.waitForSelector(thumbnails);
  const before = await boxes(page);
  const list = await page.locator("#photos").boundingBox();
  assert.ok(before.length >= 20);
  const rows = rows_of(before);
  assert.ok(rows.size >= 4);
  for (const row of rows.values()) {
    assert.equal(row[0].x, list.x, "a row starts at the left");
    assert.equal(row.at(-1).x + row.at(-1).width, list.x + list.width, "a row ends at the right");
    for (let i = 1; i < row.length; ++i) assert.equal(row[i].x - row[i - 1].x - row[i - 1].width, 4, "one gap between neighbours");
    assert.equal(new Set(row.map((box) => box.height)).size, 1, "one height per row");
  }
  await shot(page, "placeholders");
  let_through();
  await images_there(page);
  await two_frames(page);
  assert.deepEqual(await boxes(page), before);
  await no_layout_shift(page);
});

await test("thumbnails take a rendition of about their size", async (page) => {
  await open_gallery(page);
  await images_there(page);
  const chosen = await page.$$eval("#photos img", (images) =>
    images.filter((i) => i.currentSrc).map((i) => ({
      box: i.clientWidth,
      rendition: Number(/(\d+)\.\w+$/.exec(i.currentSrc)[1]),
      offered: i.srcset.split(",").map((choice) => Number(/ (\d+)w$/.exec(choice)[1])),
    })),
  );
  assert.ok(chosen.length > 10);
  for (const { box, rendition, offered } of chosen) {
    assert.equal(offered.length, 3);
    // A browser may take one that is a little too small. It must not take the largest for a small box.
    if (box <= offered.at(-1)) assert.equal(rendition, offered.at(-1));
    assert.ok(rendition <= offered[1], `${rendition} for ${box} pixels`);
  }
});

await test("scrolling loads page after page down to the oldest photo, and the document stays small", async (page) => {
  await open_gallery(page);
  const seen = [];
  let most = 0;
  for (;;) {
    const names = await page.$$eval("#photos li", (items) => items.map((item) => Number(item.ariaPosInSet)));
    assert.deepEqual(names, [...names].sort((a, b) => a - b), "document order is reading order");
    seen.push(...names);
    most = Math.max(most, names.length);
    if (names.at(-1) === total) break;
    const last = names.at(-1);
    const y = await page.evaluate(() => scrollY);
    await scroll_to(page, y + 400);
    await until(page, ([to, from]) => scrollY > from || Number(document.querySelector("#photos li:last-child").ariaPosInSet) > to, [last, y]);
    await two_frames(page);
  }
  assert.equal(new Set(seen).size, total, "no photo was left out");
  assert.ok(most < 130, `${most} photos in the document at once`);
  const names = await page.$$eval("#photos img", (images) => images.map((image) => image.alt));
  assert.equal(names.at(-1), "Photo 1");
  await no_layout_shift(page);
});

await test("a click opens the photo; the keys go to its neighbours, the first and the last; Esc closes and the focus returns", async (page) => {
  await open_gallery(page);
  await thumbnail(page, "Photo 248").click();
  await shown(page, "Photo 248");
  await place_is(page, "3 / 250");
  await page.keyboard.press("ArrowRight");
  await shown(page, "Photo 247");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await shown(page, "Photo 249");
  await page.keyboard.press("Home");
  await shown(page, "Photo 250");
  await page.keyboard.press("ArrowLeft");
  await place_is(page, "1 / 250");
  await page.keyboard.press("End");
  await shown(page, "Photo 1");
  await place_is(page, "250 / 250");
  await page.keyboard.press("ArrowRight");
  await place_is(page, "250 / 250");
  await page.keyboard.press("ArrowLeft");
  await shown(page, "Photo 2");
  assert.match(page.url(), /#photo=[0-9a-f]{64}$/);
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  assert.equal(await focused(page), "Photo 2");
  const { y, height } = await thumbnail(page, "Photo 2").boundingBox();
  assert.ok(y >= 0 && y + height <= desk.height, "the thumbnail is in the window");
  await until(page, () => location.hash === "");
});

await test("keys pressed while the photo still opens are not lost", async (page) => {
  await open_gallery(page);
  await page.focus(thumbnails);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".pswp");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await shown(page, "Photo 248");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".pswp");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  assert.equal(await focused(page), "Photo 248");
});

await test("the lightbox goes on where the loaded page ends", async (page) => {
  await open_gallery(page);
  await page.click(thumbnails);
  await shown(page, "Photo 250");
  for (let i = 1; i < 120; ++i) {
    await page.keyboard.press("ArrowRight");
    await place_is(page, `${i + 1} / 250`);
  }
  await shown(page, "Photo 131");
});

await test("the lightbox waits at the end of the loaded pages for the next one, then goes on", async (page) => {
  let let_through;
  const wait = new Promise((resolve) => (let_through = resolve));
  await page.route("**/api/photos?*before=*", async (route) => {
    await wait;
    await route.continue();
  });
  await open_gallery(page);
  await page.click(thumbnails);
  await shown(page, "Photo 250");
  for (let i = 1; i < 100; ++i) {
    await page.keyboard.press("ArrowRight");
    await place_is(page, `${i + 1} / 250`);
  }
  await page.keyboard.press("ArrowRight");
  await two_frames(page);
  await place_is(page, "100 / 250");
  let_through();
  await shown(page, "Photo 150");
  await place_is(page, "101 / 250");
});

await test("the lightbox offers every rendition and is labelled", async (page) => {
  await open_gallery(page);
  await page.click(thumbnails);
  await shown(page, "Photo 250");
  await lightbox_open(page);
  const dialog = page.getByRole("dialog", { name: "Photo viewer" });
  assert.equal(await dialog.count(), 1);
  const offered = await page.locator('.pswp__item[aria-hidden="false"] img:not(.pswp__img--placeholder)').getAttribute("srcset");
  assert.equal(offered.split(",").length, pictures[249 % pictures.length].renditions.length);
  for (const button of await dialog.locator("button").all()) assert.ok(await button.getAttribute("aria-label"), "every button has a name");
  assert.equal(await page.evaluate(() => document.querySelector("main").inert), true);
  await accessible(page, "the lightbox");
  await shot(page, "lightbox");
});

await test("the link of a photo can be copied and opens it", async (page, context) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await open_gallery(page);
  await thumbnail(page, "Photo 246").click();
  await shown(page, "Photo 246");
  await lightbox_open(page);
  await page.getByRole("button", { name: "Copy a link to this photo" }).click();
  await page.getByText("Link copied").waitFor();
  await shot(page, "link-copied");
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(link, server.address(`/#photo=${server.id(246)}`));
  const other = await context.newPage();
  await other.goto(link);
  await shown(other, "Photo 246");
  await place_is(other, "5 / 250");
});

await test("back closes the lightbox, forward opens it again, also after turning pages", async (page) => {
  await open_gallery(page);
  await thumbnail(page, "Photo 249").click();
  await shown(page, "Photo 249");
  await page.keyboard.press("ArrowRight");
  await shown(page, "Photo 248");
  await page.goBack();
  await lightbox_closed(page);
  assert.equal(new URL(page.url()).hash, "");
  assert.equal(await focused(page), "Photo 248");
  await page.goForward();
  await shown(page, "Photo 248");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  await until(page, () => location.hash === "");
  assert.equal(await page.title(), "Gallery");
});

await test("back closes the lightbox even while it opens", async (page) => {
  await open_gallery(page);
  await page.click(thumbnails);
  await page.waitForSelector(".pswp");
  await page.evaluate(() => history.back());
  await lightbox_closed(page);
  assert.equal(new URL(page.url()).hash, "");
});

await test("a link to a photo of the first page opens it with its neighbours", async (page) => {
  await page.goto(`/#photo=${server.id(245)}`);
  await shown(page, "Photo 245");
  await place_is(page, "6 / 250");
  await page.keyboard.press("ArrowLeft");
  await shown(page, "Photo 246");
  await page.goBack();
  await lightbox_closed(page);
  assert.equal(await focused(page), "Photo 246");
});

await test("a link to a photo far down opens it at once and finds its neighbours", async (page) => {
  let let_through;
  const wait = new Promise((resolve) => (let_through = resolve));
  await page.route("**/api/photos?*before=*", async (route) => {
    await wait;
    await route.continue();
  });
  await page.goto(`/#photo=${server.id(20)}`);
  await shown(page, "Photo 20");
  await place_is(page, "");
  await page.keyboard.press("ArrowRight"); // remembered until there is a neighbour
  let_through();
  await shown(page, "Photo 19");
  await place_is(page, "232 / 250");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await shown(page, "Photo 21");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  assert.equal(await focused(page), "Photo 21");
});

await test("an address changed by hand shows the other photo", async (page) => {
  await page.goto(`/#photo=${server.id(245)}`);
  await shown(page, "Photo 245");
  await page.evaluate((id) => (location.hash = `#photo=${id}`), server.id(240));
  await shown(page, "Photo 240");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
});

for (const [kind, id] of [["an unknown photo", "0".repeat(64)], ["a mangled link", "abc"]]) {
  await test(`${kind} is answered kindly, over the gallery`, async (page) => {
    await open_gallery(page, `/#photo=${id}`);
    await page.getByText("This photo is not in the gallery.").waitFor();
    await images_there(page);
    await accessible(page, "the message");
    await shot(page, "unknown");
    assert.equal(new URL(page.url()).hash, "");
    await page.getByRole("button", { name: "Dismiss" }).click();
    await until(page, () => document.getElementById("notice").hidden);
  });
}

await test("when the photos cannot be loaded, the page says why and tries again when asked", async (page) => {
  await page.route("**/api/photos?*", (route) => route.abort());
  await page.goto("/");
  await page.getByText("The photos could not be loaded").waitFor();
  await accessible(page, "the failure");
  await shot(page, "failure");
  await page.unroute("**/api/photos?*");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.waitForSelector(thumbnails);
  assert.equal(await page.locator("#failure").isVisible(), false);
});

await test("when a later page cannot be loaded, the rest stays and it is tried again when asked", async (page) => {
  await page.route("**/api/photos?*before=*", (route) => route.fulfill({ status: 503, json: { error: "Busy. Try again." } }));
  await open_gallery(page);
  await scroll_to(page, await page.evaluate(() => document.documentElement.scrollHeight - innerHeight));
  await page.getByText("More photos could not be loaded.").waitFor();
  await page.unroute("**/api/photos?*before=*");
  await page.getByRole("button", { name: "Try again" }).click();
  await until(page, () => Number(document.querySelector("#photos li:last-child").ariaPosInSet) > 100);
});

await test("the keyboard alone suffices: Tab in reading order, far beyond the first window, Enter, Esc", async (page) => {
  await open_gallery(page);
  await images_there(page);
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Photo 250");
  await shot(page, "focus");
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement, "::after").borderTopWidth);
  assert.equal(ring, "3px");
  for (let i = 249; i > 110; --i) {
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), `Photo ${i}`);
  }
  const { y, height } = await thumbnail(page, "Photo 111").boundingBox();
  assert.ok(y >= -1 && y + height <= desk.height + 1, "what has the focus is in the window");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(page), "Photo 112");
  // Looking elsewhere does not lose the place: Tab goes on from it.
  await scroll_to(page, 0);
  await two_frames(page);
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Photo 111");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await shown(page, "Photo 112");
  await lightbox_open(page);
  for (let i = 0; i < 6; ++i) {
    await page.keyboard.press("Tab");
    const inside = await page.evaluate(() => document.activeElement === document.body || document.activeElement.closest(".pswp") !== null);
    assert.ok(inside, "the focus stays in the lightbox");
  }
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  assert.equal(await focused(page), "Photo 112");
});

await test("landmarks, list and pictures have roles and names", async (page) => {
  await open_gallery(page);
  assert.equal(await page.getByRole("banner").count(), 1);
  assert.equal(await page.getByRole("main").count(), 1);
  assert.equal(await page.getByRole("heading", { level: 1, name: "Gallery" }).count(), 1);
  const list = page.getByRole("list", { name: "Photos, newest first" });
  assert.equal(await list.count(), 1);
  assert.equal(await list.getByRole("listitem").count(), await page.locator("#photos li").count());
  assert.equal(await page.locator("img:not([alt]), img[alt='']").count(), 0);
  assert.equal(await page.getByRole("link", { name: "Photo 250", exact: true }).count(), 1);
  assert.equal(await page.locator("#photos li").first().getAttribute("aria-setsize"), "250");
});

for (const [width, height] of [[320, 640], [768, 1024], [1280, 800], [3840, 2160]]) {
  await test(`${width} pixels wide: nothing to scroll sideways, rows fill the window`, async (page) => {
    await open_gallery(page);
    await images_there(page);
    await shot(page, `width-${width}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth));
    const list = await page.locator("#photos").boundingBox();
    assert.ok(list.width > width * 0.96 - 16);
    const all = await boxes(page);
    for (const box of all) assert.ok(box.x >= list.x && box.x + box.width <= list.x + list.width && box.width >= 40);
    await page.click(thumbnails);
    await shown(page, "Photo 250");
    await lightbox_open(page);
    await shot(page, `lightbox-${width}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth));
  }, { viewport: { width, height } });
}

await test("a window made narrower keeps the reader's place", async (page) => {
  await open_gallery(page);
  await scroll_to(page, 3000);
  await two_frames(page);
  const first_in_window = (await boxes(page)).find((box) => box.y + box.height > 0);
  await page.setViewportSize({ width: 700, height: 800 });
  await until(page, () => Math.max(...[...document.querySelectorAll("#photos li")].map((li) => li.getBoundingClientRect().right)) <= 700);
  const same = (await boxes(page)).find((box) => box.name === first_in_window.name);
  assert.ok(same.y + same.height > 0 && same.y < 400, `it is at ${same.y}`);
});

await test("dark where the reader's system is dark", async (page) => {
  await open_gallery(page);
  await images_there(page);
  await shot(page, "desk-dark");
  const lightness = await page.evaluate(() => Number(/\d+/.exec(getComputedStyle(document.documentElement).backgroundColor)[0]));
  assert.ok(lightness < 40);
  await accessible(page, "the dark grid");
}, { colorScheme: "dark" });

await test("nothing moves for those who asked for that", async (page) => {
  await open_gallery(page);
  assert.equal(await page.$eval("#photos img", (image) => getComputedStyle(image).transitionDuration), "0s");
  await page.click(thumbnails);
  await shown(page, "Photo 250");
  assert.equal(await page.$eval(".pswp", (element) => element.style.getPropertyValue("--pswp-transition-duration")), "0ms");
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
}, { reducedMotion: "reduce" });

await test("a finger swipes to the next photo", async (page, context) => {
  await open_gallery(page);
  await thumbnail(page, "Photo 250").tap();
  await shown(page, "Photo 250");
  await lightbox_open(page);
  await until(page, () => document.querySelector(".pswp").getAnimations({ subtree: true }).every((a) => !(a instanceof CSSTransition)));
  const hand = await context.newCDPSession(page);
  const touch = (type, x) => hand.send("Input.dispatchTouchEvent", { type, touchPoints: x === undefined ? [] : [{ x, y: 300 }] });
  await touch("touchStart", 330);
  for (let x = 310; x >= 50; x -= 20) await touch("touchMove", x);
  await touch("touchEnd");
  await shown(page, "Photo 249");
  await place_is(page, "2 / 250");
}, { viewport: { width: 390, height: 760 }, hasTouch: true, isMobile: true });

await test("two fingers zoom into a photo", async (page, context) => {
  await open_gallery(page);
  await thumbnail(page, "Photo 250").tap();
  await shown(page, "Photo 250");
  await lightbox_open(page);
  await until(page, () => document.querySelector(".pswp").getAnimations({ subtree: true }).every((a) => !(a instanceof CSSTransition)));
  const image = '.pswp__item[aria-hidden="false"] .pswp__img:not(.pswp__img--placeholder)';
  const before = (await page.locator(image).boundingBox()).width;
  const hand = await context.newCDPSession(page);
  const fingers = (apart) => [{ x: 195 - apart, y: 380, id: 0 }, { x: 195 + apart, y: 380, id: 1 }];
  const touch = (type, apart) => hand.send("Input.dispatchTouchEvent", { type, touchPoints: apart === undefined ? [] : fingers(apart) });
  await touch("touchStart", 20);
  for (let apart = 30; apart <= 90; apart += 10) await touch("touchMove", apart);
  await touch("touchEnd");
  await until(page, ([what, least]) => document.querySelector(what).getBoundingClientRect().width > least, [image, before * 1.3]);
}, { viewport: { width: 390, height: 760 }, hasTouch: true, isMobile: true });

// ---- arrivals; from here on the number of photos grows

await test("at the top, a new photo appears at once, first, and is announced", async (page) => {
  await open_gallery(page);
  await publish(1);
  ++total;
  await until(page, (name) => document.querySelector("#photos img").alt === name, `Photo ${total}`);
  assert.equal(await page.locator("#count").textContent(), `${total} photos`);
  assert.equal(await page.locator("#announcer").textContent(), "1 new photo");
  assert.equal(await page.locator("#announcer").getAttribute("role"), "status");
  assert.equal(await page.locator("#arrivals").isVisible(), false);
  const names = (await boxes(page)).map((box) => box.name);
  assert.equal(new Set(names).size, names.length, "none twice");
});

for (const [where, y] of [["far down", 3000], ["a little down", 140]]) {
  await test(`${where}, new photos move nothing of what the reader looks at`, async (page) => {
    await open_gallery(page);
    await images_there(page);
    await scroll_to(page, y);
    await two_frames(page);
    const watched = await watch_the_middle(page);
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    for (let i = 1; i <= 3; ++i) {
      await publish(1);
      ++total;
      await page.getByRole("button", { name: i === 1 ? "1 new photo" : `${i} new photos` }).waitFor();
    }
    // In the document above the reader, not merely held back.
    await until(page, (before) => document.documentElement.scrollHeight > before + 50, height);
    await until(page, (count) => document.getElementById("count").textContent === count, `${total} photos`);
    await two_frames(page);
    assert.ok((await page.evaluate(() => window.moved)) <= 1, `${watched} moved by ${await page.evaluate(() => window.moved)}`);
    await images_there(page);
    await shot(page, `arrivals-${y}`);
    await accessible(page, "the grid with arrivals");
    const rows = rows_of(await boxes(page));
    const edge = await page.locator("#photos").boundingBox();
    const whole = [...rows.values()].filter((row) => Math.abs(row.at(-1).x + row.at(-1).width - edge.x - edge.width) < 1);
    if (y > 1000) assert.equal(whole.length, rows.size, "all rows are full");
    await page.locator("#arrivals").click();
    await until(page, () => scrollY === 0);
    await until(page, (name) => document.querySelector("#photos img").alt === name, `Photo ${total}`);
    await until(page, () => document.getElementById("arrivals").hidden);
    assert.equal(await focused(page), `Photo ${total}`);
    await images_there(page);
    await shot(page, `arrivals-${y}-top`);
    const names = (await boxes(page)).map((box) => Number(box.name.slice(6)));
    assert.deepEqual(names, names.map((_, i) => total - i), "none twice, none left out, newest first");
  });
}

await test("photos that arrive in a burst are all there, once, and move nothing", async (page) => {
  await open_gallery(page);
  await scroll_to(page, 2000);
  await two_frames(page);
  await watch_the_middle(page);
  await publish(30);
  total += 30;
  await until(page, (count) => document.getElementById("count").textContent === count, `${total} photos`);
  await page.getByRole("button", { name: "30 new photos" }).waitFor();
  assert.ok((await page.evaluate(() => window.moved)) <= 1);
  // By hand to the top: the button goes by itself.
  await scroll_to(page, 0);
  await until(page, () => document.getElementById("arrivals").hidden);
  await two_frames(page);
  const names = (await boxes(page)).map((box) => Number(box.name.slice(6)));
  assert.deepEqual(names, names.map((_, i) => total - i));
});

await test("while a finger is on the photos nothing is put above them, after it is", async (page, context) => {
  await open_gallery(page);
  await scroll_to(page, 2000);
  const hand = await context.newCDPSession(page);
  const touch = (type, ...points) => hand.send("Input.dispatchTouchEvent", { type, touchPoints: points });
  await touch("touchStart", { x: 200, y: 400 });
  await touch("touchMove", { x: 200, y: 320 }); // a tap would open the photo
  await until(page, () => scrollY > 2000);
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await publish(1);
  ++total;
  await page.getByRole("button", { name: "1 new photo" }).waitFor();
  await two_frames(page);
  assert.equal(await page.evaluate(() => document.documentElement.scrollHeight), height);
  assert.equal(await page.locator("#count").textContent(), `${total - 1} photos`);
  await touch("touchEnd");
  await until(page, (count) => document.getElementById("count").textContent === count, `${total} photos`);
}, { viewport: { width: 390, height: 760 }, hasTouch: true, isMobile: true });

await test("an open lightbox is not disturbed by arrivals; they are there when it closes", async (page) => {
  await open_gallery(page);
  const name = `Photo ${total - 3}`;
  await thumbnail(page, name).click();
  await shown(page, name);
  await lightbox_open(page);
  const heard = page.evaluate(
    (after) => new Promise((resolve) => {
      const source = new EventSource(`/api/events?after=${after}`);
      source.addEventListener("photo", () => (source.close(), resolve()));
    }),
    total,
  );
  const before = await page.locator(".pswp").evaluate((element) => element.querySelector('.pswp__item[aria-hidden="false"]').innerHTML);
  await publish(1);
  ++total;
  await heard;
  await two_frames(page);
  const after = await page.locator(".pswp").evaluate((element) => element.querySelector('.pswp__item[aria-hidden="false"]').innerHTML);
  assert.equal(after, before);
  await place_is(page, `4 / ${total - 1}`);
  await page.keyboard.press("ArrowRight");
  await shown(page, `Photo ${total - 5}`);
  await page.keyboard.press("Escape");
  await lightbox_closed(page);
  assert.equal(await focused(page), `Photo ${total - 5}`);
  await until(page, (first) => document.querySelector("#photos img").alt === first, `Photo ${total}`);
});

await test("a restarted server is found again; what came meanwhile is there, once", async (page) => {
  await open_gallery(page);
  await server.stop();
  await page.locator("#connection").waitFor({ state: "attached" });
  await until(page, () => !document.getElementById("connection").hidden);
  await server.start();
  await publish(2);
  total += 2;
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await until(page, (name) => document.querySelector("#photos img").alt === name, `Photo ${total}`);
  await until(page, () => document.getElementById("connection").hidden);
  const names = (await boxes(page)).map((box) => Number(box.name.slice(6)));
  assert.deepEqual(names, names.map((_, i) => total - i));
});

await server.stop();
await browser.close();
await rm(scratch, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
