//! Content of a body or a file: a text in some encoding, a Buffer as JSON writes it, or a `data:` URL.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, de};

use super::scalars::{Text, Unsupported};

/// Base64 (RFC 4648, section 4), padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Content before its encoding is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    Bytes(Vec<u8>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Content {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }

    /// The bytes; of a text in the encoding of that name in Node.
    pub(super) fn decode(self, encoding: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => decode(text, encoding),
            Self::Bytes(bytes) => Ok(bytes),
        }
    }

    /// The text of a body.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Bytes(bytes) => text_of(bytes),
        }
    }
}

/// What is not UTF-8 is replaced.
pub(super) fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn decode(text: String, encoding: &str) -> Result<Vec<u8>, String> {
    let name: String = encoding.to_ascii_lowercase().chars().filter(|c| !matches!(c, '-' | '_' | ' ')).collect();
    match name.as_str() {
        "" | "utf8" | "ascii" | "usascii" => Ok(text.into_bytes()),
        "base64" | "base64url" => from_base64(&text),
        "hex" => from_hex(&text).ok_or_else(|| "content is not hex".to_owned()),
        "latin1" | "binary" => {
            text.chars().map(u8::try_from).collect::<Result<_, _>>().map_err(|_| "content is not latin1".to_owned())
        }
        "utf16le" | "ucs2" => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        _ => Err(format!("encoding {encoding:?} is not supported")),
    }
}

/// Decodes base64 with line ends or without, padded or not, in the usual alphabet or in that of URLs (RFC 4648, section 5).
fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    let usual = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    });
    BASE64.decode(usual.collect::<Vec<_>>()).map_err(|error| format!("content is not base64: {error}"))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> =
        text.chars().map(|c| c.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

/// A Buffer (`{type: "Buffer", data}`), or nodemailer's content object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ContentObject {
    #[serde(rename = "type")]
    kind: Text,
    data: Option<Vec<u8>>,
    content: Option<Box<Content>>,
    encoding: Text,
    path: DataUrl,
    href: DataUrl,
    #[serde(rename = "raw")]
    _raw: Unsupported,
}

impl<'de> de::Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a Buffer")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Content, E> {
        if value { Err(E::invalid_type(de::Unexpected::Bool(value), &self)) } else { Ok(Content::default()) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
        Ok(Content::Text(text))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
        let object = ContentObject::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let ContentObject { kind, data, content, encoding, path, href, .. } = object;
        match (data, content, path.0.or(href.0)) {
            (Some(data), _, _) if kind.0 == "Buffer" => Ok(Content::Bytes(data)),
            (_, Some(content), None) => content.decode(&encoding.0).map(Content::Bytes).map_err(de::Error::custom),
            (_, _, Some(url)) => Ok(Content::Bytes(url.bytes)),
            _ => Err(de::Error::custom("an object must be a Buffer, or have the field `content`")),
        }
    }
}

/// A `data:` URL (RFC 2397). Files and other URLs are not read: the mailer runs elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DataUrl(pub(super) Option<UrlContent>);

/// What a `data:` URL holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlContent {
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

impl<'de> Deserialize<'de> for DataUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        match text.get(..5) {
            Some(scheme) if scheme.eq_ignore_ascii_case("data:") => {
                UrlContent::parse(&text[5..]).map_err(de::Error::custom)
            }
            _ => Err(de::Error::custom("is not supported: files and URLs are not read, put the content into the job")),
        }
        .map(|content| Self(Some(content)))
    }
}

impl UrlContent {
    fn parse(text: &str) -> Result<Self, String> {
        let (head, data) = text.split_once(',').ok_or("is not a data: URL")?;
        let (head, is_base64) = head.strip_suffix(";base64").map_or((head, false), |head| (head, true));
        let data = percent_decoded(data);
        let bytes = if is_base64 { from_base64(&text_of(data))? } else { data };
        let media_type = if head.contains('/') { head } else { "text/plain" };
        Ok(Self { media_type: media_type.to_owned(), bytes })
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        if let Some(escaped) = digits.and_then(from_hex) {
            bytes.extend(escaped);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}
