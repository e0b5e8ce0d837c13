// aws-amplify, unmodified: Events with a user pool's token and with a Lambda authorizer's, and
// GraphQL subscriptions over the same relay.
import { WebSocket } from 'ws';
import { assert, check, Inbox, rejection, settings } from './checks.mjs';

globalThis.WebSocket = WebSocket;
const { Amplify } = await import('aws-amplify');
const { events, generateClient } = await import('aws-amplify/api');

function configure(token = settings.jwt) {
  const accessToken = { toString: () => token, payload: {} };
  Amplify.configure(
    {
      API: {
        Events: {
          endpoint: `https://${settings.httpHost}/event`,
          region: settings.region,
          defaultAuthMode: 'userPool',
        },
        GraphQL: {
          endpoint: `https://${settings.httpHost}/graphql`,
          region: settings.region,
          defaultAuthMode: 'apiKey',
          apiKey: settings.apiKey,
        },
      },
    },
    { Auth: { tokenProvider: { getTokens: async () => ({ accessToken }) } } },
  );
}

async function listen(channel, options) {
  const inbox = new Inbox();
  const subscription = channel.subscribe(
    { next: (data) => inbox.put(data.event), error: () => {} },
    options,
  );
  await subscription.ready;
  return inbox;
}

async function leave() {
  await new Promise((resolve) => setTimeout(resolve, 1200)); // see amplify.mjs
  await events.closeAll();
}

configure();

await check('a token of a user pool connects, subscribes, publishes both ways', async () => {
  const channel = await events.connect('/default/pool');
  const inbox = await listen(channel);
  await channel.publish('socket');
  assert.equal(await inbox.next(), 'socket');
  await events.post('/default/pool', 'http');
  assert.equal(await inbox.next(), 'http');
  await channel.close();
});

await check('a token that a user pool did not sign is refused', async () => {
  await leave();
  const [head, body, signature] = settings.jwt.split('.');
  configure([head, body, signature.split('').reverse().join('')].join('.'));
  const error = await rejection(events.connect('/default/pool'));
  assert.match(String(error), /UnauthorizedException/);
  configure();
});

await check('GraphQL: subscribes with an API key and hears a mutation', async () => {
  const client = generateClient();
  const inbox = new Inbox();
  const query = 'subscription S { subscribe(name: "room") { name data } }';
  const subscription = client
    .graphql({ query })
    .subscribe({ next: ({ data }) => inbox.put(data.subscribe), error: (e) => inbox.put(e) });
  const mutation =
    'mutation P($data: AWSJSON!) { publish(name: "room", data: $data) { name data } }';
  // Amplify does not say when the subscription stands: publish until it hears.
  let heard;
  for (let n = 0; heard === undefined; n += 1) {
    const variables = { data: JSON.stringify({ n }) };
    const { data } = await client.graphql({ query: mutation, variables });
    assert.equal(data.publish.name, 'room');
    heard = await inbox.next(0.3).catch(() => undefined);
  }
  assert.equal(heard.name, 'room');
  assert.equal(typeof JSON.parse(heard.data).n, 'number');
  subscription.unsubscribe();
});

if (settings.lambdaToken) {
  await check('a Lambda authorizer is asked for each operation and believed', async () => {
    const options = { authMode: 'lambda', authToken: settings.lambdaToken };
    const channel = await events.connect('/default/lambda', options);
    const inbox = await listen(channel, options);
    await channel.publish('socket', options);
    assert.equal(await inbox.next(), 'socket');
    await channel.close();
    await leave();
  });

  await check('a Lambda authorizer that says no is believed at connect', async () => {
    const options = { authMode: 'lambda', authToken: 'somebody-else' };
    assert.match(String(await rejection(events.connect('/default/x', options))), /Unauthorized/);
  });
}

await events.closeAll();
process.exit(0);
