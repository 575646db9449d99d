// The boxes and scores of the SSD in the package @vladmandic/face-api, computed by the TensorFlow.js inside of it.
//
//     node face_api.mjs PACKAGE PIXELS OUT    # PIXELS: 512 x 512 x 3 float32 in 0..255; OUT: 5118 x 5 float32

import { readFileSync, writeFileSync } from "node:fs";

const [folder, pixels, out] = process.argv.slice(2);
const { process: node } = globalThis;
globalThis.process = undefined; // where the package finds Node, it asks for modules that it does not contain
const face = await import(`${folder}/dist/face-api.esm.js`);
globalThis.process = node;
const tf = face.tf;
face.env.setEnv({ ...face.env.createNodejsEnv(), Image: class {}, Canvas: class {}, Video: class {} });
tf.env().setPlatform("none", { now: () => performance.now(), isTypedArray: ArrayBuffer.isView });
await tf.setBackend("cpu");

const name = `${folder}/model/ssd_mobilenetv1_model`;
const manifest = JSON.parse(readFileSync(`${name}-weights_manifest.json`));
const bytes = readFileSync(`${name}.bin`);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const net = face.nets.ssdMobilenetv1;
net.loadFromWeightMap(tf.io.decodeWeights(buffer, manifest[0].weights));

const values = readFileSync(pixels);
const image = tf.tensor4d(new Float32Array(values.buffer, values.byteOffset, 512 * 512 * 3), [1, 512, 512, 3]);
const { boxes, scores } = net.forwardInput(await face.toNetInput(image));
const rows = tf.concat([boxes[0], tf.reshape(scores[0], [-1, 1])], 1);
writeFileSync(out, Buffer.from((await rows.data()).buffer));
