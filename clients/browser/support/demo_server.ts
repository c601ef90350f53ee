/** `ringcast demo` as a process: on a free port, killed and started again at the same one, stopped by its process id. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const VENV_PYTHON = fileURLToPath(new URL("../../../.venv/bin/python", import.meta.url));
/** The interpreter that has Ringcast. */
const PYTHON = process.env.RINGCAST_PYTHON ?? (existsSync(VENV_PYTHON) ? VENV_PYTHON : "python3");
const START_MS = 30_000;

export class DemoServer {
  #process: ChildProcess | null = null;
  #port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Start, again if need be, with so many prices a second; resolves when connections are taken. */
  async start(speed: number): Promise<void> {
    const args = ["-m", "ringcast", "demo", "--port", String(this.#port), "--speed", String(speed)];
    const env = { ...process.env, PYTHONUNBUFFERED: "1" };
    const child = spawn(PYTHON, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    this.#port = await new Promise<number>((resolve, reject) => {
      let output = "";
      const timer = setTimeout(() => reject(new Error(`no server came up:\n${output}`)), START_MS);
      const onOutput = (chunk: Buffer) => {
        output += chunk;
        const address = /ticker at http:\/\/127\.0\.0\.1:(\d+)/.exec(output);
        if (!address) return;
        clearTimeout(timer);
        resolve(Number(address[1]));
      };
      child.stdout.on("data", onOutput);
      child.stderr.on("data", onOutput);
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`the server has ended:\n${output}`)));
    });
  }

  /** End the process without a word. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** Let the server close in order. */
  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      child.once("exit", () => resolve());
      child.kill(signal);
    });
  }
}
