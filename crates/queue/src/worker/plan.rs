//! Decides when a worker polls and what it waits for, without I/O and with the time as an argument.

use std::time::Duration;

use crate::clock::millis;

/// Largest number of jobs that one poll reports, and that it takes: fred parses a long answer from its start each time
/// another part of it arrives.
const MAX_BATCH: usize = 64;
/// Largest number of polls in flight: Redis runs one while the worker works on the answer to another.
const MAX_POLLS: usize = 2;
/// Number of ended runs below which they are not divided among polls: a poll has a fixed price.
const MIN_SHARE: usize = 8;

/// Interval in which a worker looks for delayed jobs that are due, as long as there are others.
const LOOK: Duration = Duration::from_millis(2);

/// When to poll next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// At once.
    Now,
    /// As soon as a slot is free: there are more jobs.
    WhenFree,
    /// At an event, and at `until` (ms since 1970) if there is one.
    Wait { until: Option<i64>, polled_at: i64, is_limited: bool },
    /// At this time (ms since 1970) and not before: Redis is unreachable.
    Retry { at: i64 },
}

/// State of a worker's loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) next: Next,
    /// Whether the answer to a poll was lost: the worker may have jobs that it does not know of.
    pub(super) in_doubt: bool,
    pub(super) is_stopping: bool,
    /// Polls in flight.
    pub(super) polls: usize,
    /// Free slots that these have asked jobs for.
    pub(super) reserved: usize,
    pub(super) running: usize,
    /// Ended runs that are not reported yet.
    pub(super) ended: usize,
    pub(super) concurrency: usize,
    pub(super) longest_wait: Duration,
}

/// Size of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollSize {
    pub(super) reports: usize,
    pub(super) wanted: usize,
}

/// What ends a wait, besides the events that always do: an answer, an ended run, a new concurrency, a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) marker: Marker,
    pub(super) timer: Option<Duration>,
}

/// How a block on the marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockEnd {
    /// The marker was there, or may have been: the answer was lost.
    Woken,
    TimedOut,
}

/// Use of the connection that blocks on BullMQ's marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// None: the answers of polls in flight decide.
    Ignore,
    /// Blocks for up to this time.
    Block(Duration),
    /// Wakes another worker if this one is woken: it could take no job.
    PassOn,
}

impl State {
    fn free_slots(&self) -> usize {
        if self.is_stopping { 0 } else { self.concurrency.saturating_sub(self.running + self.reserved) }
    }

    /// Decides when to poll after a block on the marker; `now` is in ms since 1970. One that ended before the next poll is
    /// due was asked for before the last poll.
    pub(super) fn after_block(&self, end: BlockEnd, now: i64) -> Next {
        match (end, self.next) {
            (BlockEnd::TimedOut, Next::Wait { until, polled_at, .. }) if self.due_at(until, polled_at, now) > now => {
                self.next
            }
            (_, Next::Retry { .. }) => self.next,
            _ => Next::Now,
        }
    }

    /// Returns when a waiting worker polls without an event, in ms since 1970.
    fn due_at(&self, until: Option<i64>, polled_at: i64, now: i64) -> i64 {
        // An idle worker polls now and then, so that dashboards and the watchdog see that it is alive.
        let longest = polled_at.saturating_add_unsigned(millis(self.longest_wait));
        if polled_at > now { now } else { until.map_or(longest, |at| at.min(longest)) } // the clock was set back
    }

    /// Returns whether there is nothing to run, to report or to receive.
    pub(super) fn is_idle(&self) -> bool {
        self.running + self.ended + self.polls == 0
    }

