//! How a worker's locks tell whose they are, and whether that worker lives.

use uuid::Uuid;

/// What the tokens of our workers begin with; those of others are left to BullMQ's own rules.
pub(super) const MARK: &str = "eh:";

/// Who a worker is. Its tokens are `eh:<its connection's number at the server>:<uuid>:<n>`.
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

    /// Its `n`th token, over a connection that has this number.
    pub(super) fn token(&self, client_id: u64, n: u64) -> String {
        format!("{MARK}{client_id}:{}:{n}", self.uuid)
    }
}

/// The number of the connection that a token was made over.
pub(super) fn client_id_of(token: &str) -> Option<u64> {
    token.strip_prefix(MARK)?.split(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_the_connection_that_it_was_made_over() {
        let token = Identity::new().token(17, 3);
        assert_eq!(client_id_of(&token), Some(17));
        assert_eq!(client_id_of("6f9c:1"), None, "somebody else's");
    }
}
