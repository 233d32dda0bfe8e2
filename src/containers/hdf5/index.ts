/**
 * Reads HDF5: superblocks 0 to 3, groups old and new, contiguous, compact and chunked datasets.
 *
 * Metadata is read when it is asked for, elements when they are streamed. What model files do not use is named and declined:
 * virtual datasets, shared-message heaps, filters other than deflate, shuffle and fletcher32.
 *
 * @see https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
 */
import { type ByteSource, memorySource } from '../../bytes/byte-source.js';
import { ModelError } from '../../errors.js';
import { readAttributes } from './attributes.js';
import { readChunkTable } from './chunk-index.js';
import { chunkedSource, unwrittenSource } from './chunked-source.js';
import { CHECKSUM_BYTES, Hdf5File } from './cursor.js';
import { type Dataspace, type Datatype, parseDataspace, parseDatatype, readValues } from './datatype.js';
import { FILTER_NAMES, parseFillValue, parseFilters, parseLayout } from './layout.js';
import { type Link, readLinks } from './links.js';
import { MESSAGE, type Message, readObjectHeader, resolveShared } from './object-header.js';
import { findSuperblock } from './signature.js';
import type { Hdf5Dataset, Hdf5Group } from './types.js';

export type { Hdf5Dataset, Hdf5Group, Hdf5Value } from './types.js';

const MAX_SOFT_LINKS = 32;
/** What opening an object costs where its header is at hand, in bytes of metadata: links can multiply objects without end. */
const OPEN_BYTES = 128;
/** A shape beyond this overflows any dtype's byte length. */
const MAX_ELEMENTS = Number.MAX_SAFE_INTEGER / 16;

/**
 * Opens the root group.
 *
 * @throws ModelError 'malformed' for a file that is truncated or contradicts itself
 */
export async function openHdf5(source: ByteSource): Promise<Hdf5Group> {
  const base = await findSuperblock(source);
  if (base === null) throw new ModelError('malformed', 'there is no HDF5 signature', { file: source.name, offset: 0 });
  const { file, root } = await readSuperblock(source, base);
  return openGroup(file, '', await readObjectHeader(file, root), root);
}

async function readSuperblock(source: ByteSource, base: number): Promise<{ file: Hdf5File; root: number }> {
  const head = await new Hdf5File(source, base, 8, 8).block(0, Math.min(24, source.byteLength - base));
  const version = head.skip(8).u8();
  if (version > 3) throw head.error(`superblock version ${version} is not known`, 'unsupported');
  const [offsetSize, lengthSize] = version < 2 ? [head.skip(4).u8(), head.u8()] : [head.u8(), head.u8()];
  if (![2, 4, 8].includes(offsetSize) || ![2, 4, 8].includes(lengthSize))
    throw head.error(`addresses of ${offsetSize} and lengths of ${lengthSize} bytes make no sense`);
  const file = new Hdf5File(source, base, offsetSize, lengthSize);
  const addressesAt = version === 0 ? 24 : version === 1 ? 28 : 12;
  const addresses = await file.block(addressesAt, (version < 2 ? 6 : 4) * offsetSize);
  addresses.skip(2 * offsetSize);
  const end = addresses.definedOffset();
  if (end > source.byteLength) throw file.error(addressesAt, `the file should be ${end} bytes long, but ${source.byteLength} are there. Is it truncated?`);
  if (version < 2) addresses.skip(2 * offsetSize);
  else await file.checked(0, addressesAt + 4 * offsetSize + CHECKSUM_BYTES);
  return { file, root: addresses.definedOffset() };
}

/** The links of groups that were looked into, by the messages of their headers: a group is opened anew for each path through it. */
const keptLinks = new WeakMap<readonly Message[], Promise<ReadonlyMap<string, Link>>>();

function openGroup(file: Hdf5File, path: string, messages: readonly Message[], address: number): Hdf5Group {
  const loadLinks = () => {
    const links = keptLinks.get(messages) ?? readLinks(file, messages);
    keptLinks.set(messages, links);
    return links;
  };
  const group: Hdf5Group = {
    kind: 'group',
    path: path === '' ? '/' : path,
    attributes: () => readAttributes(file, messages),
    keys: async () => [...(await loadLinks()).keys()].sort(),
    get: async (wanted) => follow(wanted, 0),
  };

  async function follow(wanted: string, softLinks: number): Promise<Hdf5Group | Hdf5Dataset | null> {
    let at: Hdf5Group | Hdf5Dataset = group;
    const parts = wanted.split('/').filter((part) => part !== '' && part !== '.');
    for (const [i, part] of parts.entries()) {
      if (at.kind !== 'group') return null;
      if (at !== group) return at.get(parts.slice(i).join('/'));
      const link: Link | undefined = (await loadLinks()).get(part);
      if (!link) return null;
      if (link.kind === 'external') throw file.error(address, `"${part}" is a link to another file, which is not followed`, 'unsafe');
      if (link.kind === 'soft') {
        if (softLinks > MAX_SOFT_LINKS) throw file.error(address, `the soft link "${part}" leads in a circle`);
        // An absolute target counts from the root, which only the root group can resolve.
        if (link.path.startsWith('/') && path !== '') throw file.error(address, `the soft link "${part}" leads out of its group`, 'unsupported');
        const target = await follow(link.path, softLinks + 1);
        if (!target) return null;
        at = target;
      } else at = await openObject(file, `${path}/${part}`, link.address);
    }
    return at;
  }

  return group;
}

