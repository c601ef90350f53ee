// Shortens, in what was built, the names of properties that only this package's modules use: of methods and fields that are
// not `#private`, because another module needs them. No page's own build may do that, and every page would pay for them.
// Sources and declarations keep their names. `tests/package.test.ts` uses the result.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { transformSync } from "esbuild";

/**
 * No user, no message on the wire and nothing of the platform's has a property of one of these names. Their order says which
 * letter each gets: gzip takes some 40 bytes less for this one than for most others, as found by trying swaps.
 */
const INTERNAL = `
  tickMs begin remove end kind topic reset answer listeners submit check lost requests ask resend leave endError
  config anew settle taken received lostAfterMs onClosed active accept topics address internal skip putGap isTooBig
  spreadMs deliver nextDelayMs tick statusListeners maxBytes abandon handler dispatch endpoint put report payload load
  post waiting sendQueued connectMessage
`
  .trim()
  .split(/\s+/);
/** Those at the end are left over: with others it takes more. */
const LETTERS = [..."abcdefghiklmnopqrstuvwxyzABCDEFGHIKLMOPQRSTUVWXY$_jJNZ"];
// One of the platform's names would be shortened where the platform is used as well.
for (const owner of Object.getOwnPropertyNames(globalThis)) {
  const { prototype } = globalThis[owner] ?? {};
  const taken = INTERNAL.find((name) => prototype && name in prototype);
  if (taken) throw new Error(`${owner} has a property ${taken}`);
}
if (INTERNAL.length > LETTERS.length) throw new Error(`at most ${LETTERS.length} names`);

const mangleCache = Object.fromEntries(INTERNAL.map((name, index) => [name, LETTERS[index]]));
const mangleProps = new RegExp(`^(${INTERNAL.join("|")})$`);
const dist = new URL("../dist/", import.meta.url);
for (const name of readdirSync(dist).filter((each) => each.endsWith(".js"))) {
  const source = readFileSync(new URL(name, dist), "utf8");
  const { code } = transformSync(source, { format: "esm", target: "es2022", mangleProps, mangleCache });
  writeFileSync(new URL(name, dist), code);
}
