/*
 * A Node.js runtime client in one file: takes events from the Runtime API, calls the handler.
 *
 * It needs only Node.js 18 or later and is run by its path:
 *
 *     node node_runtime.mjs        with _HANDLER, LAMBDA_TASK_ROOT and AWS_LAMBDA_RUNTIME_API
 *
 * ES modules, CommonJS and, by the esbuild of the project or Node's own type stripping, TypeScript.
 * Errors, log lines, the context and streamed answers look as Lambda's own Node.js runtime makes
 * them (AWS Lambda developer guide, "Building Lambda functions with Node.js"; observed with
 * aws-lambda-ric).
 *
 *     NATLESS_HELD=1                wait for the Runtime API's word before the handler is loaded
 *     NATLESS_DEBUG=1               let a debugger attach, and tell the Runtime API where
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import util from 'node:util';

const ROOT = '/2018-06-01/runtime';
const TYPED = ['.ts', '.mts', '.cts', '.tsx'];
const SCRIPTS = ['.js', '.mjs', '.cjs'];
const ESBUILD_BUDGET = 60_000; // milliseconds for one build
const UNCAUGHT = 129; // exit statuses, as of aws-lambda-ric
const REJECTED = 128;
const UNFIT = 75; // of a process in reserve that the edit has made useless (EX_TEMPFAIL)
const PLACE_BUDGET = 5_000; // milliseconds to find the place of a syntax error

/** A failure that has one of the runtime's own names, such as `Runtime.ImportModuleError`. */
class Fault extends Error {
  constructor(type, message, trace) {
    super(message);
    Object.defineProperty(this, 'name', { value: type }); // not one of the facts that are logged
    if (trace) this.stack = [`${type}: ${message}`, ...trace].join('\n');
  }
}

// --- the Runtime API ---------------------------------------------------------------------------

/** The Runtime API as its only client sees it: one kept connection, one call at a time. */
class RuntimeApi {
  constructor(address) {
    const [authority, ...prefix] = address.split('/');
    const colon = authority.lastIndexOf(':');
    this.host = authority.slice(0, colon).replace(/^\[|\]$/g, '');
    this.port = Number(authority.slice(colon + 1));
    this.prefix = prefix.length ? `/${prefix.join('/')}` : '';
    // A kept socket does not keep the process alive: a callback handler's answer is due when
    // nothing else is left to do.
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
  }

  request(method, where, headers = {}) {
    return http.request({
      agent: this.agent,
      host: this.host,
      port: this.port,
      method,
      path: this.prefix + where,
      headers,
    });
  }

  /** One call to its end: status, headers and body. */
  call(method, where, { headers = {}, body } = {}) {
    return new Promise((resolve, reject) => {
      const data = body === undefined ? undefined : Buffer.from(body);
      const all = data === undefined ? headers : { ...headers, 'Content-Length': data.length };
      const request = this.request(method, where, all);
      request.on('error', reject);
      request.on('response', (response) => readReply(response).then(resolve, reject));
      request.end(data);
    });
  }

  /** Waits, without limit as the API asks, for an event. */
  async next() {
    const reply = await this.call('GET', `${ROOT}/invocation/next`);
    if (reply.status !== 200 || !reply.headers['lambda-runtime-aws-request-id']) {
      throw new Error(`the Runtime API answered ${reply.status} to a request for an event`);
    }
    return reply;
  }
}

async function readReply(response) {
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) };
}

// --- errors ------------------------------------------------------------------------------------

/** Whatever was thrown, as an error: a handler may reject with a text, or with nothing. */
function asError(thrown) {
  return util.types.isNativeError(thrown) || thrown instanceof Error ? thrown : undefined;
}

