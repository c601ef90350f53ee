/** How messages are written, and JSON, which needs nothing. MessagePack is in `msgpack.ts`. */

/** What a socket carries: text frames hold strings, binary frames bytes. */
export type Payload = string | Uint8Array<ArrayBuffer>;

/** One encoding of messages. */
export interface Codec {
  /** The WebSocket protocols to offer: that of the encoding, and that for lines of several messages, if it is text. */
  readonly protocols: string[];
  /** Write a value. Throws for one that cannot be written. */
  encode(value: unknown): Payload;
  /** Read a value. Throws for a payload that is not well formed. */
  decode(payload: Payload): unknown;
}

/** Most arrays and objects within one another that a message may have. */
const MAX_NESTING = 254;

/** Throw for a value that would arrive as something else, or end the connection. */
export function checkWritable(value: unknown, bytes: boolean, left = MAX_NESTING): void {
  if (typeof value !== "object" || value === null) return;
  if (ArrayBuffer.isView(value)) {
    if (bytes) return;
    throw new TypeError("JSON carries no bytes");
  }
  if (!left) throw new RangeError(`nested over ${MAX_NESTING} deep`);
  for (const item of Object.values(value)) checkWritable(item, bytes, left - 1);
}

/** JSON in text frames. */
export const json: Codec = {
  protocols: ["ringcast.v1.json", "ringcast.v1.json.batched"],
  encode(value) {
    checkWritable(value, false);
    return JSON.stringify(value);
  },
  // Bytes, which are another encoding's, make no message either.
  decode: (payload) => JSON.parse(payload as string),
};