    /// Returns the size of the next poll, if it is due.
    pub(super) fn next_poll(&self) -> Option<PollSize> {
        let is_due = match self.next {
            Next::Now => self.ended > 0 || !self.is_stopping,
            Next::WhenFree => self.ended > 0 || self.free_slots() > 0,
            Next::Wait { .. } => self.ended > 0,
            Next::Retry { .. } => false,
        };
        // Many short jobs end at once. Two polls share them, so that Redis always has one to run.
        let share = self.concurrency.div_ceil(MAX_POLLS).clamp(MIN_SHARE, MAX_BATCH);
        let is_full = self.ended >= share && self.polls < MAX_POLLS && !self.in_doubt;
        let reports = self.ended.min(share);
        let wanted = self.free_slots().saturating_sub(self.ended - reports).min(MAX_BATCH);
        (is_due && (self.polls == 0 || is_full)).then_some(PollSize { reports, wanted })
    }
}

/// Returns whether a poll for `wanted` jobs looks for delayed ones that are due; `since` is the time since one did, or nothing
/// if the last poll took fewer jobs than it wanted.
pub(super) fn looks_for_delayed(wanted: usize, since: Option<Duration>) -> bool {
    wanted == 0 || since.is_none_or(|since| since >= LOOK)
}

/// Decides what to wait for; `now` is in ms since 1970.
pub(super) fn plan(state: &State, now: i64) -> Wait {
    let longest = state.longest_wait;
    let (is_timed, due_at) = match state.next {
        Next::Now | Next::WhenFree => (false, None),
        Next::Wait { until, polled_at, .. } => (until.is_some(), Some(state.due_at(until, polled_at, now))),
        Next::Retry { at } => (true, Some(at)),
    };
    let span = due_at.map_or(longest, |at| Duration::from_millis((at - now).try_into().unwrap_or(0)).min(longest));
    // A limit may be the worker's own, and others have none: it leaves the marker to them.
    let is_held = matches!(state.next, Next::Retry { .. } | Next::Wait { is_limited: true, .. });
    let may_take = state.free_slots() > 0 && !is_held;
    let marker = match (may_take, state.polls) {
        (false, _) => Marker::PassOn,
        (true, 0) => Marker::Block(span),
        (true, _) => Marker::Ignore,
    };
    let timer = (state.polls == 0 && (is_timed || !may_take)).then_some(span);
    Wait { marker, timer }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000;
    const LONGEST: Duration = Duration::from_secs(5);

    fn waits(until: Option<i64>) -> State {
        state(Next::Wait { until, polled_at: NOW, is_limited: false })
    }

    fn waits_since(polled_at: i64) -> State {
        state(Next::Wait { until: None, polled_at, is_limited: false })
    }

    fn state(next: Next) -> State {
        State {
            next,
            in_doubt: false,
            is_stopping: false,
            polls: 0,
            reserved: 0,
            running: 0,
            ended: 0,
            concurrency: 10,
            longest_wait: LONGEST,
        }
    }

    #[test]
    fn waits_end_as_planned() {
        let ms = Duration::from_millis;
        let retry = state(Next::Retry { at: NOW + 200 });
        let limited = state(Next::Wait { until: Some(NOW + 300), polled_at: NOW, is_limited: true });
        for (name, state, marker, timer) in [
            ("idle", waits(None), Marker::Block(LONGEST), None),
            ("delayed job", waits(Some(NOW + 300)), Marker::Block(ms(300)), Some(ms(300))),
            ("overdue job", waits(Some(NOW - 300)), Marker::Block(ms(0)), Some(ms(0))),
            ("far job", waits(Some(NOW + 60_000)), Marker::Block(LONGEST), Some(LONGEST)),
            ("rate limit", limited, Marker::PassOn, Some(ms(300))),
            ("poll in flight", State { polls: 1, reserved: 9, ..waits(None) }, Marker::Ignore, None),
            ("last slots asked for", State { polls: 1, reserved: 10, ..waits(None) }, Marker::PassOn, None),
            ("all slots full", State { running: 10, ..state(Next::WhenFree) }, Marker::PassOn, Some(LONGEST)),
            ("concurrency 0", State { concurrency: 0, ..waits(None) }, Marker::PassOn, Some(LONGEST)),
            ("stopping", State { is_stopping: true, running: 1, ..waits(None) }, Marker::PassOn, Some(LONGEST)),
            ("Redis unreachable", retry, Marker::PassOn, Some(ms(200))),
            ("unreachable, poll in flight", State { polls: 1, ..retry }, Marker::PassOn, None),
        ] {
            assert_eq!(plan(&state, NOW), Wait { marker, timer }, "{name}");
        }
    }

    #[test]
    fn block_that_times_out_early_costs_no_poll() {
        use BlockEnd::{TimedOut, Woken};
        let since = |polled_at| waits_since(polled_at).next;
        let delayed = |at| waits(Some(at)).next;
        let retry = Next::Retry { at: NOW + 200 };
        for (name, next, end, expected) in [
            ("idle", since(NOW - 5_000), TimedOut, Next::Now),
            ("idle, polled since", since(NOW - 4_999), TimedOut, since(NOW - 4_999)),
            ("idle, woken", since(NOW), Woken, Next::Now),
            ("delayed job", delayed(NOW), TimedOut, Next::Now),
            ("delayed job, not due yet", delayed(NOW + 1), TimedOut, delayed(NOW + 1)),
            ("the clock was set back", since(NOW + 1), TimedOut, Next::Now),
            ("more jobs", Next::WhenFree, TimedOut, Next::Now),
            ("Redis unreachable", retry, TimedOut, retry),
        ] {
            assert_eq!(state(next).after_block(end, NOW), expected, "{name}");
        }
        let polled_before = |ms| plan(&waits_since(NOW - ms), NOW).marker;
        assert_eq!(polled_before(4_000), Marker::Block(Duration::from_secs(1)), "the rest of the wait");
        assert_eq!(polled_before(9_000), Marker::Block(Duration::ZERO));
    }

    #[test]
    fn busy_worker_seldom_looks_for_delayed_jobs() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (name, wanted, since, expected) in [
            ("first poll", 5, None, true),
            ("just looked", 5, ms(0), false),
            ("looked long ago", 5, ms(2), true),
            ("only reports: its answer says when the next is due", 0, ms(0), true),
        ] {
            assert_eq!(looks_for_delayed(wanted, since), expected, "{name}");
        }
    }

    #[test]
    fn polls_are_sent_when_due() {
        let now = state(Next::Now);
        let full = State { running: 10, ..state(Next::WhenFree) };
        let hundred = State { concurrency: 100, running: 40, ended: 60, polls: 1, ..state(Next::WhenFree) };
        let five = State { concurrency: 5, ended: 5, ..state(Next::WhenFree) };
        for (name, state, expected) in [
            ("first poll", now, Some((0, 10))),
            ("more jobs, a free slot", State { running: 9, ..full }, Some((0, 1))),
            ("more jobs, no slot", full, None),
            ("nothing to report", waits(None), None),
            ("one run ended", State { ended: 1, ..waits(None) }, Some((1, 10))),
            ("one run ended, poll in flight", State { ended: 1, polls: 1, ..waits(None) }, None),
            ("a full batch, poll in flight", hundred, Some((50, 50))),
            ("few slots: all that ended at once", five, Some((5, 5))),
            ("few slots, poll in flight", State { ended: 3, running: 2, polls: 1, ..five }, None),
            ("a full batch, all polls in flight", State { polls: MAX_POLLS, ..hundred }, None),
            ("a full batch, an answer lost", State { in_doubt: true, ..hundred }, None),
            ("very many slots", State { concurrency: 1_000, ended: 500, ..now }, Some((64, 64))),
            ("concurrency 0", State { concurrency: 0, ..now }, Some((0, 0))),
            ("stopping", State { is_stopping: true, ..now }, None),
            ("stopping, one run ended", State { is_stopping: true, ended: 1, ..now }, Some((1, 0))),
            ("Redis unreachable", State { ended: 1, ..state(Next::Retry { at: NOW }) }, None),
        ] {
            let expected = expected.map(|(reports, wanted)| PollSize { reports, wanted });
            assert_eq!(state.next_poll(), expected, "{name}");
        }
    }
}