/** What was thrown as the JSON object that Lambda hands to the caller; frames of ours left out. */
function describeError(thrown) {
  const error = asError(thrown);
  if (error === undefined) {
    const text = String(thrown ?? 'handled');
    return { errorType: typeof (thrown ?? text), errorMessage: text, trace: [] };
  }
  const lines = String(error.stack || '').split('\n');
  return {
    errorType: error.name || 'Error',
    errorMessage: String(error.message),
    trace: lines.filter((each) => !each.includes(import.meta.url)),
  };
}

/** The same as it is written to the log, with whatever else the error carries. */
function logged(thrown) {
  const { errorType, errorMessage, trace } = describeError(thrown);
  const extras = asError(thrown) === undefined ? {} : { ...thrown };
  return encodeSafely({ errorType, errorMessage, ...extras, stack: trace });
}

function encodeSafely(value) {
  try {
    return JSON.stringify(value);
  } catch {
    return util.inspect(value);
  }
}

function errorHeaders(description) {
  const type = description.errorType.replace(/[^\x20-\x7e]/g, '?');
  return { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': type };
}

// --- the log -----------------------------------------------------------------------------------

let requestId = '';

/** One record: time, request id, level and text; line breaks inside it become carriage returns. */
function writeLine(level, text) {
  const head = `${new Date().toISOString()}\t${requestId || 'undefined'}\t${level}\t`;
  writeAll(Buffer.from(`${(head + text).replace(/\n/g, '\r')}\n`));
}

/** Writes all of it now: the process may be about to end. */
function writeAll(data) {
  for (let at = 0; at < data.length; ) {
    try {
      at += fs.writeSync(1, data, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') return; // nobody reads any more
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1); // the pipe is full
    }
  }
}

function patchConsole() {
  const levels = { log: 'INFO', info: 'INFO', debug: 'DEBUG', warn: 'WARN', error: 'ERROR' };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = (...args) => writeLine(level, util.format(...args));
  }
  console.trace = (...args) => {
    const at = { name: 'Trace', message: util.format(...args) };
    Error.captureStackTrace(at, console.trace);
    writeLine('TRACE', at.stack);
  };
  console.fatal = (...args) => writeLine('FATAL', util.format(...args));
}

// --- the handler -------------------------------------------------------------------------------

/** Finds the module's file; as on Lambda its name ends at the first dot behind the last slash. */
function findModule(root, handler) {
  const match = /^((?:.*\/)?[^./]+)\.(.+)$/.exec(handler);
  if (match === null || handler.includes('..')) {
    throw new Fault('Runtime.MalformedHandlerName', `Bad handler '${handler}'`);
  }
  const [, module, property] = match;
  for (const suffix of [...TYPED, ...SCRIPTS]) {
    const file = path.resolve(root, module + suffix);
    if (fs.existsSync(file)) return { file, module, property };
  }
  throw new Fault('Runtime.ImportModuleError', `Error: Cannot find module '${module}'`);
}

async function loadHandler(root, handler) {
  const { file, module, property } = findModule(root, handler);
  const loaded = TYPED.includes(path.extname(file))
    ? await importTyped(file)
    : await importFile(file, file);
  const found = pick(loaded, property) ?? pick(loaded.default, property);
  if (found === undefined) {
    const message = `${handler} is undefined or not exported`;
    throw new Fault('Runtime.HandlerNotFound', message);
  }
  if (typeof found !== 'function') {
    throw new Fault('Runtime.HandlerNotFound', `${module}.${property} is not a function`);
  }
  return found;
}

function pick(place, property) {
  return property.split('.').reduce((value, name) => value?.[name], place);
}

async function importFile(file, shown) {
  try {
    return await import(pathToFileURL(file).href);
  } catch (error) {
    throw namedImportError(error, file, shown);
  }
}

/** A failed import by Lambda's names for it. */
function namedImportError(error, file, shown) {
  if (error instanceof SyntaxError) return syntaxFault(error, file, shown);
  if (error?.code === 'MODULE_NOT_FOUND') {
    return new Fault('Runtime.ImportModuleError', `Error: ${error.message}`, traceOf(error));
  }
  return error;
}

