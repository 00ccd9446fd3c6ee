//! Names and descriptions of this crate's metrics.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Describes them to the process's recorder. The label `ns` is the kind of key.
pub(crate) fn describe() {
    for (name, description) in [
        ("cache_requests_total", "Reads, by source of the answer (outcome)"),
        ("cache_lease_total", "Acquisitions of a value or a lease, by answer of Redis (result, ns)"),
        ("cache_fill_total", "Fills of Redis, by result (result, ns)"),
        ("cache_refreshes_total", "Refreshes of values before their end (result)"),
        ("cache_invalidations_total", "Invalidated keys, by cause (origin) and whether Redis confirmed (result)"),
        ("cache_l1_evictions", "Entries evicted from memory to make room"),
        ("cache_epoch_total", "Times that memory was cleared (cause)"),
        (
            "cache_node_epochs_total",
            "Times that memory was cleared for slots of a node of a Redis Cluster (node, cause)",
        ),
        ("cache_link_reconnects_total", "Times that the link was connected again, away from a wrong server (cause)"),
        ("cache_journal_changes_total", "Changed keys that the journal reported"),
        ("cache_outdated_total", "Values in Redis that lacked a change, and were loaded again (ns)"),
        ("cache_push_lagged_total", "Times that invalidation messages arrived faster than they were read"),
        ("cache_redis_errors_total", "Commands that Redis did not answer or refused (kind)"),
        ("cache_decode_errors_total", "Entries in Redis that were damaged or of another release (ns)"),
    ] {
        describe_counter!(name, description);
    }
    for (name, description) in [
        ("cache_waiters", "Readers that wait for a load or for Redis"),
        ("cache_invalidation_pending", "Invalidations that Redis has not confirmed"),
        ("cache_l1_bytes", "Bytes in memory"),
        ("cache_l1_entries", "Entries in memory"),
        ("cache_l1_live", "0 if memory does not answer because its link to Redis is not proven"),
        ("cache_trust", "2 if the values in Redis are trusted, 1 if they are stale at best, 0 if not at all"),
        ("cache_breaker_state", "1 if Redis is not read: it is down, takes no writes, or the circuit is open"),
    ] {
        describe_gauge!(name, description);
    }
    for (name, description) in [
        ("cache_load_seconds", "Duration of loads (ns)"),
        ("cache_invalidation_lag_seconds", "Time from a change to its invalidation in Redis"),
        ("cache_redis_seconds", "Response time of Redis (cmd)"),
        ("cache_stale_age_seconds", "Age of stale values that were served (ns)"),
    ] {
        describe_histogram!(name, metrics::Unit::Seconds, description);
    }
}
