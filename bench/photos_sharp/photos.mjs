// sharp, as bench/photos.py runs it: node photos.mjs PHOTO...  The same work as ours: upright, at most 2048 pixels, and 320 made from the 2048;
// JPEG of quality 82. One libvips thread per task and two tasks in flight, which costs sharp the least processor time on two processors.
import { readFile } from "node:fs/promises";
import { argv, resourceUsage } from "node:process";
import sharp from "sharp";

sharp.concurrency(1);
sharp.cache(false);

const files = argv.slice(2);
let next = 0;
let published = 0;

async function renditions(file) {
  const { data, info } = await sharp(await readFile(file))
    .rotate()
    .resize(2048, 2048, { fit: "inside", withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { raw: { width: info.width, height: info.height, channels: info.channels } };
  const large = await sharp(data, raw).jpeg({ quality: 82 }).toBuffer();
  const small = await sharp(data, raw).resize(320, 320, { fit: "inside" }).jpeg({ quality: 82 }).toBuffer();
  published += large.length + small.length;
}

async function worker() {
  while (next < files.length) await renditions(files[next++]);
}

await Promise.all([worker(), worker()]);
console.log(JSON.stringify({ photos: files.length, published_bytes: published, peak_rss_kib: resourceUsage().maxRSS }));
