// Says who ran it. Needs esbuild (npm install), or Node.js 22.18 or later, which needs nothing.
import os from 'node:os';

interface Context {
  awsRequestId: string;
  getRemainingTimeInMillis(): number;
}

export const handler = async (event: unknown, context: Context) => {
  const isLive: boolean = process.env.NATLESS_LIVE === 'true';
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      message: `Hello from the ${isLive ? 'developer' : 'deployed'} code!`,
      machine: os.hostname(),
      process: process.pid,
      request: context.awsRequestId,
      left: context.getRemainingTimeInMillis(),
    }),
  };
};
