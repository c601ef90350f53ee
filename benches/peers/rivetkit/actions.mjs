// RivetKit: an actor whose action returns its argument, and calls of it over one connection, in JSON.
//
// Its server and its client in one process, as `both`, or each in one of its own. It is told what to do by lines on its
// standard input, and ends with that.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { actor, createMemoryDriver, setup } from "rivetkit";
import { createClient } from "rivetkit/client";

const WARM_UP = 20_000;
const RETRY_MS = 50;
const START_MS = 30_000;

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
  const until = performance.now() + START_MS;
  for (;;) {
    try {
      return await fetch(`${endpoint}/metadata`);
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function call() {
  const client = createClient({ endpoint, encoding: "json", disableMetadataLookup: true });
  const connection = client.echo.getOrCreate(["bench"]).connect();
  const argument = "x".repeat(payload - 2);
  await called(connection, argument, Math.min(WARM_UP, calls));
  say({ warm: true });
  await once(lines, "go");
  const began = performance.now();
  const used = cpu();
  const late = await called(connection, argument, calls);
  const seconds = (performance.now() - began) / 1000;
  const cpu_s = cpu() - used;
  late.sort((one, other) => one - other);
  const [p50_us, p99_us] = [0.5, 0.99].map((share) => late[Math.floor(late.length * share)] * 1000);
  say({ replies: late.length, seconds, p50_us, p99_us, cpu_s });
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

// Whatever it is at: with its input it ends.
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => lines.emit(line));
lines.on("close", () => process.exit(0));
lines.on("look", () => say({ cpu_s: cpu() }));
if (values.role !== "client") serve();
await listening();
say({ listening: port });
if (values.role !== "server") await call();
