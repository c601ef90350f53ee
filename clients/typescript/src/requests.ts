/**
 * The requests of one session: numbered, waiting, sent again, settled. Pure: it sends nothing itself.
 *
 * Ids count up by one within a session, over calls and subscriptions together. A request that was sent keeps its id
 * and its payload until it is answered, so that it can be sent again after a lost network and the server can tell
 * that it is the same. A call that was never sent has no id yet, only its arguments.
 */

import type { Payload } from "./codec.js";
import type { Config } from "./config.js";
import { RingcastError } from "./errors.js";
import { ACKNOWLEDGE_AT, ACKNOWLEDGE_AT_CHARS } from "./limits.js";
import { toWire } from "./topics.js";

/** One message to the server that is answered, and who waits for the answer. */
export interface Request {
  kind: "call" | "subscribe" | "unsubscribe";
  /** Of a call the action, of others the topic. */
  name: string;
  /** The arguments of a call. */
  args?: unknown[];
  /** Takes the value of a reply, or the error that came instead of one. */
  settle(error: RingcastError | null, value?: unknown): void;
  /** Absent until it is sent in the present session. */
  id?: number;
  /** What was sent, for sending it again. */
  payload?: Payload;
}

/** Everything asked of the server that has no answer yet. */
export class Requests {
  readonly #config: Config;
  /** Most of one message, as the server has said. */
  maxBytes = Infinity;
  #lastId = 0;
  /** The highest id that was answered in the present session; 0 if none was. */
  answered = 0;
  /** By id, and so in the order of sending. Null where nobody waits any more: each takes a place at the server until its answer comes. */
  readonly #sent = new Map<number, Request | null>();
  /** Calls made while there was no network, or too many were unanswered; never sent in any session. */
  #queued: Request[] = [];
  /** What the latest connect message called unanswered. */
  #told: number[] = [];
  /** Answers that the server does not know to have arrived, or that nobody wants if there are any. */
  #received: number[] = [];
  #receivedChars = 0;

  constructor(config: Config) {
    this.#config = config;
  }

