// The addresses of the page: what stands behind the #, which reloads, bookmarks and the back button go by.

const encode = encodeURIComponent;

/** A connector, on one of its tabs; logs may name a task. */
export function connectorHash(name, tab, task) {
  const parts = ["#/connectors", encode(name), tab, task].filter((part) => part !== undefined && part !== null);
  return parts.join("/");
}

/** The plugins. */
export function pluginHash() {
  return "#/plugins";
}

/** What an address asks for: a view, and for a connector its name, tab and task. */
export function parse(hash) {
  const [view, name, tab, task] = hash
    .replace(/^#?\/?/, "")
    .split("/")
    .map(decode);
  if (view === "plugins") return { view };
  if (view === "connectors" && name) return { view: "connector", name, tab: tab || "overview", task: task ?? null };
  return { view: "connectors" };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    // Someone's own address; what it means is anyone's guess, so it is taken as it stands.
    return text;
  }
}
