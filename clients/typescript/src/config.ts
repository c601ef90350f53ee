/** The settings of a client; what each of them does is said at its field. */

import type { Codec } from "./codec.js";
import { json } from "./codec.js";
import type { Transport, WebSocketConstructor } from "./transport.js";

/** How a client connects, waits and gives up. Times are in milliseconds. */
export interface Settings {
  /** Upper bound of the random delay before the first attempt after a lost network. */
  reconnectFirstMs: number;
  /** Upper bound of the random delay before the second attempt; it doubles with every further one. */
  reconnectBaseMs: number;
  /** No delay is longer than this. */
  reconnectMaxMs: number;
  /** A connection that lived as long as this starts the next series of attempts at `reconnectFirstMs`. */
  stableAfterMs: number;
  /** Longest time from opening a socket to the server's answer to the connect message. */
  connectTimeoutMs: number;
  /** Longest time that `close` waits for the server. */
  closeTimeoutMs: number;
  /** A server of which nothing came for this long is asked; sooner where a promised heartbeat is overdue. */
  askIdleMs: number;
  /** A server that does not answer for this long is lost; sooner where two heartbeats are overdue. */
  askReplyMs: number;
  /** Longest wait for the answer to a call without a connection; above the server's limit for one action. */
  httpTimeoutMs: number;
  /** How long after WebSockets were found to be blocked none is tried, and server-sent events are used. */
  websocketRetryMs: number;
  /** Calls that may wait for the network; one more rejects with `offline_queue_full`. */
  maxOfflineCalls: number;
  /** Calls that are sent and not answered. Sixteen times as many may wait here; one more rejects with `too_many_calls`. */
  maxUnansweredCalls: number;
  /**
   * Events that may wait for an async handler, or for the reader of a stream. Past it they are let go, and a gap
   * says so: a browser's socket cannot be made to wait.
   */
  maxUnhandledEvents: number;
  /** Gives a number in [0, 1); injected by tests. */
  random: () => number;
}

/** What `createClient` takes; everything but the address may be left out. */
export interface ClientOptions extends Partial<Settings> {
  /** The server's address, with the path before `/connect` if a proxy adds one. In a page it may be relative. */
  url: string | URL;
  /** How connections talk: JSON if not given. */
  codec?: Codec;
  /** The class of WebSockets, where there is no global one: `import { WebSocket } from "ws"` in Node 20. */
  WebSocket?: WebSocketConstructor;
  /** Instead of the global `fetch`. */
  fetch?: typeof fetch;
  /**
   * How connections reach the server: `auto`, if not given, opens WebSockets, and where none gets through goes over to
   * server-sent events by itself; `websocket` and `sse` use the one or the other alone. Or what is to be used instead.
   */
  transport?: "auto" | "websocket" | "sse" | Transport;
}

const DEFAULTS: Config = {
  codec: json,
  reconnectFirstMs: 500,
  reconnectBaseMs: 1_000,
  reconnectMaxMs: 30_000,
  stableAfterMs: 5_000,
  connectTimeoutMs: 10_000,
  closeTimeoutMs: 5_000,
  askIdleMs: 20_000,
  askReplyMs: 10_000,
  httpTimeoutMs: 90_000,
  websocketRetryMs: 300_000,
  maxOfflineCalls: 256,
  maxUnansweredCalls: 512,
  maxUnhandledEvents: 16_384,
  random: Math.random,
};

/** The longest that a timer of a browser can wait. */
const LONGEST_MS = 2 ** 31 - 1;

/** A client's settings, all of them. */
export interface Config extends Settings {
  codec: Codec;
}

/** Fill in the defaults. Throws `RangeError` for a number that makes no sense. */
export function configFrom(options: ClientOptions): Config {
  const config: Record<string, unknown> = { ...DEFAULTS };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || !(name in config)) continue;
    const least = /^(max|ask)/.test(name) ? 1 : 0;
    // Written so that not-a-number, which is neither, is refused as well.
    if (typeof value === "number" && !(value >= least && value <= LONGEST_MS)) {
      throw new RangeError(`${name} is ${least} to ${LONGEST_MS}, not ${value}`);
    }
    config[name] = value;
  }
  return config as unknown as Config;
}
