/** A program for other runtimes than Node: connects with the built client, and prints what it hears, a line each. */

const [url, key, transport] = globalThis.Deno?.args ?? process.argv.slice(2);
const { createClient } = await import(new URL("../../dist/index.js", import.meta.url).href);

const client = createClient({
  url,
  transport,
  reconnectFirstMs: 20,
  reconnectBaseMs: 20,
  reconnectMaxMs: 100,
});
const connection = client.actor("feed").getOrCreate(key).connect();
for (const name of ["connected", "disconnected", "reconnected"]) connection.on(name, () => console.log(name));
connection.on("replayed", (count) => console.log(`${count} missed`));
connection.once("item", (item) => console.log(`first ${item}`));
connection.on("item", async (item) => {
  console.log(`item ${item}`);
  if (item !== 5) return;
  console.log(`over HTTP ${await client.actor("feed").get(key).add(2)}`);
  await client.close();
  console.log(connection.status);
});
await connection.ready();
await connection.call("emit", [2]);
console.log(`called ${await connection.call("add", [1])}`);
