"""The known conventions of detector files. A new one is its file and its line here."""

from paretodet.readings.convention import Convention
from paretodet.readings.conventions import (
    blazeface,
    dense_pairs,
    detr,
    faces,
    fastestdet,
    finished_rows,
    gfl,
    mmdeploy,
    mmdet,
    other_rows,
    other_tasks,
    output_anchors,
    own,
    raw_distributions,
    raw_yolo,
    stated_rows,
    tflite_postprocess,
    triples,
    ultralytics,
    yolo_fastestv2,
    yolo_rows,
)

CONVENTIONS: tuple[Convention, ...] = (
    own.CONVENTION,  # by metadata
    ultralytics.CONVENTION,
    other_tasks.CONVENTION,  # refuse by name
    other_rows.CONVENTION,
    mmdet.CONVENTION,  # by the names of its layers
    faces.CONVENTION,
    blazeface.CONVENTION,
    fastestdet.CONVENTION,
    yolo_fastestv2.CONVENTION,
    tflite_postprocess.CONVENTION,
    triples.CONVENTION,
    mmdeploy.CONVENTION,
    detr.CONVENTION,
    dense_pairs.CONVENTION,
    output_anchors.CONVENTION,
    gfl.CONVENTION,
    raw_yolo.CONVENTION,
    raw_distributions.CONVENTION,
    yolo_rows.CONVENTION,
    stated_rows.CONVENTION,
    finished_rows.CONVENTION,
)
