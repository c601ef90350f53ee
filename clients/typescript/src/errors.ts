/**
 * The one class of errors, and which close codes a client comes back after: pure.
 *
 * What was wrong is in `code`; the codes are those of `docs/protocol.md`. There is one class, not one for each
 * code, because every class is paid for by every page that loads this.
 */

import { isText } from "./codec.js";

/** The codes that Ringcast itself uses. Authors of actors choose further ones. */
export type ErrorCode =
  | "user_error"
  | "actor_not_found"
  | "actor_already_exists"
  | "actor_destroyed"
  | "unknown_actor"
  | "unknown_action"
  | "validation_error"
  | "action_timeout"
  | "internal_error"
  | "message_too_big"
  | "reply_too_large"
  | "too_many_calls"
  | "rate_limited"
  | "outcome_unknown"
  | "connection_refused"
  | "unauthorized"
  | "forbidden"
  | "connection_closed"
  | "connection_gone"
  | "connection_lost"
  | "not_connected"
  | "offline_queue_full"
  | "params_too_large"
  | "try_again_later"
  | "unreachable"
  | "invalid_message"
  | "unknown_message"
  | "invalid_event_name"
  | "reserved_name"
  | "event_too_large"
  | "events_lost"
  | "subscription_refused"
  | "too_many_actors"
  | "too_many_filters"
  | "invalid_filter"
  | "store_unavailable"
  | "event_not_json"
  | "unknown_event"
  | "invalid_event"
  | "encoding_refused";

/** What an error has besides its code and message. */
export interface ErrorDetails {
  metadata?: unknown;
  cause?: unknown;
  /** Anything that is true if the server, or the actor's author, made it. */
  fromServer?: unknown;
}

/**
 * Any failure that Ringcast knows of: of an action, of a connection, of the protocol.
 *
 * Fields that the constructor sets are declared only, here and elsewhere: to define them first would be bytes for nothing.
 */
export class RingcastError extends Error {
  override readonly name = "RingcastError";
  /** Stable, and for programs; `message` is for people. */
  declare readonly code: ErrorCode | (string & {});
  /** What the author of a `UserError` has put into it. */
  declare readonly metadata: unknown;
  /** False for what this client has found out by itself, whatever code an author may have chosen. */
  declare readonly fromServer: boolean;

  constructor(code: ErrorCode | (string & {}), message: string, details: ErrorDetails = {}) {
    super(message, details);
    this.code = code;
    this.metadata = details.metadata;
    this.fromServer = !!details.fromServer;
  }
}

/** Return the code of what may be an error object that came over the wire; nothing if it is none. */
export const codeOf = (error: any): string | false => isText(error?.code) && error.code;

/** Build the error for an error object that came over the wire, whatever it is, or that says itself that it is not `fromServer`. */
export const fromWire = (error: any): RingcastError =>
  new RingcastError(codeOf(error) || "internal_error", `${error?.message ?? ""}`, {
    fromServer: true,
    ...error,
  });

/**
 * Tell whether a client comes back whose socket was closed with `code` (null: no close frame), or whose actor could not be
 * created because of an error with this code.
 *
 * Of the private close codes, 4000 to 4499 mean that the same attempt would fail again, 4500 to 4999 that it may not. Of errors,
 * those of which nobody knows the outcome mean that it may not, and those by which the server says that it has done nothing, and
 * that this is for now; not `store_unavailable` and `action_timeout`, after which the actor may be there.
 */
export const mayComeBack = (code: any): boolean =>
  /^(null|10(0[156]|1[1-4])|4[5-9]..|"(unreachable|outcome_unknown|internal_error|try_again_later|server_full|too_many_c(all|onnection)s|rate_limited|connection_closed)")$/.test(
    // Close codes are numbers: an author's error may have the code "1012".
    JSON.stringify(code),
  );
