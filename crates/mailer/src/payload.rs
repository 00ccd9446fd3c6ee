//! Data of a job: a mail, or an error that names the invalid field.

use examhall_core::EmailJob;
use serde::{Deserialize, Deserializer, de::Error};

/// An [`EmailJob`] whose deserialization errors contain the path of the invalid field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payload(pub(crate) EmailJob);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let problem = error.into_inner().to_string();
            // A missing field has no path; the message names it.
            D::Error::custom(if path == "." { problem } else { format!("{path}: {problem}") })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_field() {
        let error = |data: &str| serde_json::from_str::<Payload>(data).expect_err("must be refused").to_string();
        let wrong = error(r#"{"to":"a@b.example","subject":{},"html":"h"}"#);
        assert!(wrong.starts_with("subject: invalid type"), "{wrong}");
        let deep = error(r#"{"to":["a@b.example",7],"subject":"s","html":"h"}"#);
        assert!(deep.starts_with("to[1]: invalid type"), "{deep}");
        assert_eq!(
            error(r#"{"to":"a@b.example","attachments":[{"path":"/x"}]}"#).split(':').next(),
            Some("attachments[0].path")
        );
        assert!(error("[").contains("EOF"));
        assert!(serde_json::from_str::<Payload>(r#"{"to":"a@b.example","subject":"s","html":"h"}"#).is_ok());
    }
}
