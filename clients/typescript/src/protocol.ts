/**
 * The messages of `docs/protocol.md`, written and read: pure.
 *
 * What the server sends is checked here once, so that everything behind this can rely on it. A message stays
 * the array that it is on the wire.
 */

import { type Codec, isText, type Payload } from "./codec.js";
import { RingcastError } from "./errors.js";
import type { Where } from "./filter.js";
import type { WireTopic } from "./topics.js";

/** Half of a character beyond U+FFFF, by itself: the server refuses who comes, or comes back, with it. */
export const HALF = /\p{Surrogate}/u;

/** How an actor is looked up. */
export type Lookup = "get_or_create" | "get" | "create" | "id";

/** Which actor is meant, as the connect message and the bodies of HTTP requests say it. */
export interface Address {
  actor: string;
  lookup: Lookup;
  key?: readonly string[];
  actor_id?: string;
  /** With lookup `create`: the same in every repeat, which finds what an earlier one has created. */
  attempt?: string;
  input?: unknown;
  /** A function is asked for them each time that they are sent. */
  params?: unknown;
}

/** Where a client that comes back left off, and what it knows of its session. */
export interface Resume {
  session: string;
  epoch: string;
  offset: number;
  /** The requests whose answers it still wants. */
  unanswered?: number[] | undefined;
  /** The highest id of a request that it has an answer to; 0 if there is none. */
  answered: number;
  /** Those of the topics that it listens for of which it does not know whether the session has them. */
  unconfirmed?: WireTopic[] | undefined;
}

/** The first message on a socket. */
export interface Connect extends Address {
  subscriptions?: WireTopic[];
  resume?: Resume;
}

/** Events that this connection was entitled to and will not get: offsets `first` to `last`, where known. */
export interface Gap {
  /**
   * `ring_overflow`, `permission_withdrawn`, `session_expired`, `epoch_changed` or `encoding_changed` from the server;
   * `handlers_behind` when this client's own handlers could not keep up.
   */
  reason: string;
  first?: number;
  last?: number;
}

/** The answer to a connect message. */
export interface Connected {
  stream: number;
  epoch: string;
  offset: number;
  connection: string;
  session: string;
  actor_id: string;
  window_s: number;
  heartbeat_s?: number | null;
  reconnect_within_s?: number | null;
  max_message_bytes?: number | null;
  replayed?: number | null;
  gap?: Gap | null;
  snapshot?: unknown;
  refused_subscriptions?: Record<string, unknown> | null;
  refused_filters?: [name: string, where: Where, error: unknown][] | null;
}

/** The server's sign of life, with the position up to which everything has come. */
export interface Heartbeat {
  stream: number;
  offset: number;
  reconnect_within_s?: number | null;
  /** What this client may no longer listen for. */
  refused_subscriptions?: Record<string, unknown> | null;
  refused_filters?: [name: string, where: Where, error: unknown][] | null;
}

export type ServerMessage =
  | ["connected", Connected]
  | ["event", stream: number, offset: number, name: string, args: unknown[]]
  | ["reply", id: number, value: unknown]
  | ["error", id: number | null, error: object]
  | ["gap", Gap]
  | ["heartbeat", Heartbeat];

type Check = (value: unknown) => boolean;

const isSeconds: Check = (value) => Number.isFinite(value) && (value as number) >= 0;
const isCount: Check = (value) => Number.isInteger(value) && isSeconds(value);
const isObject: Check = (value) => !Array.isArray(value) && Object(value) === value;
const orAbsent =
  (check: Check): Check =>
  (value) =>
    value == null || check(value);
const has =
  (fields: Record<string, Check>): Check =>
  (value) =>
    isObject(value) &&
    Object.entries(fields).every(([name, check]) => check((value as Record<string, unknown>)[name]));

const isGap = has({ reason: isText, first: orAbsent(isCount), last: orAbsent(isCount) });

/** In heartbeats and in answers to connect messages. */
const POSITION = {
  stream: isCount,
  offset: isCount,
  reconnect_within_s: orAbsent(isSeconds),
  refused_subscriptions: orAbsent(isObject),
  refused_filters: orAbsent((value) => Array.isArray(value) && value.every(Array.isArray)),
};

/** What follows the kind, of every kind that this version knows. */
const KINDS: Record<string, Check[]> = {
  event: [isCount, isCount, isText, Array.isArray],
  reply: [isCount, () => true],
  error: [orAbsent(isCount), isObject],
  gap: [isGap],
  heartbeat: [has(POSITION)],
  connected: [
    has({
      ...POSITION,
      epoch: isText,
      connection: isText,
      session: isText,
      actor_id: isText,
      window_s: isSeconds,
      heartbeat_s: orAbsent((value) => isSeconds(value) && value !== 0),
      max_message_bytes: orAbsent(isCount),
      replayed: orAbsent(isCount),
      gap: orAbsent(isGap),
    }),
  ],
};

/**
 * Read a message of the server. Null for a kind that this version does not know: a newer server may send more.
 *
 * Throws `invalid_message` for one that is malformed.
 */
export function parseServerMessage(codec: Codec, payload: Payload): ServerMessage | null {
  let message: unknown;
  let cause: unknown;
  try {
    message = codec.decode(payload);
  } catch (error) {
    cause = error;
  }
  const [kind, ...rest] = Array.isArray(message) && isText(message[0]) ? message : [];
  if (isText(kind) && !Object.hasOwn(KINDS, kind)) return null;
  const checks = KINDS[kind];
  if (rest.length !== checks?.length || !checks.every((check, index) => check(rest[index]))) {
    throw new RingcastError("invalid_message", `malformed message: ${kind}`, { cause });
  }
  return message as ServerMessage;
}
