//! nodemailer's `list`: the header fields `List-Unsubscribe`, `List-Help`, ... (RFC 2369, RFC 2919).

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::scalars::{OrAbsent, Text};

/// The fields, name and value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListHeaders(pub(super) Vec<(String, String)>);

/// A URL with a comment, or a list: of fields, and within them of URLs of one field.
enum Item {
    Url(Url),
    List(Vec<Item>),
    None,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Url {
    url: Text,
    comment: Text,
}

impl<'de> Deserialize<'de> for ListHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrAbsent(FieldsVisitor))
    }
}

struct FieldsVisitor;

impl<'de> de::Visitor<'de> for FieldsVisitor {
    type Value = ListHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {unsubscribe: URL}")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<ListHeaders, A::Error> {
        let mut headers = Vec::new();
        while let Some((key, item)) = map.next_entry::<String, Item>()? {
            let key = key.trim().to_ascii_lowercase();
            let fields = match item {
                Item::List(fields) => fields,
                one => vec![one],
            };
            let values = fields.into_iter().map(|field| value(&key, field)).filter(|value| !value.is_empty());
            let name = format!("List-{}", capitalized(&key));
            headers.extend(values.map(|value| (name.clone(), value)));
        }
        Ok(ListHeaders(headers))
    }
}

fn capitalized(key: &str) -> String {
    if key == "id" {
        return "ID".to_owned();
    }
    let word = |word: &str| word.get(..1).map_or(String::new(), |first| first.to_ascii_uppercase() + &word[1..]);
    key.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// The value of one field: its URLs with commas between.
fn value(key: &str, item: Item) -> String {
    match item {
        Item::None => String::new(),
        Item::Url(Url { url, .. }) if url.0.is_empty() => String::new(),
        Item::Url(Url { url, comment }) if key == "id" => {
            let url = bracketed(&url.0);
            let id = url.split_once(':').map_or(url.as_str(), |(_, id)| id.trim_start_matches('/'));
            let id = format!("<{}", id.trim_start_matches('<'));
            if comment.0.is_empty() { id } else { format!("{} {id}", quoted(&comment.0)) }
        }
        Item::Url(Url { url, comment }) if comment.0.is_empty() => bracketed(&url.0),
        Item::Url(Url { url, comment }) => {
            format!("{} ({})", bracketed(&url.0), escaped(&comment.0, &['(', ')', '\\']))
        }
        Item::List(items) => {
            let values = items.into_iter().map(|item| value(key, item)).filter(|value| !value.is_empty());
            values.collect::<Vec<_>>().join(", ")
        }
    }
}

/// A quoted string; text beyond ASCII stays as it is, and is encoded with the header field.
fn quoted(text: &str) -> String {
    if text.is_ascii() { format!("\"{}\"", escaped(text, &['"', '\\'])) } else { text.to_owned() }
}

fn escaped(text: &str, specials: &[char]) -> String {
    text.chars().flat_map(|c| specials.contains(&c).then_some('\\').into_iter().chain([c])).collect()
}

/// The URL in angle brackets; an address becomes `mailto:`, and anything else a web address.
fn bracketed(url: &str) -> String {
    let url: String = url.chars().filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>')).collect();
    if ["http:", "https:", "mailto:", "ftp:"].iter().any(|scheme| url.starts_with(scheme)) {
        format!("<{url}>")
    } else if url.split('@').filter(|part| !part.is_empty()).count() == 2 && url.matches('@').count() == 1 {
        format!("<mailto:{url}>")
    } else {
        format!("<http://{url}>")
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> de::Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, {url, comment}, or a list of them")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Item, E> {
        Ok(Item::None)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Item, E> {
        if value { Err(E::invalid_type(de::Unexpected::Bool(value), &self)) } else { Ok(Item::None) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Url(Url { url: Text(text.to_owned()), comment: Text::default() }))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Item, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Item::List)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        Url::deserialize(de::value::MapAccessDeserializer::new(map)).map(Item::Url)
    }
}
