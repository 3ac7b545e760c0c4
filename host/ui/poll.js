// Asks the host again and again while someone may look: never two questions at once, none while the tab is hidden.

/** How often, in milliseconds, from the beginning of one question to that of the next. */
export const EVERY = 2_000;

/** Calls `look` now and then; answers `soon()`, which has it look at once. */
export function poll(look) {
  let timer = null;
  let looking = false;
  let again = false;

  async function turn() {
    clearTimeout(timer);
    timer = null;
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    const began = performance.now();
    await look();
    looking = false;
    if (document.hidden) return;
    const rest = again ? 0 : Math.max(0, EVERY - (performance.now() - began));
    again = false;
    timer = setTimeout(turn, rest);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else turn();
  });
  turn();
  return { soon: turn };
}
