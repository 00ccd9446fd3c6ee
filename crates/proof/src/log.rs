//! What was written in a run, gathered by mail.

use std::{collections::HashMap, time::Duration};

use examhall_testkit::Received;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{clock, history::Seen, node, put_back::PutBack};

/// The events that the checker knows, by the message of the log.
const EVENTS: [(&str, Seen); 4] = [
    ("Mail accepted", Seen::Reported),
    ("Mail may have been sent before: sent again", Seen::Doubted),
    ("Mail was accepted before: not sent again", Seen::FoundAccepted),
    ("Mail queued again", Seen::Requeued),
];

/// What was seen, by the job's id.
#[derive(Debug, Default)]
pub(crate) struct Log {
    mails: HashMap<String, Vec<(OffsetDateTime, Seen)>>,
    put_backs: Vec<PutBack>,
    emptied: Option<OffsetDateTime>,
}

impl Log {
    /// Reads a line of a program's log.
    pub(crate) fn line(&mut self, line: &str) {
        let Some((_, seen)) = EVENTS.iter().find(|(message, _)| line.contains(message)) else { return };
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        let time = line["timestamp"].as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        if let (Some(time), Some(id)) = (time, line["job_id"].as_str()) {
            self.add(id, clock::real(time, OffsetDateTime::now_utc()), *seen);
        }
    }

    /// Notes that the server has accepted a mail, whose Message-ID names its job.
    pub(crate) fn accepted(&mut self, mail: &Received) {
        let name = mail.header("Message-ID").unwrap_or_default();
        let mut id = name.trim_start_matches('<').split('@').next().unwrap_or_default();
        if id.starts_with(node::ID_PREFIX) {
            id = id.split('.').next().unwrap_or_default(); // the mailer adds when it was added
        }
        let is_by_node = name.trim_end_matches('>').ends_with(node::DOMAIN);
        self.add(id, mail.at.into(), if is_by_node { Seen::SentByNode } else { Seen::Accepted });
    }

    /// Notes that something was seen now.
    pub(crate) fn now(&mut self, id: &str, seen: Seen) {
        self.add(id, OffsetDateTime::now_utc(), seen);
    }

    fn add(&mut self, id: &str, time: OffsetDateTime, seen: Seen) {
        self.mails.entry(id.to_owned()).or_default().push((time, seen));
    }

    /// Notes that Redis was put back.
    pub(crate) fn put_back(&mut self, put_back: PutBack) {
        self.put_backs.push(put_back);
    }

    /// Notes that Redis was emptied now.
    pub(crate) fn emptied(&mut self) {
        self.emptied = Some(OffsetDateTime::now_utc());
    }

    /// Whether Redis may have lost a job that it had shortly before `heard`.
    pub(crate) fn may_have_lost(&self, heard: OffsetDateTime) -> bool {
        let time = heard - Duration::from_secs(1);
        Some(time) <= self.emptied
            || self.put_backs.iter().any(|put_back| put_back.from <= heard && time <= put_back.at)
    }

    /// Whether Redis may have forgotten between two acceptances that there was a first one.
    pub(crate) fn may_have_forgotten(&self, first: OffsetDateTime, second: OffsetDateTime) -> bool {
        self.put_backs.iter().any(|put_back| put_back.explains(first, second))
    }

    /// Whether a mail was in flight while there were two Redis.
    pub(crate) fn has_met_two(&self, asked: OffsetDateTime, events: &[(OffsetDateTime, Seen)]) -> bool {
        let last = last_of(events).unwrap_or(asked);
        self.put_backs.iter().any(|put_back| put_back.has_two(asked, last))
    }

    /// Takes what was seen of a mail that was first asked for at `asked`, in order.
    pub(crate) fn take(&mut self, id: &str, asked: OffsetDateTime) -> Vec<(OffsetDateTime, Seen)> {
        let mut events = self.mails.remove(id).unwrap_or_default();
        let last = last_of(&events);
        // What had come to rest before, or was not there yet, did not go back.
        let meant = self.put_backs.iter().filter(|put_back| last >= Some(put_back.from) && asked <= put_back.at);
        for PutBack { from, to, at, .. } in at_once(meant, &events) {
            events.extend([(from, Seen::CopyBegins), (to, Seen::CopyEnds), (at, Seen::PutBack)]);
        }
        events.sort_by_key(|(time, _)| *time);
        events
    }

    /// The ids of the mails that nobody took.
    pub(crate) fn left(&self) -> impl Iterator<Item = &String> {
        self.mails.keys()
    }
}

/// Those between which nothing was seen of a mail count as one: a mail that waits for an operator may meet dozens, and with
/// each the model would have more states to think of. That may only make less explainable, never more.
fn at_once<'a>(put_backs: impl Iterator<Item = &'a PutBack>, events: &[(OffsetDateTime, Seen)]) -> Vec<PutBack> {
    let mut merged: Vec<PutBack> = Vec::new();
    for put_back in put_backs {
        match merged.last_mut() {
            Some(before) if !events.iter().any(|(time, _)| (before.from..=put_back.at).contains(time)) => {
                *before = PutBack { from: before.from, ..*put_back };
            }
            _ => merged.push(*put_back),
        }
    }
    merged
}

/// When something was seen of a mail last, before all was over.
fn last_of(events: &[(OffsetDateTime, Seen)]) -> Option<OffsetDateTime> {
    events.iter().filter(|(_, seen)| !matches!(seen, Seen::Ended(_))).map(|(time, _)| *time).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_backs_while_nothing_happens_count_as_one() {
        let at = |seconds: i64| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds);
        let mut log = Log::default();
        for n in [10, 20, 30, 50, 60] {
            log.put_back(PutBack { from: at(n), to: at(n + 1), at: at(n + 2), until: at(n + 2) });
        }
        log.add("m-1", at(40), Seen::Retried);
        log.add("m-1", at(45), Seen::Accepted);
        log.add("m-1", at(65), Seen::Reported);
        let seen = log.take("m-1", at(0));
        let of = |at: fn(&PutBack) -> OffsetDateTime| log.put_backs.iter().map(at).collect::<Vec<_>>();
        let (from, back) = (of(|put_back| put_back.from), of(|put_back| put_back.at));
        let begun: Vec<_> = seen.iter().filter(|(_, seen)| *seen == Seen::CopyBegins).map(|(time, _)| *time).collect();
        let put_back: Vec<_> = seen.iter().filter(|(_, seen)| *seen == Seen::PutBack).map(|(time, _)| *time).collect();
        assert_eq!((begun, put_back), (vec![from[0], from[3]], vec![back[2], back[4]]));
    }
}
