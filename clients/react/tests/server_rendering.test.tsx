/** Rendering on a server: no connection, and a page that the browser takes over as it is. */

import { act, render } from "@testing-library/react";
import { hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { type App, until, useApps } from "./support/app.js";

const world = useApps();

function Page({ app }: { app: App }) {
  const board = app.useActor({ name: "board", key: world.key });
  const off = app.useActor({ name: "board", key: world.key, enabled: false });
  const snapshot = board.useSnapshot();
  board.useEvent("item", () => {});
  const connection = board.connection ? "connected" : "no connection";
  return <p>{`${board.status}, ${off.status}, ${connection}, ${snapshot?.items ?? "no"} items`}</p>;
}

test("renderToString connects to nothing, and leaves nothing behind", async () => {
  const app = world.app();
  const html = renderToString(<Page app={app} />);
  expect(html).toBe("<p>connecting, idle, no connection, no items</p>");
  await world.near().actor("board").getOrCreate("other").connect().ready();
  expect([app.opened(), world.network.tries]).toEqual([0, 0]);
});

test("a page of the server is taken over without a difference, and connects then", async () => {
  const app = world.app();
  const page = document.createElement("div");
  page.innerHTML = renderToString(<Page app={app} />);
  const root = await act(async () => hydrateRoot(page, <Page app={app} />));
  // Any difference would be a complaint.
  await until(() => page.textContent === "connected, idle, connected, 0 items");
  expect(app.opened()).toBe(1);
  act(() => root.unmount());
  await until(() => app.open() === 0);
});

test("a component that is rendered on the server beside one that is connected shows no connection", async () => {
  const app = world.app();
  const { container } = render(<Page app={app} />);
  await until(() => container.textContent === "connected, idle, connected, 0 items");
  expect(renderToString(<Page app={app} />)).toBe("<p>connecting, idle, no connection, no items</p>");
});
