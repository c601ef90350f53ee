/** What a browser tells a page about itself, where there is one. */

/** Call `listener` when the page or worker is told `name`; return a function that ends this. */
export function onPage(name: "online" | "pagehide", listener: (event: unknown) => void): () => void {
  // Not in Node, and not in every worker.
  globalThis.addEventListener?.(name, listener);
  return () => globalThis.removeEventListener?.(name, listener);
}