async function openObject(file: Hdf5File, path: string, address: number): Promise<Hdf5Group | Hdf5Dataset> {
  file.budget.spend(OPEN_BYTES);
  const messages = await readObjectHeader(file, address);
  const find = (type: number) => messages.find((message) => message.type === type);
  const layout = find(MESSAGE.layout);
  if (!layout) return openGroup(file, path, messages, address);
  const typeMessage = find(MESSAGE.datatype);
  const spaceMessage = find(MESSAGE.dataspace);
  if (!typeMessage || !spaceMessage) throw file.error(address, `the dataset ${path} has no type or no shape`);
  // The values lie in files that it names by their paths; the dataset itself looks as if nothing had been written.
  if (find(MESSAGE.externalFiles)) throw file.error(address, `the values of ${path} lie in other files, which are not opened`, 'unsafe');
  const type = parseDatatype(await resolveShared(file, typeMessage));
  const space = parseDataspace(await resolveShared(file, spaceMessage));
  return openDataset(file, path, messages, type, space, address);
}

function openDataset(file: Hdf5File, path: string, messages: readonly Message[], type: Datatype, space: Dataspace, address: number): Hdf5Dataset {
  const shape = space.shape ?? [0];
  const count = shape.reduce((product, size) => product * size, 1);
  if (count > MAX_ELEMENTS) throw file.error(address, `the shape [${shape}] of ${path} overflows`);
  const layout = parseLayout(file, messages.find((message) => message.type === MESSAGE.layout)!.body());
  const filterMessage = messages.find((message) => message.type === MESSAGE.filters);
  const filters = filterMessage ? parseFilters(filterMessage.body()) : [];
  const byteLength = count * type.size;
  const fill = () => parseFillValue(messages, type.size);

  function makeSource(): ByteSource {
    if (layout.kind === 'compact') {
      if (layout.bytes.byteLength < byteLength) throw file.error(address, `${path} needs ${byteLength} bytes, ${layout.bytes.byteLength} are stored`);
      return memorySource(layout.bytes.subarray(0, byteLength), file.source.name);
    }
    if (layout.kind === 'contiguous') {
      if (count === 0) return memorySource(new Uint8Array(), file.source.name);
      return layout.address === null ? unwrittenSource(file.source.name, fill(), byteLength) : file.window(layout.address, byteLength);
    }
    if (layout.chunk.length !== shape.length || layout.chunk.includes(0))
      throw file.error(address, `chunks of [${layout.chunk}] do not fit the shape [${shape}] of ${path}`);
    if (count === 0) return memorySource(new Uint8Array(), file.source.name);
    const chunkBytes = layout.chunk.reduce((product, size) => product * size, type.size);
    const { chunk, edgesUnfiltered } = layout;
    const table = () => readChunkTable(file, layout, shape, space.maximum, chunkBytes, filters.length > 0);
    return chunkedSource({ file, name: path, shape, chunk, edgesUnfiltered, unit: type.size, filters, fill: fill(), table });
  }

  let source: ByteSource | null = null;
  return {
    kind: 'dataset',
    path,
    shape,
    dtype: type.dtype,
    typeName: type.typeName,
    bigEndian: type.bigEndian,
    layout: layout.kind,
    filters: filters.map(({ id }) => FILTER_NAMES[id] ?? `number ${id}`),
    fileOffset: layout.kind === 'contiguous' && layout.address !== null ? file.base + layout.address : null,
    get source() {
      source ??= makeSource();
      return source;
    },
    attributes: () => readAttributes(file, messages),
    async strings() {
      if (type.string === null) throw file.error(address, `${path} holds ${type.typeName} values, not strings`, 'unsupported');
      file.budget.spend(byteLength);
      const values = await readValues(file, await makeSource().read(0, byteLength), type, count);
      return (values ?? []) as string[];
    },
  };
}
