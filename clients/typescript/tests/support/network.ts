/** A network between a client and a server that can be cut, or fall silent with its sockets open. */

import { connect, createServer, type Server as NetServer, type Socket } from "node:net";

/** A TCP proxy on a port of its own. */
export class Network {
  readonly #server: NetServer;
  readonly #sockets = new Set<Socket>();
  /** Whose end the other side does not hear of either. */
  readonly #silenced = new WeakSet<Socket>();
  readonly #port: number;
  #down = false;
  /** How many connections have been asked for, also while it was down. */
  tries = 0;

  private constructor(server: NetServer, port: number, target: () => number) {
    this.#server = server;
    this.#port = port;
    server.on("connection", (near) => {
      this.tries += 1;
      if (this.#down) {
        near.on("error", () => {});
        near.resetAndDestroy();
        return;
      }
      const far = connect(target(), "127.0.0.1");
      this.#join(near, far);
      this.#join(far, near);
    });
  }

  /** Open a network to the port of `server` on this machine, whichever that is when a client connects. */
  static async to(server: { port: number }): Promise<Network> {
    const listening = createServer();
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
    const address = listening.address() as { port: number };
    return new Network(listening, address.port, () => server.port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Lose every connection, and take no more. */
  cut(): void {
    this.#down = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Take connections again. */
  restore(): void {
    this.#down = false;
  }

  /** Lose every connection; the next ones get through. */
  blink(): void {
    this.cut();
    this.restore();
  }

  /** Pass nothing on any more over the connections that there are, which stay open. */
  fallSilent(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.resume();
      this.#silenced.add(socket);
    }
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      if (!this.#silenced.has(from)) to.destroy();
    });
    from.pipe(to);
  }
}
