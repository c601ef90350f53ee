/** The page asks its own server alone, and that server lets it do nothing else. */

import { expect, test } from "../../support/demo.js";

test("all that the page asks for is its own server's, and its policy forbids the rest", async ({
  visit,
  server,
  allowed,
}) => {
  const ann = await visit("Ann");
  const kinds = ann.asked.map(({ protocol, pathname }) => protocol + pathname.replace(/^.*\./, "."));
  expect(kinds).toEqual(expect.arrayContaining(["http:/", "http:.js", "http:.css", "ws:/connect"]));
  expect(new Set(ann.asked.map(({ host }) => host))).toEqual(new Set([new URL(server.url).host]));

  allowed.push(/Content Security Policy/);
  const asking = await ann.page.evaluate(async () => {
    const refused = (promise: Promise<unknown>) => promise.then(() => "answered", String);
    return refused(fetch("http://127.0.0.1:9/"));
  });
  expect(asking).toMatch(/TypeError/);
  expect(ann.complaints.join()).toContain("connect-src 'self'");
});
