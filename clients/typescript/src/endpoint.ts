/**
 * Where a client finds its server: calls over HTTP, and the transport of its connections.
 *
 * An endpoint knows addresses, nothing of listeners or of coming back.
 */

import { isText, json } from "./codec.js";
import type { ClientOptions, Config } from "./config.js";
import { codeOf, fromWire, RingcastError } from "./errors.js";
import type { Address } from "./protocol.js";
import { type Transport, webSockets } from "./transport.js";

/**
 * Return the base address for calls of the server at `url`, which may have a path.
 *
 * Throws `TypeError` for what is no address of a server.
 */
export function baseUrl(url: string | URL): string {
  const { href } = new URL(url, globalThis.location?.href);
  // Without a user, a query and a fragment.
  const [, base] = /^(https?:\/\/[^/?#@]+(\/[^?#]*?)??)\/*$/.exec(href) ?? [];
  if (!base) throw new TypeError(`${url} is no server address`);
  return base;
}

/** Return the parameters that were given, or that the function which was given gives: perhaps a promise of them. */
export const paramsOf = (params: unknown): unknown => (typeof params === "function" ? params() : params);

/** A server behind a URL. */
export class Endpoint {
  readonly #baseUrl: string;
  readonly #fetch: typeof fetch;
  readonly #config: Config;
  /** Opens the next socket of a connection. */
  declare transport: Transport;
  /** How the transport was chosen; `websocket` also once nothing is left to choose. */
  #way: ClientOptions["transport"];

  constructor(options: ClientOptions, config: Config) {
    const { transport = "auto", WebSocket } = options;
    this.#baseUrl = baseUrl(options.url);
    this.#fetch = options.fetch ?? ((...args) => fetch(...args));
    this.#config = config;
    this.#way = transport;
    this.transport = transport as Transport;
    if (isText(transport)) {
      // Server-sent events are text.
      const ways = ["auto", "websocket", /json/.test(`${config.codec.protocols}`) && "sse"];
      if (!ways.includes(transport)) throw new RangeError(`no transport ${transport}`);
      this.transport = webSockets(`${this.#baseUrl.replace(/^http/, "ws")}/connect`, WebSocket);
    }
  }

  /**
   * Load what reads server-sent events, if `way` is how the transport was chosen and it is not loaded: at once where nothing
   * else is wanted, otherwise when nothing has come over a WebSocket.
   *
   * Rejects with `unreachable` if it cannot be loaded.
   */
  async load(way: "auto" | "sse"): Promise<void> {
    if (this.#way !== way) return;
    try {
      // Not before there is a network: what could not be loaded once, some browsers do not try to load again.
      const signal = AbortSignal.timeout(this.#config.connectTimeoutMs);
      await this.#fetch(`${this.#baseUrl}/health`, { signal });
      const { eitherWay } = await import("./fallback.js");
      this.transport = eitherWay(this.#way, this.transport, this.#baseUrl, this.#fetch, this.#config);
      this.#way = "websocket";
    } catch (cause) {
      throw new RingcastError("unreachable", `${cause}`, { cause });
    }
  }

  /**
   * Ask something of an actor without a connection, and return what it gives: with `args` the value of the action that
   * `path` names, otherwise the actor's id. Rejects with the error that it ends with.
   */
  async post(
    { actor, ...fields }: Address,
    path: string,
    args?: unknown[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    const url = `${this.#baseUrl}/actors/${encodeURIComponent(actor)}/${path}`;
    const body = json.encode({ ...fields, args }) as string;
    const timeout = AbortSignal.timeout(this.#config.httpTimeoutMs);
    let response!: Response;
    let answer: any;
    try {
      response = await this.#fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
        signal: signal ? AbortSignal.any([timeout, signal]) : timeout,
      });
      // An error that is not marked is somebody else's, whatever it looks like. Not read, it would keep its socket.
      if (response.ok || response.headers.has("Ringcast-Error")) answer = await response.json();
      else response.body?.cancel().catch(() => {});
    } catch (cause: any) {
      signal?.throwIfAborted();
      // A body that is cut off rejects as a lost network does; one that is no JSON is somebody else's.
      if (cause?.name !== "SyntaxError") {
        const code = cause?.cause?.code;
        throw new RingcastError(
          // What Node says when nothing was sent. Browsers do not say.
          /CONNREFUSED|NOTFOUND|AI_AGAIN/.test(code) ? "unreachable" : "outcome_unknown",
          `no answer from ${url}: ${code ?? cause}`,
          { cause },
        );
      }
    }
    const found = answer?.[args ? "value" : "actor_id"];
    const error = answer?.error;
    if (response.ok && !error && (args ? found !== undefined : isText(found))) return found;
    // A body that was put in the place of the server's is somebody else's as well.
    throw fromWire(
      !response.ok && codeOf(error)
        ? error
        : {
            // With 502 and 504 a proxy says that it has passed it on, and nothing of what became of it.
            code: {
              401: "unauthorized",
              403: "forbidden",
              413: "message_too_big",
              502: "outcome_unknown",
              504: "outcome_unknown",
            }[response.status],
            message: `${url}: status ${response.status}`,
            fromServer: false,
          },
    );
  }
}
