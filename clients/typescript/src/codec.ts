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

export const isText = (value: unknown): value is string => typeof value === "string";

/** Most arrays and objects within one another that a message may have. */
const MAX_NESTING = 254;

/** Of what would be null, or an object without its contents: what it is called. */
const NO_VALUE = /(NaN|Infinity|Function|Symbol|Map|Set|Buffer|Error|Promise)$/;

/**
 * Throw for a value that would arrive as something else, or is nested too deep for the server. A field that is undefined is
 * left out, and text with half a character is for the server to refuse: it answers that one request with an error.
 */
export function checkWritable(value: any, bytes: boolean, left = MAX_NESTING): void {
  const isBytes = ArrayBuffer.isView(value);
  if (Number.isFinite(value) || (bytes && (isBytes || typeof value === "number"))) return;
  const given = !isBytes && typeof value?.toJSON === "function" ? value.toJSON() : value;
  const kind = typeof given === "number" ? `${given}` : {}.toString.call(given).slice(8, -1);
  if (isBytes || NO_VALUE.test(kind)) throw new TypeError(`a message carries no ${kind}`);
  if (Object(given) !== given) return;
  if (!left) throw new RangeError(`nested over ${MAX_NESTING} deep`);
  for (const item of Object.values(given)) checkWritable(item, bytes, left - 1);
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
