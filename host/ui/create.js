// The form for a new connector: a name and its configuration as JSON, with the host's verdict beside it.

import { get, post } from "./api.js";
import { openDialog } from "./dialog.js";
import { h, setText } from "./dom.js";
import { note } from "./messages.js";
import { connectorHash } from "./routes.js";

const BEGINNING = JSON.stringify({ "connector.class": "", "tasks.max": "1" }, null, 2);

/** Opens the form. */
export function openCreate() {
  const name = h("input", { name: "name", autocomplete: "off", spellcheck: "false", testid: "create-name" });
  const config = h("textarea", {
    name: "config",
    rows: "12",
    spellcheck: "false",
    class: "code",
    testid: "create-config",
    value: BEGINNING,
    "aria-describedby": "create-errors create-hint",
    on: { input: unpack },
  });
  const plugin = h(
    "select",
    { testid: "create-plugin", on: { change: choose } },
    h("option", { value: "" }, "Choose a plugin"),
  );
  const errors = h("p", {
    class: "form-error",
    role: "alert",
    id: "create-errors",
    testid: "create-errors",
    hidden: true,
  });
  const submit = h("button", { class: "button primary", type: "submit", testid: "create-submit" }, "Create");
  const dialog = openDialog({
    title: "New connector",
    testid: "create",
    wide: true,
    body: [
      h(
        "div",
        { class: "columns" },
        h("label", { class: "field" }, "Name", name),
        h("label", { class: "field" }, "Plugin", plugin),
      ),
      h("label", { class: "field" }, "Configuration", config),
      h(
        "p",
        { class: "muted", id: "create-hint" },
        "The body that Kafka Connect takes may be pasted whole, with its name.",
      ),
      errors,
    ],
    buttons: [submit],
    submit: send,
  });
  name.focus();
  offerPlugins(plugin);

  function refuse(text, field) {
    setText(errors, text);
    errors.hidden = false;
    for (const one of [name, config]) one.removeAttribute("aria-invalid");
    field?.setAttribute("aria-invalid", "true");
    field?.focus();
  }

  async function send() {
    errors.hidden = true;
    if (!name.value.trim()) return refuse("A connector needs a name.", name);
    const read = parse(config.value);
    if (read.fault) return refuse(read.fault, config);
    try {
      await post("/connectors", { name: name.value.trim(), config: read.value });
      note(`${name.value.trim()} is created`);
      dialog.close();
      location.hash = connectorHash(name.value.trim());
    } catch (error) {
      refuse(error.message, null);
    }
  }

  /** A whole body that is pasted is its name and its configuration. */
  function unpack() {
    const { value } = parse(config.value);
    if (typeof value?.config !== "object" || value.config === null || typeof value.name !== "string") return;
    name.value = value.name;
    config.value = JSON.stringify(value.config, null, 2);
  }

  function choose() {
    const { value, fault } = parse(config.value);
    if (fault || !plugin.value) return;
    config.value = JSON.stringify({ ...value, "connector.class": plugin.value }, null, 2);
  }
}

async function offerPlugins(select) {
  try {
    const { plugins } = await get("/v1/plugins");
    select.append(...plugins.map(({ name }) => h("option", { value: name }, name)));
  } catch {
    // A help to fill in the form, which does without it; what is wrong shows when the form is sent.
    select.disabled = true;
  }
}

/** The object that a text is, or what is wrong with the text, and where. */
function parse(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { fault: `The configuration is no JSON: ${error.message}` };
  }
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? { value } : { fault: 'The configuration has to be a JSON object: {"key": "value", …}' };
}
