// Builds elements. Text of the host reaches the page here alone, as text, never as markup: names and logs are hostile.

const SVG = "http://www.w3.org/2000/svg";

/** What would show as nothing, or turn the text around it: controls, and marks that override its direction. */
const UNSEEN = /\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** What is a property of elements and no attribute, or does more as one. */
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "indeterminate"]);

/** Text with what cannot be seen written out, such as \u202e. */
export function visible(text) {
  return String(text).replace(UNSEEN, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** An element: `testid`, `data`, `on`, properties and attributes, then children, which are elements or text. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined) continue;
    if (name === "testid") element.dataset.testid = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "on") listen(element, value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map(node),
  );
  return element;
}

/** An element of a drawing. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Writes text, if it is another: what is marked or read aloud stays where nothing changed. */
export function setText(element, text) {
  const shown = visible(text ?? "");
  if (element.textContent !== shown) element.textContent = shown;
}

/** Sets an attribute, or takes it away with `null`, if that changes something. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

const lists = new WeakMap();

/**
 * Makes the children of an element those of a list, in its order. `make(item)` answers `{root, update(item)}`; what has
 * the same key stays the same element, so that focus, selection and what is open outlive a new answer.
 */
export function keyed(parent, items, keyOf, make) {
  const before = lists.get(parent) ?? new Map();
  const after = new Map();
  const focused = document.activeElement;
  for (const item of items) {
    const key = keyOf(item);
    const entry = before.get(key) ?? make(item);
    entry.update(item);
    after.set(key, entry);
  }
  for (const [key, entry] of before) if (after.get(key) !== entry) entry.root.remove();
  let place = parent.firstElementChild;
  for (const { root } of after.values()) {
    if (root === place) place = place.nextElementSibling;
    else parent.insertBefore(root, place);
  }
  lists.set(parent, after);
  // What moves loses the focus.
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
  return after;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(visible(child));
}

function listen(element, listeners) {
  for (const [event, listener] of Object.entries(listeners)) element.addEventListener(event, listener);
}
