/** What goes to the console is a failure of the test, unless it takes it out of here: React warns there. */

import { afterEach, beforeEach, expect, vi } from "vitest";

/** What was written to the console as an error or a warning, each with all that was given. */
export const complaints: unknown[][] = [];

beforeEach(() => {
  for (const method of ["error", "warn"] as const) {
    vi.spyOn(console, method).mockImplementation((...args) => void complaints.push(args));
  }
});

afterEach(() => {
  vi.restoreAllMocks();
  expect(complaints.splice(0)).toEqual([]);
});
