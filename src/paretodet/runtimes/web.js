// Runs an ONNX file in onnxruntime-web for the program that serves this page (web.py).
// A message is the length of a JSON header, the header, and tensors, each at a multiple of 8 bytes.
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: globalThis.Float16Array ?? Uint16Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array, bool: Uint8Array,
};

let ort, session;
const printed = []; // the events of the profiler, which the library prints
const socket = new WebSocket(new URL("socket", location.href).href.replace("http", "ws"));
socket.binaryType = "arraybuffer";
socket.onopen = () => answer(open);
socket.onmessage = ({ data }) => answer(() => execute(data));

async function answer(work) {
  try {
    socket.send(await work());
  } catch (error) {
    socket.send(pack({ error: String(error?.message ?? error) }));
  }
}

/** Loads the file; the answer states its inputs and outputs, and what executes it. */
async function open() {
  const { threads, files, profiled } = await (await fetch("options.json")).json();
  if (profiled) console.log = (line) => printed.push(String(line)); // before the library binds it
  ort = await import("./ort/ort.wasm.bundle.min.mjs");
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  const externalData = files.map((path) => ({ path, data: `data/${encodeURIComponent(path)}` }));
  const options = { executionProviders: ["wasm"], externalData, enableProfiling: profiled };
  session = await ort.InferenceSession.create("model.onnx", options);
  if (!session.inputMetadata) throw new Error("this version does not state the shapes of inputs: install a newer one");
  return pack({ inputs: session.inputMetadata, outputs: session.outputMetadata, settings: await settings() });
}

async function settings() {
  const { fullVersionList } = await navigator.userAgentData.getHighEntropyValues(["fullVersionList"]);
  return {
    version: ort.env.versions.web,
    browser: `Chromium ${fullVersionList.find(({ brand }) => brand === "Chromium")?.version}`,
    threads: String(ort.env.wasm.numThreads),
    simd: String(ort.env.wasm.simd ?? "fixed"),
    cross_origin_isolated: String(crossOriginIsolated),
  };
}

/** One run; the tensors of a message of kind "echo" are only read, and "profile" answers what the run executed. */
async function execute(message) {
  const { kind, feed } = unpack(message);
  if (kind === "echo") return pack({});
  const results = await session.run(feed);
  if (kind === "profile") {
    session.endProfiling();
    return pack({ printed });
  }
  return pack({}, session.outputNames.map((name) => [name, results[name]]));
}

function unpack(message) {
  const size = new DataView(message).getUint32(0, true);
  const { kind, tensors } = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 4, size)));
  const feed = {};
  let place = 4 + size;
  for (const [name, type, shape] of tensors) {
    const data = new ARRAYS[type](message, place, shape.reduce((product, side) => product * side, 1));
    feed[name] = new ort.Tensor(type, data, shape);
    place += aligned(data.byteLength);
  }
  return { kind, feed };
}

function pack(header, tensors = []) {
  const text = JSON.stringify({ ...header, tensors: tensors.map(([name, { type, dims }]) => [name, type, dims]) });
  const encoded = new TextEncoder().encode(text);
  const size = aligned(4 + encoded.length) - 4;
  const message = new Uint8Array(4 + size + tensors.reduce((sum, [, { data }]) => sum + aligned(data.byteLength), 0));
  new DataView(message.buffer).setUint32(0, size, true);
  message.fill(32, 4, 4 + size).set(encoded, 4); // JSON may end in spaces
  let place = 4 + size;
  for (const [, { data }] of tensors) {
    message.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), place);
    place += aligned(data.byteLength);
  }
  return message;
}

function aligned(size) {
  return Math.ceil(size / 8) * 8;
}
