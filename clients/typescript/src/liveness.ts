/**
 * Whether the server is still there: pure, told of each tick of a timer.
 *
 * Whatever comes shows that the server lives, be it a heartbeat or an event. When nothing comes for a while it
 * is asked, and given up when that brings nothing either: a server that sends heartbeats a little after the
 * second one has stayed out. A browser cannot send a ping, so the question is a request that changes nothing
 * (see `lifecycle.ts`). That the client is there shows by itself: every WebSocket answers the server's pings.
 */

import type { Settings } from "./config.js";

/** How late a heartbeat may come, or half of the time between two if that is less. */
const LONGEST_MARGIN_MS = 5_000;
/** In the shortest time that has to be told apart: what is said here is overrun by that little. */
const TICKS = 4;

/** What to do now. */
export type Step = "ask" | "give up" | null;

/**
 * Counts the time in which nothing came from the server.
 *
 * In ticks of `tickMs`, not by a clock: a tab that was frozen, or a machine that slept, has had few of them, and is
 * not to blame the server for what it could not read itself.
 */
export class Liveness {
  /** A server of which nothing came for this long, and a tick, is given up. */
  declare readonly lostAfterMs: number;
  declare readonly tickMs: number;
  readonly #askTicks: number;
  readonly #lostTicks: number;
  #quietTicks = 0;

  /** `heartbeatS` is how many seconds the server has promised between two heartbeats; null: it sends none. */
  constructor(settings: Settings, heartbeatS: number | null | undefined) {
    const { askIdleMs, askReplyMs } = settings;
    const heartbeatMs = (heartbeatS ?? Infinity) * 1000;
    const marginMs = Math.min(heartbeatMs / 2, LONGEST_MARGIN_MS);
    const askAfterMs = Math.min(askIdleMs, heartbeatMs + marginMs);
    const lostAfterMs = Math.min(askIdleMs + askReplyMs, 2 * heartbeatMs + marginMs);
    this.lostAfterMs = lostAfterMs;
    this.tickMs = Math.min(askAfterMs, lostAfterMs - askAfterMs) / TICKS;
    // Rounded up, but not for what an inexact division leaves.
    const ticks = (timeMs: number) => Math.ceil(timeMs / this.tickMs - 0.01);
    this.#askTicks = ticks(askAfterMs);
    this.#lostTicks = ticks(lostAfterMs);
  }

  /**
   * Say what to do now. `heard`: whether anything came since the last tick.
   *
   * `late` says that this tick comes so much too late that the server may have given us up: it is asked at once.
   */
  tick(heard: boolean, late: boolean): Step {
    this.#quietTicks = heard ? 0 : late ? this.#askTicks : this.#quietTicks + 1;
    if (this.#quietTicks >= this.#lostTicks) return "give up";
    return this.#quietTicks === this.#askTicks ? "ask" : null;
  }
}
