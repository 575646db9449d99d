// What surrounds the network, in plain Kotlin: a photo on its canvas, and the best boxes of all.
package org.example.detect

import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/** A box [x1, y1, x2, y2], its score and its place in the labels of the bundle. */
class Found(val label: Int, val score: Float, val box: FloatArray)

/** What remains of all boxes: those that score more than `least`; of two of a label that overlap more, the better. */
class Rules(val least: Float, val overlap: Float, val keep: Int)

/** The finish of a bundle: `boxes` [N, 4] and `scores` [N, labels] -> at most `keep` boxes, best first. */
fun select(boxes: FloatArray, scores: FloatArray, labels: Int, rules: Rules): List<Found> {
    val all = scores.indices.filter { scores[it] > rules.least }.sortedByDescending { scores[it] }
    val kept = mutableListOf<Found>()
    for (pair in all) {
        if (kept.size == rules.keep) break
        val (box, label) = boxes.copyOfRange(pair / labels * 4, pair / labels * 4 + 4) to pair % labels
        if (kept.none { it.label == label && overlap(it.box, box) > rules.overlap }) kept += Found(label, scores[pair], box)
    }
    return kept
}

/** The intersection of two boxes as a share of their union. */
fun overlap(a: FloatArray, b: FloatArray): Float {
    val shared = max(0f, min(a[2], b[2]) - max(a[0], b[0])) * max(0f, min(a[3], b[3]) - max(a[1], b[1]))
    return if (shared > 0f) shared / (area(a) + area(b) - shared) else 0f
}

private fun area(box: FloatArray) = (box[2] - box[0]) * (box[3] - box[1])

/** How a photo lies on the canvas; pairs are (x, y). */
class Layout(val size: IntArray, val resized: IntArray, val offset: IntArray, val shift: FloatArray) {
    /** The box in pixels of the photo, and inside of it. */
    fun toPhoto(found: Found): Found {
        val box = FloatArray(4) {
            ((found.box[it] - shift[it % 2]) * size[it % 2] / resized[it % 2]).coerceIn(0f, size[it % 2].toFloat())
        }
        return Found(found.label, found.score, box)
    }
}

/** How a bundle brings a photo to its canvas (`fit` of bundle.json); `halves`: it maps boxes back by half pixels. */
class Fit(val kind: String, val width: Int, val height: Int, val fill: Int = 0, val halves: Boolean = false,
    val sampling: String = "antialiased") {
    private val canvas = intArrayOf(width, height)

    fun layout(across: Int, down: Int): Layout {
        val size = intArrayOf(across, down)
        if (kind == "stretch") return Layout(size, canvas, intArrayOf(0, 0), floatArrayOf(0f, 0f))
        if (kind == "letterbox") {
            val axis = if (width.toLong() * down < height.toLong() * across) 0 else 1 // whose length fits exactly
            val resized = IntArray(2) { max(1, (size[it].toLong() * canvas[axis] / size[axis]).toInt()) }
            val margin = IntArray(2) { canvas[it] - resized[it] }
            val offset = IntArray(2) { margin[it] / 2 }
            return Layout(size, resized, offset, FloatArray(2) { if (halves) margin[it] / 2f else offset[it].toFloat() })
        }
        val scale = max(width.toDouble() / across, height.toDouble() / down) // short-side-crop
        val resized = IntArray(2) { max(canvas[it], floor(size[it] * scale + 0.5).toInt()) }
        val offset = IntArray(2) { -((resized[it] - canvas[it]) / 2) }
        return Layout(size, resized, offset, FloatArray(2) { offset[it].toFloat() })
    }

    /** Colors of a photo (ARGB, row by row) -> RGB bytes of the canvas, row by row; what is outside is cut. */
    fun onCanvas(colors: IntArray, layout: Layout): ByteArray {
        val (across, down) = layout.resized
        val (left, top) = layout.offset
        val photo = resize(colors, layout.size[0], layout.size[1], across, down, sampling)
        val bytes = ByteArray(3 * width * height) { fill.toByte() }
        for (y in max(0, top) until min(height, top + down)) {
            val first = max(0, left)
            val count = min(width, left + across) - first
            System.arraycopy(photo, 3 * ((y - top) * across + first - left), bytes, 3 * (y * width + first), 3 * count)
        }
        return bytes
    }
}

/** RGB bytes in another size, bilinear. Rows are rounded first, as Pillow does. */
private fun resize(colors: IntArray, width: Int, height: Int, across: Int, down: Int, sampling: String): ByteArray {
    val rows = IntArray(3 * across * height)
    taps(width, across, sampling).forEachIndexed { x, tap ->
        for (y in 0 until height) for (color in 0..2) {
            var sum = HALF
            for (k in tap.weights.indices)
                sum += tap.weights[k] * (colors[y * width + tap.first + k] shr (16 - 8 * color) and 255)
            rows[3 * (y * across + x) + color] = level(sum)
        }
    }
    val bytes = ByteArray(3 * across * down)
    taps(height, down, sampling).forEachIndexed { y, tap ->
        for (x in 0 until 3 * across) {
            var sum = HALF
            for (k in tap.weights.indices) sum += tap.weights[k] * rows[3 * across * (tap.first + k) + x]
            bytes[3 * across * y + x] = level(sum).toByte()
        }
    }
    return bytes
}

private const val UNIT = 1L shl 22 // of the weights: whole numbers, as Pillow's
private const val HALF = UNIT / 2

private fun level(sum: Long) = (sum / UNIT).toInt().coerceIn(0, 255)

private class Tap(val first: Int, val weights: LongArray)

/** The place in the photo of which output `i` of a side is read. */
private fun place(i: Int, source: Int, target: Int, sampling: String): Double = when (sampling) {
    "tf1" -> i.toDouble() * source / target
    "corners" -> i.toDouble() * (source - 1) / max(target - 1, 1)
    else -> (i + 0.5) * source / target - 0.5 // opencv, torch
}

/** Two taps around the place of each output. */
private fun twoTaps(source: Int, target: Int, sampling: String) = List(target) { output ->
    val place = place(output, source, target, sampling).coerceIn(0.0, source - 1.0)
    val first = min(place.toInt(), source - 2)
    val second = floor((place - first) * UNIT + 0.5).toLong()
    Tap(first, longArrayOf(UNIT - second, second))
}

/**
 * Of every output: the first input that it reads, and the weights of this and the following ones: two, or those of a
 * filter that widens where it shrinks, as Pillow's.
 */
private fun taps(source: Int, target: Int, sampling: String): List<Tap> {
    if (sampling != "antialiased" && source > 1) return twoTaps(source, target, sampling)
    if (source == target) return List(target) { Tap(it, longArrayOf(UNIT)) }
    val scale = source.toDouble() / target
    val support = max(scale, 1.0)
    return List(target) { output ->
        val center = (output + 0.5) * scale
        val first = max(0, (center - support + 0.5).toInt())
        val last = min(source, (center + support + 0.5).toInt())
        val raw = DoubleArray(last - first) { max(0.0, 1 - abs(first + it + 0.5 - center) / support) }
        Tap(first, LongArray(raw.size) { floor(raw[it] / raw.sum() * UNIT + 0.5).toLong() })
    }
}
