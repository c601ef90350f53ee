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
    if (isText(transport)) {
      // Server-sent events are text.
      const ways = ["auto", "websocket", /json/.test(`${config.codec.protocols}`) && "sse"];
      if (!ways.includes(transport)) throw new RangeError(`no transport ${transport}`);
      this.transport = webSockets(`${this.#baseUrl.replace(/^http/, "ws")}/connect`, WebSocket);
    } else this.transport = transport;
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
    { actor, params, ...fields }: Address,
    path: string,
    args?: unknown[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    const url = `${this.#baseUrl}/actors/${encodeURIComponent(actor)}/${path}`;
    const body = json.encode({
      ...fields,
      args,
      params: typeof params === "function" ? await params() : params,
    }) as string;
    const timeout = AbortSignal.timeout(this.#config.httpTimeoutMs);
    let response: Response;
    let text: string;
    try {
      response = await this.#fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
        signal: signal ? AbortSignal.any([timeout, signal]) : timeout,
      });
      // A body that is cut off rejects as a lost network does.
      text = await response.text();
    } catch (cause) {
      signal?.throwIfAborted();
      const code = ((cause as Error)?.cause as { code?: string } | undefined)?.code as string;
      // What Node says when nothing was sent. Browsers do not say.
      const isUnsent = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)$/.test(code);
      throw new RingcastError(
        isUnsent ? "unreachable" : "outcome_unknown",
        `no answer from ${url}: ${code ?? cause}`,
        { cause },
      );
    }
    let answer: any;
    try {
      answer = JSON.parse(text);
    } catch {
      // It is somebody else's.
    }
    const found = answer?.[args ? "value" : "actor_id"];
    if (response.ok && found !== undefined) return found;
    // What has it not is somebody else's, whatever it looks like; and so is a body that was put in the place of the server's.
    const error = response.headers.has("Ringcast-Error") && answer?.error;
    throw fromWire(
      codeOf(error)
        ? error
        : {
            code: { 401: "unauthorized", 403: "forbidden", 413: "message_too_big" }[response.status],
            message: `${url}: status ${response.status}`,
            fromServer: false,
          },
    );
  }
}
