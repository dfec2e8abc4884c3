// browser: Debian's Chromium, driven by playwright-core.
import { chromium } from "playwright-core";
import { accessSync, constants } from "node:fs";
import path from "node:path";

export function start_browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || on_path("chromium"),
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

function on_path(name) {
  for (const folder of (process.env.PATH ?? "").split(":")) {
    const file = path.join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // the next folder
    }
  }
  throw new Error(`There is no ${name} on the PATH. Install Debian's package chromium, or set CHROMIUM to the browser's path.`);
}
