// Plugins: which versions are there, whose bytes they are, who uses them, and which one new connectors get.

import { perform } from "./actions.js";
import { get, path, post, remove } from "./api.js";
import { confirm } from "./dialog.js";
import { h, keyed, setAttribute, setText } from "./dom.js";
import { bytes, counted, fileName } from "./format.js";
import { icon } from "./icons.js";
import { fail } from "./messages.js";
import { cell, copyButton, empty, onClick, refusedFiles, table } from "./parts.js";
import { connectorHash } from "./routes.js";
import { onUploaded, uploadButton } from "./upload.js";

/** How much of a hash tells one file from another for a person. */
const SHORT = 12;
const COLUMNS = [
  ["Version", "version"],
  ["Kind", "kind"],
  ["SHA-256", "sha"],
  ["Size", "number"],
  ["Signed by", "signed"],
  ["Used by", "used"],
  ["", "row-actions"],
];

/** The view. */
export function openPlugins() {
  let looking = false;
  let closed = false;
  let failing = false;
  const heading = h("h1", { tabindex: "-1" }, "Plugins");
  const refused = refusedFiles({ open: true });
  const list = h("div", { class: "plugins", testid: "plugins" });
  const nothing = h(
    "div",
    { hidden: true },
    empty("No plugins yet", "Upload a .wasm file, or drop one into the folder of the host."),
  );
  const hint = h(
    "p",
    { class: "muted" },
    "Drop ",
    h("code", {}, ".wasm"),
    " files anywhere on this page to upload them.",
  );
  const root = h(
    "div",
    { class: "view" },
    h("div", { class: "head" }, heading, h("div", { class: "grow" }), uploadButton()),
    hint,
    refused.root,
    list,
    nothing,
  );

  async function look() {
    if (looking) return;
    looking = true;
    try {
      const answer = await get("/v1/plugins");
      if (closed) return;
      failing = false;
      keyed(
        list,
        answer.plugins,
        (plugin) => plugin.name,
        (plugin) => makePlugin(plugin, look),
      );
      refused.update(answer.refused);
      nothing.hidden = answer.plugins.length > 0;
    } catch (error) {
      // Asked every two seconds: said once.
      if (!closed && !failing) fail("The plugins", error);
      failing = true;
    } finally {
      looking = false;
    }
  }

  const stopListening = onUploaded(look);
  return {
    root,
    heading,
    title: () => "Plugins",
    update: look,
    close() {
      closed = true;
      stopListening();
    },
  };
}

function makePlugin({ name }, changed) {
  const about = h("span", { class: "muted" });
  const rollback = h("button", { class: "button", type: "button", testid: "rollback" }, icon("replay"), "Roll back");
  onClick(rollback, async () => {
    const text = [
      "The version before the one in use is promoted. Connectors that ask for no version run it from then on.",
    ];
    if (!(await confirm({ title: `Roll back ${name}?`, text, verb: "Roll back" }))) return;
    await perform(`Roll back ${name}`, () => post(path`/v1/plugins/${name}/rollback`), `${name} is rolled back`);
    changed();
  });
  const versions = table(`Versions of ${name}`, COLUMNS, "versions");
  const body = h("tbody", { role: "rowgroup" });
  versions.append(body);
  const root = h(
    "section",
    { class: "panel plugin", testid: "plugin", data: { name }, "aria-label": name },
    h("div", { class: "plugin-head" }, h("h2", {}, name), about, h("div", { class: "grow" }), rollback),
    versions,
  );
  return {
    root,
    update(now) {
      setText(
        about,
        `${counted(now.versions.length, "version")}${now.promoted ? `, ${now.promoted} promoted` : ", none promoted: the newest is used"}`,
      );
      setAttribute(root, "data-promoted", now.promoted);
      rollback.hidden = now.versions.length < 2 || now.promoted === now.versions.at(-1).version;
      keyed(
        body,
        now.versions.map((version) => ({ version, promoted: version.version === now.promoted })),
        (row) => row.version.version,
        ({ version }) => makeVersion(name, version, changed),
      );
    },
  };
}

function makeVersion(name, { version }, changed) {
  let shown = null;
  const tag = h("span", { class: "tag good", testid: "promoted" }, icon("check"), "promoted");
  const kinds = h("span");
  const sha = h("code");
  const size = h("span");
  const signed = h("span");
  const file = h("p", { class: "sub" });
  const used = h("div", { class: "users" });
  const none = h("span", { class: "muted" }, "–");
  const promote = h(
    "button",
    { class: "button", type: "button", testid: "promote", "aria-label": `Promote ${name} ${version}` },
    icon("promote"),
    "Promote",
  );
  const drop = h(
    "button",
    {
      class: "icon-button danger-quiet",
      type: "button",
      "aria-label": `Delete ${name} ${version}`,
      testid: "delete-version",
    },
    icon("delete"),
  );
  onClick(promote, async () => {
    await perform(
      `Promote ${name} ${version}`,
      () => post(path`/v1/plugins/${name}/versions/${version}/promote`),
      `${name} ${version} is promoted`,
    );
    changed();
  });
  onClick(drop, async () => {
    const text = [`The file of ${name} ${version} is deleted. It can be uploaded again.`];
    if (!(await confirm({ title: `Delete ${name} ${version}?`, text, verb: "Delete" }))) return;
    await perform(
      `Delete ${name} ${version}`,
      () => remove(path`/v1/plugins/${name}/versions/${version}`),
      `${name} ${version} is deleted`,
    );
    changed();
  });
  const root = h(
    "tr",
    { role: "row", testid: "plugin-version", data: { version } },
    cell("Version", "version", h("strong", {}, version), tag, file),
    cell("Kind", "kind", kinds),
    cell(
      "SHA-256",
      "sha",
      h(
        "span",
        { class: "with-copy" },
        sha,
        copyButton(`Copy the SHA-256 of ${name} ${version}`, () => shown.sha256, "copy-sha"),
      ),
    ),
    cell("Size", "number", size),
    cell("Signed by", "signed", signed),
    cell("Used by", "used", none, used),
    cell("", "row-actions", h("div", { class: "actions" }, promote, drop)),
  );
  return {
    root,
    update({ version, promoted }) {
      shown = version;
      tag.hidden = !promoted;
      promote.hidden = promoted;
      setText(kinds, version.kinds.join(", "));
      setText(sha, version.sha256.slice(0, SHORT));
      setAttribute(sha, "title", version.sha256);
      setText(size, bytes(version.bytes));
      setText(signed, version.signed_by ?? "not signed");
      signed.className = version.signed_by ? "" : "muted";
      setText(file, fileName(version.file));
      setAttribute(file, "title", version.file);
      none.hidden = version.used_by.length > 0;
      keyed(
        used,
        version.used_by,
        (user) => user,
        (user) => ({ root: h("a", { href: connectorHash(user) }, user), update() {} }),
      );
      drop.disabled = version.used_by.length > 0;
      setAttribute(
        drop,
        "title",
        version.used_by.length > 0
          ? `In use by ${counted(version.used_by.length, "connector")}`
          : "Delete this version",
      );
    },
  };
}
