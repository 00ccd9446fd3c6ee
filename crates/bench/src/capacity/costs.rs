//! What one of each thing costs.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// Costs as they were measured, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Costs {
    pub(crate) date: String,
    pub(crate) machine: String,
    /// By what is done once.
    pub(crate) units: Vec<Unit>,
    pub(crate) api_mb: f64,
    pub(crate) mailer_mb: f64,
    /// Bytes in Redis of a mail, from its job to the end of its entries.
    pub(crate) redis_bytes_per_mail: f64,
    /// Bytes in PostgreSQL of a student's attempt, with answers, result and mail.
    pub(crate) database_bytes_per_attempt: f64,
}

/// What is done once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unit {
    pub(crate) name: Work,
    /// Processor time in ms.
    pub(crate) api_ms: f64,
    pub(crate) mailer_ms: f64,
    pub(crate) redis_ms: f64,
    pub(crate) database_ms: f64,
    /// Transactions of the database.
    pub(crate) transactions: f64,
}

/// Things that are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Work {
    SignUp,
    LogIn,
    Start,
    Read,
    Save,
    Submit,
    Queue,
    Send,
}

impl Work {
    const fn text(self) -> &'static str {
        match self {
            Self::SignUp => "sign-up",
            Self::LogIn => "login",
            Self::Start => "start of an attempt",
            Self::Read => "reading the sheet, of which the process has a copy",
            Self::Save => "saving three answers",
            Self::Submit => "submitting, graded",
            Self::Queue => "queueing a mail: from its row to its job",
            Self::Send => "sending a mail: from its job to its acceptance",
        }
    }
}

impl Costs {
    /// Those that were measured last.
    pub(crate) fn kept() -> anyhow::Result<Self> {
        Ok(serde_json::from_str(include_str!("../../costs.json"))?)
    }

    /// What a thing costs; nothing where it was not measured.
    pub(crate) fn of(&self, work: Work) -> Unit {
        let nothing =
            Unit { name: work, api_ms: 0.0, mailer_ms: 0.0, redis_ms: 0.0, database_ms: 0.0, transactions: 0.0 };
        self.units.iter().find(|unit| unit.name == work).cloned().unwrap_or(nothing)
    }

    /// As a table.
    pub(crate) fn table(&self) -> String {
        let mut out = format!(
            "Measured on {} ({}).\n\n| once | API, ms | mailer, ms | Redis, ms | PostgreSQL, ms | transactions |\n\
             |---|---|---|---|---|---|\n",
            self.date, self.machine
        );
        for unit in &self.units {
            let _ = writeln!(
                out,
                "| {} | {:.2} | {:.2} | {:.3} | {:.2} | {:.1} |",
                unit.name.text(),
                unit.api_ms,
                unit.mailer_ms,
                unit.redis_ms,
                unit.database_ms,
                unit.transactions
            );
        }
        let _ = writeln!(
            out,
            "\nMemory: {:.0} MB an API, {:.0} MB a mailer. A mail takes {:.0} bytes in Redis for a day, an attempt with its \
             answers {:.0} bytes in PostgreSQL.",
            self.api_mb, self.mailer_mb, self.redis_bytes_per_mail, self.database_bytes_per_attempt
        );
        out
    }
}
