//! A job's data as the queue hands it over: a mail, or a reason that names the field that is wrong.

use examhall_core::EmailJob;
use serde::{Deserialize, Deserializer, de::Error};

/// An [`EmailJob`] whose reader says where in the data a mistake is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payload(pub(crate) EmailJob);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_path_to_error::deserialize(deserializer).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let problem = error.into_inner().to_string();
            // What is missing has no path of its own, and stands in the message.
            D::Error::custom(if path == "." { problem } else { format!("{path}: {problem}") })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_field() {
        let error = |data: &str| serde_json::from_str::<Payload>(data).expect_err("must be refused").to_string();
        assert!(error(r#"{"subject":"s","html":"h"}"#).starts_with("missing field `to`"));
        let wrong = error(r#"{"to":"a@b.example","subject":7,"html":"h"}"#);
        assert!(wrong.starts_with("subject: invalid type"), "{wrong}");
        let deep = error(r#"{"to":["a@b.example",7],"subject":"s","html":"h"}"#);
        assert!(deep.starts_with("to"), "{deep}");
        assert!(error("[").contains("EOF"));
        assert!(serde_json::from_str::<Payload>(r#"{"to":"a@b.example","subject":"s","html":"h"}"#).is_ok());
    }
}
