//! The header `Forwarded` (RFC 7239).

/// Who each proxy was asked by, as it wrote it, last one first; `None` where it does not say, or says it twice.
///
/// Read from the end: what a client has sent stands in front, and no quote that it leaves open swallows a proxy's word.
pub(super) fn nodes(header: &str) -> impl Iterator<Item = Option<String>> {
    split_from_end(header, ',').filter(|element| !element.is_empty()).map(node)
}

/// The value of `for` in one element.
fn node(element: &str) -> Option<String> {
    let mut found = split_from_end(element, ';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| unquoted(value.trim()))
    });
    let node = found.next()?;
    if found.next().is_some() { None } else { node }
}

/// A token, or what stands in a quoted string (RFC 9110, section 5.6.4).
fn unquoted(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let mut text = String::new();
    let mut chars = rest.strip_suffix('"')?.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '\\' { chars.next()? } else { char });
    }
    Some(text)
}

/// The parts between separators that stand in no quotes, without the blanks around them.
fn split_from_end(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let left = rest?;
        let mut is_quoted = false;
        for (at, char) in left.char_indices().rev() {
            if char == '"' {
                is_quoted = !is_quoted || is_escaped(&left[..at]);
            } else if char == separator && !is_quoted {
                rest = Some(&left[..at]);
                return Some(left[at + char.len_utf8()..].trim());
            }
        }
        rest = None;
        Some(left.trim())
    })
}

/// Whether what follows `before` has a backslash of its own in front.
fn is_escaped(before: &str) -> bool {
    before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(header: &str, expected: &[Option<&str>]) {
        let found: Vec<_> = nodes(header).collect();
        assert_eq!(found.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{header}");
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        check("for=\"_gazonk\"", &[Some("_gazonk")]);
        check("For=\"[2001:db8:cafe::17]:4711\"", &[Some("[2001:db8:cafe::17]:4711")]);
        check("for=192.0.2.60;proto=http;by=203.0.113.43", &[Some("192.0.2.60")]);
        check("for=192.0.2.43, for=198.51.100.17", &[Some("198.51.100.17"), Some("192.0.2.43")]);
        check("for=_hidden, for=_SEVKISEK", &[Some("_SEVKISEK"), Some("_hidden")]);
        check(
            "for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown",
            &[Some("unknown"), Some("[2001:db8:cafe::17]"), Some("192.0.2.43")],
        );
        check(
            "for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com",
            &[Some("198.51.100.17"), Some("192.0.2.43")],
        );
    }

    #[test]
    fn what_says_nothing_or_two_things_names_nobody() {
        check("", &[]);
        check(" , ,", &[]);
        check("proto=https", &[None]);
        check("for=192.0.2.1;for=192.0.2.2", &[None]);
        check("192.0.2.1", &[None]);
        check("for=\"192.0.2.1", &[None]);
        check("for=192.0.2.1;host=\"a,b;for=6.6.6.6\"", &[Some("192.0.2.1")]);
        check("by=\"a\\\"b, for=6.6.6.6\";for=192.0.2.1", &[Some("192.0.2.1")]);
    }

    proptest! {
        #[test]
        fn no_text_before_it_hides_a_proxys_word(
            before in r#"([a-z=;, "\\\[\]:_.0-9]|for=|"){0,40}"#,
            v6: [u16; 8],
            port: Option<u16>,
            quoted_host in r"[a-z,;=]{0,8}",
        ) {
            let address = std::net::Ipv6Addr::from(v6);
            let node = port.map_or_else(|| format!("[{address}]"), |port| format!("[{address}]:{port}"));
            let header = format!("{before}, proto=https;for=\"{node}\";host=\"{quoted_host}\"");
            prop_assert_eq!(nodes(&header).next(), Some(Some(node)));
        }

        #[test]
        fn every_list_is_read_to_its_end(words in prop::collection::vec("[ -~]{0,12}", 0..6)) {
            let quoted = |word: &String| format!("for=\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""));
            let header = words.iter().map(quoted).collect::<Vec<_>>().join(" ,");
            let found: Vec<_> = nodes(&header).collect();
            prop_assert_eq!(found, words.into_iter().rev().map(Some).collect::<Vec<_>>());
        }
    }
}
