/** A network between a client and a server that can be cut, fall silent with its sockets open, or let no WebSocket through. */

import { connect, createServer, type Server as NetServer, type Socket } from "node:net";

/**
 * What becomes of an upgrade: answered with 403; passed on without the headers that make it one; its socket closed; nothing;
 * its answer passed on, and nothing behind that.
 */
export const BLOCKS = ["refuse", "strip", "drop", "swallow", "mute"] as const;
const REFUSAL = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/** A TCP proxy on a port of its own. */
export class Network {
  readonly #server: NetServer;
  readonly #sockets = new Set<Socket>();
  /** Whose end the other side does not hear of either. */
  readonly #silenced = new WeakSet<Socket>();
  readonly #port: number;
  #down = false;
  /** What WebSockets meet; null lets them through. */
  block: (typeof BLOCKS)[number] | null = null;
  /** How many were asked for while something could block them. */
  upgrades = 0;
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
      if (this.block) near.once("data", (head: Buffer) => this.#filter(near, `${head}`, target()));
      else this.#pass(near, target());
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

  #pass(near: Socket, port: number): Socket {
    const far = connect(port, "127.0.0.1");
    this.#join(near, far);
    this.#join(far, near);
    return far;
  }

  /** Pass on what begins with `head`, which is not cut as it is short, if it is no upgrade; otherwise block it. */
  #filter(near: Socket, head: string, port: number): void {
    if (!/^upgrade: websocket/im.test(head)) {
      this.#pass(near, port).write(head);
      return;
    }
    this.upgrades += 1;
    near.on("error", () => {});
    if (this.block === "refuse") near.end(REFUSAL);
    else if (this.block === "drop") near.destroy();
    else if (this.block === "strip")
      this.#pass(near, port).write(head.replace(/^(upgrade|connection):.*\r\n/gim, ""));
    else {
      this.#sockets.add(near);
      near.on("close", () => this.#sockets.delete(near));
      if (this.block === "swallow") return;
      const far = connect(port, "127.0.0.1", () => far.write(head));
      far.on("error", () => {});
      far.once("data", (answer) => near.write(answer));
      near.on("close", () => far.destroy());
    }
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
