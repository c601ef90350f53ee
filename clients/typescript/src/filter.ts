/**
 * Listening for some of the events of a name: the filters of `docs/filters.md`, over the fields of an event. Pure.
 *
 * The server asks first, so that little else is sent. Here it is decided which handlers of one name an event is for.
 * What a filter means is the same in both places; `tests/wire/filters.json` has it for all languages. Whoever uses no
 * filter does not load this: `where` is imported by itself.
 */

import { isText } from "./codec.js";
import { HALF } from "./protocol.js";

/** A filter: by field and operator, the value. */
export type Where<K extends string = string> = Readonly<Record<K, unknown>>;

/** What a filter sees of a value: a text, a number, an array of texts, or null. */
function seen(value: unknown): unknown {
  if (isText(value)) return value;
  if (typeof value === "object") return Array.isArray(value) && value.every(isText) ? value : null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** Below, at or above 0 as `a` comes before `b`, is equal or comes after it; NaN where there is no order. */
function order(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (!isText(a) || !isText(b)) return a === b ? 0 : NaN;
  // By code points, of which those beyond U+FFFF are two units each.
  const others = [...b];
  for (const char of a) {
    const other = others.shift();
    if (char !== other) return other ? (char.codePointAt(0) as number) - (other.codePointAt(0) as number) : 1;
  }
  return -others.length;
}

const isOneOf = (has: unknown, values: unknown): boolean =>
  [values].flat().some((value) => order(has, seen(value)) === 0);

/** What an operator of a filter asks of a field. */
const OPERATORS = new Map<string, (has: unknown, value: unknown) => boolean>([
  ["eq", isOneOf],
  ["is", isOneOf],
  ["in", isOneOf],
  ["lt", (has, value) => order(has, seen(value)) < 0],
  ["le", (has, value) => order(has, seen(value)) <= 0],
  ["gt", (has, value) => order(has, seen(value)) > 0],
  ["ge", (has, value) => order(has, seen(value)) >= 0],
  ["has", (has, value) => Array.isArray(has) && has.includes(value)],
  ["prefix", (has, value) => isText(has) && has.startsWith(value as string)],
]);
const NEGATED: Record<string, string> = { ne: "eq", not_in: "in", is_not: "is" };

/** What `where` returns, to be given to `on`, `once` and `stream`. */
export interface Filter<K extends string = string> {
  /** What it was made from, as messages have it. */
  readonly where: Where;
  /** The fields and operators that it names; never there, for the compiler alone. */
  readonly keys?: K;
  /** Tell whether an event with these arguments has, in its first one, what the filter wants. */
  readonly matches: (args: readonly unknown[]) => boolean;
}

/**
 * Return a filter: `connection.on("playerMoved", handler, where({ zone: 3, level__ge: 2 }))`.
 *
 * By field of the event's first argument, with an operator behind two underscores unless it shall be equal, the value.
 * All of them have to hold. Throws `RangeError` for what no message can carry: a number that is not finite, which JSON
 * would make null, and text with half a character, as `"😀".slice(0, 1)` is.
 */
export function where<K extends string>(fields: Where<K>): Filter<K> {
  // A copy, which the caller does not change, and of which the server is told just this.
  const copy = JSON.parse(JSON.stringify(fields, carried));
  return { where: copy, matches: (args) => matches(copy, args) };
}

function carried(field: string, value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new RangeError(`a filter compares with numbers that are finite, not ${value}`);
  }
  const half = [field, value].find((text) => isText(text) && HALF.test(text));
  if (half !== undefined) {
    throw new RangeError(`a filter has whole characters, not half of one: ${JSON.stringify(half)}`);
  }
  return value;
}

function matches(wanted: Where, [first]: readonly unknown[]): boolean {
  return Object.entries(wanted).every(([key, value]) => {
    const [, name, operator] = /^(.+)__(.*)$/s.exec(key) ?? [key, key, "eq"];
    const isField = typeof first === "object" && first && !Array.isArray(first) && Object.hasOwn(first, name);
    const has = seen(isField ? (first as Where)[name] : null);
    const asked = NEGATED[operator];
    return OPERATORS.get(asked ?? operator)?.(has, value) === !asked;
  });
}