  get #hasRoom(): boolean {
    return this.#sent.size < this.#config.maxUnansweredCalls;
  }

  /** Tell whether the server would not take a message. */
  isTooBig(payload: Payload): boolean {
    // Of a text, each unit takes three bytes at most: little has to be counted.
    return payload.length * 3 > this.maxBytes && new Blob([payload]).size > this.maxBytes;
  }

  /**
   * Number a request and return its payload: send it at once. One that is longer than the server takes is settled with
   * `message_too_big` instead, and nothing is returned: sent, it would end the whole connection. Throws what encoding throws.
   * In neither case is an id used up. Of a subscription it is `connect`, the connect message with it, that must not be too long.
   */
  send(request: Request, connect?: Payload | false): Payload[] {
    const { kind, name, args } = request;
    const id = this.#lastId + 1;
    const payload = this.#config.codec.encode(args ? [kind, id, name, args] : [kind, id, toWire(name)]);
    if (this.isTooBig(connect || payload)) {
      request.settle(new RingcastError("message_too_big", `not sent: over ${this.maxBytes} bytes`));
      return [];
    }
    request.payload = payload;
    request.id = this.#lastId = id;
    this.#sent.set(id, request);
    return [payload];
  }

  /**
   * Number a call and return its payload, as `send` does, or keep it until there is a network, and room for it.
   *
   * The arguments of one that is kept are copied now: what the caller does to them later changes nothing, and what cannot
   * be encoded is thrown now; whether it is too long is seen when it is sent. Throws `offline_queue_full` past the bound on
   * those that wait for the network, and `too_many_calls` past that on those that wait for room.
   */
  submit(request: Request, offline: boolean): Payload[] {
    if (!offline && !this.#queued.length && this.#hasRoom) return this.send(request);
    const { codec, maxOfflineCalls, maxUnansweredCalls } = this.#config;
    if (this.#queued.length >= (offline ? maxOfflineCalls : maxUnansweredCalls * 16)) {
      throw new RingcastError(offline ? "offline_queue_full" : "too_many_calls", "too many calls wait");
    }
    // In an array, as the message will have them: what is nested too deep by then is thrown now as well.
    [request.args] = codec.decode(codec.encode([request.args])) as [unknown[]];
    this.#queued.push(request);
    return [];
  }

  /** Forget a request whose caller has gone: it is not sent any more, and its answer is ignored. */
  abandon(request: Request): void {
    // By identity: in a new session another request may have the same id.
    const id = request.id as number;
    if (this.#sent.get(id) === request) {
      this.#sent.set(id, null);
    } else {
      this.#queued = this.#queued.filter((other) => other !== request);
    }
  }

  /**
   * Settle the request `id`, whose answer took so many characters; if nobody waits for it, only note it. One of none is no
   * answer to it: without an error the request is given up, with one it was refused unread, by the server or on the way. Only
   * of one that was sent for the first time does that say that it did not run.
   */
  answer(id: number, error: RingcastError | null, value: unknown, chars: number): void {
    const request = this.#sent.get(id);
    this.#sent.delete(id);
    // Also what was refused: the server may have answered it before the network was lost.
    this.#received.push(id);
    this.#receivedChars += chars;
    if (chars) {
      if (id <= this.#lastId) this.answered = Math.max(this.answered, id);
    } else if (!error || this.#told.includes(id)) {
      error = new RingcastError("outcome_unknown", `${request?.name} ran once or not at all`, {
        cause: error,
      });
    }
    request?.settle(error, value);
  }

  /** Return the message that says which answers have arrived, if it is time for it: send what is returned at once. */
  received(): Payload[] {
    if (this.#received.length < ACKNOWLEDGE_AT && this.#receivedChars < ACKNOWLEDGE_AT_CHARS) return [];
    this.#receivedChars = 0;
    // No more at a time: it is a message like any other, and has to be short enough.
    return [this.#config.codec.encode(["received", this.#received.splice(0, ACKNOWLEDGE_AT)])];
  }

  /** Forget subscriptions that were not answered: the next connect message carries the whole set. */
  lost(): void {
    for (const [id, request] of this.#sent) if (!request?.args) this.#sent.delete(id);
  }

  /** Return what the connect message says about the past: all other answers have arrived. */
  unanswered(): number[] {
    this.#giveUp((payload) => !payload);
    return (this.#told = [...this.#sent.keys()]);
  }

  /**
   * Return the payloads of unanswered calls, to be sent again in a session that was resumed.
   *
   * Those that are longer than the server takes now, as it has been restarted with another limit, reject with
   * `outcome_unknown`: sent, they would end the whole connection.
   */
  resend(): Payload[] {
    this.#giveUp((payload) => !payload || this.isTooBig(payload));
    return [...this.#sent.values()].map((request) => request?.payload as Payload);
  }

  /** Start the ids of a new session; calls sent in the old one reject with `outcome_unknown`. */
  reset(): void {
    this.#giveUp(() => true);
    this.#lastId = this.answered = 0;
    this.#told = [];
    this.#received = [];
  }

  /** Number the calls that waited, as far as there is room, and return their payloads: send them at once. */
  sendQueued(): Payload[] {
    const payloads: Payload[] = [];
    while (this.#queued.length && this.#hasRoom) payloads.push(...this.send(this.#queued.shift() as Request));
    return payloads;
  }

  /** The connection has ended: what was sent may have run, what was not rejects with `error`. */
  end(error: RingcastError): void {
    this.lost();
    this.reset();
    for (const request of this.#queued.splice(0)) request.settle(error);
  }

  /** Reject calls that were sent and are not sent again (without a payload: that have no caller); their answers are not wanted. */
  #giveUp(which: (payload: Payload | undefined) => boolean): void {
    for (const [id, request] of this.#sent) if (which(request?.payload)) this.answer(id, null, null, 0);
  }
}
