/**
 * Ends for good: a refusal, a kick, parameters that cannot be sent. They are shown, and nothing is tried
 * again.
 */

import { render } from "@testing-library/react";
import { expect, test } from "vitest";
import { type App, until, useApps } from "./support/app.js";
import { complaints } from "./support/complaints.js";

const world = useApps();

function Player({ app, params }: { app: App; params: any }) {
  const { status, error, connection } = app.useActor({ name: "gameRoom", key: world.key, params });
  const { code, message } = (error ?? {}) as { code?: string; message?: string };
  return (
    <p>{`${status} ${code ?? "no code"} ${message ?? "no error"} ${connection?.status ?? "no connection"};`}</p>
  );
}

test("a refusal is the error of all who share the connection, and there is no second try", async () => {
  const app = world.app();
  const { container, rerender } = render(
    <>
      <Player app={app} params={{ player_id: "banned" }} />
      <Player app={app} params={{ player_id: "banned" }} />
    </>,
    { reactStrictMode: true },
  );
  await until(() => container.textContent === "closed banned you cheated closed;".repeat(2));
  rerender(
    <>
      <Player key="1" app={app} params={{ player_id: "banned" }} />
      <Player key="2" app={app} params={{ player_id: "banned" }} />
      <Player key="3" app={app} params={{ player_id: "ann" }} />
    </>,
  );
  await until(() => container.textContent.endsWith("connected no code no error connected;"));
  // Remounted in the place of the others, they have their connection, which was refused.
  expect([world.network.tries, app.opened()]).toEqual([2, 2]);
  expect(complaints.splice(0)).toMatchObject([["ringcast:", { code: "banned" }]]);

  rerender(<p />);
  await until(() => app.open() === 0);
  rerender(<Player app={app} params={{ player_id: "banned" }} />);
  await until(() => container.textContent.startsWith("closed banned"));
  expect(app.opened()).toBe(3);
  expect(complaints.splice(0)).toHaveLength(1);
});

test("who listens for errors hears of a refusal, and the console does not", async () => {
  const app = world.app();
  const heard: Error[] = [];
  function Listener() {
    const room = app.useActor({ name: "gameRoom", key: world.key, params: { player_id: "banned" } });
    room.useEvent("error", (error) => heard.push(error));
    return <p>{room.status}</p>;
  }
  const { container } = render(<Listener />);
  await until(() => container.textContent === "closed");
  expect(heard).toMatchObject([{ code: "banned", metadata: { for_days: 7 } }]);
});

test("a connection that the actor ends is closed with its reason", async () => {
  const app = world.app();
  const { container } = render(<Player app={app} params={{ player_id: "bob" }} />);
  await until(() => container.textContent.startsWith("connected"));
  await world.near().actor("gameRoom").getOrCreate(world.key).connect({ player_id: "ann" }).kick("bob");
  await until(() => container.textContent === "closed connection_closed be nice closed;");
  expect(app.opened()).toBe(1);
  expect(complaints.splice(0)).toHaveLength(1);
});

test("parameters that cannot be sent are an error at once, of a connection that is never opened", async () => {
  const app = world.app();
  const { container, rerender } = render(<Player app={app} params={{ player_id: 1n }} />);
  expect(container.textContent).toMatch(/^closed no code .*BigInt.* no connection;$/);
  rerender(<Player app={app} params={{ player_id: new Uint8Array([1]) }} />);
  expect(container.textContent).toMatch(/^closed no code a message carries no Uint8Array.* no connection;$/);
  rerender(<Player app={app} params={{ player_id: "ann" }} />);
  await until(() => container.textContent.startsWith("connected"));
  expect(app.opened()).toBe(1);
});

test("a function that fails is asked again, and its error is shown until it does not", async () => {
  const app = world.app();
  const shown = new Set<string>();
  let asked = 0;
  const params = () => {
    asked += 1;
    // Whatever it throws is shown as an error.
    if (asked <= 2) throw "no token yet";
    return { player_id: "ann" };
  };
  const { container } = render(<Player app={app} params={params} />);
  const observer = new MutationObserver(() => shown.add(container.textContent));
  observer.observe(container, { subtree: true, childList: true, characterData: true });
  await until(() => container.textContent === "connected no code no error connected;");
  observer.disconnect();
  expect(shown).toContain("connecting no code no token yet connecting;");
  expect([asked, app.opened()]).toEqual([3, 1]);
  expect(complaints.splice(0)).toEqual([
    ["ringcast:", "no token yet"],
    ["ringcast:", "no token yet"],
  ]);
});

test("a client that is closed is closed for its components, those that come later as well", async () => {
  const app = world.app();
  const player = <Player key="1" app={app} params={{ player_id: "ann" }} />;
  const { container, rerender } = render(player);
  await until(() => container.textContent.startsWith("connected"));
  await app.close();
  await until(() => container.textContent === "closed no code no error closed;");
  rerender([player, <Player key="2" app={app} params={{ player_id: "bob" }} />] as any);
  expect(container.textContent).toMatch(/closed connection_closed client is closed no connection;$/);
});

test("an event name that nobody can listen for is an error of rendering, and leaves no connection", async () => {
  const app = world.app();
  function Wrong() {
    app.useActor({ name: "door", key: world.key }).useEvent("", () => {});
    return null;
  }
  expect(() => render(<Wrong />)).toThrow("a name has 1 to 128 characters");
  complaints.splice(0);
  render(<Player app={app} params={{ player_id: "ann" }} />);
  await until(() => app.opened() === 1 && document.body.textContent.startsWith("connected"));
  expect(app.open()).toBe(1);
});
