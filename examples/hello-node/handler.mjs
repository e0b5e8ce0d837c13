// Says who ran it: your machine in Live mode, or the copy that was deployed.
import os from 'node:os';

export const handler = async (event, context) => {
  const isLive = process.env.NATLESS_LIVE === 'true';
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      message: `Hello from the ${isLive ? 'developer' : 'deployed'} code!`,
      machine: os.hostname(),
      process: process.pid,
      request: context.awsRequestId,
    }),
  };
};
