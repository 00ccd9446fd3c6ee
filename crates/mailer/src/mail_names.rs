//! Names of an accepted mail by which a bounce or complaint may name it, and that do not tell its job.

use examhall_delivery::JobName;

use crate::message::PreparedMail;

/// Shortest word of a server's reply that is taken for an id of its own.
const SHORTEST_ID: usize = 20;

/// Returns these names: the mail's `Message-ID`, its token, and the server's own id for it.
pub(crate) fn names_of(job_id: &str, mail: &PreparedMail, response: &str) -> Vec<String> {
    let job = Some(JobName { id: job_id, timestamp: mail.job_timestamp });
    let message_id = Some(&mail.message_id).filter(|id| JobName::of(id) != job);
    let token = mail.token.as_ref().filter(|token| JobName::of_local_part(token) != job);
    message_id.into_iter().chain(token).cloned().chain(remote_id(response)).collect()
}

/// The id in a reply such as SES's `250 Ok 0102018f-...-000000`.
fn remote_id(response: &str) -> Option<String> {
    let is_id = |word: &&str| {
        word.len() >= SHORTEST_ID
            && word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    response.split_whitespace().map(|word| word.trim_matches(['<', '>'])).rfind(is_id).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_replies_are_found() {
        let ses = "0102018f2e3a4b5c-11111111-2222-3333-4444-555555555555-000000";
        for (reply, id) in [
            (format!("250 Ok {ses}"), Some(ses)),
            ("250 2.0.0 Ok: queued as 4Xy2Zk1Qabcd".to_owned(), None),
            ("250 2.0.0 OK 1700000000 d9443c01a7336-1c5 - gsmtp".to_owned(), None),
            ("250 Great success".to_owned(), None),
            ("250 OK <883953f4-6105-42a2-a16a-77a8eac79483>".to_owned(), Some("883953f4-6105-42a2-a16a-77a8eac79483")),
        ] {
            assert_eq!(remote_id(&reply).as_deref(), id, "{reply}");
        }
    }
}
