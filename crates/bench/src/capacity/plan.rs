//! From costs to machines: a pure function of the number of students.

use serde::Serialize;

use super::costs::{Costs, Unit, Work};

/// An exam morning: who does what within which time, in s.
const LOG_IN: f64 = 900.0;
const START: f64 = 60.0;
/// Between two saves of a student.
const SAVE: f64 = 10.0;
const SUBMIT: f64 = 60.0;
const MAILS: f64 = 3_600.0;

/// A core is planned to be used so far.
pub(crate) const USED: f64 = 0.6;
/// Cores of one API process on a host of its own.
const API_CORES: f64 = 2.0;
/// Connections to the database of one API process (`DATABASE_CONNECTIONS`), with those alongside its pool.
const CONNECTIONS: f64 = 19.0;
/// A provider answers within this time in s, and a mailer has five mails in flight.
pub(crate) const PROVIDER: f64 = 0.2;
pub(crate) const SLOTS: f64 = 5.0;

/// What is needed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    pub(crate) students: u64,
    /// Requests per second at the start, and while all work.
    starts_per_second: f64,
    saves_per_second: f64,
    pub(crate) api_cores: f64,
    api_processes: f64,
    pub(crate) mailers: f64,
    redis_cores: f64,
    redis_gb: f64,
    database_cores: f64,
    transactions_per_second: f64,
    connections: f64,
    database_gb: f64,
}

/// Cores that are busy while `rate` of each work is done per second.
fn cores(of: &[(f64, &Unit)], part: impl Fn(&Unit) -> f64) -> f64 {
    of.iter().map(|(rate, unit)| rate * part(unit) / 1_000.0).sum::<f64>() / USED
}

impl Plan {
    /// What so many students on one exam need.
    pub(crate) fn of(students: u64, costs: &Costs) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a number of people")]
        let n = students as f64;
        let [log_in, start, read, save, submit, queue, send] =
            [Work::LogIn, Work::Start, Work::Read, Work::Save, Work::Submit, Work::Queue, Work::Send]
                .map(|work| costs.of(work));
        // What goes on at once; the worst of these decides.
        let phases = [
            vec![(n / LOG_IN, &log_in)],
            vec![(n / START, &start), (n / START, &read)],
            vec![(n / SAVE, &save)],
            vec![(n / SUBMIT, &submit), (n / SUBMIT, &queue), (n / SAVE, &save)],
            vec![(n / MAILS, &send)],
        ];
        let worst = |part: fn(&Unit) -> f64| phases.iter().map(|phase| cores(phase, part)).fold(0.0, f64::max);
        let api_cores = worst(|unit| unit.api_ms);
        // Two, so that one may go away.
        let api_processes = (api_cores / API_CORES).ceil().max(2.0);
        let busiest =
            |phase: &Vec<(f64, &Unit)>| phase.iter().map(|(rate, unit)| rate * unit.transactions).sum::<f64>();
        Self {
            students,
            starts_per_second: n / START,
            saves_per_second: n / SAVE,
            api_cores,
            api_processes,
            mailers: (n / MAILS * PROVIDER / SLOTS / USED)
                .max(cores(&phases[4], |unit| unit.mailer_ms))
                .ceil()
                .max(2.0),
            redis_cores: worst(|unit| unit.redis_ms),
            redis_gb: n * costs.redis_bytes_per_mail / 1e9,
            database_cores: worst(|unit| unit.database_ms),
            transactions_per_second: phases.iter().map(busiest).fold(0.0, f64::max),
            connections: api_processes * CONNECTIONS,
            database_gb: n * costs.database_bytes_per_attempt / 1e9,
        }
    }

    /// Which Redis that is.
    fn redis(&self) -> &'static str {
        match self.redis_cores {
            ..0.6 => "one, or Sentinel for fail-over",
            _ => "Cluster: the keys of the cache are spread, the queue stays on one master",
        }
    }

    /// What is too small first.
    fn limit(&self) -> &'static str {
        if self.database_cores > 64.0 {
            "PostgreSQL: no server has as many cores; divide the students over installations"
        } else if self.connections > 400.0 {
            "connections: PgBouncer before PostgreSQL"
        } else if self.redis_cores > 0.8 {
            "Redis: it has one thread"
        } else if self.api_processes > 2.0 {
            "the API: more replicas (HPA)"
        } else {
            "nothing: two of each process, for fail-over"
        }
    }

    /// As a table's rows.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let whole = |value: f64| examhall_core::with_commas(to_u64(value.ceil()));
        vec![
            ("starts per second, all within a minute", whole(self.starts_per_second)),
            ("saves per second, each student every 10 s", whole(self.saves_per_second)),
            ("cores for the API", format!("{:.1}", self.api_cores)),
            ("API processes of two cores", whole(self.api_processes)),
            ("mailers, for all results within an hour, at a provider that answers in 0.2 s", whole(self.mailers)),
            ("cores of Redis", format!("{:.2}", self.redis_cores)),
            ("memory of Redis, GB", format!("{:.2}", self.redis_gb)),
            ("Redis", self.redis().to_owned()),
            ("cores for PostgreSQL", format!("{:.1}", self.database_cores)),
            ("transactions per second", whole(self.transactions_per_second)),
            ("connections to PostgreSQL", whole(self.connections)),
            ("data in PostgreSQL, GB", format!("{:.1}", self.database_gb)),
            ("what is too small first", self.limit().to_owned()),
        ]
    }
}

/// Without what is behind the point.
pub(crate) fn to_u64(value: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let count = value as u64;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_the_students_take_ten_times_the_cores() {
        let costs = Costs::kept().expect("costs");
        let [small, large] = [10_000, 100_000].map(|students| Plan::of(students, &costs));
        assert!((large.api_cores / small.api_cores - 10.0).abs() < 1e-6);
        assert!((large.database_cores / small.database_cores - 10.0).abs() < 1e-6);
        assert!(small.api_processes >= 2.0 && small.mailers >= 2.0, "one may go away");
    }
}
