/**
 * One socket of a connection: from its connect message to its loss, messages decoded on the way in.
 *
 * A link is used once. It hands everything to the connection that owns it, for as long as it is that connection's
 * present link; what an abandoned socket still brings is dropped.
 */

import type { Payload } from "./codec.js";
import type { Config } from "./config.js";
import { fromWire, type RingcastError } from "./errors.js";
import { Liveness } from "./liveness.js";
import { parseServerMessage, type ServerMessage } from "./protocol.js";
import type { Receiver, Socket, Transport } from "./transport.js";

/** How a socket ended. */
export interface Loss {
  /** The close code of the server; null when none came, or this side gave up on what did come. */
  code: number | null;
  reason: string;
  /** What the server said before it closed, or what was wrong. */
  error?: any;
  /** Whether the user has to hear of the error: it is nobody's network. */
  report?: boolean;
}

/** What a link reports to. */
export interface LinkOwner {
  /** Return the connect message, as of now. */
  connectMessage(): Payload;
  /** Take a message of this size, in the order of arrival. */
  onMessage(message: ServerMessage, chars: number): void;
  /** Ask the server for a sign of life: nothing has come from it for a while. */
  ask(): void;
  /** Learn, once, that the socket is gone. */
  onLost(loss: Loss): void;
}

/** A socket and what is known about its end. */
export class Link implements Receiver {
  readonly #owner: LinkOwner;
  readonly #config: Config;
  #socket: Socket | null = null;
  #error: RingcastError | undefined;
  #ended = false;
  #heard = false;
  /** Until the answer to the connect message, the time for it; from then on, the server's signs of life. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #onClosed: (() => void) | undefined;

  constructor(owner: LinkOwner, config: Config) {
    this.#owner = owner;
    this.#config = config;
  }

  /** Open the socket; what comes of it is reported. Throws what the transport throws. */
  open(transport: Transport): void {
    const { codec, connectTimeoutMs } = this.#config;
    this.#socket = transport.open(codec, this);
    this.#timer = setTimeout(() => this.#giveUp(connectTimeoutMs), connectTimeoutMs);
  }

  /** The connect message was accepted, by a server that sends heartbeats this often (null: none). */
  begin(heartbeatS: number | null | undefined): void {
    clearTimeout(this.#timer);
    this.#watch(new Liveness(this.#config, heartbeatS));
  }

  send(...payloads: Payload[]): void {
    for (const payload of payloads) this.#socket?.send(payload);
  }

  /** Close the socket and the session, and wait for the server, but not too long. Nothing is reported any more. */
  close(): Promise<void> {
    this.#end();
    return new Promise((resolve) => {
      this.#onClosed = resolve;
      // After the time is up, or at once where there is no socket.
      this.#timer = setTimeout(
        () => {
          this.#socket?.abort();
          resolve();
        },
        this.#socket ? this.#config.closeTimeoutMs : 0,
      );
      this.#socket?.close(1000);
    });
  }

  // What the transport calls.

  onOpen(): void {
    if (this.#ended) return;
    try {
      this.send(this.#owner.connectMessage());
    } catch (error) {
      // Parameters that cannot be encoded, for example: the next attempt may have others.
      this.#fail(error);
    }
  }

  onMessage(payload: Payload, chars = payload.length): void {
    this.#heard = true;
    if (this.#ended) return;
    let message: ServerMessage | null;
    try {
      message = parseServerMessage(this.#config.codec, payload);
    } catch (error) {
      // An invalid message.
      this.#fail(error, 4001);
      return;
    }
    if (message?.[0] === "error" && message[1] === null) {
      // A close frame follows, and says whether this was final.
      this.#error = fromWire(message[2]);
    } else if (message) {
      this.#owner.onMessage(message, chars);
    }
  }

  onLost(code: number | null, reason: string): void {
    this.#lose({ code, reason, error: this.#error });
    clearTimeout(this.#timer);
    this.#onClosed?.();
  }

  // Inner parts.

  #watch(liveness: Liveness): void {
    // A clock that goes on while the machine sleeps.
    const dueAt = Date.now() + liveness.tickMs;
    this.#timer = setTimeout(() => {
      const late = Date.now() - dueAt > liveness.lostAfterMs;
      const step = liveness.tick(this.#heard, late);
      this.#heard = false;
      if (step === "give up") {
        this.#giveUp(liveness.lostAfterMs);
      } else {
        this.#watch(liveness);
        if (step === "ask") this.#owner.ask();
      }
    }, liveness.tickMs);
  }

  #giveUp(afterMs: number): void {
    this.onLost(null, `no answer in ${afterMs} ms`);
    this.#socket?.abort();
  }

  /** Something is wrong that is no fault of the network's: tell, and leave the socket with this close code. */
  #fail(error: unknown, code?: number): void {
    this.#lose({ code: null, reason: "", error, report: true });
    this.#socket?.close(code);
  }

  #lose(loss: Loss): void {
    if (this.#ended) return;
    this.#end();
    this.#owner.onLost(loss);
  }

  #end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}
