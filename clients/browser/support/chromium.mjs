/**
 * Where this machine's Chromium is. Nothing is downloaded: `make chromium` installs Debian's.
 *
 * As a program it prints the path, or says what is missing and fails.
 */

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { argv, env, stderr, stdout } from "node:process";
import { fileURLToPath } from "node:url";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
/** Where macOS has them. */
const APPLICATIONS = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const MISSING =
  "no Chromium and no Chrome on the PATH, and the tests in a browser need one. " +
  "On Debian: apt-get install --no-install-recommends chromium, as root. RINGCAST_CHROMIUM names one elsewhere.";

/**
 * Return the path of the browser: what `RINGCAST_CHROMIUM` names, or the first that is found. Throws if there is none.
 *
 * @returns {string}
 */
export function chromium() {
  const directories = (env.PATH ?? "").split(delimiter).filter(Boolean);
  const places = NAMES.flatMap((name) => directories.map((directory) => join(directory, name)));
  const given = env.RINGCAST_CHROMIUM;
  const found = given ? [given] : [...places, ...APPLICATIONS];
  const browser = found.find(isProgram);
  if (browser === undefined) throw new Error(given ? `RINGCAST_CHROMIUM is no program: ${given}` : MISSING);
  return browser;
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  try {
    stdout.write(`${chromium()}\n`);
  } catch (error) {
    stderr.write(`error: ${/** @type {Error} */ (error).message}\n`);
    process.exitCode = 1;
  }
}
