//! Hides what opens something in the body of a mail that was sent: tokens of links, codes, keys. It hides too much rather
//! than too little.

/// What takes the place of a secret.
const MASK: &str = "•••";
/// Words from this length on are masked if they have digits: tokens, ids, keys.
const LONG_WORD: usize = 16;
/// Words from this length on are masked in any case.
const VERY_LONG_WORD: usize = 32;
/// Runs of digits from this length on are codes, unless they are a year.
const CODE: usize = 4;
/// Attributes that hold no secret; colours and sizes would look like codes.
const HARMLESS: [&str; 8] = ["style", "class", "id", "width", "height", "bgcolor", "color", "content"];

/// Returns a plain text without its secrets.
pub(crate) fn masked_text(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme = rest[..at]
            .rfind(|c: char| !c.is_ascii_alphanumeric())
            .map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        masked.push_str(&masked_words(&rest[..scheme]));
        let ends = |c: char| c.is_whitespace() || "\"'<>`)]}".contains(c);
        let end = rest[at..].find(ends).map_or(rest.len(), |end| at + end);
        masked.push_str(&masked_link(&rest[scheme..end]));
        rest = &rest[end..];
    }
    masked + &masked_words(rest)
}

/// Returns HTML without its secrets and comments.
pub(crate) fn masked_html(html: &str) -> String {
    let mut masked = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        masked.push_str(&masked_content(&rest[..at]));
        rest = &rest[at..];
        if !rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
            masked.push('<'); // a sign, no tag
            rest = &rest[1..];
            continue;
        }
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let end = end_of_tag(rest);
        let tag = &rest[..end];
        masked.push_str(&masked_tag(tag));
        rest = &rest[end..];
        // What is no text for readers: style stays, since colours look like codes.
        let name = tag[1..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if name.eq_ignore_ascii_case("style") {
            let is_end = |at: &usize| rest.get(at + 2..at + 7).is_some_and(|name| name.eq_ignore_ascii_case("style"));
            let end = rest.match_indices("</").map(|(at, _)| at).find(is_end).unwrap_or(rest.len());
            masked.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    masked + &masked_content(rest)
}

/// Masks the text between tags; character references stay.
fn masked_content(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let reference = rest[at + 1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '#').map(|end| at + 1 + end);
        let end = reference.filter(|end| rest[*end..].starts_with(';')).map_or(at + 1, |end| end + 1);
        // An address with `&amp;` is one word: all behind its `?` goes.
        let is_in_link = rest[..at].rfind("://").is_some_and(|link| !rest[link..at].contains(char::is_whitespace));
        if is_in_link {
            let stop =
                rest[at..].find(|c: char| c.is_whitespace() || "\"'".contains(c)).map_or(rest.len(), |stop| at + stop);
            masked.push_str(&masked_text(&rest[..at]));
            rest = &rest[stop..];
            continue;
        }
        masked.push_str(&masked_text(&rest[..at]));
        masked.push_str(&rest[at..end]);
        rest = &rest[end..];
    }
    masked + &masked_text(rest)
}

/// Masks the values of attributes.
fn masked_tag(tag: &str) -> String {
    let mut masked = String::new();
    let mut rest = tag;
    while let Some(at) = rest.find('=') {
        let name = rest[..at].trim_end().rsplit(|c: char| c.is_whitespace() || "\"'".contains(c)).next();
        let is_harmless = name.is_some_and(|name| HARMLESS.iter().any(|known| name.eq_ignore_ascii_case(known)));
        let value = rest[at + 1..].trim_start();
        let start = rest.len() - value.len();
        let end = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |end| end + 2),
            _ => value.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(value.len()),
        };
        masked.push_str(&rest[..start]);
        let value = &value[..end];
        masked.push_str(&if is_harmless { value.to_owned() } else { masked_content(value) });
        rest = &rest[start + end..];
    }
    masked + rest
}

/// The end of the tag that the text begins with; quotes may hold a `>`.
fn end_of_tag(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices().skip(1) {
        match (quote, c) {
            (None, '>') => return at + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// Of a link the place stays, without what it carries.
fn masked_link(link: &str) -> String {
    let at = link.find(['?', '#']).unwrap_or(link.len());
    let mut masked = masked_words(&link[..at]);
    if let Some(mark) = link[at..].chars().next() {
        masked.push(mark);
        masked.push_str(MASK);
    }
    masked
}

fn masked_words(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_part) {
        let end = rest[at..].find(|c| !is_part(c)).map_or(rest.len(), |end| at + end);
        let word = &rest[at..end];
        masked.push_str(&rest[..at]);
        masked.push_str(if is_secret(word) { MASK } else { word });
        rest = &rest[end..];
    }
    masked + rest
}

fn is_secret(word: &str) -> bool {
    let has_digits = word.contains(|c: char| c.is_ascii_digit());
    let is_code = |digits: &str| digits.len() >= CODE && !is_year(digits);
    word.len() >= VERY_LONG_WORD
        || word.len() >= LONG_WORD && has_digits
        || word.split(|c: char| !c.is_ascii_digit()).any(is_code)
}

fn is_year(digits: &str) -> bool {
    digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_codes_are_hidden_in_text() {
        for (text, masked) in [
            ("", ""),
            ("You earned 33.5 of 40 points on 27 November 2026.", "You earned 33.5 of 40 points on 27 November 2026."),
            ("open https://a.example/verify?token=x1 now", "open https://a.example/verify?••• now"),
            ("(https://a.example/#abc) ok", "(https://a.example/#•••) ok"),
            ("https://a.example/reset/Zm9vYmFyYmF6cXV4MTIz.", "https://a.example/reset/•••."),
            ("Your code is 482913, or 48-2913.", "Your code is •••, or •••."),
            ("key sk_live_51HxYzAbCdEfGh", "key •••"),
            ("Straße 12, Grüße: https://ä.example/ü?ß=1", "Straße 12, Grüße: https://ä.example/ü?•••"),
            ("a://b?c://d?e f", "a://b?••• f"),
            ("://?x", "://?•••"),
            ("uncharacteristically long", "uncharacteristically long"),
            ("abcdefghijklmnopqrstuvwxyzabcdefgh", "•••"),
        ] {
            assert_eq!(masked_text(text), masked, "{text}");
        }
    }

    #[test]
    fn html_keeps_its_form_and_loses_its_secrets() {
        for (html, masked) in [
            ("<p style=\"color:#123456\">Code: <b>123456</b></p>", "<p style=\"color:#123456\">Code: <b>•••</b></p>"),
            (
                "<a href=\"https://a.example/v?token=x&amp;y=2\">https://a.example/v?token=x&amp;y=2</a>",
                "<a href=\"https://a.example/v?•••\">https://a.example/v?•••</a>",
            ),
            (
                "<a href='https://a.example/v?token=x' title='123456'>x</a>",
                "<a href='https://a.example/v?•••' title='•••'>x</a>",
            ),
            ("<a href=https://a.example/v?token=x>x</a>", "<a href=https://a.example/v?•••>x</a>"),
            ("It&#8217;s &amp; &x 2026", "It&#8217;s &amp; &x 2026"),
            ("a<!-- token 123456 -->b<!-- open", "ab"),
            ("<style>.a { color: #123456 }</style>123456", "<style>.a { color: #123456 }</style>•••"),
            ("1 < 2345 <img alt=\"a > 123456\" width=123456>", "1 < ••• <img alt=\"a > •••\" width=123456>"),
            ("<p title=\"open 123456", "<p title=\"open •••"),
            ("<", "<"),
        ] {
            assert_eq!(masked_html(html), masked, "{html}");
        }
    }
}
