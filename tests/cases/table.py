"""Kinds of faults in what people bring, and the tests that hold each kind: files, labels and results of others.

Every kind was reported with one input. Its tests try that input and others of the same kind; a parametrized test counts
once for every set of its parameters. `test_table.py` checks that the tests are there, and that a kind has at least
MEMBERS of them. For a fault of a known kind, add its input to one of these tests; for a new kind, add an entry.
"""

MEMBERS = 3  # the reported input, and at least two others

KINDS: dict[str, tuple[str, ...]] = {
    "rows of one class are taken for finished boxes": (
        "readings/test_recognize.py::test_rows_of_one_class_are_no_finished_detections",
        "readings/test_recognize.py::test_rows_without_objectness_may_stand_on_their_side",
        "readings/test_recognize.py::test_rows_with_objectness_on_their_side_are_refused",
        "readings/test_recognize.py::test_finished_rows_with_the_label_before_the_score",
        "readings/test_recognize.py::test_rows_whose_numbers_fit_no_order_are_refused",
        "readings/test_other_rows.py::test_points_near_their_box_are_poses",
        "readings/test_other_rows.py::test_an_angle_or_four_corners_are_oriented_boxes",
    ),
    "fractions, or y before x, are taken for pixels x, y": (
        "readings/test_recognize.py::test_fractions_are_told_from_pixels",
        "readings/test_recognize.py::test_boxes_of_the_zoo_are_fractions",
        "readings/test_recognize.py::test_a_label_of_0_contradicts_labels_from_1",
        "readings/test_recognize.py::test_tensorflow_puts_y_first_and_counts_from_1",
        "readings/test_recognize.py::test_rows_of_efficientdet_are_refused_with_their_layout",
        "readings/test_recognize.py::test_dense_corners_with_scores",
    ),
    "what a file states of itself is not read": (
        "readings/test_own_exports.py::test_an_own_export_has_the_fit_and_labels_of_its_detector",
        "readings/test_own_exports.py::test_a_damaged_spec_is_named",
        "readings/test_recognize.py::test_the_metadata_of_ultralytics",
        "readings/test_recognize.py::test_metadata_that_contradict_the_outputs_are_refused",
        "readings/test_recognize.py::test_another_task_is_named",
        "readings/test_recognize.py::test_rapidlayout_names_its_classes_in_character",
        "runtimes/test_onnx_files.py::test_a_size_in_the_metadata_is_taken_where_the_file_leaves_it_open",
    ),
    "the hash covers one of several files": (
        "test_onnx_references.py::test_the_hash_covers_the_files_with_weights",
        "test_onnx_references.py::test_weights_of_other_files_are_found_in_every_place",
        "runtimes/test_openvino_files.py::test_the_hash_covers_graph_and_weights",
        "sources/test_darknet_source.py::test_the_artifact_depends_on_what_is_computed",
    ),
    "results are paired with numbers that only paretodet knows": (
        "evaluation/test_pairing.py::test_images_without_ids_are_paired_by_file_name_or_stem",
        "evaluation/test_pairing.py::test_an_id_that_only_we_could_know_is_refused",
        "evaluation/test_pairing.py::test_a_name_of_two_images_is_refused",
        "evaluation/test_pairing.py::test_categories_from_one_are_seen_without_the_last",
        "evaluation/test_pairing.py::test_numbers_of_file_names_pair_where_some_are_no_ids",
        "evaluation/test_pairing.py::test_names_of_files_are_alike_however_accents_are_composed",
        "evaluation/test_pairing.py::test_a_document_of_detections_names_its_images_and_categories",
        "evaluation/test_pairing.py::test_another_numbering_of_the_categories_is_refused_by_the_boxes",
    ),
    "an optional field that is empty is taken for content": (
        "evaluation/test_pairing.py::test_an_optional_field_that_is_empty_is_absent",
        "labels/test_coco_reader.py::test_iscrowd_is_a_number_a_boolean_or_missing",
        "labels/test_yolo_reader.py::test_a_split_that_is_null_is_none",
        "evaluation/test_scored_annotations.py::test_a_missing_area_is_the_outlines_or_the_boxs",
    ),
    "keys that look like data are dropped": (
        "labels/test_yolo_reader.py::test_a_split_has_any_of_its_usual_names",
        "labels/test_yolo_reader.py::test_a_key_that_names_further_images_is_a_split",
        "labels/test_yolo_reader.py::test_splits_may_stand_in_a_mapping",
        "labels/test_yolo_reader.py::test_two_keys_of_one_split_are_refused",
    ),
    "fields that change what is right are read over": (
        "evaluation/test_federated.py::test_what_was_not_looked_for_is_no_mistake",
        "labels/test_lvis_reader.py::test_what_was_looked_for_is_kept",
        "labels/test_lvis_reader.py::test_an_image_is_named_by_the_end_of_its_url",
        "evaluation/test_scored_annotations.py::test_a_mark_that_is_not_read_is_told",
        "evaluation/test_scored_annotations.py::test_a_mark_among_the_attributes_is_told",
        "labels/test_voc_reader.py::test_difficult_is_what_its_value_is",
        "labels/test_labelme_reader.py::test_a_mark_among_the_flags_makes_a_crowd",
        "labels/test_cvat_reader.py::test_a_mark_among_the_attributes_makes_a_crowd",
    ),
    "the consequence is named, its cause is not": (
        "labels/test_voc_reader.py::test_a_size_that_is_missing_is_that_of_the_image",
        "labels/test_voc_reader.py::test_an_xml_may_have_any_usual_encoding",
        "labels/test_voc_reader.py::test_if_no_xml_can_be_used_the_first_cause_is_named",
        "labels/test_yolo_reader.py::test_lines_that_are_all_left_out_are_no_matter_of_the_folder",
        "labels/test_yolo_reader.py::test_a_yaml_that_cannot_be_used_is_named_with_what_it_lacks",
    ),
    "a number is refused for the way it is written": (
        "labels/test_yolo_reader.py::test_a_class_number_is_what_its_value_is",
        "labels/test_coco_reader.py::test_a_number_is_what_its_value_is",
        "evaluation/test_pairing.py::test_ids_of_the_labels_are_used_by_their_value",
        "evaluation/test_pairing.py::test_numbers_that_are_written_as_text_are_numbers",
    ),
    "one mistake in every line is reported as many slips": (
        "labels/test_misread.py::test_another_form_is_found",
        "labels/test_misread.py::test_another_unit_is_found",
        "labels/test_misread.py::test_exchanged_axes_are_found",
        "labels/test_misread.py::test_doctor_reports_one_fault_and_training_hears_of_it",
        "evaluation/test_pairing.py::test_boxes_that_all_have_one_mistake_are_refused",
    ),
    "a refusal leaves the user where he was": (
        "readings/test_recognize.py::test_an_unknown_layout_names_the_file_and_the_way_out",
        "readings/test_recognize.py::test_rows_of_yolox_are_decoded_if_the_graph_does_not",
        "readings/test_recognize.py::test_rf_detr_has_logits",
        "readings/test_recognize.py::test_mmdeploy_is_refused_until_the_scaling_of_pixels_is_given",
        "readings/test_recognize.py::test_ultra_light_has_a_background_and_fractions",
        "readings/test_raw_yolo.py::test_the_layout_reads_the_file_once_its_anchors_are_filled_in",
        "readings/test_other_tasks.py::test_the_task_is_named",
        "labels/test_unread.py::test_it_is_named_with_the_way_out",
    ),
    "a layout is known by the letter of its folders' names alone": (
        "labels/test_voc_reader.py::test_a_set_is_found_in_folders_of_other_names",
        "labels/test_voc_reader.py::test_suffixes_in_capitals_are_read",
        "labels/test_voc_reader.py::test_folders_named_as_splits_are_splits",
        "labels/test_coco_reader.py::test_a_set_is_found_in_folders_of_other_names",
        "labels/test_yolo_reader.py::test_folders_may_be_written_in_capitals",
    ),
    "two findings whose fixes exclude each other": (
        "labels/test_voc_reader.py::test_the_file_name_in_an_xml_names_its_image",
        "labels/test_voc_reader.py::test_an_image_whose_name_is_alike_is_found",
        "labels/test_voc_reader.py::test_a_path_names_the_image_where_no_filename_does",
        "labels/test_voc_reader.py::test_of_a_missing_image_one_thing_is_said",
    ),
    "a stray file decides the format": (
        "labels/test_stray_files.py::test_a_stray_file_decides_nothing",
        "labels/test_stray_files.py::test_the_way_out_for_texts_is_named_beside_stray_files",
        "labels/test_stray_files.py::test_a_yaml_that_names_a_part_is_named_with_what_it_lacks",
        "labels/test_stray_files.py::test_where_nothing_else_is_known_the_only_file_is_named",
        "labels/test_hidden_files.py::test_copies_of_macos_are_no_part_of_a_set",
        "labels/test_voc_folders.py::test_a_stray_xml_hides_no_set",
    ),
    "files in folders below are left out in silence": (
        "labels/test_voc_folders.py::test_images_and_lines_are_found_in_folders",
        "labels/test_voc_folders.py::test_a_set_may_name_a_folder_or_not",
        "labels/test_voc_folders.py::test_images_may_lie_above",
    ),
    "splits that folders or file names state are lost": (
        "labels/test_other_readers.py::test_tables_lie_in_folders_that_are_named_as_splits",
        "labels/test_unread.py::test_the_way_out_of_yolo_s_texts_keeps_the_splits",
        "labels/test_convert.py::test_a_set_that_is_no_usual_split_is_for_training",
        "labels/test_convert.py::test_splits_keep_names_that_a_yaml_must_quote",
    ),
    "a field is needed though what it says is known otherwise": (
        "labels/test_coco_images.py::test_ids_may_be_texts",
        "labels/test_coco_images.py::test_a_box_that_is_missing_is_that_around_the_outline",
        "labels/test_coco_images.py::test_a_size_that_is_missing_is_that_of_the_image",
        "labels/test_coco_images.py::test_images_of_another_machine_are_found_by_the_ends_of_their_names",
        "labels/test_yolo_reader.py::test_paths_may_be_written_as_windows_does",
    ),
}
