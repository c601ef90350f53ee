/** Calls over HTTP that are sent again, by the `fetch` that `docs/typescript.md` shows. */

import { readFileSync } from "node:fs";
import { transformSync } from "esbuild";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createClient } from "../src/index.js";
import { HttpProxy } from "./support/http_proxy.js";
import { failure, useWorld } from "./support/world.js";

const world = useWorld();
let proxy: HttpProxy;
let once: typeof fetch;

const GUIDE = readFileSync(new URL("../../../docs/typescript.md", import.meta.url), "utf8");
const SNIPPET = /^```typescript\n([^`]*async function once[\s\S]*?)^```/m.exec(GUIDE)?.[1] as string;

beforeEach(async () => {
  proxy = await HttpProxy.to(world.server.url);
  // Between tries it waits for a time that is drawn.
  vi.spyOn(Math, "random").mockReturnValue(0);
  const { code } = transformSync(SNIPPET, { loader: "ts" });
  // As on a page without TLS, which has no `randomUUID`.
  const here = { getRandomValues: (values: Uint32Array<ArrayBuffer>) => crypto.getRandomValues(values) };
  once = new Function("createClient", "crypto", `${code}; return once;`)(createClient, here);
});
afterEach(() => {
  vi.restoreAllMocks();
  proxy.close();
});

/** Start a call that adds 5 and answers when it is released; when it runs, lose the network, and go by `refuse` then. */
async function interrupted(
  refuse: HttpProxy["refuse"],
): Promise<[answer: Promise<any>, release: () => Promise<void>]> {
  const near = world.near().actor("feed").getOrCreate(world.key);
  const watching = near.connect();
  const adding = new Promise<void>((resolve) => watching.once("adding", resolve));
  await watching.ready();
  const answer = world
    .near({ url: proxy.url, fetch: once })
    .actor("feed")
    .getOrCreate(world.key)
    .addSlowly(5);
  answer.catch(() => {});
  await adding;
  proxy.refuse = (path, body) => path.includes("addSlowly") && refuse(path, body);
  proxy.cut();
  return [answer, () => near.release()];
}

/** Return how much was added. */
const total = () => world.near().actor("feed").getOrCreate(world.key).add(0);

test("a call whose answer is lost runs once, and gets its answer", async () => {
  const [answer, release] = await interrupted(() => false);
  await release();
  expect([await answer, await total()]).toEqual([5, 5]);
});

test.each([404, 408, 425, 429, 500, 501, 502, 503, 504, 505, 507])(
  "what may pass is tried again: %i",
  async (status) => {
    let times = 1;
    const [answer, release] = await interrupted(() => times-- > 0 && status);
    await release();
    expect([await answer, await total()]).toEqual([5, 5]);
    expect(proxy.refused).toHaveLength(1);
  },
);

test.each([502, 504])("where a proxy has passed it on, it runs once as well: %i", async (status) => {
  const feed = world.near({ url: proxy.url, fetch: once }).actor("feed").getOrCreate(world.key);
  // From here on it is known what the server remembers.
  await feed.add(0);
  let times = 1;
  proxy.refuse = () => times-- > 0 && status;
  expect([await feed.add(5), await total()]).toEqual([5, 5]);
  expect(proxy.refused).toHaveLength(1);
});

describe("a refusal of a repeat does not say that the call did not run", () => {
  /** Without a code it is a proxy's. */
  test.each<[status: number, code: string, tries: number]>([
    [400, "", 1],
    [401, "", 1],
    [403, "", 1],
    [413, "", 1],
    [200, "", 2],
    [500, "", 2],
    [404, "", 2],
    [502, "", 2],
    [503, "", 2],
    [403, "forbidden", 1],
    [429, "too_many_calls", 2],
    [503, "server_full", 2],
    [503, "try_again_later", 2],
  ])("%i %s, refused times: %i", async (status, code, tries) => {
    const [answer, release] = await interrupted(() => status);
    if (code) {
      // From before anybody has looked whether the call is known.
      proxy.headers = { "Ringcast-Error": "true" };
      proxy.page = JSON.stringify({ error: { code, message: "this one did not run" } });
    }
    expect(await failure(answer)).toMatchObject({
      code: "outcome_unknown",
      message: expect.stringContaining(`${status}`),
      fromServer: false,
    });
    expect(proxy.refused).toHaveLength(tries);
    await release();
    expect(await total()).toBe(5);
  });

  test("nor does a server that is gone by then", async () => {
    const [answer, release] = await interrupted(() => false);
    proxy.close();
    expect(await failure(answer)).toMatchObject({ code: "outcome_unknown" });
    await release();
    expect(await total()).toBe(5);
  });
});

test("what is refused at once, or is the action's own error, is as without it", async () => {
  const feed = world.near({ url: proxy.url, fetch: once }).actor("feed").getOrCreate(world.key);
  expect((await failure(feed.add("x"))).code).toBe("validation_error");
  proxy.refuse = () => 413;
  expect((await failure(feed.add(1))).code).toBe("message_too_big");
  expect(proxy.refused).toHaveLength(1);
});
