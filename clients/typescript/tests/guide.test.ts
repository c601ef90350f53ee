/** The snippets of `docs/typescript.md` compile, in order, each section by itself. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");
const GUIDE = readFileSync(join(PACKAGE, "../../docs/typescript.md"), "utf8");

/** What the sections take from those before them. */
const PRELUDE = `
declare function show(message: { text: string }): void;
declare function freshToken(): Promise<string>;
`;
const CONNECTED = `
import { createClient } from "@ringcast/client";
interface App {
  chatRoom: {
    actions: { sendMessage(userId: string, text: string): { text: string } };
    events: { messageReceived: [message: { text: string }] };
  };
  gameRoom: { params: { player_id: string }; actions: { move(place: { x: number; y: number }): void }; snapshot: { players: string[] } };
}
const client = createClient<App>("http://localhost:8080");
const chatRoom = client.chatRoom.getOrCreate(["general"]);
const connection = chatRoom.connect();
const game = client.gameRoom.getOrCreate(["room-456"]).connect({ player_id: "ann" });
`;

/** The code of each section: a block that makes its own client stands by itself. */
function snippets(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [index, block] of [...GUIDE.matchAll(/^```typescript\n([\s\S]*?)^```/gm)].entries()) {
    const code = block[1] as string;
    const own = code.includes("const client =");
    const name = /const (game|client) =/.exec(code)?.[1] ?? "";
    const before = own
      ? code.includes("{ createClient }")
        ? ""
        : 'import { createClient } from "@ringcast/client";\n'
      : CONNECTED.split("\n")
          .filter((line) => !name || !line.startsWith(`const ${name} =`))
          .join("\n");
    found.set(`snippet-${index}.ts`, `${before}${code}\n${PRELUDE}\nexport {};\n`);
  }
  return found;
}

test("every snippet compiles", () => {
  const directory = mkdtempSync(join(tmpdir(), "ringcast-guide-"));
  const found = snippets();
  expect(found.size).toBeGreaterThan(8);
  for (const [name, code] of found) writeFileSync(join(directory, name), code);
  const modules = join(PACKAGE, "node_modules");
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "ES2022",
    module: "ESNext",
    moduleResolution: "bundler",
    lib: ["ES2022", "DOM", "DOM.Iterable"],
    types: ["node"],
    typeRoots: [join(modules, "@types")],
    skipLibCheck: true,
    paths: {
      "@ringcast/client": [join(PACKAGE, "src/index.ts")],
      "@ringcast/client/msgpack": [join(PACKAGE, "src/msgpack.ts")],
      ws: [join(modules, "@types/ws")],
      "@msgpack/msgpack": [join(modules, "@msgpack/msgpack")],
    },
  };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  try {
    execFileSync(process.execPath, [join(modules, "typescript/bin/tsc"), "-p", directory], {
      encoding: "utf8",
    });
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
