/** The page at `/docs` of a real server, in a document: what is filled in is called, and the answer is shown. */

import { Window } from "happy-dom";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Server } from "./support/server.js";

/** The page is ours. */
const SETTINGS = { enableJavaScriptEvaluation: true, suppressInsecureJavaScriptEnvironmentWarning: true };

let server: Server;
let window: Window;

beforeAll(async () => {
  server = await Server.start("kinds");
  window = new Window({ url: `${server.url}/docs`, settings: SETTINGS });
  window.document.write(await (await fetch(`${server.url}/docs`)).text());
  await vi.waitUntil(() => window.document.querySelector("form"), { timeout: 10_000 });
});
afterAll(async () => {
  await window.happyDOM.close();
  await server.stop();
});

function section(actor: string) {
  const found = [...window.document.querySelectorAll("section")].find(
    (each) => each.querySelector("h2")?.textContent === actor,
  );
  if (!found) throw new Error(`no section of ${actor}`);
  return found;
}

function action(actor: string, name: string) {
  const found = [...section(actor).querySelectorAll("details")].find(
    (each) => each.querySelector("summary")?.textContent === name,
  );
  if (!found) throw new Error(`no form of ${actor}.${name}`);
  return found;
}

type Field = { value: string; validationMessage: string; dispatchEvent(event: unknown): boolean };

/** The field with this label. */
function field(inside: ReturnType<typeof section> | ReturnType<typeof action>, name: string): Field {
  const label = [...inside.querySelectorAll("label")].find(
    (each) => each.querySelector("code")?.textContent === name,
  );
  return window.document.getElementById(label?.getAttribute("for") ?? "") as unknown as Field;
}

async function call(form: ReturnType<typeof action>): Promise<string> {
  form.querySelector("form")?.dispatchEvent(new window.Event("submit", { cancelable: true }));
  const shown = () => form.querySelector("output")?.textContent ?? "";
  await vi.waitUntil(() => /^\d{3}/.test(shown()), { timeout: 10_000 });
  return shown();
}

test("every actor and action is there", async () => {
  const openapi = await (await fetch(`${server.url}/openapi.json`)).json();
  const calls = Object.keys(openapi.paths).filter((path) => path.includes("/actions/"));
  expect(window.document.querySelectorAll("details").length).toBe(calls.length);
  expect([...window.document.querySelectorAll("h2")].map((each) => each.textContent)).toEqual([
    "kinds",
    "shop",
    "silent",
    "idle",
    "camera",
  ]);
  expect(action("shop", "sell").textContent).toContain("Nobody hears of it.");
});

test("an action is called with what is filled in, and its result is shown", async () => {
  field(section("shop"), "key").value = "a/b";
  field(section("shop"), "input").value = '{"title": "Ours"}';
  const sell = action("shop", "sell");
  const thing = field(sell, "thing");
  expect(JSON.parse(thing.value)).toMatchObject({ id: "", colour: "red" });
  thing.value = '{"id": "<b>7</b>", "price": 2}';
  field(sell, "copies").value = "2";
  const shown = await call(sell);
  expect(shown).toMatch(/^200/);
  expect(JSON.parse(shown.slice(3)).map((item: { id: string }) => item.id)).toEqual(["<b>7</b>", "<b>7</b>"]);
  expect(sell.querySelector("output b")).toBe(null);
});

test("what may be left out is left out, and further arguments are added", async () => {
  const sell = action("shop", "sell");
  field(sell, "thing").value = '{"id": "1", "price": 2}';
  field(sell, "copies").value = "";
  expect(JSON.parse((await call(sell)).slice(3))).toHaveLength(1);
  const find = action("shop", "find");
  field(find, "further").value = '["1", "2"]';
  expect(await call(find)).toBe("200\nnull");
});

test("an error is shown with its code, and what is no JSON at its field", async () => {
  const find = action("shop", "find");
  field(find, "further").value = "[1]";
  expect(await call(find)).toMatch(/^422 validation_error/);
  const sell = action("shop", "sell");
  const before = sell.querySelector("output")?.textContent;
  field(sell, "thing").value = "{";
  sell.querySelector("form")?.dispatchEvent(new window.Event("submit", { cancelable: true }));
  expect(field(sell, "thing").validationMessage).toMatch(/not JSON/);
  expect(sell.querySelector("output")?.textContent).toBe(before);
});
