// Detects objects with an exported bundle on Android: LiteRT and nothing else. See README.md beside it.
package org.example.detect

import android.content.res.AssetManager
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONObject
import org.tensorflow.lite.Interpreter

/**
 * The bundle in a folder of the assets, ready to detect; for one thread at a time.
 *
 * LiteRT executes the network with `threads` threads, by XNNPACK.
 */
class Detector(assets: AssetManager, folder: String, threads: Int = 4) : AutoCloseable {
    private val bundle = JSONObject(assets.open("$folder/bundle.json").bufferedReader().use { it.readText() })
    private val fit = readFit(bundle.getJSONObject("fit"))
    private val interpreter: Interpreter
    private val pixels = buffer(fit.width * fit.height * 3)
    private val boxes: ByteBuffer
    private val scores: ByteBuffer
    private val labels = bundle.getJSONArray("labels").length()

    init {
        require(bundle.getString("target") == "litert") { "export the bundle with --to litert" }
        require(bundle.getInt("batch") == 1) { "this example takes one photo at a time" }
        val file = assets.open("$folder/${bundle.getString("artifact")}").use { it.readBytes() }
        interpreter = Interpreter(buffer(file.size).put(file), Interpreter.Options().setNumThreads(threads))
        boxes = buffer(4 * sizeOf("boxes"))
        scores = buffer(4 * sizeOf("scores"))
    }

    /** Everything that scores more than `least`, best first, in pixels of the photo. */
    fun detect(photo: Bitmap, least: Float = 0.3f): List<Found> {
        val colors = IntArray(photo.width * photo.height)
        photo.getPixels(colors, 0, photo.width, 0, 0, photo.width, photo.height)
        val layout = fit.layout(photo.width, photo.height)
        pixels.rewind()
        pixels.put(fit.onCanvas(colors, layout))
        for (each in listOf(pixels, boxes, scores)) each.rewind()
        interpreter.runSignature(mapOf("pixels" to pixels), mapOf("boxes" to boxes, "scores" to scores))
        val rules = Rules(maxOf(least, number("score", 0.0)), number("nms", 1.0), bundle.optInt("keep", 100))
        return select(floats(boxes), floats(scores), labels, rules).map { layout.toPhoto(it) }
    }

    /** The name of a label; "" for an unused one. */
    fun name(label: Int): String = bundle.getJSONArray("labels").let { if (it.isNull(label)) "" else it.getString(label) }

    override fun close() = interpreter.close()

    private fun number(key: String, missing: Double) = bundle.optDouble(key, missing).toFloat()

    private fun sizeOf(output: String): Int {
        val tensors = bundle.getJSONArray("outputs")
        val shapes = (0 until tensors.length()).map { tensors.getJSONObject(it) }.first { it.getString("name") == output }
        return shapes.getJSONArray("shape").let { shape -> (0 until shape.length()).fold(1) { all, at -> all * shape.getInt(at) } }
    }
}

private fun buffer(bytes: Int) = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

private fun floats(buffer: ByteBuffer): FloatArray {
    buffer.rewind()
    return buffer.asFloatBuffer().let { view -> FloatArray(view.remaining()).also { view.get(it) } }
}

private fun readFit(fit: JSONObject): Fit {
    return Fit(
        fit.getString("kind"), fit.getInt("width"), fit.getInt("height"), fit.optInt("fill", 0),
        halves = fit.optString("undo") == "darknet", sampling = fit.optString("sampling", "antialiased")
    )
}