function traceOf(error) {
  return String(error.stack || '').split('\n').slice(1);
}

/** A syntax error with its place, which Node tells of CommonJS files only. */
function syntaxFault(error, file, shown) {
  const place = placeIn(error.stack) ?? placeIn(importElsewhere(file));
  const where = place ? ` (${path.basename(place.file)}, line ${place.line})` : '';
  const lines = place ? [`  File "${place.file}", line ${place.line}`, ...place.excerpt] : [];
  const message = `SyntaxError: ${error.message}${where}`;
  // The frames are those of Node's loader: they say nothing once the place is known.
  return new Fault('Runtime.UserCodeSyntaxError', message, place ? lines : traceOf(error));
}

/** `file:line`, the line and a mark below it, as Node begins its report of a syntax error. */
function placeIn(text) {
  const match = /^(?:file:\/\/)?(\/[^\n]+):(\d+)\n([^\n]*)\n([ \t]*\^[ \t^~]*)\n/m.exec(text ?? '');
  if (match === null) return undefined;
  return { file: decodeURI(match[1]), line: Number(match[2]), excerpt: [match[3], match[4]] };
}

/** What another process says about a module that cannot be parsed; it runs nothing of it. */
function importElsewhere(file) {
  const code = `await import(${JSON.stringify(pathToFileURL(file).href)})`;
  const argv = ['--no-warnings', '--input-type=module', '-e', code];
  const env = { PATH: process.env.PATH ?? '' };
  return spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: PLACE_BUDGET, env }).stderr;
}

// --- TypeScript --------------------------------------------------------------------------------

async function importTyped(file) {
  const esbuild = findEsbuild(path.dirname(file));
  if (esbuild === undefined) {
    if (process.features.typescript) return importFile(file, file);
    throw new Fault(
      'Runtime.ImportModuleError',
      `${path.basename(file)} is TypeScript, and there is no esbuild to read it: ` +
        'npm install --save-dev esbuild, or run Node.js 22.18 or later',
    );
  }
  const built = buildTyped(esbuild, file);
  process.setSourceMapsEnabled?.(true);
  try {
    return await importFile(built, file);
  } finally {
    fs.rmSync(built, { force: true });
  }
}

/** The developer's esbuild: the one of the project, else the one on the `PATH`. */
function findEsbuild(folder) {
  const own = `@esbuild/${process.platform}-${process.arch}/bin/esbuild`;
  for (const place of parents(folder)) {
    for (const name of [own, '.bin/esbuild']) {
      const file = path.join(place, 'node_modules', name);
      if (fs.existsSync(file)) return file;
    }
  }
  const directories = (process.env.PATH ?? '').split(path.delimiter);
  return directories.map((each) => path.join(each, 'esbuild')).find((each) => fs.existsSync(each));
}

function parents(folder) {
  const found = [path.resolve(folder)];
  while (path.dirname(found.at(-1)) !== found.at(-1)) found.push(path.dirname(found.at(-1)));
  return found;
}

/** Bundles a handler's own files into one, where its packages are found; the file's path. */
function buildTyped(esbuild, file) {
  const isModule = usesModules(file);
  const name = `${path.basename(file)}-${process.pid}${isModule ? '.mjs' : '.cjs'}`;
  const out = path.join(outFolder(file), name);
  const options = [
    file, `--outfile=${out}`, '--bundle', '--platform=node', '--packages=external', '--keep-names',
    `--target=node${process.versions.node}`, `--format=${isModule ? 'esm' : 'cjs'}`,
    '--sourcemap=inline', '--log-level=error', '--color=false', '--allow-overwrite',
  ];
  if (isModule) {
    // CommonJS files among the handler's own ask for Node's modules by `require`.
    options.push(
      "--banner:js=import { createRequire as $require } from 'node:module';" +
        'const require = $require(import.meta.url);',
    );
  }
  const built = spawnSync(esbuild, options, { encoding: 'utf8', timeout: ESBUILD_BUDGET });
  if (built.status !== 0) throw buildFault(built, file);
  return out;
}

