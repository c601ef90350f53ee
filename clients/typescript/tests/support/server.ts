/** A real server in a process of its own, started on a free port and stopped by its process id. */

import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PROJECT = join(HERE, "../../../..");
const VENV_PYTHON = join(PROJECT, ".venv/bin/python");
/** The interpreter that has Ringcast. */
const PYTHON = process.env.RINGCAST_PYTHON ?? (existsSync(VENV_PYTHON) ? VENV_PYTHON : "python3");
/** Where `served.py` finds the actors of the other tests. */
const PYTHONPATH = [
  join(PROJECT, "tests/integration"),
  join(PROJECT, "tests/delivery"),
  process.env.PYTHONPATH,
]
  .filter(Boolean)
  .join(delimiter);
const START_MS = 20_000;

export type RegistryName = "registry" | "lively" | "busy" | "crowded" | "narrow" | "kinds";

/** A server that can be killed and started again at the same port, with the same store. */
export class Server {
  readonly #registry: RegistryName;
  readonly #directory = mkdtempSync(join(tmpdir(), "ringcast-"));
  readonly #store = join(this.#directory, "store");
  readonly #backup = join(this.#directory, "backup");
  #process: ChildProcess | null = null;
  #output = "";
  port = 0;

  private constructor(registry: RegistryName) {
    this.#registry = registry;
  }

  static async start(registry: RegistryName = "registry"): Promise<Server> {
    const server = new Server(registry);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Start, again if need be; resolves when connections are taken. */
  start(): Promise<void> {
    const args = ["-m", "ringcast", "serve", `served:${this.#registry}`, "--port", String(this.port)];
    args.push("--store", join(this.#store, "ringcast.db"));
    mkdirSync(this.#store, { recursive: true });
    const env = { ...process.env, PYTHONPATH };
    const child = spawn(PYTHON, args, { cwd: HERE, env, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    this.#output = "";
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no server came up:\n${this.#output}`)), START_MS);
      const onOutput = (chunk: Buffer) => {
        this.#output += chunk;
        const address = /serving .* at http:\/\/127\.0\.0\.1:(\d+)/.exec(this.#output);
        if (!address) return;
        clearTimeout(timer);
        this.port = Number(address[1]);
        resolve();
      };
      child.stdout.on("data", onOutput);
      child.stderr.on("data", onOutput);
      child.once("exit", () => reject(new Error(`the server has ended:\n${this.#output}`)));
    });
  }

  /** End the process without a word. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Copy the files of the store as they are, while nobody asks for anything. */
  remember(): void {
    // An index of the log, which is made anew when the store is opened.
    const filter = (path: string) => !path.endsWith("-shm");
    cpSync(this.#store, this.#backup, { recursive: true, filter });
  }

  /** End the process without a word, and start it again with its store as it was remembered. */
  async comeBackAsItWas(): Promise<void> {
    await this.kill();
    rmSync(this.#store, { recursive: true });
    cpSync(this.#backup, this.#store, { recursive: true });
    await this.start();
  }

  /** Let the server close in order, and tidy up. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    rmSync(this.#directory, { recursive: true, force: true });
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
