//! The part before the `@`: a dot-atom (RFC 5322, section 3.2.3; RFC 6532) that looks like no other.
//!
//! Beyond ASCII it keeps to what Unicode recommends for identifiers that strangers give (UTS 39): letters, digits and
//! marks of the General Security Profile, at the level Highly Restrictive, which is also what large mail providers
//! accept. So nobody signs up with letters that pass for those of another's address.

use std::borrow::Cow;

use caseless::Caseless;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::{GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection, skeleton};

use super::BadEmailAddress;

/// Checks a local part in form NFKC, and drops quotes that it does not need.
pub(super) fn parse(text: &str) -> Result<Cow<'_, str>, BadEmailAddress> {
    if let Some(content) = text.strip_prefix('"') {
        let content = content.strip_suffix('"').ok_or(BadEmailAddress::Form)?;
        let content = unquoted(content).filter(|content| is_dot_atom(content)).ok_or(BadEmailAddress::Quoted)?;
        return check(&content).map(|()| Cow::Owned(content));
    }
    if !is_dot_atom(text) {
        return Err(BadEmailAddress::Form);
    }
    check(text).map(|()| Cow::Borrowed(text))
}

/// One form for all cases of a local part: full case folding (as Unicode's definition D146).
pub(super) fn folded(local: &str) -> String {
    if local.is_ascii() {
        return local.to_ascii_lowercase();
    }
    local.nfd().default_case_fold().nfkd().default_case_fold().nfkc().collect()
}

/// What a quoted string says (RFC 5322, section 3.2.4).
fn unquoted(content: &str) -> Option<String> {
    let (mut said, mut chars) = (String::with_capacity(content.len()), content.chars());
    while let Some(char) = chars.next() {
        said.push(if char == '\\' { chars.next()? } else { char });
    }
    Some(said)
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_char))
}

fn is_atom_char(char: char) -> bool {
    if char.is_ascii() {
        char.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(char)
    } else {
        !char.is_whitespace() && !char.is_control()
    }
}

fn check(local: &str) -> Result<(), BadEmailAddress> {
    if local.is_ascii() {
        return Ok(());
    }
    let is_letter = |char: char| char.is_alphanumeric() || is_combining_mark(char);
    let are_letters = local
        .chars()
        .all(|char| char.is_ascii() || (is_letter(char) && GeneralSecurityProfile::identifier_allowed(char)));
    // A mark belongs to the letter before it.
    let has_loose_mark = local.split('.').any(|atom| atom.starts_with(is_combining_mark));
    let letters: String = local.chars().filter(|char| is_letter(*char)).collect();
    let is_one_script = letters.check_restriction_level(RestrictionLevel::HighlyRestrictive);
    if are_letters && !has_loose_mark && is_one_script && !passes_for_ascii(local) {
        Ok(())
    } else {
        Err(BadEmailAddress::LookAlike)
    }
}

/// Whether each character beyond ASCII looks like one of ASCII, so that the whole does, too.
fn passes_for_ascii(local: &str) -> bool {
    local.chars().filter(|char| !char.is_ascii()).all(|char| {
        let mut bytes = [0; 4];
        let mut seen = skeleton(char.encode_utf8(&mut bytes));
        seen.next().is_some_and(|first| first.is_ascii()) && seen.next().is_none()
    })
}
