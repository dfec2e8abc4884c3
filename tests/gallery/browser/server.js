// server: a gallery server of its own for the test, and what is published on it.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";

export const token = "a-token-for-this-test-only-0123456789";

// Starts PENSTOCK gallery serve on a free port, with its photos in `folder`. Rejects, with what it said, if it ends before it serves.
export async function start_server(penstock, folder) {
  await mkdir(folder, { recursive: true });
  const token_file = path.join(folder, "..", `${path.basename(folder)}.token`);
  await writeFile(token_file, `${token}\n`, { mode: 0o600 });
  const made = new server(penstock, folder, token_file);
  await made.start();
  return made;
}

class server {
  #penstock;
  #folder;
  #token_file;
  #child = null;
  #listen = "127.0.0.1:0";
  #ids = []; // of sequence 1, 2, …
  url = null; // without a slash at the end

  constructor(penstock, folder, token_file) {
    this.#penstock = penstock;
    this.#folder = folder;
    this.#token_file = token_file;
  }

  // Starts it; after a stop(), on the same port.
  async start() {
    const child = spawn(this.#penstock, ["gallery", "serve", this.#folder, "--listen", this.#listen, "--token-file", this.#token_file], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    let said = "";
    child.stderr.on("data", (bytes) => (said += bytes));
    const address = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        said += `${line}\n`;
        const match = /http:\/\/[^\s/]+/.exec(line);
        if (match) resolve(match[0]);
      });
    });
    const ended = Promise.race([once(child, "exit"), once(child, "error")]).then(([why]) => {
      throw new Error(`the server ended (${why}) before it served:\n${said}`);
    });
    this.url = await Promise.race([address, ended]);
    ended.catch(() => {}); // from now on its end is stop()'s matter
    this.#listen = new URL(this.url).host;
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
      throw new Error(`the server ended by itself (${this.#child.exitCode ?? this.#child.signalCode})`);
    }
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await ended;
  }

  address(rest) {
    return this.url + rest;
  }

  // Returns the id of the photo that was published as number `sequence`, the first being 1.
  id(sequence) {
    return this.#ids[sequence - 1];
  }

  // Publishes one more photo and returns when the server has made it visible.
  async publish(picture, fields) {
    const id = createHash("sha256").update(`photo ${this.#ids.length + 1}`).digest("hex");
    const head = {
      renditions: picture.renditions.map(({ width, height, type, bytes }) => ({ width, height, type, bytes: bytes.length })),
      fields,
    };
    const body = Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), ...picture.renditions.map((r) => r.bytes)]);
    const answer = await fetch(`${this.url}/api/photos/${id}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/vnd.penstock.photo" },
      body,
    });
    if (answer.status !== 201) throw new Error(`publishing was answered ${answer.status}: ${await answer.text()}`);
    this.#ids.push(id);
    const photo = await answer.json();
    if (photo.sequence !== this.#ids.length) throw new Error(`photo ${this.#ids.length} got the sequence ${photo.sequence}`);
  }
}
