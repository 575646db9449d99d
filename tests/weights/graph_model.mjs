// The outputs of a graph model on one image, computed by the TensorFlow.js inside of @vladmandic/face-api.
//
//     node graph_model.mjs PACKAGE MODEL IMAGE HEIGHT WIDTH OUT TENSOR ...    # IMAGE: height x width x 3 uint8
//
// MODEL is the folder of a model.json. OUT gets the float32 values of all TENSORs, one after another.

import { readFileSync, writeFileSync } from "node:fs";

const [folder, model, image, height, width, out, ...wanted] = process.argv.slice(2);
const { process: node } = globalThis;
globalThis.process = undefined; // where the package finds Node, it asks for modules that it does not contain
const tf = await import(`${folder}/dist/tfjs.esm.js`);
globalThis.process = node;
tf.env().setPlatform("none", { now: () => performance.now(), isTypedArray: ArrayBuffer.isView });
await tf.setBackend("cpu");

const { modelTopology, weightsManifest } = JSON.parse(readFileSync(`${model}/model.json`));
const shards = weightsManifest.flatMap((group) => group.paths.map((path) => readFileSync(`${model}/${path}`)));
const bytes = new Uint8Array(Buffer.concat(shards)); // a copy, whose buffer has nothing else
const weightSpecs = weightsManifest.flatMap((group) => group.weights);
const load = async () => ({ modelTopology, weightSpecs, weightData: bytes.buffer });
const graph = await tf.loadGraphModel({ load });

const shape = [1, Number(height), Number(width), 3];
const pixels = tf.tensor4d(Int32Array.from(readFileSync(image)), shape, "int32");
const found = [await graph.executeAsync({ image_tensor: pixels }, wanted)].flat();
const values = await Promise.all(found.map((tensor) => tensor.data()));
writeFileSync(out, Buffer.concat(values.map((each) => Buffer.from(each.buffer))));
