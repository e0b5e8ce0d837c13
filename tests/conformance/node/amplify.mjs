// aws-amplify, Events API, unmodified: WebSocket and HTTP, API key and IAM, and what must fail.
import { assert, check, Inbox, rejection, settings } from './checks.mjs';

let opened = 0;
const Socket = settings.socket === 'ws' ? (await import('ws')).WebSocket : globalThis.WebSocket;
globalThis.WebSocket = class extends Socket {
  constructor(...args) {
    super(...args);
    opened += 1; // how often Amplify dialled: a refusal that it believes ends its retries
  }
};

const { Amplify } = await import('aws-amplify');
const { events } = await import('aws-amplify/api');

const signedIn = (secretAccessKey) => ({
  Auth: {
    credentialsProvider: {
      getCredentialsAndIdentityId: async () => ({
        credentials: { accessKeyId: settings.accessKeyId, secretAccessKey },
      }),
      clearCredentialsAndIdentityId: () => {},
    },
  },
});

function configure({ apiKey = settings.apiKey, secret = settings.secretAccessKey } = {}) {
  Amplify.configure(
    {
      API: {
        Events: {
          endpoint: `https://${settings.httpHost}/event`,
          region: settings.region,
          defaultAuthMode: 'apiKey',
          apiKey,
        },
      },
    },
    signedIn(secret),
  );
}

async function listen(channel, options) {
  const inbox = new Inbox();
  const errors = new Inbox();
  const subscription = channel.subscribe(
    { next: (data) => inbox.put(data.event), error: (error) => errors.put(error) },
    options,
  );
  const { subscriptionId } = await subscription.ready;
  return { inbox, errors, subscription, subscriptionId };
}

// What Amplify makes of a refused HTTP publish: the name from x-amzn-ErrorType, the body as text.
async function refusedPost(promise, status) {
  const error = await rejection(promise);
  assert.equal(error.$metadata.httpStatusCode, status);
  const [first] = JSON.parse(error.response.body).errors;
  assert.equal(error.name, first.errorType);
  return first;
}

// A second after a channel's close Amplify closes the idle socket, or whichever has taken its place.
async function leave() {
  await new Promise((resolve) => setTimeout(resolve, 1200));
  await events.closeAll();
}

const VALUES = [
  { text: 'grüße, 世界 🌍', nested: { list: [1, 2.5, null, true] } },
  'a string',
  42,
  true,
  [1, [2]],
];

configure();

await check('connects and subscribes with an API key', async () => {
  const channel = await events.connect('/default/orders');
  const { subscriptionId } = await listen(channel);
  assert.match(subscriptionId, /^[0-9a-f-]{36}$/);
  await channel.close();
});

await check('publishes on the WebSocket, any JSON value, and receives it', async () => {
  const channel = await events.connect('default/values');
  const { inbox } = await listen(channel);
  for (const value of VALUES) {
    await channel.publish([value]); // Amplify reads an outer array as a batch
    assert.deepEqual(await inbox.next(), value);
  }
  await channel.close();
});

await check('publishes over HTTP, one and five at once, and receives all', async () => {
  const channel = await events.connect('/default/http');
  const { inbox } = await listen(channel);
  assert.equal(await events.post('/default/http', { one: 1 }), undefined);
  assert.deepEqual(await inbox.next(), { one: 1 });
  await events.post('default/http/', [VALUES]); // one event that is an array
  assert.deepEqual(await inbox.next(), VALUES);
  assert.equal(await events.post('/default/http', VALUES), undefined);
  assert.deepEqual(await inbox.take(5), VALUES);
  await channel.close();
});

await check('a wildcard hears every depth below it and not itself', async () => {
  const channel = await events.connect('/default/tree/*');
  const { inbox } = await listen(channel);
  await events.post('/default/tree', 'the prefix itself');
  await events.post('/default/tree/a', 'one below');
  await events.post('/default/tree/a/b/', 'two below');
  assert.deepEqual(await inbox.take(2), ['one below', 'two below']);
  assert.equal(inbox.size, 0);
  await channel.close();
});

