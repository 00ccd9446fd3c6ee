//! Fuzz targets of this crate: see `crates/fuzz`.

pub use crate::smtp::fuzzing::smtp_reply;
use crate::{
    message::{self, Addresses, Author, Identity, Staging},
    payload::Payload,
};

/// Composes a mail from a job's data, and checks it against RFC 5322.
///
/// # Panics
/// Panics if the mail is invalid.
pub fn email_job(data: &[u8]) {
    let Ok(Payload(job)) = serde_json::from_slice(data) else { return };
    let json = serde_json::to_string(&job).expect("what was read can be written");
    assert_eq!(serde_json::from_str::<Payload>(&json).expect("what was written can be read").0, job);
    let author = Author {
        from: "Examhall <no-reply@example.com>".parse().expect("a mailbox"),
        dkim: None,
        return_path: None,
        is_for_postmark: false,
        staging: Staging::default(),
    };
    let identity = Identity { id: "m-018f4e3a-0000-7000-8000-000000000001", timestamp: 0 };
    let Ok(addresses) = Addresses::of(&job, &author.from, &author.staging) else { return };
    let Ok(prepared) = message::prepare(&job, &identity, &addresses, 0, &author) else { return };
    let text = std::str::from_utf8(&prepared.bytes).expect("UTF-8");
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    assert!(head.split("\r\n").all(|line| line.len() <= 998), "a header line is too long");
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "a header was broken");
    assert!(!prepared.to.is_empty());
}