/** Packages are looked for from the built file on, so it goes where they are. */
function outFolder(file) {
  const packages = parents(path.dirname(file)).map((each) => path.join(each, 'node_modules'));
  const cache = packages.find((each) => fs.existsSync(each));
  for (const folder of [cache && path.join(cache, '.cache', 'natless'), os.tmpdir()]) {
    try {
      if (folder) fs.mkdirSync(folder, { recursive: true });
      if (folder) fs.accessSync(folder, fs.constants.W_OK);
      if (folder) return folder;
    } catch {
      continue; // a file system that cannot be written to
    }
  }
  throw new Fault('Runtime.ImportModuleError', 'there is no folder for what esbuild makes');
}

function usesModules(file) {
  if (/\.m[jt]s$/.test(file)) return true;
  if (/\.c[jt]s$/.test(file)) return false;
  const manifest = parents(path.dirname(file)).map((each) => path.join(each, 'package.json'));
  const nearest = manifest.find((each) => fs.existsSync(each));
  if (nearest === undefined) return !file.endsWith('.js');
  try {
    return JSON.parse(fs.readFileSync(nearest, 'utf8')).type === 'module';
  } catch {
    return false;
  }
}

/** esbuild's first complaint: `✘ [ERROR] text`, then `file:line:column:` and the line itself. */
function buildFault(built, file) {
  const said = built.stderr || String(built.error ?? `esbuild ended with ${built.status}`);
  const text = /\[ERROR\] ([^\n]+)/.exec(said)?.[1] ?? said.trim().split('\n')[0];
  const place = /^\s+(\S[^\n]*?):(\d+):\d+:$/m.exec(said);
  const where = place ? ` (${path.basename(place[1])}, line ${place[2]})` : '';
  const shown = place ? path.resolve(place[1]) : file;
  const excerpt = /^\s+\d+ │ ([^\n]*)/m.exec(said)?.[1];
  const lines = place ? [`  File "${shown}", line ${place[2]}`, `    ${excerpt ?? ''}`] : [];
  const isMissing = /Could not resolve/.test(text);
  const type = isMissing ? 'Runtime.ImportModuleError' : 'Runtime.UserCodeSyntaxError';
  return new Fault(type, `${text}${where}`, lines);
}

// --- what comes first --------------------------------------------------------------------------

