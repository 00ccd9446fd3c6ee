//! Why there is no access token: the token server is away, or it refuses. A pure decision.

use oauth2::{RequestTokenError, basic::BasicErrorResponse};

use super::http::HttpError;

/// Characters of a token server's words that are kept.
const SHOWN: usize = 300;

/// Why there is no access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// The token server is away, slow, overloaded, or talks nonsense: time may fix that.
    Unavailable(String),
    /// It refuses: an operator has to fix that.
    Refused {
        /// The error's code (RFC 6749, section 5.2), or the status.
        code: String,
        /// The server's words about it.
        words: String,
    },
}

impl std::fmt::Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable(reason) => write!(f, "no access token: {reason}"),
            Self::Refused { code, words } if words.is_empty() => write!(f, "access token refused: {code}"),
            Self::Refused { code, words } => write!(f, "access token refused: {code}: {words}"),
        }
    }
}

/// What a failed request means. None of the texts in `hidden` is shown.
pub(super) fn of<'a>(
    error: RequestTokenError<HttpError, BasicErrorResponse>,
    hidden: impl Iterator<Item = &'a str>,
) -> TokenError {
    match error {
        RequestTokenError::Request(HttpError::Refused(status)) => {
            TokenError::Refused { code: format!("status {status}"), words: String::new() }
        }
        RequestTokenError::Request(error) => TokenError::Unavailable(error.to_string()),
        RequestTokenError::ServerResponse(answer) => {
            let words = answer.error_description().map(String::as_str).unwrap_or_default();
            let words = hidden
                .filter(|secret| !secret.is_empty())
                .fold(one_line(words), |words, secret| words.replace(secret, "(secret)"));
            let code = one_line(answer.error().as_ref());
            if matches!(code.as_str(), "temporarily_unavailable" | "server_error" | "slow_down") {
                TokenError::Unavailable(format!("the token server says {code}"))
            } else {
                TokenError::Refused { code, words }
            }
        }
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            TokenError::Unavailable("the token server's answer is no token".to_owned())
        }
    }
}

/// The first line: Microsoft adds ids and times in further ones.
fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use oauth2::basic::BasicErrorResponseType::{Extension, InvalidClient};

    use super::*;

    #[test]
    fn refusals_need_an_operator_and_outages_do_not() {
        let said = |code, words: &str| {
            let answer = BasicErrorResponse::new(code, Some(words.to_owned()), None);
            of(RequestTokenError::ServerResponse(answer), ["hunter2", ""].into_iter())
        };
        let refused = said(InvalidClient, "AADSTS7000215: Invalid client secret hunter2.\r\nTrace ID: 7");
        let words = "AADSTS7000215: Invalid client secret (secret).".to_owned();
        assert_eq!(refused, TokenError::Refused { code: "invalid_client".to_owned(), words });
        assert!(matches!(said(Extension("server_error".to_owned()), ""), TokenError::Unavailable(_)));
        let request = |error| of(RequestTokenError::Request(error), std::iter::empty());
        assert!(matches!(request(HttpError::Refused(404)), TokenError::Refused { .. }));
        assert!(matches!(request(HttpError::Failed(503)), TokenError::Unavailable(_)));
        let nonsense = RequestTokenError::Other("a page".to_owned());
        assert!(matches!(of(nonsense, std::iter::empty()), TokenError::Unavailable(_)));
    }
}
