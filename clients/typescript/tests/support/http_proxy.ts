/** A proxy of HTTP between a client and a server that answers some requests itself, as real ones do. */

import { once } from "node:events";
import { request as ask, createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** Takes the path of a request and its body, and returns the status with which to refuse it, if any. */
export type Refuse = (path: string, body: string) => number | false | undefined;

/** Refuse what is posted for an open stream and says `text`. */
export const posted =
  (status: number, text = ""): Refuse =>
  (path, body) =>
    path.endsWith("/session/messages") && body.includes(text) && status;

/** An HTTP proxy on a port of its own. */
export class HttpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  refuse: Refuse = () => false;
  /** What it says then, as JSON whatever it is. */
  page = "<html>";
  /** How it says it, behind the head. */
  say: (response: ServerResponse) => void = (response) => response.end(this.page);
  /** What it says in the head besides. */
  headers: Record<string, string> = {};
  /** The bodies of what it has refused. */
  refused: string[] = [];
  /** The connect messages that it has passed on. */
  connects: any[] = [];

  private constructor(target: string) {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      const { method, url: path = "", headers } = request;
      const status = this.refuse(path, `${body}`);
      if (status) {
        this.refused.push(`${body}`);
        response.writeHead(status, { "Content-Type": "application/json", ...this.headers });
        this.say(response);
        return;
      }
      if (path.endsWith("/events")) this.connects.push(JSON.parse(`${body}`));
      const onward = ask(`${target}${path}`, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode as number, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      onward.end(body);
    });
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  /** Open a proxy to the server at `target`. */
  static async to(target: string): Promise<HttpProxy> {
    const proxy = new HttpProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Lose every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
