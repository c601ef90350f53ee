/**
 * Which uses of an actor mean the same connection: pure.
 *
 * Those that the server could not tell apart: equal names, keys and parameters, whichever objects they are. A
 * function is equal to itself only, since nobody knows what it will give.
 */

import type { Key } from "@ringcast/client";

/** Begins what stands for something that JSON has no form for; a text that begins so gets one more. */
const MARK = "\0";

const numbers = new WeakMap<object, number>();
let lastNumber = 0;

/**
 * Return a text that is the same for uses that mean the same. Throws for parameters that contain themselves.
 */
export function identityOf(name: string, key: Key, params: unknown): string {
  const parts = typeof key === "string" ? [key] : key;
  return JSON.stringify([name, parts, params], (_, value: unknown) => canonical(value));
}

/** Return what stands for a value, one level deep: whatever makes no difference is gone. */
function canonical(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      return value.startsWith(MARK) ? MARK + value : value;
    case "function":
      return `${MARK}function ${numberOf(value)}`;
    case "bigint":
      return `${MARK}bigint ${value}`;
    case "number":
      // To JSON these are null, to MessagePack they are not.
      return Number.isFinite(value) ? value : `${MARK}number ${value}`;
    case "object":
      if (ArrayBuffer.isView(value)) return `${MARK}bytes ${bytesOf(value)}`;
      if (value === null || Array.isArray(value)) return value;
      return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
    default:
      return value;
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function numberOf(value: object): number {
  let number = numbers.get(value);
  if (number === undefined) numbers.set(value, (number = lastNumber += 1));
  return number;
}
