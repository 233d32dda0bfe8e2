/** One request to a server that is not trusted: where it leads is checked at every step, and what it says is bounded in time and size. */
import { type LookupAddress, lookup as resolveName } from 'node:dns';
import type { IncomingMessage } from 'node:http';
import { isIP, type LookupFunction } from 'node:net';
import { ModelError } from '../../errors.js';
import { errorCode, errorText } from '../file-source.js';
import { isLinkLocal, isPublicAddress } from './address.js';

export interface RemotePolicy {
  /** Also addresses that are not of the public internet: this machine, the local network. */
  readonly allowPrivate: boolean;
  /** Also without encryption. */
  readonly allowHttp: boolean;
  /** Most that is fetched of one file. */
  readonly maxBytes: number;
  /** How long a server may say nothing, or next to nothing. */
  readonly timeoutMs: number;
  /** A secret, and the only origin that it is told. */
  readonly token: { readonly origin: string; readonly value: string } | null;
  /** Ends requests at once; they are rejected with its reason. */
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** Where it came from in the end. */
  readonly url: URL;
  readonly body: IncomingMessage;
}

const MAX_REDIRECTS = 5;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Slower than this for the whole of a time limit is as good as nothing. */
const LEAST_BYTES_PER_SECOND = 1024;
const MAX_HEADER_BYTES = 2 ** 15;

/**
 * Asks for a URL and follows where it is sent on to. The body is not read yet: read or destroy it.
 *
 * @param label what messages call it
 * @throws ModelError 'unsafe' where it leads somewhere it may not, 'usage' where nobody answers
 */
export async function request(url: URL, headers: Readonly<Record<string, string>>, policy: RemotePolicy, label: string, method = 'GET'): Promise<Answer> {
  let at = url;
  for (let count = 0; ; count++) {
    checkUrl(at, policy, label);
    const answer = await ask(at, headers, policy, label, method);
    const { location } = answer.headers;
    if (!REDIRECTS.has(answer.statusCode!) || location === undefined) return { status: answer.statusCode!, headers: answer.headers, url: at, body: answer };
    answer.destroy();
    if (count === MAX_REDIRECTS) throw new ModelError('malformed', `the server sends on more than ${MAX_REDIRECTS} times`, { file: label });
    at = redirected(at, location, policy, label);
  }
}

/** Where a server sends on to. @throws ModelError 'unsafe' where that is no encrypted connection any more */
export function redirected(from: URL, location: string, policy: RemotePolicy, label: string): URL {
  const to = URL.canParse(location, from) ? new URL(location, from) : null;
  if (!to) throw new ModelError('malformed', 'the server sends on to what is no address', { file: label });
  checkUrl(to, policy, label);
  return to;
}

