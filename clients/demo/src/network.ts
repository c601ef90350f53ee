/**
 * The page's network: WebSockets and requests that can be cut, all at once, and that are refused for as long as they are.
 *
 * The client knows nothing of it. What it sees is what a lost network shows it: a socket that ends with 1006, and
 * others that do not open. What the server sends meanwhile reaches nobody here.
 */

import type { WebSocketConstructor, WebSocketLike } from "@ringcast/client";

/** How a socket ends of which no close frame came. */
const LOST = { code: 1006, reason: "" };
/** How a request fails without a network. */
const LOST_REQUEST = new TypeError("the network is cut");

export class Network {
  /** When it was cut, by `Date.now`; null while there is a network. */
  cutAt: number | null = null;
  /** When it comes back. */
  backAt: number | null = null;
  /** What clients open. */
  readonly WebSocket: WebSocketConstructor;
  /** What clients ask with, and get events by where no WebSocket gets through. */
  readonly fetch: typeof fetch = (input, init) => {
    if (this.isCut) return Promise.reject(LOST_REQUEST);
    const cut = this.#requests.signal;
    return fetch(input, { ...init, signal: init?.signal ? AbortSignal.any([init.signal, cut]) : cut });
  };
  readonly #sockets = new Set<CuttableSocket>();
  readonly #watchers = new Set<() => void>();
  #requests = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `given` is the class that really connects; the browser's if it is not given. */
  constructor(given?: WebSocketConstructor) {
    const network = this;
    const sockets = this.#sockets;
    this.WebSocket = class extends CuttableSocket {
      constructor(url: string, protocols: string[]) {
        const Real = given ?? (globalThis.WebSocket as unknown as WebSocketConstructor);
        super(network.cutAt === null ? new Real(url, protocols) : null);
        sockets.add(this);
      }

      override forget(): void {
        sockets.delete(this);
      }
    };
  }

  get isCut(): boolean {
    return this.cutAt !== null;
  }

  /** Drop every socket and request, and refuse others for so many seconds. */
  cut(seconds: number): void {
    clearTimeout(this.#timer);
    this.cutAt = Date.now();
    this.backAt = this.cutAt + seconds * 1000;
    this.#timer = setTimeout(() => this.restore(), seconds * 1000);
    for (const socket of [...this.#sockets]) socket.lose();
    this.#requests.abort(LOST_REQUEST);
    this.#requests = new AbortController();
    this.#tell();
  }

  /** Let sockets open again, and say so as a browser does. */
  restore(): void {
    if (!this.isCut) return;
    clearTimeout(this.#timer);
    this.cutAt = null;
    this.backAt = null;
    this.#tell();
    globalThis.dispatchEvent(new Event("online"));
  }

  /** Run `watcher` whenever the network was cut or came back; return a function that ends this. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** One socket of the page: a real one, or none while the network is cut. */
class CuttableSocket implements WebSocketLike {
  onopen: unknown = null;
  onmessage: unknown = null;
  onclose: unknown = null;
  onerror: unknown = null;
  readonly #real: WebSocketLike | null;
  #isLost = false;

  constructor(real: WebSocketLike | null) {
    this.#real = real;
    if (!real) {
      // As a browser does it: after whoever made it has had the time to listen.
      setTimeout(() => this.lose());
      return;
    }
    for (const name of ["onopen", "onmessage", "onerror"] as const) {
      real[name] = (event: unknown) => {
        if (!this.#isLost) call(this[name], event);
      };
    }
    real.onclose = (event: unknown) => this.#end(event);
  }

  get protocol(): string {
    return this.#real?.protocol ?? "";
  }

  get binaryType(): string {
    return this.#real?.binaryType ?? "arraybuffer";
  }

  set binaryType(type: string) {
    if (this.#real) this.#real.binaryType = type;
  }

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (!this.#isLost) this.#real?.send(data);
  }

  close(code?: number): void {
    this.#real?.close(code);
  }

  /** End as with a lost network. The server is left to find out: its session waits for this client. */
  lose(): void {
    if (this.#isLost) return;
    // Without a code: with one, the session would end.
    this.#real?.close();
    this.#end(LOST);
  }

  forget(): void {}

  #end(event: unknown): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.forget();
    call(this.onclose, event);
  }
}

function call(handler: unknown, event: unknown): void {
  if (typeof handler === "function") handler(event);
}
