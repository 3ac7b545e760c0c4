// Uploads of plugins: by a button, or dropped anywhere on the page.

import { path, upload } from "./api.js";
import { h } from "./dom.js";
import { bytes } from "./format.js";
import { icon } from "./icons.js";
import { busy, fail, note } from "./messages.js";
import { pluginHash } from "./routes.js";

const listeners = new Set();

/** Calls back after each upload; answers what ends that. */
export function onUploaded(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

/** The button, with the field behind it. */
export function uploadButton() {
  const field = h("input", {
    type: "file",
    accept: ".wasm,application/wasm",
    multiple: true,
    class: "unseen",
    tabindex: "-1",
    "aria-hidden": "true",
    testid: "upload-input",
  });
  field.addEventListener("change", async () => {
    const files = [...field.files];
    field.value = "";
    await uploadAll(files);
  });
  const button = h(
    "button",
    { class: "button primary", type: "button", testid: "upload-button", on: { click: () => field.click() } },
    icon("upload"),
    "Upload plugin",
  );
  return h("div", {}, button, field);
}

/** Takes files that are dropped on the page; `place` is shown while they are above it. */
export function acceptDrops(place) {
  // Entering a child is told before leaving its parent, so the two are counted.
  let inside = 0;
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  const leave = () => {
    inside = 0;
    place.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    inside += 1;
    place.hidden = false;
  });
  addEventListener("dragover", (event) => {
    if (isFiles(event)) event.preventDefault();
  });
  addEventListener("dragleave", (event) => {
    if (!isFiles(event)) return;
    inside -= 1;
    if (inside <= 0) leave();
  });
  addEventListener("drop", async (event) => {
    if (!isFiles(event)) return;
    // Else the browser opens the file in place of the page.
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    leave();
    if (await uploadAll(files)) location.hash = pluginHash();
  });
}

/** Uploads one after the other; answers whether any was sent. */
async function uploadAll(files) {
  let sent = false;
  for (const file of files) {
    if (!file.name.toLowerCase().endsWith(".wasm")) {
      fail(file.name, new Error("this is no .wasm file, and not uploaded"));
      continue;
    }
    sent = true;
    await uploadOne(file);
  }
  return sent;
}

async function uploadOne(file) {
  const done = busy(`Uploading ${file.name}, ${bytes(file.size)}`);
  try {
    const { name } = await upload(path`/v1/plugins`, file);
    note(`${file.name} is uploaded: plugin ${name}`);
  } catch (error) {
    fail(`Upload of ${file.name}`, error);
  } finally {
    done();
    for (const listener of listeners) listener();
  }
}
