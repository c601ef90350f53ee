/** A lost network, as components see it: replay, snapshots, a server that is killed. */

import { render } from "@testing-library/react";
import { expect, test } from "vitest";
import { until, useApps } from "./support/app.js";

const world = useApps();
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

test("what was missed comes in order and once, and the statuses tell of it", async () => {
  const door = await world.door();
  const { useActor } = world.app();
  const items: unknown[] = [];
  const shown: string[] = [];
  function Feed() {
    const { status, error, useEvent } = useActor({ name: "door", key: world.key });
    useEvent("item", (item) => items.push(item));
    useEvent("replayed", (count) => items.push(`${count} missed`));
    const text = `${status} ${(error as { code?: string } | null)?.code ?? "fine"}`;
    if (text !== shown.at(-1)) shown.push(text);
    return <p>{text}</p>;
  }
  const { container } = render(<Feed />);
  await until(() => container.textContent === "connected fine");
  await door.emit(2);
  await until(() => items.length === 2);
  world.network.cut();
  await until(() => container.textContent === "reconnecting connection_lost");
  await door.emit(3);
  world.network.restore();
  await until(() => items.length === 6);
  expect(items).toEqual([1, 2, "3 missed", 3, 4, 5]);
  await until(() => container.textContent === "connected fine");
  expect(shown).toEqual([
    "connecting fine",
    "connected fine",
    "reconnecting connection_lost",
    "connected fine",
  ]);
});

test("a server that is killed and started again: events are replayed, and a call that waited runs once", async () => {
  const { useActor } = world.app();
  const written: unknown[] = [];
  let write = async (_number: number) => {};
  let id: string | null = null;
  function Page() {
    const page = useActor({ name: "page", key: world.key });
    page.useEvent("written", (number) => written.push(number));
    write = async (number) => page.connection?.write(number);
    id = page.connection?.id ?? null;
    return <p>{page.status}</p>;
  }
  const { container } = render(<Page />, { reactStrictMode: true });
  await until(() => container.textContent === "connected");
  for (const number of [1, 2, 3]) await write(number);
  const before = id;
  await world.server.kill();
  await until(() => container.textContent === "reconnecting");
  const waiting = write(4);
  await world.server.start();
  await waiting;
  await until(() => container.textContent === "connected");
  await write(5);
  await until(() => written.length === 5);
  expect(written).toEqual(upTo(5));
  expect(id).toBe(before);
});

test("the snapshot is that of the first connect, then that which stands for lost events", async () => {
  const { useActor } = world.app();
  const items: unknown[] = [];
  const seen: unknown[] = [];
  function Board() {
    const board = useActor({ name: "board", key: world.key });
    const snapshot = board.useSnapshot();
    board.useEvent("item", (item) => items.push(item));
    if (snapshot !== seen.at(-1)) seen.push(snapshot);
    return <p>{`${board.status} ${snapshot?.items ?? "none"}`}</p>;
  }
  const far = world.near().actor("board").getOrCreate(world.key).connect();
  await far.emit(2);
  const { container } = render(<Board />, { reactStrictMode: true });
  await until(() => container.textContent === "connected 2");
  await far.emit(3);
  await until(() => items.length === 3);
  // More than the actor retains: a gap without it.
  world.network.cut();
  await far.emit(50);
  world.network.restore();
  await until(() => container.textContent === "connected 55");
  await far.emit(1);
  await until(() => items.length === 4);
  expect(items).toEqual([3, 4, 5, 56]);
  expect(seen).toEqual([{ items: 2 }, { items: 55 }]);
});

test("a component that comes later has the snapshot too, and none of another key", async () => {
  const { useActor } = world.app();
  function Board({ name, enabled }: { name: string; enabled?: boolean }) {
    const board = useActor({ name: "board", key: [world.key, name], enabled });
    return <p>{`${name} ${board.useSnapshot()?.items ?? "none"};`}</p>;
  }
  await world.near().actor("board").getOrCreate([world.key, "one"]).connect().emit(1);
  const { container, rerender } = render(<Board key="1" name="one" />);
  await until(() => container.textContent === "one 1;");
  const both = (name: string, enabled = true) => (
    <>
      <Board key="1" name="one" />
      <Board key="2" name={name} enabled={enabled} />
    </>
  );
  rerender(both("one"));
  await until(() => container.textContent === "one 1;one 1;");
  rerender(both("other"));
  expect(container.textContent).toBe("one 1;other none;");
  await until(() => container.textContent === "one 1;other 0;");
  rerender(both("other", false));
  expect(container.textContent).toBe("one 1;other none;");
});
