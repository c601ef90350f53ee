/**
 * How long to wait before the next attempt to connect: pure, with the random source handed in.
 *
 * Full jitter: each delay is drawn from zero up to a bound that grows exponentially, so that clients that lost
 * the same server at the same moment do not come back at the same moment. The server may ask for more room than
 * that, and may tell a client that it turns away when to come. Waiting itself is the connection's work.
 */

import type { Settings } from "./config.js";

/** No server asks for more than an hour: that would be no busy one but a broken one. */
const LONGEST_MS = 3_600_000;

/** The delays of one series of attempts; `reset` starts a new series. */
export class Backoff {
  readonly #settings: Settings;
  #attempt = 0;
  /** Over how long the server wants its clients to come back; no bound is below it. */
  spreadMs = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /**
   * Draw the next delay and move on in the series.
   *
   * A client that the server has told to wait for `toldMs` waits so long; chance adds a little. That is no failure: the
   * series stays where it is. NaN: it has not been told.
   */
  nextDelayMs(toldMs: number): number {
    const { random, reconnectFirstMs, reconnectBaseMs, reconnectMaxMs } = this.#settings;
    if (toldMs >= 0 && toldMs <= LONGEST_MS) {
      return toldMs + random() * Math.min(reconnectFirstMs, reconnectMaxMs);
    }
    const grownMs = this.#attempt ? reconnectBaseMs * 2 ** (this.#attempt - 1) : reconnectFirstMs;
    this.#attempt += 1;
    return random() * Math.max(Math.min(grownMs, reconnectMaxMs), Math.min(this.spreadMs, LONGEST_MS));
  }

  /** Start again with the short first delay: the connection was good. */
  reset(): void {
    this.#attempt = 0;
  }
}
