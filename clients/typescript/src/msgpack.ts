/**
 * MessagePack as a codec, over a library that the application brings along; for bytes in events and calls.
 *
 * A module of its own, so that those who use JSON do not load it.
 */

import { type Codec, checkWritable, type Payload } from "./codec.js";

/** The two functions of `@msgpack/msgpack`, or of a library with the same. */
export interface MessagePack {
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

/**
 * Return the codec: `createClient({ url, codec: msgpack({ encode, decode }) })`.
 *
 * As in JSON, a date becomes a string and a field that is undefined is left out.
 */
export function msgpack(library: MessagePack): Codec {
  return {
    protocols: ["ringcast.v1.msgpack"],
    encode(value) {
      checkWritable(value, true);
      return library.encode(plain(value)) as Payload;
    },
    decode: (payload) => library.decode(payload as Uint8Array),
  };
}

/** Return `value` as JSON would have it, bytes excepted: the protocol has no extension types. */
function plain(value: unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if ("toJSON" in value && typeof value.toJSON === "function") return plain(value.toJSON());
  if (Array.isArray(value)) return value.map((item) => plain(item) ?? null);
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(entries.map(([name, item]) => [name, plain(item)]));
}
