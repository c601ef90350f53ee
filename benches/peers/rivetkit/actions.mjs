// RivetKit: an actor whose action returns its argument, and calls of it over one connection, in JSON.
//
// Its server and its client in one process, as `both`, or each in one of its own. A server ends with its standard
// input. A client says how long its calls took, after as many as warm it up.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { actor, createMemoryDriver, setup } from "rivetkit";
import { createClient } from "rivetkit/client";

const WARM_UP = 20_000;
const RETRY_MS = 50;

const text = { type: "string" };
const { values } = parseArgs({
  options: { role: text, port: text, calls: text, burst: text, payload: text },
});
const [port, calls, burst, payload] = ["port", "calls", "burst", "payload"].map((name) => Number(values[name]));
const endpoint = `http://127.0.0.1:${port}`;
const cpu = () => Object.values(process.cpuUsage()).reduce((sum, part) => sum + part, 0) / 1e6;
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

function serve() {
  const echo = actor({ state: {}, actions: { echo: (c, value) => value } });
  const driver = createMemoryDriver();
  const quiet = { noWelcome: true, logging: { level: "error" } };
  setup({ use: { echo }, driver, serveManager: true, managerPort: port, ...quiet }).start();
}

async function listening() {
  for (;;) {
    try {
      return await fetch(`${endpoint}/metadata`);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function call() {
  say({ listening: port });
  const client = createClient({ endpoint, encoding: "json", disableMetadataLookup: true });
  const connection = client.echo.getOrCreate(["bench"]).connect();
  const argument = "x".repeat(payload - 2);
  await called(connection, argument, Math.min(WARM_UP, calls));
  say({ warm: true });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== "go") continue;
    const began = performance.now();
    const used = cpu();
    const late = await called(connection, argument, calls);
    const seconds = (performance.now() - began) / 1000;
    late.sort((one, other) => one - other);
    const [p50_us, p99_us] = [0.5, 0.99].map((share) => late[Math.floor(late.length * share)] * 1000);
    say({ replies: late.length, seconds, p50_us, p99_us, cpu_s: cpu() - used });
  }
}

// Calls so often, with `burst` on their way at a time, and returns how many milliseconds each took.
async function called(connection, argument, count) {
  const late = [];
  let begun = 0;
  const one = async () => {
    while (begun < count) {
      begun++;
      const at = performance.now();
      if ((await connection.echo(argument)) !== argument) throw new Error("another reply than the argument");
      late.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: burst }, one));
  return late;
}

if (values.role !== "client") serve();
await listening();
if (values.role === "server") {
  say({ listening: port });
  for await (const line of createInterface({ input: process.stdin })) if (line === "look") say({ cpu_s: cpu() });
} else {
  await call();
}
process.exit(0);
