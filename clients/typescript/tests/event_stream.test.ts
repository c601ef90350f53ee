/** One stream of server-sent events, against a server whose responses a test writes byte by byte. */

import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { EventStreamSocket } from "../src/event_stream.js";
import { until } from "./support/world.js";

const golden = JSON.parse(
  readFileSync(new URL("../../../tests/wire/messages.json", import.meta.url), "utf8"),
);
const CONNECTED: string = golden.server.find((each: any) => each.value[0] === "connected").json;
const CONNECT = '["connect",{"actor":"chat room","lookup":"get_or_create","key":["a"]}]';

/** A request, and the response that a test gives it. */
interface Exchange {
  request: IncomingMessage;
  body: string;
  response: ServerResponse;
}

let exchanges: Exchange[];
let heard: string[];
let losses: [code: number | null, reason: string][];
let socket: EventStreamSocket;
let baseUrl: string;
let close: () => void;

beforeEach(async () => {
  exchanges = [];
  heard = [];
  losses = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    exchanges.push({ request, body, response });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix`;
  close = () => {
    socket.abort();
    server.closeAllConnections();
    server.close();
  };
});
afterEach(() => close());

/** Open a stream, and return its request. */
async function open(httpTimeoutMs = 10_000, http = fetch): Promise<Exchange> {
  socket = new EventStreamSocket(
    { baseUrl, fetch: http, httpTimeoutMs },
    {
      onOpen: () => socket.send(CONNECT),
      onMessage: (payload) => heard.push(payload as string),
      onLost: (code, reason) => losses.push([code, reason]),
    },
  );
  await until(() => exchanges.length === 1);
  return exchanges[0] as Exchange;
}

function accept({ response }: Exchange, text = ""): ServerResponse {
  response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Ringcast-Stream": "7" });
  response.write(text);
  return response;
}

/** Open a stream whose connect message is answered. */
async function connected(
  httpTimeoutMs?: number,
  answer = CONNECTED,
  http?: typeof fetch,
): Promise<ServerResponse> {
  const response = accept(await open(httpTimeoutMs, http), `data: ${answer}\n\n`);
  await until(() => heard.length === 1);
  return response;
}

async function posted(count: number): Promise<Exchange[]> {
  await until(() => exchanges.length === count + 1);
  return exchanges.slice(1);
}

test("the connect message is the body of the request, and nothing of it is in the address", async () => {
  const { request, body } = await open();
  expect([request.method, request.url]).toEqual(["POST", "/prefix/actors/chat%20room/events"]);
  expect(JSON.parse(body)).toEqual({ lookup: "get_or_create", key: ["a"] });
  expect(request.headers).toMatchObject({ accept: "text/event-stream", "content-type": "application/json" });
});

test("what a server sends arrives as it was written, however it is cut", async () => {
  const messages: string[] = golden.server.map((each: any) => each.json);
  const response = accept(await open());
  const bytes = Buffer.from(messages.map((text) => `id: a:1\ndata: ${text}\n\n`).join(": heartbeat\n"));
  // Also inside characters of several bytes.
  for (let at = 0; at < bytes.length; at += 5) response.write(bytes.subarray(at, at + 5));
  await until(() => heard.length >= messages.length);
  expect(heard).toEqual(messages);
});

test("what a client sends is posted as it was written, with the names of session and stream", async () => {
  await connected();
  const messages: string[] = golden.client
    .filter((each: any) => each.value[0] !== "connect")
    .map((each: any) => each.json);
  for (const message of messages) socket.send(message);
  const [{ request, body, response }] = (await posted(1)) as [Exchange];
  // What is sent in one turn goes together.
  expect(body).toBe(`[${messages.join(",")}]`);
  expect([request.method, request.url]).toEqual(["POST", "/prefix/session/messages"]);
  const { session } = JSON.parse(CONNECTED)[1];
  expect(request.headers).toMatchObject({ "ringcast-session": session, "ringcast-stream": "7" });
  socket.send('["alone"]');
  socket.send('["and another"]');
  expect(exchanges).toHaveLength(2);
  response.writeHead(204).end();
  const [, second] = await posted(2);
  expect(second?.body).toBe('[["alone"],["and another"]]');
});

test("a request stays below what a server takes; a longer message goes alone", async () => {
  await connected();
  const long = JSON.stringify(["call", 1, "say", ["😀".repeat(7_000)]]);
  const longer = JSON.stringify(["call", 2, "say", ["x".repeat(40_000)]]);
  const messages = [long, long, longer, '["short"]', '["shorter"]'];
  for (const message of messages) socket.send(message);
  const bodies: string[] = [];
  for (let count = 1; count <= 4; count += 1) {
    const latest = (await posted(count)).at(-1) as Exchange;
    bodies.push(latest.body);
    latest.response.writeHead(204).end();
  }
  expect(bodies).toEqual([long, long, longer, '[["short"],["shorter"]]']);
  expect(losses).toEqual([]);
});

test("a request is no longer than the server says that it takes", async () => {
  const [kind, fields] = JSON.parse(CONNECTED);
  const max_message_bytes = 1000;
  await connected(undefined, JSON.stringify([kind, { ...fields, max_message_bytes }]));
  const messages = Array.from({ length: 100 }, (_, id) =>
    JSON.stringify(["call", id, "say", ["漢".repeat(id)]]),
  );
  for (const message of messages) socket.send(message);
  const arrived: unknown[] = [];
  let count = 0;
  while (arrived.length < messages.length) {
    const { body, response } = (await posted(++count)).at(-1) as Exchange;
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(max_message_bytes);
    const batch = JSON.parse(body);
    arrived.push(...(Array.isArray(batch[0]) ? batch : [batch]));
    response.writeHead(204).end();
  }
  expect(arrived).toEqual(messages.map((message) => JSON.parse(message)));
  // Small ones still go together.
  expect(count).toBeLessThan(messages.length);
  expect(losses).toEqual([]);
});

describe("the end", () => {
  test("is said by the server", async () => {
    (await connected()).write('event: close\ndata: [4500,"restart"]\n\ndata: ["event"]\n\n');
    await until(() => losses.length > 0);
    expect(losses).toEqual([[4500, "restart"]]);
    socket.send('["nothing"]');
    expect(heard).toHaveLength(1);
  });

  test("of a response that says nothing is that of a lost network", async () => {
    (await connected()).end();
    await until(() => losses.length > 0);
    expect(losses).toEqual([[null, "the stream has ended"]]);
  });

  test("of a socket is that of a lost network", async () => {
    (await connected()).destroy();
    await until(() => losses.length > 0);
    expect(losses[0]?.[0]).toBeNull();
  });

  test("by this side ends the session first, behind what is being posted", async () => {
    const stream = await connected();
    socket.send('["last"]');
    const [last] = await posted(1);
    socket.close(1000);
    socket.send('["too late"]');
    last?.response.writeHead(204).end();
    const [, ending] = (await posted(2)) as [Exchange, Exchange];
    expect([ending.request.method, ending.request.url]).toEqual(["DELETE", "/prefix/session"]);
    ending.response.writeHead(204).end();
    stream.end('event: close\ndata: [1000,""]\n\n');
    await until(() => losses.length > 0);
    expect(losses).toEqual([[1000, ""]]);
    expect(exchanges).toHaveLength(3);
  });

  test("by this side asks at once where nothing is under way: a page that goes has no other turn", async () => {
    let asked = 0;
    const response = new Response(`data: ${CONNECTED}\n\n`, {
      headers: { "Content-Type": "text/event-stream" },
    });
    const counting: typeof fetch = async (_, init) => {
      if (init?.method === "DELETE") asked += init.keepalive ? 1 : 0;
      else if (init?.body) return new Response(response.body && held(response.body), response);
      return new Response(null, { status: 204 });
    };
    socket = new EventStreamSocket(
      { baseUrl, fetch: counting, httpTimeoutMs: 1000 },
      { onOpen: () => socket.send(CONNECT), onMessage: (text) => heard.push(text as string), onLost() {} },
    );
    await until(() => heard.length === 1);
    socket.close(1000);
    expect(asked).toBe(1);
  });

  test("without a session, or with a code that is not for good, only drops the stream", async () => {
    await open();
    socket.close(1000);
    expect(losses).toEqual([[null, ""]]);
    expect(exchanges).toHaveLength(1);
  });
});

/** Return a stream that gives what `body` gives, and does not end. */
function held(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  return body.pipeThrough(new TransformStream(), { preventClose: true }) as ReadableStream<Uint8Array>;
}

describe("a refusal", () => {
  const error = { code: "banned", message: "not you" };
  const json = { "Content-Type": "application/json" };
  /** Of an error of the server's. */
  const marked: Record<string, string> = { ...json, "Ringcast-Error": "true" };
  /** By what ends the stream. */
  const CODES: Record<number, string> = { 4000: "forbidden", 1009: "message_too_big" };

  test.each<[string, number, Record<string, string>, object | string, number | null, string]>([
    ["with a close code", 403, { "Ringcast-Close": "4000" }, { error }, 4000, "not you"],
    ["that comes back", 503, {}, { error }, null, "not you"],
    ["of a malformed message", 400, {}, { error: { ...error, code: "invalid_message" } }, 4001, "not you"],
    ["of this client by a proxy", 403, {}, "<html>", 4000, "status 403"],
    ["of a body that is too big, by a proxy", 413, {}, "<html>", 1009, "status 413"],
    ["of something else by a proxy", 502, {}, "<html>", null, "status 502"],
    ["with a close code, by a proxy", 502, { "Ringcast-Close": "4000" }, "<html>", null, "status 502"],
    ["by something that is no stream", 200, {}, "<html>", null, "status 200"],
    ["that cannot be read", 400, {}, { error: { code: ["a"] } }, null, "status 400"],
    ["of which only the close code can be read", 502, { "Ringcast-Close": "4000" }, {}, null, "status 502"],
  ])("%s", async (_, status, headers, body, code, reason) => {
    const { response } = await open();
    response.writeHead(status, { ...(typeof body === "string" ? json : marked), ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
    await until(() => losses.length > 0);
    expect(losses).toEqual([[code, expect.stringContaining(reason)]]);
    const told = heard.map((text) => JSON.parse(text));
    if (reason === "not you") expect(told).toEqual([["error", null, (body as any).error]]);
    else expect(told.map(([, , { code }]) => code)).toEqual(code ? [CODES[code]] : []);
  });

  test("of what is posted ends the stream, for good if it would be refused again", async () => {
    await connected();
    socket.send('["nonsense"]');
    const [post] = await posted(1);
    post?.response
      .writeHead(400, marked)
      .end(JSON.stringify({ error: { ...error, code: "unknown_message" } }));
    await until(() => losses.length > 0);
    expect(losses).toEqual([[4001, "not you"]]);
  });

  test("of what is posted for now ends the stream, and its client comes back", async () => {
    await connected();
    socket.send('["call",1,"a",[]]');
    const [post] = await posted(1);
    post?.response.writeHead(429, { ...marked, "Retry-After": "1" });
    post?.response.end(JSON.stringify({ error: { code: "rate_limited", message: "too much waits" } }));
    await until(() => losses.length > 0);
    expect(losses).toEqual([[null, "too much waits"]]);
  });

  test.each([404, 408, 421, 425, 429, 502])(
    "of what is posted by a proxy, for now, ends the stream: %i",
    async (status) => {
      await connected();
      socket.send('["call",1,"a",[]]');
      // What is answered with 421 is asked once more by `fetch` itself.
      await until(() => {
        for (const { response } of exchanges.slice(1))
          if (!response.headersSent) response.writeHead(status).end("<html>");
        return losses.length > 0;
      });
      expect(losses[0]?.[0]).toBeNull();
      expect(heard).toHaveLength(1);
    },
  );

  test.each([
    [400, "<html>", "internal_error"],
    [401, "<html>", "unauthorized"],
    [403, "<html>", "forbidden"],
    [400, '{"error":"no"}', "internal_error"],
    [400, '{"error":{"code":"invalid_message"}}', "internal_error"],
    [400, '{"error":{"code":403}}', "internal_error"],
    [413, "<html>", "message_too_big"],
    [413, '{"error":{"code":"nginx"}}', "message_too_big"],
    [413, '{"error":{"code":"message_too_big"}}', "message_too_big", marked],
    [413, '{"error":{"code":["a"]}}', "message_too_big", marked],
  ])(
    "of a message that would be refused again fails that alone: %i %s",
    async (status, body, code, headers = json) => {
      await connected();
      const messages = ['["call",1,"a",[]]', '["received",[]]', '["subscribe",2,"b"]', '["call",3,"c",[]]'];
      for (const message of messages) socket.send(message);
      socket.send('["call",4,"d",[]]');
      // All together; then each by itself, of which the last one is taken; then what has come meanwhile.
      const bodies: string[] = [];
      for (let count = 1; count <= 6; count += 1) {
        const latest = (await posted(count)).at(-1) as Exchange;
        bodies.push(latest.body);
        if (count === 2)
          for (const message of ['["call",5,"e",[]]', '["call",6,"f",[]]']) socket.send(message);
        if (count < 6) latest.response.writeHead(status, headers).end(body);
        else latest.response.writeHead(204).end();
      }
      const together = (await posted(7)).at(-1) as Exchange;
      together.response.writeHead(204).end();
      expect(bodies).toEqual([`[${messages},["call",4,"d",[]]]`, ...messages, '["call",4,"d",[]]']);
      expect(together.body).toBe('[["call",5,"e",[]],["call",6,"f",[]]]');
      const told = heard.slice(1).map((text) => JSON.parse(text));
      expect(told.map(([kind, id, error]) => [kind, id, error.code])).toEqual(
        [1, 2, 3].map((id) => ["error", id, code]),
      );
      expect(losses).toEqual([]);
    },
  );

  test("of a message by a proxy is heard before its page has come", async () => {
    await connected();
    socket.send('["call",1,"a",[]]');
    (await posted(1))[0]?.response.writeHead(413, json).write("{");
    await until(() => heard.length > 1);
    expect(JSON.parse(heard[1] as string)).toMatchObject(["error", 1, { code: "message_too_big" }]);
    socket.send('["call",2,"a",[]]');
    (await posted(2))[1]?.response.writeHead(204).end();
    expect(losses).toEqual([]);
  });

  test("of a message by the server is by its status where the body does not end", async () => {
    let onHead: () => void;
    const head = new Promise<void>((resolve) => {
      onHead = resolve;
    });
    await connected(10_000, undefined, async (url, init) => {
      const response = await fetch(url, init);
      if (`${url}`.endsWith("/messages")) onHead();
      return response;
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      socket.send('["call",1,"a",[]]');
      (await posted(1))[0]?.response.writeHead(413, marked).write("{");
      await head;
      // It has the head, and waits for the body.
      await new Promise(setImmediate);
      vi.advanceTimersByTime(10_000);
    } finally {
      vi.useRealTimers();
    }
    await until(() => heard.length + losses.length > 1);
    expect(JSON.parse(heard[1] ?? "null")).toMatchObject(["error", 1, { code: "message_too_big" }]);
    socket.send('["call",2,"a",[]]');
    (await posted(2))[1]?.response.writeHead(204).end();
    expect(losses).toEqual([]);
  });

  test("what is posted and not answered ends the stream", async () => {
    await connected(50);
    socket.send('["call"]');
    await until(() => losses.length > 0);
    expect(losses).toEqual([[null, "no answer in 50 ms"]]);
  });
});

test("a client that has nothing to say says so when it hears of the server", async () => {
  const often = JSON.stringify(["connected", { ...JSON.parse(CONNECTED)[1], heartbeat_s: 0.002 }]);
  const stream = accept(await open(), `data: ${often}\n\n`);
  await until(() => heard.length === 1);
  await until(() => {
    stream.write('data: ["heartbeat",{"stream":1,"offset":1}]\n\n');
    return exchanges.length === 2;
  });
  expect(exchanges[1]?.body).toBe('["received",[]]');
});
