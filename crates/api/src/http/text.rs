//! Checks of texts that bodies hold.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "garde passes the context by reference")]

use examhall_core::{AccountName, EmailAddress, check_body, check_line, check_name};

/// One mailbox, such as `ada@example.com`.
pub(crate) fn is_address(text: &str, (): &()) -> garde::Result {
    EmailAddress::parse(text).map(drop).map_err(garde::Error::new)
}

/// What names an account, which may have been made by former rules.
pub(crate) fn is_account_name(text: &str, (): &()) -> garde::Result {
    AccountName::parse(text).map(drop).map_err(garde::Error::new)
}

/// Something to read in one line, without characters that could begin a header of a mail.
pub(crate) fn is_one_line(text: &str, (): &()) -> garde::Result {
    check_line(text).map_err(garde::Error::new)
}

/// A name that somebody gives themselves.
pub(crate) fn is_name(text: &str, (): &()) -> garde::Result {
    check_name(text).map_err(garde::Error::new)
}

/// Anything but the character NUL, which PostgreSQL cannot store.
pub(crate) fn has_no_nul(text: &str, (): &()) -> garde::Result {
    check_body(text).map_err(garde::Error::new)
}
