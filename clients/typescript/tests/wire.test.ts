/** The golden messages that all clients and the server share, in both directions and encodings. */

import { readFileSync } from "node:fs";
import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import { json } from "../src/codec.js";
import { configFrom } from "../src/config.js";
import { mayComeBack } from "../src/errors.js";
import { RESERVED_EVENTS } from "../src/listeners.js";
import { msgpack } from "../src/msgpack.js";
import { parseServerMessage } from "../src/protocol.js";
import { Requests } from "../src/requests.js";
import { Session } from "../src/session.js";

const golden = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../tests/wire/${name}.json`, import.meta.url), "utf8"));
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const packed = msgpack({ encode, decode });
const messages = golden("messages");
const malformed = golden("malformed");

describe("what a client sends", () => {
  test.each<any>(messages.client)("$name", ({ value, json: text, msgpack_hex }) => {
    expect(JSON.parse(json.encode(value) as string)).toEqual(JSON.parse(text));
    expect(decode(packed.encode(value) as Uint8Array)).toEqual(decode(bytes(msgpack_hex)));
  });

  test("requests are written as the golden ones are", () => {
    const requests = new Requests(configFrom({ url: "http://x" }));
    const settle = () => {};
    const args = [null, { a: 1 }];
    expect(requests.send({ kind: "call", name: "say", args, settle })).toEqual([
      '["call",1,"say",[null,{"a":1}]]',
    ]);
    expect(requests.send({ kind: "subscribe", name: "x", settle })).toEqual(['["subscribe",2,"x"]']);
    expect(requests.send({ kind: "unsubscribe", name: "x", settle })).toEqual(['["unsubscribe",3,"x"]']);
    for (let id = 1; id <= 32; id += 1) requests.answer(id, null, null, 1);
    expect(JSON.parse(requests.received()[0] as string)[0]).toBe("received");
  });

  test("a resume says of the session what the golden one says", () => {
    const name = "connect, resume with what the client knows of its session";
    const { resume } = messages.client.find((each: any) => each.name === name).value[1];
    const session = new Session(configFrom({ url: "http://x" }));
    expect(session.resume(resume.unconfirmed)).toBeUndefined();
    session.accept({ ...messages.server[0].value[1], ...resume });
    for (let id = 1; id <= resume.answered; id += 1) {
      session.requests.send({ kind: "call", name: "say", args: [], settle() {} });
    }
    for (let id = resume.answered; id > 0; id -= 1) {
      if (!resume.unanswered.includes(id)) session.requests.answer(id, null, null, 1);
    }
    expect(session.resume(resume.unconfirmed)).toEqual(resume);
  });
});

describe("what a server sends", () => {
  test.each<any>(messages.server)("$name", ({ value, json: text, msgpack_hex }) => {
    expect(parseServerMessage(json, text)).toEqual(value);
    expect(parseServerMessage(packed, bytes(msgpack_hex))).toEqual(value);
  });

  test.each<any>(messages.server_unknown)("$name", ({ json: text, msgpack_hex }) => {
    expect(parseServerMessage(json, text)).toBeNull();
    expect(parseServerMessage(packed, bytes(msgpack_hex))).toBeNull();
  });

  test.each<any>(malformed.server)("malformed: $name, $encoding", ({ encoding, text, hex }) => {
    const read = () =>
      encoding === "json" ? parseServerMessage(json, text) : parseServerMessage(packed, bytes(hex));
    expect(read).toThrow(expect.objectContaining({ code: "invalid_message" }));
  });
});

describe("close codes", () => {
  const { named, others } = golden("close_codes");
  test.each<any>([...named, ...others])("$name $code", ({ code, comes_back, come_back = comes_back }) => {
    expect(mayComeBack(code)).toBe(come_back);
  });

  test.each(["null", "1006", "1012", "4500", "too_many_customers", "my_rate_limited", "rate_limited_2"])(
    "nor an error of the server's is a code that an author has chosen: %s",
    (code) => expect(mayComeBack(code)).toBe(false),
  );
});

test("the reserved names are those of the protocol", () => {
  const page = readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
  const sentence = /^Seven names never occur.*?:([\s\S]*?)\./m.exec(page)?.[1] ?? "";
  expect(new Set([...sentence.matchAll(/`(\w+)`/g)].map(([, name]) => name))).toEqual(
    new Set(RESERVED_EVENTS),
  );
});
