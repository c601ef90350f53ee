/**
 * Events as an asynchronous iterator: `for await (const article of connection.stream("newArticle"))`.
 *
 * A stream listens from the moment it is made until its loop is left, it is closed, or the connection ends. It is one
 * more listener of the connection, which tells the server when the last one has gone.
 */

import { RingcastError } from "./errors.js";
import type { Gap } from "./protocol.js";

type Result<T> = IteratorResult<T, undefined>;

/** What a read behind the end gives. */
const over = () => ({ done: true }) as IteratorReturnResult<undefined>;

/**
 * The events of one name, in order; made by `Connection.stream`. Iterate over it once.
 *
 * An event with one argument gives that argument, any other gives the array of its arguments. Rejects with
 * `events_lost` where events are missing; iterate again to go on behind the gap, or `close` it. Ends when this side
 * closes the connection; rejects with the connection's error when the other side ended it for good.
 *
 * A stream that is not read keeps at most `maxUnhandledEvents`; past that it loses them, and says so.
 */
export class EventStream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #maxItems: number;
  readonly #stop: () => void;
  /** What waits: each is the outcome of one read. */
  #items: (() => Result<T> | Promise<never>)[] = [];
  #readers: ((outcome: Result<T> | Promise<never>) => void)[] = [];
  #ended = false;

  /** @internal */
  constructor(maxItems: number, listen: (stream: EventStream<T>) => () => void) {
    this.#maxItems = maxItems;
    this.#stop = listen(this);
  }

  /** Wait for the next event. */
  next(): Promise<Result<T>> {
    return new Promise((resolve) => {
      this.#readers.push(resolve);
      this.#serve();
    });
  }

  /** Leave the loop: what `break` and `return` in it do. */
  async return(): Promise<Result<T>> {
    this.close();
    return over();
  }

  /** Stop listening and forget what waits; a second time does nothing. */
  close(): void {
    this.#stop();
    this.#items = [];
    this.end(null);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @internal */
  put(args: unknown[]): void {
    if (this.#items.length >= this.#maxItems) {
      this.#items = [];
      this.putGap({ reason: "not_read" });
    }
    const value = (args.length === 1 ? args[0] : args) as T;
    this.#add(() => ({ done: false, value }));
  }

  /** @internal */
  putGap(gap: Gap): void {
    const error = new RingcastError("events_lost", `events are lost (${gap.reason})`, { metadata: gap });
    this.#add(() => Promise.reject(error));
  }

  /** @internal */
  end(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#add(error ? () => Promise.reject(error) : over);
  }

  #add(item: () => Result<T> | Promise<never>): void {
    this.#items.push(item);
    this.#serve();
  }

  #serve(): void {
    while (this.#readers.length && (this.#items.length || this.#ended)) {
      this.#readers.shift()?.((this.#items.shift() ?? over)());
    }
  }
}
