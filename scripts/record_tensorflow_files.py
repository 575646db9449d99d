"""Writes `tests/weights/golden/tensorflow/`: checkpoints of both forms and a frozen graph, as TensorFlow writes them.

    python scripts/record_tensorflow_files.py

Recorded with tensorflow-cpu 2.21.0. `TENSORS` are their weights; there are a text and an anchor constant besides.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "tests/weights/golden/tensorflow"
TENSORS: dict[str, np.ndarray | np.generic] = {
    "a/weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a/biases": np.array([0.5, -0.5], np.float32),
    "double": np.float64(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "global_step": np.int64(-7),
    "half": np.array([1.5, -2.0], np.float16),
}
CONSTANTS: dict[str, np.ndarray] = {  # of the graph
    "MultipleGridAnchorGenerator/Sqrt/x": np.array([1.0, 2.0, 0.5, 3.0, 0.3333, 1.0], np.float32),
    "filled": np.full((2, 5), 3.0, np.float32),
}


def record() -> None:
    import tensorflow.compat.v1 as tf

    FOLDER.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        variables = [tf.get_variable(name, initializer=value) for name, value in TENSORS.items()]
        text = tf.get_variable("text", initializer="not a weight")
        for name, value in CONSTANTS.items():
            filled = len(set(value.flat)) == 1
            tf.constant(value.flat[0] if filled else value, tf.float32, value.shape, name=name)
        session.run(tf.global_variables_initializer())
        tf.train.Saver([*variables, text]).save(session, f"{FOLDER}/v2.ckpt", write_state=False)
        old = tf.train.Saver(variables, write_version=tf.train.SaverDef.V1)
        old.save(session, f"{FOLDER}/v1.ckpt", write_meta_graph=False, write_state=False)
        kept = [*(variable.op.name for variable in variables), *CONSTANTS]
        frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), kept)
    (FOLDER / "frozen.pb").write_bytes(frozen.SerializeToString())


if __name__ == "__main__":
    record()
