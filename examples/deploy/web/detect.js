// Detects objects with an exported bundle, in the browser: onnxruntime-web and nothing else.
import * as ort from "onnxruntime-web/wasm";

const UNIT = 2 ** 22; // of the weights of a resize: whole numbers, as Pillow's
const PLACES = { // by sampling: the place of which output i of a side is read; "antialiased" reads more than one place
  opencv: (i, source, target) => ((i + 0.5) * source) / target - 0.5,
  torch: (i, source, target) => ((i + 0.5) * source) / target - 0.5,
  tf1: (i, source, target) => (i * source) / target,
  corners: (i, source, target) => (i * (source - 1)) / Math.max(target - 1, 1),
};

ort.env.wasm.numThreads = 1; // more threads need a page that is cross-origin isolated

/** The bundle in a folder of the server, ready to detect. */
export async function open(folder) {
  const answer = await fetch(`${folder}/bundle.json`);
  if (!answer.ok) throw new Error(`the folder ${folder} holds no bundle.json`);
  const bundle = await answer.json();
  if (bundle.target !== "onnx") throw new Error(`the bundle is of ${bundle.target}: export it again with --to onnx`);
  if (bundle.suppression === "out") throw new Error("the artifact ends before suppression: export it again with --suppression in");
  if (![null, 1].includes(bundle.batch)) throw new Error("this example takes one photo at a time");
  return { bundle, session: await ort.InferenceSession.create(`${folder}/${bundle.artifact}`) };
}

/** Label, score and box (x1, y1, x2, y2 in pixels of the photo) of everything that scores more than `least`. */
export async function detect({ bundle, session }, photo, least = 0.3) {
  const { height, width, fit } = bundle;
  const { resized, offset, shift } = layout(fit, photo);
  const values = onCanvas(resize(photo, ...resized, fit.sampling), resized, offset, width, height, fit.fill ?? 0);
  const { boxes, scores, labels } = await session.run({
    pixels: new ort.Tensor("uint8", values, [1, 3, height, width]),
    sizes: new ort.Tensor("float32", [height, width], [1, 2]),
  });
  const size = [photo.width, photo.height], found = [];
  for (let slot = 0; slot < scores.data.length; slot++) {
    if (scores.data[slot] <= least) continue;
    const box = [0, 1, 2, 3].map((side) => {
      const axis = side % 2, place = boxes.data[4 * slot + side] - shift[axis];
      return Math.min(Math.max((place * size[axis]) / resized[axis], 0), size[axis]);
    });
    const label = Number(labels.data[slot]);
    found.push({ label: bundle.labels[label] ?? String(label), score: scores.data[slot], box });
  }
  return found;
}

/** The pixels of an image, drawn on `canvas` in its own size. */
export function pixelsOf(image, canvas) {
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}

/** Size of the resized photo, place of its corner on the canvas, and what boxes are moved by: all (x, y). */
function layout(fit, { width, height }) {
  const canvas = [fit.width, fit.height], size = [width, height];
  if (fit.kind === "stretch") return { resized: canvas, offset: [0, 0], shift: [0, 0] };
  if (fit.kind === "letterbox") {
    const axis = fit.width * height < fit.height * width ? 0 : 1; // whose length fits exactly
    const resized = size.map((side) => Math.max(1, Math.floor((side * canvas[axis]) / size[axis])));
    const margin = canvas.map((side, each) => side - resized[each]);
    const offset = margin.map((side) => Math.floor(side / 2));
    return { resized, offset, shift: fit.undo === "darknet" ? margin.map((side) => side / 2) : offset };
  }
  const scale = Math.max(canvas[0] / width, canvas[1] / height); // short-side-crop
  const resized = size.map((side, each) => Math.max(canvas[each], Math.floor(side * scale + 0.5)));
  const offset = canvas.map((side, each) => -Math.floor((resized[each] - side) / 2));
  return { resized, offset, shift: offset };
}

/** RGB planes of a resized photo (RGB, row by row) on a canvas filled with a gray level; what is outside is cut. */
function onCanvas(photo, [across, down], [left, top], width, height, fill) {
  const planes = new Uint8Array(3 * width * height).fill(fill);
  for (let y = Math.max(0, top); y < Math.min(height, top + down); y++)
    for (let x = Math.max(0, left); x < Math.min(width, left + across); x++)
      for (let color = 0; color < 3; color++)
        planes[(color * height + y) * width + x] = photo[3 * ((y - top) * across + x - left) + color];
  return planes;
}

/** ImageData -> RGB, row by row, in another size, bilinear. Rows are rounded first, as Pillow does. */
function resize({ data, width, height }, across, down, sampling) {
  const rows = new Uint8ClampedArray(3 * across * height), columns = taps(width, across, PLACES[sampling]);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < across; x++) {
      const { first, weights } = columns[x];
      for (let color = 0; color < 3; color++) {
        let sum = UNIT / 2;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * data[4 * (y * width + first + k) + color];
        rows[3 * (y * across + x) + color] = Math.floor(sum / UNIT);
      }
    }
  const resized = new Uint8ClampedArray(3 * across * down), lines = taps(height, down, PLACES[sampling]);
  for (let y = 0; y < down; y++) {
    const { first, weights } = lines[y];
    for (let x = 0; x < 3 * across; x++) {
      let sum = UNIT / 2;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * rows[3 * across * (first + k) + x];
      resized[3 * across * y + x] = Math.floor(sum / UNIT);
    }
  }
  return resized;
}

/**
 * Of every output: the first input that it reads, and the weights of this and the following ones: two around its
 * `place`, or without one those of a filter that widens where it shrinks, as Pillow's.
 */
function taps(source, target, place) {
  if (place && source > 1)
    return Array.from({ length: target }, (_, output) => {
      const at = Math.min(Math.max(place(output, source, target), 0), source - 1);
      const first = Math.min(Math.floor(at), source - 2), second = Math.round((at - first) * UNIT);
      return { first, weights: [UNIT - second, second] };
    });
  if (source === target) return Array.from({ length: target }, (_, first) => ({ first, weights: [UNIT] }));
  const scale = source / target, support = Math.max(scale, 1);
  return Array.from({ length: target }, (_, output) => {
    const center = (output + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(source, Math.trunc(center + support + 0.5));
    const raw = Array.from({ length: last - first }, (_, k) => Math.max(0, 1 - Math.abs(first + k + 0.5 - center) / support));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: raw.map((weight) => Math.floor((weight / total) * UNIT + 0.5)) };
  });
}
