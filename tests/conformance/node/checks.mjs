// What every client script says: one JSON line a check that held; the first that does not ends it.
import assert from 'node:assert/strict';

export const settings = JSON.parse(process.env.NATLESS_CONFORMANCE ?? '{}');
export { assert };

export async function check(name, body) {
  try {
    await within(20, body(), name);
  } catch (error) {
    console.error(`FAILED: ${name}`);
    console.error(error);
    process.exit(1);
  }
  console.log(JSON.stringify({ check: name }));
}

export async function within(seconds, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing for ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Values as they come, awaited one at a time or counted.
export class Inbox {
  #values = [];
  #waiting = [];

  put(value) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(value);
    else this.#values.push(value);
  }

  next(seconds = 10) {
    if (this.#values.length) return Promise.resolve(this.#values.shift());
    let waiter;
    const value = new Promise((resolve) => this.#waiting.push((waiter = resolve)));
    return within(seconds, value, 'an event').finally(() => {
      this.#waiting = this.#waiting.filter((each) => each !== waiter); // one that gave up
    });
  }

  async take(count) {
    const values = [];
    while (values.length < count) values.push(await this.next());
    return values;
  }

  get size() {
    return this.#values.length;
  }
}

export async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'it was expected to be refused, and was not' });
}
