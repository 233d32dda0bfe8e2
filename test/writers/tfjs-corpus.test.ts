/** The small real nets as TensorFlow.js models. */
import { testCorpus } from './tfjs-corpus.js';

testCorpus('small');
