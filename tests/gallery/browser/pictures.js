// pictures: JPEGs in several sizes and shapes, drawn or scaled by the browser that is there anyway.
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";

const shapes = [[3, 2], [3, 2], [2, 3], [4, 3], [16, 9], [1, 1], [3, 2], [3, 4], [21, 9], [3, 2], [4, 5], [5, 3], [9, 16]];
const longest = [1600, 800, 320];

// Returns [{ renditions: [{ width, height, type, bytes }...largest first] }...]. folder: of JPEGs to scale; none: drawn ones.
export async function draw_pictures(browser, folder) {
  const context = await browser.newContext();
  const page = await context.newPage();
  // A place of its own for the originals, so that the canvas may be read.
  await page.route("http://originals.invalid/**", async (route) => {
    const name = decodeURIComponent(new URL(route.request().url()).pathname.slice(1));
    if (name === "") await route.fulfill({ contentType: "text/html", body: "<!doctype html>" });
    else await route.fulfill({ contentType: "image/jpeg", body: await readFile(path.join(folder, name)) });
  });
  await page.goto("http://originals.invalid/");
  const names = folder ? (await readdir(folder)).filter((name) => /\.jpe?g$/i.test(name)).sort() : [];
  if (folder && names.length === 0) throw new Error(`There is no .jpg file in ${folder}.`);
  const pictures = [];
  const count = folder ? Math.max(names.length, shapes.length * 2) : shapes.length;
  for (let i = 0; i < count; ++i) {
    const order = { name: names[i % names.length], shape: shapes[(i * 5) % shapes.length], hue: (i * 83) % 360, longest };
    const renditions = await page.evaluate(draw, order);
    pictures.push({
      renditions: renditions.map(({ base64, ...rest }) => ({ ...rest, type: "image/jpeg", bytes: Buffer.from(base64, "base64") })),
    });
  }
  await context.close();
  return pictures;
}

// Runs in the browser.
async function draw({ name, shape: [across, down], hue, longest }) {
  let original = null;
  if (name) {
    const answer = await fetch(`/${encodeURIComponent(name)}`);
    original = await createImageBitmap(await answer.blob());
  }
  const renditions = [];
  for (const side of longest) {
    const width = Math.round(across >= down ? side : (side * across) / down);
    const height = Math.round(across >= down ? (side * down) / across : side);
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext("2d");
    if (original) {
      const scale = Math.max(width / original.width, height / original.height);
      const [w, h] = [original.width * scale, original.height * scale];
      pen.imageSmoothingQuality = "high";
      pen.drawImage(original, (width - w) / 2, (height - h) / 2, w, h);
    } else {
      const sky = pen.createLinearGradient(0, 0, width / 3, height);
      sky.addColorStop(0, `hsl(${hue} 45% 72%)`);
      sky.addColorStop(1, `hsl(${(hue + 40) % 360} 50% 38%)`);
      pen.fillStyle = sky;
      pen.fillRect(0, 0, width, height);
      pen.fillStyle = `hsl(${(hue + 180) % 360} 40% 60%)`;
      pen.beginPath();
      pen.arc(width * 0.65, height * 0.4, Math.min(width, height) * 0.18, 0, 7);
      pen.fill();
    }
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    renditions.push({ width, height, base64: btoa(text) });
  }
  return renditions;
}
