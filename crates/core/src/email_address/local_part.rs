//! The part before the `@`: a dot-atom (RFC 5322, section 3.2.3; RFC 6532) that looks like no other.
//!
//! Beyond ASCII it keeps to what Unicode recommends for identifiers that strangers give (UTS 39): letters, digits and
//! marks of the General Security Profile, at the level Highly Restrictive, which is also what large mail providers
//! accept. So no user signs up with letters that look like those of another's address.
//!
//! An account has one key for all cases of a local part, so all cases are accepted or none: the case folded form decides.

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
        return checked(Cow::Owned(content));
    }
    if !is_dot_atom(text) {
        return Err(BadEmailAddress::Form);
    }
    checked(Cow::Borrowed(text))
}

/// Returns the local part as it is given, if its case folded form is one; in lower case if only its case makes it pass for
/// another: `ВЕРА` looks like `BEPA`, `вера` like nothing else.
fn checked(local: Cow<'_, str>) -> Result<Cow<'_, str>, BadEmailAddress> {
    if local.is_ascii() {
        return Ok(local);
    }
    let folded = folded(&local);
    check(&folded)?;
    if check(&local).is_ok() {
        return Ok(local);
    }
    let lower: String = local.to_lowercase().nfkc().collect();
    // Letters that are written in one way only, such as historic forms, have no lower case of their own.
    Ok(Cow::Owned(if check(&lower).is_ok() { lower } else { folded }))
}

/// One form for all cases of a local part: full case folding (as Unicode's definition D146).
pub(super) fn folded(local: &str) -> String {
    if local.is_ascii() {
        return local.to_ascii_lowercase();
    }
    local.nfd().default_case_fold().nfkd().default_case_fold().nfkc().collect()
}

/// Returns the content of a quoted string (RFC 5322, section 3.2.4).
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
