// ob-appsync-events-request: HTTP publish signed by the smithy signer, sent by Node's own fetch.
import { WebSocket } from 'ws';
import { assert, check, Inbox, settings, within } from './checks.mjs';

const { AWS_APPSYNC_EVENTS_SUBPROTOCOL, PublishRequest } = await import(
  'ob-appsync-events-request/dist/index.mjs' // its package.json names a file that is not in it
);

const inbox = new Inbox();
const authorization = { host: settings.httpHost, 'x-api-key': settings.apiKey };
const token = Buffer.from(JSON.stringify(authorization)).toString('base64url');
const socket = new WebSocket(`wss://${settings.realtimeHost}/event/realtime`, [
  AWS_APPSYNC_EVENTS_SUBPROTOCOL,
  `header-${token}`,
]);
await within(10, new Promise((resolve) => socket.once('open', resolve)), 'the upgrade');
socket.on('message', (data) => inbox.put(JSON.parse(data)));
socket.send(JSON.stringify({ type: 'subscribe', id: 's', channel: '/default/*', authorization }));
assert.deepEqual(await inbox.next(), { id: 's', type: 'subscribe_success' });

const url = `https://${settings.httpHost}/event`;

await check('publishes five events in a signed request, and they arrive', async () => {
  const events = [{ n: 1 }, 'two', 3, [4], null];
  const response = await fetch(await PublishRequest.signed(url, '/default/ob', ...events));
  assert.equal(response.status, 200);
  const { failed, successful } = await response.json();
  assert.deepEqual(failed, []);
  assert.deepEqual(successful.map((each) => each.index), [0, 1, 2, 3, 4]);
  for (const event of events) {
    assert.deepEqual(await inbox.next(), { id: 's', type: 'data', event: JSON.stringify(event) });
  }
});

await check('a request that was changed after signing is refused', async () => {
  const request = await PublishRequest.signed(url, '/default/ob', 1);
  const headers = new Headers(request.headers);
  const body = JSON.stringify({ channel: '/default/other', events: ['1'] });
  const response = await fetch(url, { method: 'POST', headers, body });
  assert.ok([400, 401, 403].includes(response.status), String(response.status));
  assert.ok((await response.json()).errors[0].errorType);
  assert.equal(inbox.size, 0);
});

socket.close();
process.exit(0);
