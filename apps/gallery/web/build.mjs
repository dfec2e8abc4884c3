// build: bundles src/ into dist/, which the server carries inside its binary.
//
// Names in dist/assets hold a hash of the content, so that browsers may keep them for ever. The same sources and lock file give the same bytes.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const most_bytes = 120_000; // of script and style together: the page must not weigh more than a photo or two
const here = path.dirname(fileURLToPath(import.meta.url));
const at = (...names) => path.join(here, ...names);

const bundle = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js", "src/main.css", "src/sign_in.js", "src/sign_in.css"],
  outdir: "dist/assets",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome105", "firefox115", "safari16"],
  charset: "utf8",
  legalComments: "none", // they are in licences.txt, in full
  write: false,
});

const assets = bundle.outputFiles.map((file) => ({ name: path.basename(file.path), content: Buffer.from(file.contents) }));
const weight = assets.reduce((sum, asset) => sum + asset.content.length, 0);
assets.push({ name: "icon.svg", content: await readFile(at("src", "icon.svg")) });
assets.push({ name: "licences.txt", content: Buffer.from(await licences()) });

if (weight > most_bytes) {
  console.error(`The page's script and style weigh ${weight} bytes; the limit is ${most_bytes}. Take something away.`);
  process.exit(1);
}

await rm(at("dist"), { recursive: true, force: true });
await mkdir(at("dist", "assets"), { recursive: true });
const addresses = new Map();
for (const { name, content } of assets) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  const hashed = name.replace(/(\.\w+)$/, `-${hash}$1`);
  await writeFile(at("dist", "assets", hashed), content);
  addresses.set(name, `/assets/${hashed}`);
}
for (const name of ["index.html", "sign_in.html"]) {
  let page = await readFile(at("src", name), "utf8");
  for (const [asset, address] of addresses) page = page.replaceAll(`{{${asset}}}`, address);
  if (page.includes("{{")) throw new Error(`src/${name} names an asset that is not built`);
  await writeFile(at("dist", name), page);
}
console.log(`dist: script and style ${weight} bytes of ${most_bytes}`);

// The licences of everything that is in the bundle.
async function licences() {
  const { dependencies } = JSON.parse(await readFile(at("package.json"), "utf8"));
  const texts = [];
  for (const name of Object.keys(dependencies).sort()) {
    const folder = at("node_modules", name);
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    texts.push(`${name}\n\n${(await readFile(path.join(folder, file), "utf8")).trim()}\n`);
  }
  return texts.join("\n--------\n\n");
}
