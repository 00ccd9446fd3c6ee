//! Validation of display names: any real name, but no text that a mail program turns into a link. Names are shown in
//! mails and to other users, so they must not advertise or change the direction of the text around them.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::text::{BadText, check_line, is_ignorable};

/// Why a text is rejected as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is not one visible line.
    #[error(transparent)]
    Text(#[from] BadText),
    /// It turns the direction of the text around it.
    #[error("must not hold characters that control the direction of text")]
    Direction,
    /// It holds something like an address of the web or of mail.
    #[error("must not hold anything like a link or an e-mail address; write a blank after a dot")]
    Link,
}

/// Abbreviated titles before a name; the blank after end of data may be missing.
const TITLES: &[&str] = &[
    "ahmad", "bro", "dipl", "don", "dr", "dra", "fr", "hj", "hr", "ing", "jr", "mag", "maj", "md", "mme", "mohd", "mr",
    "mrs", "ms", "muhd", "ph", "phd", "prof", "rev", "sgt", "sr", "sra", "st", "sta", "ste", "sto", "vda",
];

/// Checks a display name.
///
/// ```
/// use examhall_core::check_name;
///
/// assert!(check_name("J.R.R. Tolkien").is_ok());
/// assert!(check_name("You won, see evil.example/claim").is_err());
/// ```
///
/// # Errors
/// Returns [`BadName`] if nothing of it can be seen, or it holds a link or controls of text direction.
pub fn check_name(name: &str) -> Result<(), BadName> {
    check_line(name)?;
    if name.chars().any(|char| matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
        return Err(BadName::Direction);
    }
    if has_link(name) { Err(BadName::Link) } else { Ok(()) }
}

/// Whether a mail program could make a link of a part of the text, however its characters are spelt.
fn has_link(text: &str) -> bool {
    let shown = text.nfkc().filter(|char| !is_ignorable(*char));
    let shown: String = shown.map(|char| if char == '。' { '.' } else { char }).collect();
    shown.contains(['@', '\\'])
        || shown.split_whitespace().any(|word| has_path(word) || has_scheme(word))
        || shown.split(|char: char| !is_host_char(char)).any(is_host)
}

/// `a/b`, but not `s/o` (son of) and the like.
fn has_path(word: &str) -> bool {
    let is_letter = |part: &str| part.chars().count() == 1 && part.chars().all(char::is_alphabetic);
    let is_abbreviation = word.split_once('/').is_some_and(|(before, after)| is_letter(before) && is_letter(after));
    word.contains('/') && !is_abbreviation
}

/// `http:x`, but not `S:t`.
fn has_scheme(word: &str) -> bool {
    word.match_indices(':').any(|(at, _)| {
        let scheme = word[..at].rsplit(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default();
        scheme.len() > 1 && at + 1 < word.len()
    })
}

fn is_host_char(char: char) -> bool {
    char.is_alphanumeric() || is_combining_mark(char) || char == '-' || char == '_' || char == '.'
}

/// `evil.example`, `x.co` and `10.0.0.1`, but not `J.R.R.Tolkien` and `St.John`.
fn is_host(word: &str) -> bool {
    let labels: Vec<_> = word.split('.').filter(|label| !label.is_empty()).collect();
    let Some((last, before)) = labels.split_last().filter(|(_, before)| !before.is_empty()) else { return false };
    if labels.len() >= 4 && labels.iter().all(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return true;
    }
    let is_top_level = last.chars().nth(1).is_some() && last.chars().any(char::is_alphabetic);
    let is_initial = |label: &str| label.chars().filter(|char| !is_combining_mark(*char)).count() == 1;
    let is_title = |label: &str| TITLES.contains(&label.to_lowercase().as_str());
    // A domain is written in small letters, a name after a dot begins with a capital where its script has them.
    let is_name =
        before.iter().all(|label| is_initial(label) || is_title(label)) && !last.starts_with(char::is_lowercase);
    is_top_level && !is_name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_world_are_accepted() {
        for name in [
            "Ada",
            "Ada Lovelace",
            "O'Brien",
            "O’Brien",
            "Jean-Luc",
            "María José",
            "Dr. Smith",
            "J.R.R. Tolkien",
            "J. R. R. Tolkien",
            "J.R.R.Tolkien",
            "St.John",
            "St. John",
            "Dr.Smith",
            "S:t Clair",
            "Ravi s/o Kumar",
            "Siti a/p Ahmad",
            "M.Karthik",
            "R.K.Narayan",
            "محمد علي",
            "עדה",
            "李小龍",
            "阿卜杜拉·买买提",
            "マリア・テレジア",
            "O",
            "X Æ A-12",
            "क्षितिज",
            "क्\u{200d}षितिज",
            "شبن\u{200c}م",
            "Zoe\u{308}",
            "Martin Luther King, Jr.",
            "Ph.D. Kim",
            "John Smith (Prof.)",
            "Müller-Lüdenscheidt",
            "张.小明",
            "Łukasz",
            "Nguyễn Văn A",
            "ʻOkina",
            "N'Golo",
            "3rd",
            "user_1",
            "Mr.Bean",
            "Ann & Bob",
            "…",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn what_could_become_a_link_is_refused() {
        for name in [
            "You won 500 EUR, go to https://evil.example/claim",
            "evil.example",
            "Win at EVIL.example now",
            "www.evil",
            "www.evil.com",
            "//evil",
            "http:evil",
            "mailto:a",
            "HTTPS://x",
            "ada@evil.example",
            "@ada",
            "evil。example",
            "ｅｖｉｌ．ｅｘａｍｐｌｅ",
            "evil｡com",
            "evil․com",
            "evil.\u{200b}example",
            "evil\u{ad}.example",
            "ht\u{200d}tp://x",
            "http：／／evil",
            "x.co",
            "t.co/abc",
            "(evil.com)",
            "bücher.example",
            "例え.テスト",
            "a.b.evil.com",
            "10.0.0.1",
            "evil.com.",
            "ada＠b",
            "a\\b",
            "see:evil.zip",
            "dr.com",
            "xn--80ak6aa92e.com",
            "evil_1.example",
            "evil.com,",
            "-evil.com",
            "пример.рф",
            "javascript:alert(1)",
        ] {
            assert!(matches!(check_name(name), Err(BadName::Link)), "{name:?}");
        }
    }

    #[test]
    fn what_is_invisible_or_turns_the_text_is_refused() {
        for name in ["\u{200b}", "\u{feff}", "\u{200e}\u{200f}", "\u{3164}", "a\nb"] {
            assert_eq!(check_name(name), Err(BadName::Text(BadText::Line)), "{name:?}");
        }
        for name in ["Ada\u{202e}gpj.exe", "\u{202a}Ada", "\u{2067}Ada\u{2069}"] {
            assert_eq!(check_name(name), Err(BadName::Direction), "{name:?}");
        }
        assert_eq!(check_name("\u{202e}"), Err(BadName::Text(BadText::Line)));
    }
}
