/**
 * Where a client finds its server: calls over HTTP, and the transport of its connections.
 *
 * An endpoint knows addresses, nothing of listeners or of coming back.
 */

import { json } from "./codec.js";
import type { ClientOptions } from "./config.js";
import { fromWire, RingcastError } from "./errors.js";
import type { Address } from "./protocol.js";
import { type Transport, webSockets } from "./transport.js";

/** What Node says when nothing was sent. Browsers do not say. */
const NEVER_SENT = /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN)$/;

/**
 * Return the base address for calls of the server at `url`, which may have a path.
 *
 * Throws `TypeError` for what is no address of a server.
 */
export function baseUrl(url: string | URL): string {
  const { protocol, origin, pathname, search, hash, username } = new URL(url, globalThis.location?.href);
  if (!/^https?:$/.test(protocol) || search || hash || username) {
    throw new TypeError(`${url} is no server address`);
  }
  return origin + pathname.replace(/\/+$/, "");
}

/** A server behind a URL. */
export class Endpoint {
  readonly #baseUrl: string;
  readonly #fetch: typeof fetch;
  readonly #timeoutMs: number;
  declare readonly transport: Transport;

  constructor(options: ClientOptions, timeoutMs: number) {
    this.#baseUrl = baseUrl(options.url);
    this.#timeoutMs = timeoutMs;
    this.#fetch = options.fetch ?? ((...args) => fetch(...args));
    this.transport =
      options.transport ?? webSockets(`${this.#baseUrl.replace(/^http/, "ws")}/connect`, options.WebSocket);
  }

  /** Run an action without a connection. Rejects with the error that it ends with. */
  async call(
    address: Address,
    action: string,
    args: readonly unknown[],
    signal?: AbortSignal,
  ): Promise<unknown> {
    const path = `actions/${encodeURIComponent(action)}`;
    return (await this.#post(address, path, { args }, signal)).value;
  }

  /** Find, or create, the actor and return its id. */
  async resolve(address: Address, signal?: AbortSignal): Promise<string> {
    return (await this.#post(address, "resolve", {}, signal)).actor_id as string;
  }

  async #post(
    address: Address,
    path: string,
    extra: object,
    signal?: AbortSignal,
  ): Promise<Record<string, unknown>> {
    const { actor, ...fields } = address;
    const url = `${this.#baseUrl}/actors/${encodeURIComponent(actor)}/${path}`;
    const body = json.encode({ ...fields, ...extra }) as string;
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await this.#fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body,
        signal: signal ? AbortSignal.any([timeout, signal]) : timeout,
      });
      // A body that is cut off rejects as a lost network does; one that is no JSON is somebody else's.
      return answer(url, response.status, await response.text());
    } catch (cause) {
      if (cause instanceof RingcastError) throw cause;
      signal?.throwIfAborted();
      const code = ((cause as Error)?.cause as { code?: string } | undefined)?.code ?? "";
      if (NEVER_SENT.test(code)) {
        throw new RingcastError("unreachable", `cannot reach ${this.#baseUrl}: ${code}`, { cause });
      }
      const message = `no answer from ${this.#baseUrl}: the call ran once or not at all`;
      throw new RingcastError("outcome_unknown", message, { cause });
    }
  }
}

function answer(url: string, status: number, text: string): Record<string, unknown> {
  let body: Record<string, unknown> | null = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Below.
  }
  if (body?.error) throw fromWire(body.error);
  if (status === 200 && body) return body;
  throw new RingcastError("internal_error", `${url}: status ${status}`);
}
