//! Error of a job that is not a mail.

/// Why no mail can be composed from a job, at any provider. Its text names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct InvalidMail {
    field: &'static str,
    problem: String,
}

impl InvalidMail {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}