/** @throws ModelError 'usage' or 'unsafe' for a URL that is not asked */
export function checkUrl(url: URL, { allowHttp, allowPrivate }: RemotePolicy, label: string): void {
  if (url.protocol === 'http:' && !allowHttp) {
    throw new ModelError('unsafe', `${url.host} would be asked without encryption, and anybody on the way could change what comes. --allow-http allows it.`, {
      file: label,
    });
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new ModelError('unsafe', `leads to ${url.protocol}//, which is not asked`, { file: label });
  if (url.username !== '' || url.password !== '') {
    throw new ModelError('usage', 'a name and a password in a URL end up in logs: give a token in a variable, and its name with --token-env', {
      file: url.host,
    });
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const refused = isIP(host) === 0 ? null : refusalOf(url.hostname, host, allowPrivate, label);
  if (refused) throw refused;
}

/** Why an address is not connected to; null where it is. */
function refusalOf(host: string, address: string, allowPrivate: boolean, label: string): ModelError | null {
  const where = host.includes(address) ? address : `${host} is ${address}, which`;
  if (isLinkLocal(address))
    return new ModelError('unsafe', `${where} is an address where machines are told their own secrets. It is never asked, not even with --allow-private.`, {
      file: label,
    });
  if (allowPrivate || isPublicAddress(address)) return null;
  return new ModelError('unsafe', `${where} is an address of this machine or of a network that is not public. --allow-private allows it.`, { file: label });
}

async function ask(url: URL, headers: Readonly<Record<string, string>>, policy: RemotePolicy, label: string, method: string): Promise<IncomingMessage> {
  const { request: send } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const { token, timeoutMs, signal } = policy;
  signal?.throwIfAborted();
  const secret = token?.origin === url.origin ? { authorization: `Bearer ${token.value}` } : {};
  return new Promise((fulfil, reject) => {
    const sent = send(url, {
      method,
      headers: { 'user-agent': 'weighbridge', 'accept-encoding': 'identity', ...headers, ...secret },
      // Name and connection are one step: another answer to a second question (DNS rebinding) has no question to answer.
      lookup: checkedLookup(policy, label),
      maxHeaderSize: MAX_HEADER_BYTES,
      agent: false,
      ...(signal ? { signal } : {}),
    });
    const timer = setTimeout(
      () => sent.destroy(new ModelError('usage', `${url.host} says nothing for ${timeoutMs / 1000} seconds`, { file: label })),
      timeoutMs,
    );
    sent.on('error', (error) => {
      clearTimeout(timer);
      if (signal?.aborted) return reject(signal.reason);
      reject(error instanceof ModelError ? error : new ModelError('usage', `${url.host} could not be asked: ${networkText(error)}`, { file: label }, error));
    });
    sent.on('response', (answer) => {
      clearTimeout(timer);
      // Whoever reads the body hears of it; whoever does not has no use for it.
      answer.on('error', () => {});
      fulfil(answer);
    });
    sent.end();
  });
}

/** Resolves a name, and gives nothing but addresses that may be connected to. */
function checkedLookup({ allowPrivate }: RemotePolicy, label: string): LookupFunction {
  return (hostname, options, callback) => {
    const give = callback as (error: Error | null, address?: string | LookupAddress[], family?: number) => void;
    resolveName(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return give(error);
      for (const { address } of addresses) {
        const refused = refusalOf(hostname, address, allowPrivate, label);
        if (refused) return give(refused);
      }
      if (options.all) give(null, addresses);
      else give(null, addresses[0]!.address, addresses[0]!.family);
    });
  };
}

function networkText(error: Error): string {
  const words: Readonly<Record<string, string>> = {
    ENOTFOUND: 'there is no host of this name',
    EAI_AGAIN: 'its name could not be looked up (is there a network?)',
    ECONNREFUSED: 'nobody listens there',
    ECONNRESET: 'the connection was cut',
    ETIMEDOUT: 'the connection was not made in time',
  };
  return words[errorCode(error) ?? ''] ?? errorText(error);
}

/**
 * The body of an answer, piece by piece.
 *
 * @param most bytes that are taken
 * @throws ModelError 'unsafe' beyond `most`, 'usage' where it stalls, drips, or is cut off
 */
export async function* bodyOf({ body, url }: Answer, most: number, { timeoutMs, signal }: RemotePolicy, label: string): AsyncGenerator<Uint8Array> {
  let inWindow = 0;
  let total = 0;
  const least = (LEAST_BYTES_PER_SECOND * timeoutMs) / 1000;
  const watch = setInterval(() => {
    if (inWindow < least) {
      const rate = inWindow === 0 ? 'nothing' : `${inWindow} bytes`;
      body.destroy(
        new ModelError('usage', `${url.host} sent ${rate} in ${timeoutMs / 1000} seconds (after ${total} bytes), and was not waited for any longer`, {
          file: label,
        }),
      );
    }
    inWindow = 0;
  }, timeoutMs);
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      inWindow += chunk.byteLength;
      total += chunk.byteLength;
      if (total > most)
        throw new ModelError('unsafe', `${url.host} sends more than the ${most} bytes that were expected or allowed (--max-download)`, { file: label });
      yield chunk;
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ModelError) throw error;
    throw new CutOff(label, url.host, total, error);
  } finally {
    clearInterval(watch);
    body.destroy();
  }
}

/** A connection that ended early: what came so far is good, and the rest may be asked for. */
export class CutOff extends ModelError {
  constructor(label: string, host: string, byteLength: number, cause: unknown) {
    super('usage', `the connection to ${host} ended early, after ${byteLength} bytes`, { file: label }, cause);
  }
}

/** @throws ModelError unless the answer is one of those that are expected */
export function expectStatus(answer: Answer, expected: readonly number[], label: string): void {
  const { status, headers, url } = answer;
  const encoding = headers['content-encoding'];
  if (expected.includes(status) && (encoding === undefined || encoding === 'identity')) return;
  answer.body.destroy();
  if (expected.includes(status)) {
    throw new ModelError('malformed', `${url.host} sends the file packed (${encoding}), though it was asked not to, so that places in it mean nothing`, {
      file: label,
    });
  }
  const words: Readonly<Record<number, string>> = {
    401: 'it wants a login: for hf:// set HF_TOKEN, else name the variable that holds a token with --token-env',
    403: 'it does not give this file: is a token needed (hf://: HF_TOKEN, else --token-env), or a licence to be accepted?',
    404: 'there is no such file',
    410: 'the file is gone',
    429: 'too much was asked of it; try again later',
  };
  throw new ModelError('usage', `${url.host} answers ${status}${words[status] ? `: ${words[status]}` : ''}`, { file: label });
}
