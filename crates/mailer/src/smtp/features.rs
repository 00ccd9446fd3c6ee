//! The extensions that a server offers, read from its answer to EHLO (RFC 5321, section 4.1.1.1).

use super::reply::Reply;

/// What the server offers. Nothing after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "extensions do not depend on each other")]
pub(super) struct Features {
    /// Pipelining (RFC 2920).
    pub(super) pipelining: bool,
    /// Largest message in bytes (RFC 1870).
    pub(super) size: Option<usize>,
    /// Encryption on request (RFC 3207).
    pub(super) starttls: bool,
    /// Messages beyond ASCII (RFC 6152).
    pub(super) eight_bit: bool,
    /// Addresses beyond ASCII (RFC 6531).
    pub(super) smtputf8: bool,
    /// Ways to log in (RFC 4954), in upper case.
    mechanisms: Vec<String>,
}

impl Features {
    /// Reads the keywords, in any case. The first line should be the server's name, and some servers omit it.
    pub(super) fn read(reply: &Reply) -> Self {
        let mut features = Self::default();
        for line in reply.lines() {
            // `AUTH=LOGIN PLAIN` is the form before RFC 2554, which some servers use alone or as well.
            let words: Vec<_> =
                line.split([' ', '\t', '=']).map(str::to_ascii_uppercase).filter(|word| !word.is_empty()).collect();
            let Some((keyword, parameters)) = words.split_first() else { continue };
            match keyword.as_str() {
                "PIPELINING" => features.pipelining = true,
                "STARTTLS" => features.starttls = true,
                "8BITMIME" => features.eight_bit = true,
                "SMTPUTF8" => features.smtputf8 = true,
                "SIZE" => {
                    features.size = parameters.first().and_then(|size| size.parse().ok()).filter(|size| *size > 0);
                }
                "AUTH" => features.mechanisms.extend_from_slice(parameters),
                _ => {}
            }
        }
        features
    }

    /// Returns whether the server offers this way to log in.
    pub(super) fn offers_login(&self, mechanism: &str) -> bool {
        self.mechanisms.iter().any(|offered| offered == mechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Features {
        Features::read(&Reply::new(250, &lines.join("\n")))
    }

    #[test]
    fn keywords_are_read_in_any_case_and_form() {
        let all =
            read(&["mail.example", "Pipelining", "size 1000", "StartTLS", "8bitmime", "smtputf8", "auth plain Login"]);
        assert!(all.pipelining && all.starttls && all.eight_bit && all.smtputf8);
        assert_eq!(all.size, Some(1000));
        assert!(all.offers_login("PLAIN") && all.offers_login("LOGIN") && !all.offers_login("CRAM-MD5"));
        for old in ["AUTH=LOGIN", "auth=login plain", "AUTH =LOGIN", "AUTH\tLOGIN", "AUTH= LOGIN"] {
            assert!(read(&["x", old]).offers_login("LOGIN"), "{old}");
        }
        let both = read(&["x", "AUTH PLAIN", "AUTH=LOGIN"]);
        assert!(both.offers_login("PLAIN") && both.offers_login("LOGIN"));
        assert_eq!(read(&["", "SIZE 0"]), Features::default());
        assert_eq!(read(&[""]), Features::default());
        for size in ["SIZE", "SIZE x", "SIZE 99999999999999999999999"] {
            assert_eq!(read(&["x", size]).size, None, "{size}");
        }
        assert!(read(&["PIPELINING"]).pipelining, "an answer without a name");
        assert!(!read(&["pipelining.example.com says hello"]).pipelining);
    }
}
