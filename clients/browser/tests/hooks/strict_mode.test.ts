/** StrictMode: one connection for all components that mean the same, closed after the last of them. */

import { expect, test } from "../../support/stage.js";

test("equal keys and parameters are one connection, asked for once, and each event is handled once", async ({
  open,
  door,
  key,
}) => {
  const stage = await open();
  await stage.show(
    { name: "door", key, params: { a: 1, b: [{ c: 2 }] } },
    { name: "door", key, params: { b: [{ c: 2 }], a: 1 } },
    { name: "door", key, params: { a: 2 } },
  );
  await expect(stage.guests).toHaveText(["connected", "connected", "connected"]);
  // StrictMode has done everything twice: without it, three have begun and none has ended.
  expect(await stage.effects()).toEqual({ begun: 6, ended: 3 });
  expect(await stage.sockets()).toMatchObject({ opened: 2, open: 2 });
  const counts = await door.counts();
  expect(counts).toMatchObject({ connects: 3, here: { length: 2 }, left: [], asked: ["item", "item"] });
  const ids = await stage.guests.evaluateAll((guests) => guests.map((guest) => guest.dataset.id ?? ""));
  expect(ids[0]).toBe(ids[1]);
  expect([...new Set(ids)].sort()).toEqual(counts.here.toSorted());

  await door.emit(2);
  await expect(stage.guests).toHaveText(["connected 1 2", "connected 1 2", "connected 1 2"]);
});

test("the connection ends with the last component, not before", async ({ open, door, key }) => {
  const stage = await open();
  const guest = { name: "door", key };
  await stage.show(guest, guest);
  await expect(stage.guests).toHaveText(["connected", "connected"]);
  const { here } = await door.counts();
  await stage.show(guest);
  await stage.show(guest, guest, guest);
  await stage.show(guest);
  await door.emit(1);
  await expect(stage.guests).toHaveText(["connected 1"]);
  expect(await door.counts()).toMatchObject({ connects: 2, here, left: [] });
  await stage.show();
  await expect.poll(() => door.counts()).toMatchObject({ connects: 2, here: [], left: here });
  await expect.poll(() => stage.sockets()).toMatchObject({ opened: 1, open: 0 });
});

test("what is not enabled has no connection, and another key is another one", async ({ open, door, key }) => {
  const stage = await open();
  await stage.show({ name: "door", key, enabled: false });
  await expect(stage.guests).toHaveText(["idle"]);
  expect(await stage.sockets()).toMatchObject({ opened: 0 });
  await stage.show({ name: "door", key, enabled: true });
  await expect(stage.guests).toHaveText(["connected"]);
  expect((await door.counts()).here).toHaveLength(1);
  await stage.show({ name: "door", key: [...key, "other"] });
  await expect.poll(() => door.counts()).toMatchObject({ here: [], left: { length: 1 } });
  await expect(stage.guests).toHaveText(["connected"]);
  await expect.poll(() => stage.sockets()).toMatchObject({ opened: 2, open: 1 });
});

test("a page that is left ends its connections at once", async ({ open, door, key }) => {
  const stage = await open();
  await stage.show({ name: "door", key });
  await expect(stage.guests).toHaveText(["connected"]);
  await stage.page.goto("about:blank");
  // No session waits for it: half a minute would have to pass first.
  await expect.poll(() => door.counts()).toMatchObject({ here: [], left: { length: 1 } });
});
