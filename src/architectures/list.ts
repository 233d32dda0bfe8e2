/** The list of families: one file each, one line here. */
import { alexnet } from './alexnet.js';
import { beit } from './beit.js';
import { cait } from './cait.js';
import { clip } from './clip.js';
import { convmixer } from './convmixer.js';
import { convnext } from './convnext.js';
import { cspnet } from './cspnet.js';
import { davit } from './davit.js';
import { densenet } from './densenet.js';
import { retinanet, ssd, ssdlite } from './detection.js';
import { dinov3 } from './dinov3.js';
import { dla } from './dla.js';
import { dualPath } from './dpn.js';
import { edgenext } from './edgenext.js';
import { edsr, srresnet } from './edsr.js';
import { efficientFormer } from './efficientformer.js';
import { efficientnet } from './efficientnet.js';
import { efficientVit } from './efficientvit.js';
import { eva } from './eva.js';
import { facenet } from './facenet.js';
import type { Family } from './family.js';
import { cyclegan, dcgan, pix2pix, styleTransfer } from './generators.js';
import { ghostnet } from './ghostnet.js';
import { googlenet } from './googlenet.js';
import { hgnet } from './hgnet.js';
import { hrnet } from './hrnet.js';
import { inception } from './inception.js';
import { inceptionNext } from './inception-next.js';
import { inceptionResnet } from './inception-resnet.js';
import { inceptionV4 } from './inception-v4.js';
import { iresnet } from './iresnet.js';
import { lenet } from './lenet.js';
import { levit } from './levit.js';
import { maxvit } from './maxvit.js';
import { metaformer } from './metaformer.js';
import { mixer } from './mixer.js';
import { mnasnet } from './mnasnet.js';
import { mobilenetV1 } from './mobilenet-v1.js';
import { mobilenetV2 } from './mobilenet-v2.js';
import { mobilenetV3 } from './mobilenet-v3.js';
import { mobilevit } from './mobilevit.js';
import { nasnet } from './nasnet.js';
import { nfnet } from './nfnet.js';
import { pit } from './pit.js';
import { preactResnet } from './preact-resnet.js';
import { pvtV2 } from './pvt-v2.js';
import { rcnn } from './rcnn.js';
import { regnet } from './regnet.js';
import { repVgg } from './repvgg.js';
import { repvit } from './repvit.js';
import { resnet } from './resnet.js';
import { resnetRs } from './resnet-rs.js';
import { resnetV2 } from './resnet-v2.js';
import { rexnet } from './rexnet.js';
import { rrdb } from './rrdb.js';
import { segformer } from './segformer.js';
import { segmentation } from './segmentation.js';
import { selecsls } from './selecsls.js';
import { shufflenet } from './shufflenet.js';
import { sknet } from './sknet.js';
import { squeezenet } from './squeezenet.js';
import { dncnn, fsrcnn, srcnn } from './srcnn.js';
import { starnet } from './starnet.js';
import { swin } from './swin.js';
import { timmBlocks } from './timm-blocks.js';
import { tinyVit } from './tiny-vit.js';
import { tresnet } from './tresnet.js';
import { twins } from './twins.js';
import { unet, unetResNet } from './unet.js';
import { vgg } from './vgg.js';
import { vit } from './vit.js';
import { vovnet } from './vovnet.js';
import { xception, xceptionTorch } from './xception.js';
import { xcit } from './xcit.js';

export const families: readonly Family[] = [
  alexnet,
  vgg,
  squeezenet,
  googlenet,
  inception,
  inceptionV4,
  inceptionResnet,
  xception,
  xceptionTorch,
  resnet,
  resnetV2,
  preactResnet,
  nfnet,
  sknet,
  resnetRs,
  densenet,
  mobilenetV1,
  mobilenetV2,
  mobilenetV3,
  mnasnet,
  nasnet,
  shufflenet,
  efficientnet,
  efficientVit,
  regnet,
  convnext,
  inceptionNext,
  edgenext,
  repVgg,
  repvit,
  timmBlocks,
  hrnet,
  dla,
  vovnet,
  hgnet,
  ghostnet,
  starnet,
  selecsls,
  tresnet,
  rexnet,
  dualPath,
  cspnet,
  vit,
  cait,
  xcit,
  levit,
  pit,
  tinyVit,
  davit,
  beit,
  eva,
  dinov3,
  clip,
  mixer,
  convmixer,
  swin,
  maxvit,
  segmentation,
  segformer,
  pvtV2,
  twins,
  metaformer,
  efficientFormer,
  mobilevit,
  ssd,
  ssdlite,
  retinanet,
  rcnn,
  unet,
  unetResNet,
  rrdb,
  srresnet,
  edsr,
  srcnn,
  fsrcnn,
  dncnn,
  styleTransfer,
  cyclegan,
  pix2pix,
  dcgan,
  lenet,
  iresnet,
  facenet,
];