const STATEMENT = {
  nothing: /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|#![^\n]*|['"]use strict['"]\s*;?)/y,
  types: /import\s+type\s[^;\n]*;?/y,
  module: /import\s*(?:[\w$*{}\s,]+?\s*from\s*)?(['"])([^'"\n]+)\1[ \t]*;?/y,
  common: /(?:const|let|var)\s+[\w$\s{},:]+?=\s*require\((['"])([^'"\n]+)\1\)[\w.$]*[ \t]*;?/y,
};

/**
 * The packages that a handler's file imports before any of its own code runs, in their order, each
 * with the file that names it. A file of its own among them is looked into and ends the list.
 */
function firstImports(file, seen = new Set()) {
  const found = [];
  seen.add(file);
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    return found;
  }
  for (let at = 0; at < text.length; ) {
    const match = Object.values(STATEMENT)
      .map((form) => ((form.lastIndex = at), form.exec(text)))
      .find((each) => each !== null && each[0].length > 0);
    if (match === undefined) break;
    at += match[0].length;
    const name = match[2];
    if (name === undefined || name.startsWith('node:')) continue;
    if (!/^[./#]/.test(name)) found.push({ name, file });
    else return [...found, ...firstImportsOf(name, file, seen)];
  }
  return found;
}

function firstImportsOf(name, file, seen) {
  const place = path.resolve(path.dirname(file), name);
  const bare = place.replace(/\.[mc]?js$/, '');
  const places = [place, ...[...TYPED, ...SCRIPTS].map((suffix) => bare + suffix)];
  const inner = places.find((each) => fs.statSync(each, { throwIfNoEntry: false })?.isFile());
  return inner === undefined || seen.has(inner) ? [] : firstImports(inner, seen);
}

/**
 * Imports them while the process waits anyway. Whatever goes wrong is left to be told when the
 * handler itself is imported.
 */
async function preload(root, handler) {
  const done = [];
  try {
    const { file } = findModule(root, handler);
    for (const each of firstImports(file)) {
      if (usesModules(each.file)) await importBeside(each.name, each.file);
      else createRequire(each.file)(each.name);
      done.push(each.name);
    }
  } catch {
    return done;
  }
  return done;
}

/** Imports a package as a module in that file's folder would. */
async function importBeside(name, file) {
  const place = path.join(outFolder(file), `first-${process.pid}-${(importBeside.count += 1)}.mjs`);
  fs.writeFileSync(place, `import ${JSON.stringify(name)};\n`);
  try {
    await import(pathToFileURL(place).href);
  } finally {
    fs.rmSync(place, { force: true });
  }
}
importBeside.count = 0;

/** Whether what was imported still comes first, in the file as it is now. */
function isFit(before, root, handler) {
  if (before.length === 0) return true;
  try {
    const now = firstImports(findModule(root, handler).file).map((each) => each.name);
    return before.every((name) => now.includes(name));
  } catch {
    return false;
  }
}

// --- what the handler is given -----------------------------------------------------------------

function makeContext(headers, callback) {
  const env = process.env;
  const deadline = Number(headers['lambda-runtime-deadline-ms'] ?? 0);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parseHeader(headers, 'lambda-runtime-client-context'),
    identity: parseHeader(headers, 'lambda-runtime-cognito-identity'),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    tenantId: headers['lambda-runtime-aws-tenant-id'],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: (error, value) => callback(error, value),
    fail: (error) => callback(error ?? 'handled'),
    succeed: (value) => callback(null, value),
  };
}

function parseHeader(headers, name) {
  const text = headers[name];
  if (!text) return undefined;
  try {
    return JSON.parse(Buffer.from(text, 'latin1').toString('utf8'));
  } catch (error) {
    const message = `Cannot parse ${name}: ${error.message}`;
    throw new Fault('Runtime.LambdaContextUnmarshalError', message);
  }
}

// --- streamed answers --------------------------------------------------------------------------

const STREAMED = Symbol.for('aws.lambda.runtime.handler.streaming');
const INTEGRATION = 'application/vnd.awslambda.http-integration-response';

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMED] = options?.highWaterMark ? `response; ${options.highWaterMark}` : 'response';
    return handler;
  },
  HttpResponseStream: {
    /** Puts status, headers and cookies before the body: JSON, then eight NUL bytes. */
    from(stream, prelude) {
      stream.setContentType(INTEGRATION);
      stream.write(JSON.stringify(prelude));
      stream.write(Buffer.alloc(8));
      return stream;
    },
  },
};

/** What a streaming handler writes to; nothing is sent before its first byte. */
class ResponseStream extends Writable {
  constructor(api, where, echo) {
    super();
    this.api = api;
    this.where = where;
    this.echo = echo;
    this.contentType = 'application/octet-stream';
    this.request = undefined;
    this.replied = undefined;
  }

  setContentType(type) {
    this.contentType = type;
  }

  get isBegun() {
    return this.request !== undefined;
  }

  open() {
    this.request = this.api.request('POST', this.where, {
      ...this.echo,
      'Content-Type': this.contentType,
      'Lambda-Runtime-Function-Response-Mode': 'streaming',
      'Transfer-Encoding': 'chunked',
      Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
    });
    this.replied = new Promise((resolve, reject) => {
      this.request.on('error', reject);
      this.request.on('response', (response) => readReply(response).then(resolve, reject));
    });
    this.replied.catch(() => {}); // whoever finishes the stream looks at it
  }

  _write(chunk, encoding, done) {
    if (!this.isBegun) this.open();
    this.request.write(chunk, encoding, done);
  }

  _final(done) {
    if (!this.isBegun) this.open();
    this.request.end(done);
  }

  /** Ends an answer that has begun with what went wrong, which its status can no longer tell. */
  async fail(description) {
    const body = Buffer.from(JSON.stringify(description)).toString('base64');
    this.request.addTrailers({
      'Lambda-Runtime-Function-Error-Type': description.errorType,
      'Lambda-Runtime-Function-Error-Body': body,
    });
    this.request.end();
    return this.replied;
  }
}

// --- one invocation ----------------------------------------------------------------------------

/** A promise with its two ends outside. */
function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** What the process as a whole does to the invocation that runs. */
let running;

/** The handler's answer, however it chooses to bring it. */
async function callHandler(handler, event, headers) {
  const outcome = deferred();
  let isCalledBack = false;
  const callback = (error, value) => {
    if (isCalledBack) return;
    isCalledBack = true;
    const settle = () => (error ? outcome.reject(error) : outcome.resolve(value));
    if (context.callbackWaitsForEmptyEventLoop) mine.whenEmpty = settle;
    else settle();
  };
  const mine = { whenEmpty: () => outcome.resolve(null) };
  running = mine;
  const context = makeContext(headers, callback);
  const returned = handler(event, context, callback);
  if (typeof returned?.then === 'function') returned.then(outcome.resolve, outcome.reject);
  return outcome.promise;
}

async function streamHandler(handler, event, headers, stream) {
  const outcome = deferred();
  running = { whenEmpty: () => outcome.resolve(null) };
  const context = makeContext(headers, () => {});
  const finished = deferred();
  stream.on('finish', finished.resolve);
  stream.on('error', finished.reject);
  Promise.resolve(handler(event, stream, context)).then(() => {
    if (!stream.writableEnded) stream.end();
    finished.promise.then(outcome.resolve, outcome.reject);
  }, outcome.reject);
  return outcome.promise;
}

async function runOnce(api, handler) {
  const { headers, body } = await api.next();
  requestId = headers['lambda-runtime-aws-request-id'];
  const trace = headers['lambda-runtime-trace-id'];
  if (trace) process.env._X_AMZN_TRACE_ID = trace;
  else delete process.env._X_AMZN_TRACE_ID;
  // A nonce that newer Runtime APIs compare, so that an answer of a timed-out call cannot be taken
  // for the answer of its repetition.
  const nonce = headers['lambda-runtime-invocation-id'];
  const echo = nonce ? { 'Lambda-Runtime-Invocation-Id': nonce } : {};
  const where = `${ROOT}/invocation/${requestId}`;
  let reply;
  const stream = handler[STREAMED] && new ResponseStream(api, `${where}/response`, echo);
  try {
    const event = JSON.parse(body.toString('utf8'));
    if (stream) {
      await streamHandler(handler, event, headers, stream);
      reply = await stream.replied;
    } else {
      const body = encodeAnswer(await callHandler(handler, event, headers));
      const all = { ...echo, 'Content-Type': 'application/json' };
      reply = await api.call('POST', `${where}/response`, { headers: all, body });
    }
  } catch (error) {
    writeLine('ERROR', `Invoke Error \t${logged(error)}`);
    reply = stream?.isBegun
      ? await stream.fail(describeError(error))
      : await postError(api, `${where}/error`, error, echo);
  } finally {
    running = undefined;
  }
  if (reply.status >= 500) throw new Error(`the Runtime API answered ${reply.status} to an answer`);
  if (reply.status >= 400) {
    const words = `the Runtime API refused the answer of ${requestId} with ${reply.status}`;
    process.stderr.write(`${words}\n`);
  }
}

function postError(api, where, error, headers = {}) {
  const description = describeError(error);
  return api.call('POST', where, {
    headers: { ...headers, ...errorHeaders(description) },
    body: JSON.stringify(description),
  });
}

function encodeAnswer(value) {
  try {
    return JSON.stringify(value === undefined ? null : value) ?? 'null';
  } catch (error) {
    throw new Error(`Unable to stringify response body: ${error.message}`);
  }
}

// --- the process -------------------------------------------------------------------------------

/** The event loop is empty: a handler that waits for nothing any more will not answer later. */
function watchProcess(api) {
  process.on('beforeExit', () => running?.whenEmpty());
  process.on('uncaughtException', (error) => {
    writeLine('ERROR', `Uncaught Exception \t${logged(error)}`);
    return giveUp(api, error, UNCAUGHT);
  });
  process.on('unhandledRejection', (reason) => {
    const name = 'Runtime.UnhandledPromiseRejection';
    const error = new Fault(name, rejectionText(reason), traceOf(reason ?? {}));
    writeLine('ERROR', `Unhandled Promise Rejection \t${logged(error)}`);
    return giveUp(api, error, REJECTED);
  });
}

function rejectionText(reason) {
  return asError(reason) === undefined ? String(reason) : reason.toString();
}

/** The invocation that runs is told, and the process ends, as on Lambda. */
async function giveUp(api, error, code) {
  const where = running ? `${ROOT}/invocation/${requestId}/error` : `${ROOT}/init/error`;
  running = undefined;
  await postError(api, where, error).catch(() => {});
  process.exit(code);
}

/**
 * Asks the Runtime API for leave to go on, and tells it where a debugger may attach.
 *
 * Packages that the handler imports first are imported meanwhile. If the file, as it is then, does
 * not import them first any more, the process ends with UNFIT: another one begins anew.
 */
async function hold(api, root, handler) {
  const before = await preload(root, handler);
  const headers = {};
  let inspector;
  if (process.env.NATLESS_DEBUG) {
    inspector = await import('node:inspector');
    inspector.open(0, '127.0.0.1');
    headers['Natless-Debug-Port'] = new URL(inspector.url()).port;
  }
  const reply = await api.call('GET', '/natless/held', { headers });
  if (reply.status !== 200) throw new Error(`not released: ${reply.status}`);
  if (!isFit(before, root, handler)) process.exit(UNFIT);
  if (inspector && JSON.parse(reply.body).waitForDebugger) inspector.waitForDebugger();
}

async function main() {
  const { _HANDLER: name, LAMBDA_TASK_ROOT: root, AWS_LAMBDA_RUNTIME_API: address } = process.env;
  for (const variable of ['_HANDLER', 'LAMBDA_TASK_ROOT', 'AWS_LAMBDA_RUNTIME_API']) {
    if (process.env[variable]) continue;
    process.stderr.write(`node_runtime: the environment lacks ${variable}\n`);
    process.exit(1);
  }
  const api = new RuntimeApi(address);
  try {
    if (process.env.NATLESS_HELD) await hold(api, root, name);
  } catch (error) {
    process.stderr.write(`node_runtime: the Runtime API is lost: ${error.message}\n`);
    process.exit(1);
  }
  delete process.env.NATLESS_HELD;
  delete process.env.NATLESS_DEBUG;
  patchConsole();
  watchProcess(api);
  let handler;
  try {
    handler = await loadHandler(root, name);
  } catch (error) {
    writeLine('ERROR', `Uncaught Exception \t${logged(error)}`);
    await postError(api, `${ROOT}/init/error`, error).catch(() => {});
    process.exit(UNCAUGHT);
  }
  try {
    for (;;) await runOnce(api, handler);
  } catch (error) {
    process.stderr.write(`node_runtime: the Runtime API at ${address} is lost: ${error.message}\n`);
    process.exit(1);
  }
}

main();
