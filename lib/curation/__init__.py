"""What a person does to sound and labels: looks at them, searches them, decides about them. It may use all rooms.

What the documentation of Aquarium's client lists is here; all classes can be imported from `lib`.

| module of lib.curation | classes |
| --- | --- |
| client.client | Client |
| client.label_class_map | ClassMapEntry, ClassMapUpdateEntry, LabelClassMap |
| client.project_definitions | CustomMetricsDefinition, StratifiedMetricsDefinition, PrimaryTaskTypes |
| collection.collection_client | CollectionClient |
| frames.frame_streams | LabeledDataset, UnlabeledDataset, Inferences |
| frames.ground_truth_update | UpdateGTLabelSet |
| frames.inferences_frame | InferencesFrame |
| frames.labeled_frame | LabeledFrame, UnlabeledFrame |
| issues.issue | Issue, IssueElement |
| issues.issue_manager | IssueManager |
| issues.work_queue | WorkQueue, WorkQueueElement |
| issues.work_queue_manager | WorkQueueManager |
| metrics.metrics_manager | MetricsManager |

The tests of each method are below tests/curation. `class` stands for the class itself and `*` for any text. `: scenes`
and the like say what methods are about that have no meaning for sound: they raise NoMeaningForSound.

| class | methods | test_... |
| --- | --- | --- |
| ClassMapEntry | class, to_dict | an_entry_is_plain_data_and_counts_as_its_train_name |
| ClassMapUpdateEntry | class, to_dict | an_update_changes_what_it_names |
| Client | create_project, update_project_metadata | a_project_is_what_it_was_created_with |
| Client | get_project, get_projects | a_project_is_what_it_was_created_with |
| Client | delete_project, project_exists | a_project_is_there_until_it_is_deleted |
| Client | set_credentials | credentials_are_complete_and_change_nothing |
| Client | update_label_class_map_colors | colors_change_together_or_not_at_all |
| Client | class, create_dataset, create_inferences | sets_are_there_as_they_were_created |
| Client | dataset_exists, inferences_exists | sets_are_there_as_they_were_created |
| Client | get_dataset, get_datasets | sets_are_there_as_they_were_created |
| Client | create_or_update_dataset | the_same_upload_twice_changes_nothing |
| Client | create_or_update_inferences | inferences_are_about_frames_and_metrics_that_there_are |
| Client | get_inferences_ingest_error_logs | inferences_are_about_frames_and_metrics_that_there_are |
| Client | update_inferences_metadata | inferences_are_about_frames_and_metrics_that_there_are |
| Client | add_to_streaming_dataset | frames_are_added_modified_and_deleted_in_named_versions |
| Client | get_dataset_ingest_error_logs | each_bad_entry_is_an_error_and_the_others_go_in |
| Client | current_*, is_*_processed | states_and_steps_are_those_of_a_finished_upload |
| Client | delete_dataset, is_dataset_archived | archived_sets_are_not_listed_and_deleted_ones_are_gone |
| Client | update_dataset_metadata, *_metadata_schema | labels_keep_to_the_schema_of_their_metadata |
| Client | get_frame, get_frames, get_frame_ids | frames_are_given_back_as_they_were_added |
| Client | update_dataset_frames, update_frames_metadata | updates_of_frames_change_what_they_have |
| Client | update_dataset_labels | updates_of_labels_add_and_change |
| Client | preview_frame | a_preview_shows_the_frame |
| Client | upload_asset_from_* | assets_lie_beside_the_database_once |
| Client | get_*_manager | managers_are_those_of_the_project |
| CollectionClient | class, sync_state | campaigns_that_are_over_and_other_issues_are_not_read |
| CollectionClient | sample_probabilities | frames_are_scored_by_the_cosine_to_the_most_similar_element |
| CollectionClient | save_for_collection | those_at_the_threshold_are_collected_once_into_a_data_set |
| CollectionClient | get_unlabeled_* | an_unlabelled_data_set_is_searched_for_what_is_like_an_issue |
| CustomMetricsDefinition | class | definitions_are_checked |
| StratifiedMetricsDefinition | class | definitions_are_checked |
| PrimaryTaskTypes | class | frames_that_do_not_fit_the_task_are_refused |
| LabelClassMap | class, add_entry | names_and_ids_are_unique |
| LabelClassMap | from_classnames* | classes_get_distinct_colors |
| LabeledDataset | class, add_frame, delete_frame, write_to_file | a_stream_is_read_as_it_was_written |
| UnlabeledDataset | class, add_frame, delete_frame, write_to_file | a_stream_is_read_as_it_was_written |
| Inferences | class, add_frame, delete_frame, write_to_file | a_stream_is_read_as_it_was_written |
| LabeledDataset, UnlabeledDataset | *_streaming | parts_of_data_sets_are_written_apart |
| LabeledDataset | write_embeddings_*, write_label_assets_* | embeddings_and_masks_have_streams_of_their_own |
| UnlabeledDataset | write_embeddings_*, write_label_assets_* | embeddings_and_masks_have_streams_of_their_own |
| Inferences | write_embeddings_*, write_label_assets_* | embeddings_and_masks_have_streams_of_their_own |
| LabeledFrame | class, add_audio, add_geo_*, add_user_*, to_dict | a_frame_holds_sound_place_and_typed_metadata |
| UnlabeledFrame | class, add_audio, add_geo_*, add_user_*, to_dict | a_frame_holds_sound_place_and_typed_metadata |
| LabeledFrame, UnlabeledFrame | add_*embedding, validate_* | embeddings_of_frames_and_labels |
| LabeledFrame, UnlabeledFrame | add_label_2d_* | labels_of_each_kind_are_kept_as_they_were_given |
| LabeledFrame, UnlabeledFrame | add_image*, add_video, add_*_2d: pictures | what_has_no_meaning_for_sound_says_so |
| LabeledFrame, UnlabeledFrame | add_*_3d*, add_obj, add_point_cloud_*: scenes | what_has_no_meaning_for_sound_says_so |
| LabeledFrame, UnlabeledFrame | add_text, add_label_text_token: text | what_has_no_meaning_for_sound_says_so |
| InferencesFrame | class, add_custom_metric | custom_metrics_metadata_and_embeddings_are_kept |
| InferencesFrame | add_user_metadata, to_dict | custom_metrics_metadata_and_embeddings_are_kept |
| InferencesFrame | add_*_embedding, validate_* | custom_metrics_metadata_and_embeddings_are_kept |
| InferencesFrame | add_2d_*, add_inference_2d_* | predictions_of_each_kind_carry_a_confidence |
| InferencesFrame | add_3d_*, add_inference_3d_*: scenes | what_has_no_meaning_for_sound_says_so |
| InferencesFrame | add_text_token, add_inference_text_token: text | what_has_no_meaning_for_sound_says_so |
| UpdateGTLabelSet | class, add_crop_embedding | updates_of_labels_add_and_change |
| UpdateGTLabelSet | *_2d_*, to_dict | updates_name_the_label_and_may_leave_out_the_rest |
| UpdateGTLabelSet | *_3d_*: scenes | what_has_no_meaning_for_sound_says_so |
| UpdateGTLabelSet | *_text_token: text | what_has_no_meaning_for_sound_says_so |
| Issue | class | every_type_of_issue_is_created_listed_and_deleted |
| IssueElement | class | elements_are_added_once_removed_and_marked |
| IssueManager | class, create_issue, delete_issue, list_issues | every_type_of_issue_is_created_listed_and_deleted |
| IssueManager | *_elements_*, update_elements_status | elements_are_added_once_removed_and_marked |
| IssueManager | update_issue_name, update_issue_state | states_names_and_assignees_change |
| IssueManager | get_issue | frames_and_crops_come_with_their_data_unless_excluded |
| IssueManager | create_work_queue | elements_are_dealt_out_in_batches |
| WorkQueue, WorkQueueElement | class | a_batch_is_claimed_finished_or_given_back |
| WorkQueueManager | class, get_work_queue, list_work_queues | elements_are_dealt_out_in_batches |
| MetricsManager | class, get_metrics | metrics_are_those_of_evaluate_at_the_same_iou |
| MetricsManager | list_scenarios | scenarios_are_scored_by_themselves |
| MetricsManager | fetch_confusions | queries_tell_what_was_confused_in_annotations_and_results |
| MetricsManager | make_*_query | queries_tell_what_was_confused_in_annotations_and_results |
"""