await check('two subscriptions of one channel each hear an event once', async () => {
  const channel = await events.connect('/default/twice');
  const first = await listen(channel);
  const second = await listen(channel);
  await channel.publish({ n: 1 });
  assert.deepEqual(await first.inbox.next(), { n: 1 });
  assert.deepEqual(await second.inbox.next(), { n: 1 });
  assert.equal(first.inbox.size + second.inbox.size, 0);
  first.subscription.unsubscribe();
  await channel.close();
});

await check('an ended subscription hears nothing more', async () => {
  const channel = await events.connect('/default/ended');
  const ended = await listen(channel);
  const other = await listen(channel);
  ended.subscription.unsubscribe();
  await new Promise((resolve) => setTimeout(resolve, 300)); // unsubscribe has no readiness to await
  await channel.publish('after');
  assert.equal(await other.inbox.next(), 'after');
  assert.equal(ended.inbox.size, 0);
  await channel.close();
});

await check('six events are refused both ways, each with its own reason', async () => {
  const channel = await events.connect('/default/http');
  const refused = await rejection(channel.publish([1, 2, 3, 4, 5, 6]));
  assert.match(String(refused), /InvalidInputError/);
  await channel.close();
  assert.deepEqual(await refusedPost(events.post('/default/http', [1, 2, 3, 4, 5, 6]), 400), {
    errorType: 'BadRequestException',
    message: 'Input exceeded 5 event limit',
  });
});

await check('an unknown namespace is refused: subscribe, publish, post', async () => {
  const channel = await events.connect('/nowhere/orders');
  const error = await rejection(listen(channel));
  assert.match(String(error), /UnauthorizedException/);
  assert.match(String(await rejection(channel.publish('x'))), /UnauthorizedException/);
  assert.deepEqual(await refusedPost(events.post('/nowhere/orders', 'x'), 401), {
    errorType: 'UnauthorizedException',
  });
  await channel.close();
  const still = await events.connect('/default/still');
  assert.ok(await listen(still), 'the socket outlives a refused subscription');
  await still.close();
});

await check('a wrong API key is believed at once: one dial, no retry', async () => {
  await leave();
  configure({ apiKey: settings.wrongApiKey });
  const before = opened;
  const error = await rejection(events.connect('/default/orders'));
  assert.match(String(error), /UnauthorizedException/);
  assert.equal(opened - before, 1);
  assert.deepEqual(await refusedPost(events.post('/default/orders', 'x'), 401), {
    errorType: 'UnauthorizedException',
    message: 'You are not authorized to make this call.',
  });
});

await check('IAM: connects, subscribes, publishes both ways', async () => {
  configure();
  const channel = await events.connect('/default/iam', { authMode: 'iam' });
  const { inbox } = await listen(channel);
  await channel.publish({ quoted: 'a "b" \\ c', n: 1 });
  assert.deepEqual(await inbox.next(), { quoted: 'a "b" \\ c', n: 1 });
  await events.post('/default/iam', { n: 2 }, { authMode: 'iam' });
  assert.deepEqual(await inbox.next(), { n: 2 });
  await channel.close();
});

await check('IAM on one channel beside an API key on the same socket', async () => {
  const channel = await events.connect('/default/mixed', { authMode: 'apiKey' });
  const { inbox } = await listen(channel, { authMode: 'iam' });
  await channel.publish('mixed', { authMode: 'apiKey' });
  assert.equal(await inbox.next(), 'mixed');
  await channel.close();
});

await check('IAM with a wrong secret is believed at once: one dial, no retry', async () => {
  await leave();
  configure({ secret: 'not-the-secret' });
  const before = opened;
  const error = await rejection(events.connect('/default/orders', { authMode: 'iam' }));
  assert.match(String(error), /BadRequestException|UnauthorizedException/);
  assert.equal(opened - before, 1);
});

await events.closeAll();
process.exit(0);
