/** What the visitor of this window is called: drawn at first, and kept for as long as the window is open. */

const NAMES = [
  ["Amber", "Brisk", "Calm", "Dusky", "Eager", "Frank", "Grand", "Hazel"],
  ["Heron", "Ibex", "Lark", "Marten", "Otter", "Plover", "Robin", "Swift"],
] as const;
const KEY = "ringcast-demo-name";
export const LONGEST_NAME = 24;

/** Return a name that nobody else is likely to have. */
export function drawName(): string {
  const words = NAMES.map((list) => list[Math.floor(Math.random() * list.length)]);
  return `${words.join(" ")} ${10 + Math.floor(Math.random() * 90)}`;
}

export function rememberedName(): string {
  try {
    const name = sessionStorage.getItem(KEY) ?? drawName();
    rememberName(name);
    return name;
  } catch {
    // A browser that keeps nothing: a name for this visit.
    return drawName();
  }
}

export function rememberName(name: string): void {
  try {
    sessionStorage.setItem(KEY, name);
  } catch {
    // Then it is another one after a reload.
  }
}
