//! The metrics of this crate, with what each says.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Tells the process's recorder of them. Those with the label `ns` say by it which kind of key they count.
pub(crate) fn describe() {
    for (name, says) in [
        ("cache_requests_total", "Reads, by where their answer came from (outcome)"),
        ("cache_lease_total", "Answers of Redis to who asked for a value or the right to load it (result, ns)"),
        ("cache_fill_total", "Values taken to Redis, by what became of them (result, ns)"),
        ("cache_refreshes_total", "Values read anew before their time (result)"),
        ("cache_invalidations_total", "Keys taken away, by who said so (origin) and whether Redis heard (result)"),
        ("cache_l1_evictions", "Entries that left memory to make room"),
        ("cache_epoch_total", "How often memory was dropped (cause)"),
        ("cache_push_lagged_total", "How often Redis told of changes faster than this process heard"),
        ("cache_redis_errors_total", "Commands that Redis did not answer, or refused (kind)"),
        ("cache_decode_errors_total", "Entries in Redis that were damaged or another version's (ns)"),
    ] {
        describe_counter!(name, says);
    }
    for (name, says) in [
        ("cache_waiters", "Readers that wait for a load or for Redis"),
        ("cache_invalidation_pending", "Changes that Redis has not heard of"),
        ("cache_l1_bytes", "Bytes in memory"),
        ("cache_l1_entries", "Entries in memory"),
        ("cache_l1_live", "0: memory does not answer, its link to Redis is not proven"),
        ("cache_breaker_state", "1: Redis is not read: it is away, takes no writes, or failed too often"),
    ] {
        describe_gauge!(name, says);
    }
    for (name, says) in [
        ("cache_load_seconds", "How long loaders took (ns)"),
        ("cache_invalidation_lag_seconds", "How long it took to tell Redis of a change"),
        ("cache_redis_seconds", "How long Redis took to answer (cmd)"),
        ("cache_stale_age_seconds", "How long past their time values were that were served all the same (ns)"),
    ] {
        describe_histogram!(name, metrics::Unit::Seconds, says);
    }
}
