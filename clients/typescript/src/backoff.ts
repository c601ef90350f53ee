/**
 * How long to wait before the next attempt to connect: pure, with the random source handed in.
 *
 * Full jitter: each delay is drawn from zero up to a bound that grows exponentially, so that clients that lost
 * the same server at the same moment do not come back at the same moment. The server may ask for more room than
 * that, and may tell a client that it turns away when to come. Waiting itself is the connection's work.
 */

import type { Settings } from "./config.js";

/** The delays of one series of attempts; `reset` starts a new series. */
export class Backoff {
  readonly #settings: Settings;
  #attempt = 0;
  /** Over how long the server wants its clients to come back; no bound is below it. */
  spreadMs = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Upper bound of the next delay. */
  get boundMs(): number {
    const { reconnectFirstMs, reconnectBaseMs, reconnectMaxMs } = this.#settings;
    const grownMs = this.#attempt ? reconnectBaseMs * 2 ** (this.#attempt - 1) : reconnectFirstMs;
    // No more than an hour: that would be no busy server but a broken one.
    return Math.max(Math.min(grownMs, reconnectMaxMs), Math.min(this.spreadMs, 3_600_000));
  }

  /** Draw the next delay and move on in the series. */
  nextDelayMs(): number {
    const delayMs = this.#settings.random() * this.boundMs;
    this.#attempt += 1;
    return delayMs;
  }

  /**
   * Return the delay of a client that the server has told to wait so long; chance adds a little.
   *
   * Not a failure: the series stays where it is.
   */
  toldDelayMs(retryAfterMs: number): number {
    const { random, reconnectFirstMs, reconnectMaxMs } = this.#settings;
    return retryAfterMs + random() * Math.min(reconnectFirstMs, reconnectMaxMs);
  }

  /** Start again with the short first delay: the connection was good. */
  reset(): void {
    this.#attempt = 0;
  }
}
