/**
 * What a connection keeps while its network is lost: the session's token, the position, the requests. Pure.
 *
 * It answers what the next connect message says about the past, and what a connect answer means for it. Sockets,
 * listeners and waiting belong to `lifecycle.ts`.
 */

import type { Config } from "./config.js";
import { Position } from "./position.js";
import type { Connected, Gap, Resume } from "./protocol.js";
import { Requests } from "./requests.js";
import type { WireTopic } from "./topics.js";

/** One client's half of a session, over all of its sockets. */
export class Session {
  readonly position = new Position();
  declare readonly requests: Requests;
  /** The latest connect answer. */
  answer: Connected | null = null;
  /** The latest snapshot in one. */
  declare snapshot: unknown;

  constructor(config: Config) {
    this.requests = new Requests(config);
  }

  /**
   * Return what to resume from; undefined before the first connect answer.
   *
   * `unconfirmed` are those topics of the connect message that the session may not have.
   */
  resume(unconfirmed?: WireTopic[]): Resume | undefined {
    if (!this.answer) return undefined;
    return {
      ...(this.position as { epoch: string; offset: number }),
      session: this.answer.session,
      unanswered: unconfirmed && this.requests.unanswered(),
      answered: this.requests.answered,
      unconfirmed,
    };
  }

  /** Take a connect answer in, and return its gap. Calls that only the old session could answer reject with `outcome_unknown`. */
  accept(answer: Connected): Gap | null | undefined {
    const previous = this.answer;
    this.answer = answer;
    this.requests.maxBytes = answer.max_message_bytes ?? Infinity;
    this.snapshot = answer.snapshot ?? this.snapshot;
    this.position.begin(answer.epoch, answer.offset);
    let { gap } = answer;
    if (previous && answer.session !== previous.session) {
      this.requests.reset();
      // A new session means that events may be lost, whether or not the server says so.
      gap ??= { reason: "session_expired" };
    }
    return gap;
  }
}
