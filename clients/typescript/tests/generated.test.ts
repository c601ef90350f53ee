/** What really comes from a server, of every kind of annotation, fits the types that are generated of it. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asyncapiSchema from "@asyncapi/specs/schemas/3.0.0.json" with { type: "json" };
import { decode, encode } from "@msgpack/msgpack";
import { Ajv } from "ajv";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Registry } from "../../../tests/integration/kinds.js";
import { createClient } from "../src/index.js";
import { msgpack } from "../src/msgpack.js";
import { Server } from "./support/server.js";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");
const TYPES = join(PACKAGE, "../../tests/integration/kinds.js");
/** Anything fits this. */
const UNTYPED = "anything";
/** It serializes itself as what it does not take. */
const ONE_WAY = "model_of_its_own_mind";

let server: Server;
let openapi: { paths: Record<string, unknown> };

beforeAll(async () => {
  server = await Server.start("kinds");
  openapi = await (await fetch(`${server.url}/openapi.json`)).json();
});
afterAll(() => server.stop());

/** The names of the kinds, as actions have them behind `give` and `take`. */
function kinds(): string[] {
  const actions = Object.keys(openapi.paths).map((path) =>
    /^\/actors\/kinds\/actions\/give(\w+)$/.exec(path),
  );
  return actions.flatMap((match) => (match?.[1] ? [match[1]] : []));
}

function snakeCase(name: string): string {
  return name.replace(/(?<!^)(?=[A-Z])/g, "_").toLowerCase();
}

/** A value as TypeScript writes it. */
function literal(value: unknown): string {
  if (value instanceof Uint8Array) return `new Uint8Array([${value}])`;
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{ ${Object.entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}: ${literal(each)}`)
    .join(", ")} }`;
}

function compile(code: string): void {
  const directory = mkdtempSync(join(tmpdir(), "ringcast-generated-"));
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "ES2022",
    module: "NodeNext",
    lib: ["ES2022", "DOM"],
    types: [],
  };
  writeFileSync(join(directory, "arrived.ts"), code);
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(
    join(directory, "tsconfig.json"),
    JSON.stringify({ compilerOptions, include: ["arrived.ts"] }),
  );
  try {
    execFileSync(join(PACKAGE, "node_modules/.bin/tsc"), ["-p", directory], { encoding: "utf8" });
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test.each(["json", "msgpack"])("in %s", async (encoding) => {
  const codec = encoding === "json" ? undefined : msgpack({ encode, decode });
  const client = createClient({
    url: server.url,
    WebSocket: WebSocket as never,
    ...(codec ? { codec } : {}),
  });
  const connection = client.actor("kinds").getOrCreate([encoding]).connect();
  const lines = [
    `import type { Registry } from ${JSON.stringify(TYPES)};`,
    'type Actions = Registry["kinds"]["actions"];',
    'type Events = Registry["kinds"]["events"];',
    "declare const actions: Actions;",
    "type Given<T> = [T] extends [void] ? null : T;",
  ];
  try {
    expect(kinds().length).toBeGreaterThan(40);
    for (const kind of kinds()) {
      const event = snakeCase(kind);
      const heard = new Promise<unknown[]>((resolve) => connection.once(event, (...args) => resolve(args)));
      const value = await connection.call(`give${kind}`, []);
      const args = await heard;
      lines.push(
        `const given${kind}: Given<ReturnType<Actions["give${kind}"]>> = ${literal(value)};`,
        `const event${kind}: Events["${event}"] = ${literal(args)};`,
      );
      if (event !== ONE_WAY) {
        // The server takes what it has given.
        await connection.call(`take${kind}`, [value]);
        lines.push(`actions.take${kind}(given${kind});`);
      }
      if (event === UNTYPED) continue;
      lines.push(
        "// @ts-expect-error of no kind at all",
        `const wrong${kind}: Given<ReturnType<Actions["give${kind}"]>> = Symbol();`,
        "// @ts-expect-error of no kind at all",
        `actions.take${kind}(Symbol());`,
      );
    }
  } finally {
    await client.close();
  }
  compile(lines.join("\n"));
});

test("what may be undefined in the middle of arguments has its default there", async () => {
  const client = createClient<Registry>({ url: server.url, WebSocket: WebSocket as never });
  const shop = client.shop.getOrCreate(["undefined"], { input: { title: "Ours" } });
  expect(await shop.connect({ name: "ann" }).listSome(1, undefined, 5, undefined)).toEqual([
    1,
    null,
    5,
    null,
  ]);
  expect(await shop.connect({ name: "ann" }).listSome(1, undefined)).toEqual([1, null, 10, null]);
  await client.close();
});

test("what compiles is not just anything", () => {
  const code = `import type { Registry } from ${JSON.stringify(TYPES)};
const given: ReturnType<Registry["kinds"]["actions"]["giveData"]> = { id: "1" };`;
  expect(() => compile(code)).toThrow(/price/);
});

test("the AsyncAPI document is one", async () => {
  const document = await (await fetch(`${server.url}/asyncapi.json`)).json();
  // Ajv has the schema of schemas itself.
  const { "http://json-schema.org/draft-07/schema": _, ...definitions } = asyncapiSchema.definitions;
  const isDocument = new Ajv({ strict: false, validateFormats: false }).compile({
    ...asyncapiSchema,
    definitions,
  });
  expect(isDocument(document), JSON.stringify(isDocument.errors, null, 2)).toBe(true);
  expect(isDocument({ ...document, channels: { shop: { address: 1 } } })).toBe(false);
});
