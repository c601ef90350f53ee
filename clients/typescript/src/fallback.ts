/**
 * Which way a connection takes to its server: a WebSocket, or server-sent events where none gets through.
 *
 * Networks that block WebSockets refuse the upgrade, or never answer it, or take it and hand nothing on. A server that is
 * down looks much the same; it is told from that by whether it answers a plain request.
 *
 * It is loaded when a WebSocket has failed, or is not wanted (`endpoint.ts`). So that all of it stays out of what every page
 * loads, it imports no values but those of `event_stream.ts`.
 */

import type { Codec, Payload } from "./codec.js";
import type { ClientOptions, Config } from "./config.js";
import { EventStreamSocket, type Source } from "./event_stream.js";
import type { Receiver, Socket, Transport } from "./transport.js";

/**
 * Of the time for connecting, for one upgrade, and half of it for one plain request: both are tried twice at most, and
 * the stream of events has to be opened in what is left.
 */
const SHARE = 0.25;
/** Upgrades that fail, each while the server answers otherwise, until they count as blocked. */
const TRIES = 2;
/** WebSockets in a row over which nothing came from the server, until they count as blocked. */
const MOST_UNANSWERED = 3;
/** What a server begins with that has taken a connection; one that is full says something else. */
const ACCEPTED = '["connected",';

/** The ways to one server. */
interface Ways extends Source {
  /** Null where only server-sent events are wanted. */
  webSockets: Transport | null;
  connectTimeoutMs: number;
  websocketRetryMs: number;
}

/** What is known about the ways to one server. */
interface Known {
  /** Until when no WebSocket is tried. */
  blockedUntil: number;
  /** WebSockets, the latest ones, over which nothing came from the server. */
  unanswered: number;
}

/** Return the transport that takes the way that there is to `baseUrl`, for all connections of a client. */
export function eitherWay(
  way: ClientOptions["transport"],
  webSockets: Transport,
  baseUrl: string,
  http: typeof fetch,
  config: Config,
): Transport {
  // Asked for by two connections at once: it has been made.
  if (way === "websocket") return webSockets;
  const ways: Ways = { ...config, baseUrl, fetch: http, webSockets: way === "sse" ? null : webSockets };
  // One has failed, or this would not have been loaded.
  const known: Known = { blockedUntil: 0, unanswered: 1 };
  return {
    open: (codec, receiver) =>
      // What else there is to say is said in JSON alone.
      codec.protocols[0]?.endsWith("json")
        ? new EitherSocket(ways, known, codec, receiver)
        : webSockets.open(codec, receiver),
  };
}

/** Tell whether a Ringcast server answers plain requests. */
async function answers({ baseUrl, fetch, connectTimeoutMs }: Ways): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout((connectTimeoutMs * SHARE) / 2);
    const response = await fetch(`${baseUrl}/health`, { signal });
    return (await response.json()).status === "ok";
  } catch {
    return false;
  }
}

/** A socket of the one kind or the other, whichever is the first to open. */
class EitherSocket implements Socket {
  readonly #ways: Ways;
  readonly #known: Known;
  readonly #codec: Codec;
  readonly #receiver: Receiver;
  /** The present one. */
  #socket: Socket | null = null;
  /** Its owner is done with it: nothing more is tried. */
  #left = false;
  /** WebSockets that could not be opened. */
  #failed = 0;

  constructor(ways: Ways, known: Known, codec: Codec, receiver: Receiver) {
    this.#ways = ways;
    this.#known = known;
    this.#codec = codec;
    this.#receiver = receiver;
    const { webSockets } = ways;
    if (!webSockets || performance.now() < known.blockedUntil) {
      this.#openEvents();
    } else if (known.unanswered < MOST_UNANSWERED) {
      this.#openWebSocket(webSockets);
    } else {
      this.#failed = TRIES;
      void this.#goOn(webSockets, "nothing comes over WebSockets");
    }
  }

  send(payload: Payload): void {
    this.#socket?.send(payload);
  }

  close(code?: number): void {
    this.#left = true;
    this.#socket?.close(code);
  }

  abort(): void {
    this.#left = true;
    this.#socket?.abort();
  }

  #openWebSocket(webSockets: Transport): void {
    let isOpen = false;
    let heard = false;
    const timer = setTimeout(() => this.#socket?.abort(), this.#ways.connectTimeoutMs * SHARE);
    this.#socket = webSockets.open(this.#codec, {
      onOpen: () => {
        clearTimeout(timer);
        isOpen = true;
        this.#receiver.onOpen();
      },
      onMessage: (payload) => {
        heard = true;
        this.#known.unanswered = 0;
        this.#receiver.onMessage(payload);
      },
      onLost: (code, reason) => {
        clearTimeout(timer);
        if (isOpen) {
          if (!heard && code === null) this.#known.unanswered += 1;
          this.#receiver.onLost(code, reason);
        } else {
          this.#failed += 1;
          void this.#goOn(webSockets, reason);
        }
      },
    });
  }

  /** No WebSocket could be opened: try again, or something else, if it is not the server that is gone. */
  async #goOn(webSockets: Transport, reason: string): Promise<void> {
    if (this.#left || !(await answers(this.#ways)) || this.#left) this.#receiver.onLost(null, reason);
    else if (this.#failed < TRIES) this.#openWebSocket(webSockets);
    else this.#openEvents();
  }

  #openEvents(): void {
    const known = this.#known;
    known.unanswered = 0;
    let works = false;
    this.#socket = new EventStreamSocket(this.#ways, {
      onOpen: () => this.#receiver.onOpen(),
      onMessage: (payload, chars) => {
        if (!works && payload.toString().startsWith(ACCEPTED)) {
          works = true;
          this.#remember();
        }
        this.#receiver.onMessage(payload, chars);
      },
      onLost: (code, reason) => {
        // That is no way either: perhaps the other one is by now.
        if (!works) known.blockedUntil = 0;
        this.#receiver.onLost(code, reason);
      },
    });
  }

  /** A stream of events has been taken where WebSockets failed. */
  #remember(): void {
    const { webSockets, baseUrl, websocketRetryMs } = this.#ways;
    const now = performance.now();
    if (!webSockets || now < this.#known.blockedUntil) return;
    this.#known.blockedUntil = now + websocketRetryMs;
    console.warn(`ringcast: WebSockets do not get through to ${baseUrl}: using server-sent events`);
  }
}
