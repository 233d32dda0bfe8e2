/** Names of operators in a policy. One that is spelt wrongly would deny nothing, and nobody would see it. */
import { ModelError } from '../errors.js';
import { didYouMean } from '../model/nearest.js';
import { OPS } from '../model/ops/index.js';
import { texts } from './rule.js';

/** Operators of ONNX that files may name and that have no definition in `model/ops/`, up to operator set 26. */
const UNDEFINED = `Attention Bernoulli BitCast BlackmanWindow CastLike CausalConvWithState ConcatFromSequence CumProd DFT Dropout GRU HammingWindow HannWindow
  If ImageDecoder LSTM LinearAttention Loop MaxRoiPool MelWeightMatrix Multinomial NegativeLogLikelihoodLoss Optional OptionalGetElement OptionalHasElement RNN
  RandomNormal RandomNormalLike RandomUniform RandomUniformLike RegexFullMatch RotaryEmbedding STFT Scan Scatter SequenceAt SequenceConstruct SequenceEmpty
  SequenceErase SequenceInsert SequenceLength SequenceMap SoftmaxCrossEntropyLoss SplitToSequence StringConcat StringNormalizer StringSplit SwiGLU TensorScatter
  TfIdfVectorizer Upsample`.split(/\s+/);

const KNOWN: ReadonlySet<string> = new Set([...Object.keys(OPS), ...UNDEFINED]);

/** @throws ModelError 'usage' for a name that no operator of ONNX has; those of other domains, `com.acme.Blur`, are taken as they are */
export function operatorNames(value: unknown): readonly string[] {
  const names = texts(value);
  const unknown = names.find((name) => !KNOWN.has(name) && !name.includes('.'));
  if (unknown === undefined) return names;
  throw new ModelError(
    'usage',
    `ONNX has no operator "${unknown}".${didYouMean(unknown, KNOWN)} One of another domain is named with it, such as com.microsoft.Gelu.`,
  );
}
