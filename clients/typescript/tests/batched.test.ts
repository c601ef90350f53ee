/** Messages that come as one, from a server whose frames another program makes. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { type Codec, json, type Payload } from "../src/codec.js";
import { webSockets } from "../src/transport.js";

/** What a client gets of one message of a server that chooses this one of the subprotocols that are offered. */
async function received(codec: Codec, message: string | Uint8Array, chosen: number): Promise<Payload[]> {
  const offered: string[][] = [];
  const server = new WebSocketServer({
    port: 0,
    handleProtocols: (names) => {
      offered.push([...names]);
      return [...names][chosen] ?? false;
    },
  });
  await once(server, "listening");
  server.on("connection", (socket) => {
    socket.send(message);
    socket.close();
  });
  const payloads: Payload[] = [];
  await new Promise<void>((resolve) => {
    const { port } = server.address() as AddressInfo;
    webSockets(`ws://127.0.0.1:${port}/connect`, WebSocket).open(codec, {
      onOpen: () => {},
      onMessage: (payload) => payloads.push(payload),
      onLost: () => resolve(),
    });
  });
  server.close();
  expect(offered).toEqual([codec.protocols]);
  return payloads;
}

test("each line is handed on by itself", async () => {
  expect(await received(json, '["a"]\n["größe"]\n[]', 1)).toEqual(['["a"]', '["größe"]', "[]"]);
});

test("a server that does not choose it sends one in each", async () => {
  expect(await received(json, '["a",\n1]', 0)).toEqual(['["a",\n1]']);
});

test("bytes stay whole", async () => {
  const bytes = new Uint8Array([10, 10]);
  expect(await received({ ...json, protocols: ["ringcast.v1.msgpack"] }, bytes, 0)).toEqual([bytes]);
  expect(await received(json, bytes, 1)).toEqual([bytes]);
});
