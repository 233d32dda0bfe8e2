/** A model that is checked. What rules ask of it is found out once, when the first of them asks. */
import { auditFiles } from '../audit/audit.js';
import type { AuditDocument } from '../audit/document.js';
import type { FileSet } from '../bytes/file-set.js';
import { allNodes, readOnnxModel } from '../containers/onnx.js';
import { describeModel, type ModelDocument } from '../inspect.js';
import type { ModelFile } from '../model/layer-map.js';
import type { Hasher } from '../model/statistics.js';
import { openModel } from '../readers/open.js';
import type { Report } from '../verify/report.js';

/** How a model is compared; paths are relative to the policy's folder. */
export interface Comparison {
  readonly against?: string;
  readonly golden?: string;
  readonly inputs?: string;
  readonly samples?: number;
  readonly seed?: number;
  readonly engine?: string;
  readonly atol?: number;
  readonly rtol?: number;
}

/** What a check needs of the machine. Paths are those that `find` gives. */
export interface CheckHost {
  /** Paths in the policy's folder that a pattern matches, sorted. */
  find(pattern: string): Promise<readonly string[]>;
  open(path: string): Promise<FileSet>;
  /** @param name of a file in the model's folder */
  sha256(path: string, name: string): Promise<string>;
  createHasher(): Hasher & { digest(): string };
  /** Runs the model and what it is compared with. */
  verify(path: string, how: Comparison): Promise<Report>;
}

export class Artifact {
  readonly #known = new Map<string, Promise<unknown>>();

  constructor(
    readonly path: string,
    readonly files: FileSet,
    readonly host: CheckHost,
  ) {}

  model(): Promise<ModelFile> {
    return this.#once('model', () => openModel(this.files));
  }

  /** Without a look at the weights. */
  document(): Promise<ModelDocument> {
    return this.#once('document', async () => describeModel(await this.model()));
  }

  /** With statistics and hashes of every weight. */
  weights(): Promise<ModelDocument> {
    return this.#once('weights', async () => describeModel(await this.model(), { weights: true, createHasher: () => this.host.createHasher() }));
  }

  audit(): Promise<AuditDocument> {
    return this.#once('audit', () => auditFiles(this.files));
  }

  verify(how: Comparison): Promise<Report> {
    return this.#once(`verify ${JSON.stringify(how)}`, () => this.host.verify(this.path, how));
  }

  /** Sizes of its files by their names. */
  sizes(): Promise<ReadonlyMap<string, number>> {
    return this.#once('sizes', async () => {
      const sizes = new Map<string, number>();
      for (const name of (await this.model()).files) {
        const source = await this.files.open(name);
        sizes.set(name, source.byteLength);
        await source.close();
      }
      return sizes;
    });
  }

  sha256(name: string): Promise<string> {
    return this.#once(`sha256 ${name}`, () => this.host.sha256(this.path, name));
  }

  /** What it is made of: nodes of an ONNX file as they stand there, else layers; null where the wiring is not known. */
  operators(): Promise<ReadonlySet<string> | null> {
    return this.#once('operators', async () => {
      const model = await this.model();
      if (model.format === 'onnx') {
        const all = allNodes(await readOnnxModel(this.files, this.files.main!));
        return new Set(all.map(({ domain, op }) => (domain === '' || domain === 'ai.onnx' ? op : `${domain}.${op}`)));
      }
      const { layers } = await this.document();
      return layers.length === 0 ? null : new Set(layers.map(({ op }) => op));
    });
  }

  #once<T>(what: string, find: () => Promise<T>): Promise<T> {
    const known = this.#known.get(what) ?? find();
    this.#known.set(what, known);
    return known as Promise<T>;
  }
}
