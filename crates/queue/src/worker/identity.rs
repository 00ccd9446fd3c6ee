//! A worker's identity, which the tokens of its locks contain.

use uuid::Uuid;

/// Prefix of our workers' tokens; BullMQ's own rules apply to locks with other tokens.
pub(super) const TOKEN_PREFIX: &str = "eh:";

/// A worker's identity. Its tokens are `eh:<id of its connection at the server>:<uuid>:<n>`.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    uuid: String,
}

impl Identity {
    pub(super) fn new() -> Self {
        Self { uuid: Uuid::new_v4().to_string() }
    }

    pub(super) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Returns the `n`th token, for a connection with this id.
    pub(super) fn token(&self, client_id: u64, n: u64) -> String {
        format!("{TOKEN_PREFIX}{client_id}:{}:{n}", self.uuid)
    }
}

/// Returns the id of the connection in a token of ours.
pub(super) fn client_id_of(token: &str) -> Option<u64> {
    token.strip_prefix(TOKEN_PREFIX)?.split(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_contains_the_connection() {
        let token = Identity::new().token(17, 3);
        assert_eq!(client_id_of(&token), Some(17));
        assert_eq!(client_id_of("6f9c:1"), None, "another client's");
    }
}
