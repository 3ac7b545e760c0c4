//! The broker contract: one list of cases that every broker passes. A behaviour that differs is a defect in one of them.
//!
//! A test file names a function that opens a broker, and [`contract_tests!`](crate::contract_tests) makes one test of
//! each case. One broker may serve all cases at once: every name a case uses is its own.

mod fixture;
pub mod groups;
pub mod readers;
pub mod records;
pub mod standing_by;
pub mod state;
mod task;
pub mod transactions;

pub use fixture::{Fixture, Open, Opened, Row, WITHIN, output, rows, within};
pub use task::Task;

/// Makes one `#[tokio::test]` of each case. The argument is an `async fn() -> anyhow::Result<Arc<dyn Broker>>`,
/// or one that answers with something else that can be [`Open`](crate::contract::Open)ed.
#[macro_export]
macro_rules! contract_tests {
    ($open:path) => {
        $crate::contract_cases! { $open;
            records::records_survive_the_trip,
            records::a_missing_timestamp_is_the_present,
            records::a_record_of_nearly_a_mebibyte_passes,
            records::a_record_too_large_is_rejected_with_its_batch,
            records::an_unknown_partition_is_rejected_with_its_batch,
            records::order_holds_within_a_partition,
            records::keys_choose_partitions_as_in_kafka,
            records::records_without_a_key_all_arrive,
            records::a_record_may_name_its_topic_and_partition,
            records::writing_creates_the_topic,
            records::a_large_transaction_arrives_whole,
            records::a_write_outside_a_task_is_durable,
            transactions::a_commit_is_all_or_nothing,
            transactions::a_commit_made_twice_is_one,
            transactions::nothing_shows_before_the_commit,
            transactions::an_abort_drops_what_was_staged,
            transactions::an_abort_rewinds_to_the_last_commit,
            transactions::a_restart_resumes_at_the_last_commit,
            transactions::a_newer_session_fences_the_older,
            transactions::closing_drops_the_open_transaction,
            transactions::a_dropped_session_leaves_nothing,
            transactions::an_empty_commit_is_a_commit,
            groups::two_sessions_share_the_partitions,
            groups::a_partition_moves_only_once_released,
            groups::a_new_group_begins_at_the_earliest_record,
            groups::a_session_may_begin_at_its_own_offsets,
            groups::subscribing_creates_the_topic,
            groups::a_pattern_picks_new_topics_up,
            groups::groups_do_not_disturb_each_other,
            groups::limits_bound_an_answer,
            standing_by::a_session_that_stands_by_lets_partitions_go,
            standing_by::what_comes_while_a_session_stands_by_waits_for_it,
            standing_by::a_partition_that_comes_back_is_read_on,
            standing_by::what_came_meanwhile_may_begin_at_its_own_offsets,
            readers::a_reader_starts_where_it_is_told,
            readers::a_reader_follows_from_the_end,
            readers::a_reader_ends_past_aborted_records,
            readers::a_reader_reads_the_partitions_it_names,
            readers::reading_creates_no_topic,
            readers::topics_are_listed,
            readers::creating_twice_changes_nothing,
            state::the_newest_offsets_and_state_are_loaded,
            state::scopes_are_apart,
            state::connectors_are_apart,
            state::state_keys_and_values_are_bytes,
            state::partition_state_moves_with_the_partition,
        }
    };
}

/// The half of [`contract_tests!`](crate::contract_tests) that repeats.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($open:path; $($module:ident :: $case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() -> anyhow::Result<()> {
            let Some(opened) = $crate::contract::Open::opened($open().await?) else { return Ok(()) };
            let fixture = $crate::contract::Fixture::new(opened);
            $crate::contract::$module::$case(&fixture).await
        }
    )*};
}
