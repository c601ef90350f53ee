/** What a page complains of: what was thrown and not caught, and errors and warnings on its console. */

import type { Page } from "@playwright/test";

/** What the browser itself writes of each try to connect that has failed, and of each request. */
export const LOST_NETWORK = /^(WebSocket connection to '\S+' failed|Failed to load resource: net::)/;

/** What it writes when a page gives up a try that was under way. */
export const CLOSED_EARLY = /WebSocket is closed before the connection is established/;

/** Return the list that the complaints of `page` go to from now on. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  return complaints;
}
