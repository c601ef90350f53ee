// What every Node peer is told by the benchmark, and what it answers; how its events look. The same as control.py.
"use strict";

const readline = require("node:readline");
const { parseArgs } = require("node:util");

const FIRST = 1_000_000;

function options() {
  const number = { type: "string" };
  const { values } = parseArgs({
    options: {
      port: number,
      connections: { ...number, default: "1000" },
      messages: { ...number, default: "1000" },
      payload: { ...number, default: "128" },
      burst: { ...number, default: "1" },
      rate: { ...number, default: "0" },
      lean: { type: "boolean" },
      framed: { type: "boolean" },
    },
  });
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
}

// Nanoseconds of the clock that Python's time.monotonic_ns reads: too many digits for a float to be exact in all of
// them, but not on a machine that was started less than a hundred days ago.
const now = () => Number(process.hrtime.bigint());
const turn = () => new Promise((resolve) => setImmediate(resolve));
const cpu = () => Object.values(process.cpuUsage()).reduce((sum, part) => sum + part, 0) / 1e6;
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

class Control {
  // `send(counter, atNs)` sends that event to everybody.
  constructor(send) {
    this.options = options();
    this.padding = "x".repeat(Math.max(0, this.options.payload - `[${FIRST},${now()},""]`.length));
    this.send = send;
    this.next = FIRST;
    this.connected = 0;
  }

  text(counter, atNs) {
    return `[${counter},${atNs},"${this.padding}"]`;
  }

  connect() {
    if (++this.connected === this.options.connections) say({ connected: this.connected });
  }

  async obey() {
    say({ listening: this.options.port });
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const [command, count, seconds] = line.split(" ");
      if (command === "go") {
        await this.go(Number(count ?? this.options.messages), Number(seconds ?? Infinity));
      } else {
        if (command === "collect") globalThis.gc?.();
        say({ cpu_s: cpu(), at_ns: now() });
      }
    }
    process.stdout.write(JSON.stringify({ cpu_s: cpu() }) + "\n", () => process.exit(0));
  }

  async go(count, seconds) {
    const began = now();
    await (this.options.rate ? this.pace(count) : this.flood(count, began + seconds * 1e9));
    say({ began_ns: began, last: this.next - 1 });
  }

  async flood(count, until) {
    for (let number = 1; number <= count; number++) {
      this.send(this.next++, now());
      if (number % this.options.burst === 0) {
        await turn();
        if (now() > until) return;
      }
    }
  }

  async pace(count) {
    // The time of an event is when it was due: one that is sent too late is late.
    const every = 1e9 / this.options.rate;
    let due = now();
    for (let number = 0; number < count; number++) {
      due += every;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, (due - now()) / 1e6)));
      this.send(this.next++, Math.floor(due));
    }
  }
}

module.exports = { Control };
