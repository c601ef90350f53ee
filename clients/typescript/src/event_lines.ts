/**
 * Server-sent events out of the text of a response (WHATWG HTML, section 9.2.6): pure.
 *
 * Only `event` and `data` are read: positions are in the messages, and when to come back is `backoff.ts`'s.
 */

/** One event: its type, `message` where it has none, and its data. */
export type ServerSentEvent = [kind: string, data: string];

/** Takes text as it comes, and gives the events that are whole. */
export class EventLines {
  /** A line whose end has not come. */
  #line = "";
  #endedWithCr = false;
  #kind = "";
  #data: string[] = [];

  /** Return the events that `text` completes. */
  feed(text: string): ServerSentEvent[] {
    // The second half of a line's end.
    const rest = this.#endedWithCr && text[0] === "\n" ? text.slice(1) : text;
    if (text) this.#endedWithCr = rest.endsWith("\r");
    const events: ServerSentEvent[] = [];
    const [first = "", ...others] = rest.split(/\r\n|\r|\n/);
    this.#line += first;
    for (const next of others) {
      this.#take(this.#line, events);
      this.#line = next;
    }
    return events;
  }

  #take(line: string, events: ServerSentEvent[]): void {
    if (line) {
      const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (name === "data") this.#data.push(value);
      else if (name === "event") this.#kind = value;
      return;
    }
    if (this.#data.length) events.push([this.#kind || "message", this.#data.join("\n")]);
    this.#kind = "";
    this.#data = [];
  }
}
