/**
 * What carries messages between a client and its server, and the usual transport: a WebSocket.
 *
 * A transport knows addresses and sockets, nothing of messages nor of coming back. Another one, such as
 * that of `event_stream.ts`, has to give no more than this.
 */

import { type Codec, isText, type Payload } from "./codec.js";

/** What a socket reports to. */
export interface Receiver {
  /** Learn that messages may be sent. */
  onOpen(): void;
  /**
   * Take one whole message, of so many characters: 0 says that the socket has made it, as no answer will come. An error of
   * which the server has not said itself has `fromServer: false`.
   */
  onMessage(payload: Payload, chars?: number): void;
  /** Learn, once, that the socket is gone or could not be had. `code` is the peer's; null if it sent none. */
  onLost(code: number | null, reason: string): void;
}

/** One way to the server, open or about to be. */
export interface Socket {
  /** Send one message. */
  send(payload: Payload): void;
  /** End the socket: with code 1000 the session as well; without a code the session waits. `onLost` follows. */
  close(code?: number): void;
  /** Drop the socket as if the network were lost. */
  abort(): void;
}

/** Opens sockets to one server. */
export interface Transport {
  /** Start to open a socket. What it throws ends the connection: the next attempt would end no better. */
  open(codec: Codec, receiver: Receiver): Socket;
}

/** As much of a WebSocket as is used: that of browsers, of `ws`, of undici, of Deno and Bun. */
export interface WebSocketLike {
  /** What the server has chosen. */
  protocol: string;
  binaryType: string;
  onopen: unknown;
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  /** Only in `ws`: without waiting for the other side. */
  terminate?(): void;
}

/** A class of WebSockets. */
export type WebSocketConstructor = new (url: string, protocols: string[], ...rest: any[]) => WebSocketLike;

/** Return the transport that opens WebSockets at `url`; `given` is the class to use, if not the global one. */
export function webSockets(url: string, given?: WebSocketConstructor): Transport {
  return {
    open(codec, receiver) {
      // Looked up when it is needed, so that a handle can call actions where there is none.
      const WebSocketClass = given ?? (globalThis.WebSocket as unknown as WebSocketConstructor | undefined);
      if (!WebSocketClass) throw new TypeError("no WebSocket: createClient({ url, WebSocket })");
      const { protocols } = codec;
      const socket = new WebSocketClass(url, protocols);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => receiver.onOpen();
      socket.onmessage = ({ data }: { data: string | ArrayBuffer }) => {
        const isBatch = isText(data) && socket.protocol === protocols[1];
        for (const each of isBatch ? data.split("\n") : [data]) {
          receiver.onMessage(isText(each) ? each : new Uint8Array(each));
        }
      };
      // Says nothing that `onclose`, which follows, does not; but where nobody listens, `ws` throws.
      socket.onerror = () => {};
      socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
        // Deno has 0 for it.
        receiver.onLost(code === 1006 || !code ? null : code, reason);
      return {
        send: (payload) => socket.send(payload),
        close: (code) => socket.close(code),
        abort: () => (socket.terminate ?? socket.close).call(socket),
      };
    },
  };
}
