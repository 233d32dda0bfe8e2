/** A PyTorch file that somebody packed into a zip, tar or gzip archive of its own. */
import { type ByteSource, memorySource } from '../../bytes/byte-source.js';
import { inflateExactly } from '../../containers/inflate.js';
import { looksLikeTar, openTar } from '../../containers/tar.js';
import { looksLikeZip, openZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import { exportedProgramNames, isPlainPickle } from './recognise-content.js';

/** A packed member is unpacked into memory; who has a larger one is told to unpack it. */
const MAX_UNPACKED_BYTES = 2 ** 26;
const WEIGHTS = /\.(pth|pt|ckpt|pkl|pth\.tar)$|(^|\/)pytorch_model\.bin$/i;
/** Models of any format, by their names: an archive with several is for its owner to choose from. */
const MODEL = /\.(h5|hdf5|keras|onnx|caffemodel|safetensors|tflite|pb|npz|mlmodel|gguf)$|(^|\/)model\.json$/i;
/** What macOS puts beside files in archives. */
const SHADOW = /(^|\/)(__MACOSX\/|\._)/;

/** A member of an archive that may be a model by its name. */
interface Member {
  readonly name: string;
  readonly byteLength: number;
  readonly isPacked: boolean;
  readonly isPytorch: boolean;
  open(): Promise<ByteSource>;
}

/** Names of the models in an archive, of any format; none where it is no archive, or a PyTorch file itself. */
export async function archivedNames(source: ByteSource): Promise<string[]> {
  return (await members(source)).map(({ name }) => name);
}

/** Whether an archive holds a PyTorch file and no other model. */
export async function isArchived(source: ByteSource): Promise<boolean> {
  const [only, ...more] = await members(source);
  return only?.isPytorch === true && more.length === 0;
}

/**
 * Unpacks the only PyTorch file of an archive.
 *
 * @returns null where there is none, or several
 * @throws ModelError 'unsupported' where it is too large to be unpacked here
 */
export async function openArchived(source: ByteSource): Promise<ByteSource | null> {
  const [only, ...more] = await members(source);
  if (!only || more.length > 0) return null;
  if (only.isPacked && only.byteLength > MAX_UNPACKED_BYTES) {
    throw new ModelError('unsupported', `${JSON.stringify(only.name)} of ${only.byteLength} bytes is compressed in this archive: unpack it first`, {
      file: source.name,
    });
  }
  return only.open();
}

async function members(source: ByteSource): Promise<Member[]> {
  const head = await source.read(0, Math.min(512, source.byteLength));
  if (looksLikeZip(head)) {
    const { entries } = await openZip(source);
    if (entries.some(({ name }) => /(^|\/)data\.pkl$/.test(name)) || exportedProgramNames(entries.map(({ name }) => name)).length > 0) return [];
    return models(entries.map((entry) => ({ ...entry, isPacked: entry.method !== 'stored', open: () => entry.source() })));
  }
  if (looksLikeTar(head)) {
    const found = [...(await openTar(source))];
    return models(found.map(([name, member]) => ({ name, byteLength: member.byteLength, isPacked: false, open: async () => member })));
  }
  return head[0] === 0x1f && head[1] === 0x8b && head[2] === 8 ? gzipMembers(source) : [];
}

function models(found: readonly Omit<Member, 'isPytorch'>[]): Member[] {
  return found
    .filter(({ name }) => (WEIGHTS.test(name) || MODEL.test(name)) && !SHADOW.test(name))
    .map((member) => ({ ...member, isPytorch: WEIGHTS.test(member.name) }));
}

/** The file in a gzip stream, and those in it where it is a tar archive. */
async function gzipMembers(source: ByteSource): Promise<Member[]> {
  if (source.byteLength < 18) return [];
  const sizeBytes = await source.read(source.byteLength - 4, source.byteLength);
  const byteLength = new DataView(sizeBytes.buffer, sizeBytes.byteOffset).getUint32(0, true);
  const name = source.name.replace(/\.(gz|tgz)$/i, '');
  const whole: Member = { name, byteLength, isPacked: true, isPytorch: true, open: () => gunzip(source, byteLength) };
  if (byteLength > MAX_UNPACKED_BYTES) return /\.(pth|pt|ckpt|pkl|bin)(\.tar)?\.gz$/i.test(source.name) ? [whole] : [];
  const inside = await gunzip(source, byteLength);
  const head = await inside.read(0, Math.min(512, inside.byteLength));
  if (looksLikeZip(head) || isPlainPickle(head)) return [whole];
  return looksLikeTar(head) ? members(inside) : [];
}

async function gunzip(source: ByteSource, byteLength: number): Promise<ByteSource> {
  const inflated = await inflateExactly(source, 'gzip', byteLength);
  if (typeof inflated === 'string') throw new ModelError('malformed', `the gzip stream ${inflated}`, { file: source.name });
  return memorySource(inflated, source.name);
}
