//! Single values as JavaScript programs write them: what is absent may also be `null`, `false` or `""`.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::Timestamp;

/// A text, or a number in its place; empty where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// The text, if it is not empty.
    pub(super) fn given(self) -> Option<String> {
        Some(self.0).filter(|text| !text.is_empty())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text, E> {
        Ok(Text(if value { "true".to_owned() } else { String::new() }))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
        Ok(Text(if number == 0 { String::new() } else { number.to_string() }))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
        Ok(Text(if number == 0.0 { String::new() } else { number.to_string() }))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Text, E> {
        Ok(Text(text))
    }
}

/// A moment: RFC 3339, the form of mails (RFC 5322), or milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Option<Timestamp>);

impl Moment {
    pub(super) fn parse(text: &str) -> Option<Timestamp> {
        let in_mail = || OffsetDateTime::parse(text, &Rfc2822).ok().map(|moment| moment.unix_timestamp() * 1000);
        text.parse().ok().or_else(|| in_mail().map(Timestamp::from_millis))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        if let Ok(millis) = text.parse() {
            return Ok(Self(Some(Timestamp::from_millis(millis))));
        }
        let error = || de::Error::custom("not a time like 2026-11-23T09:00:00Z (RFC 3339), or milliseconds since 1970");
        Self::parse(text.trim()).map(|moment| Self(Some(moment))).ok_or_else(error)
    }
}

/// A field that cannot be obeyed: it must be absent. Ignoring it would change the mail in silence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsupported;

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnsupportedVisitor)
    }
}

struct UnsupportedVisitor;

/// The error of a field that is there.
fn unsupported<T, E: de::Error>() -> Result<T, E> {
    Err(E::custom("is not supported"))
}

impl<'de> de::Visitor<'de> for UnsupportedVisitor {
    type Value = Unsupported;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing: the field is not supported")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Unsupported, E> {
        Ok(Unsupported)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Unsupported, E> {
        if value { unsupported() } else { Ok(Unsupported) }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Unsupported, E> {
        if number == 0 { Ok(Unsupported) } else { unsupported() }
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Unsupported, E> {
        unsupported()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Unsupported, E> {
        unsupported()
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Unsupported, E> {
        if text.is_empty() { Ok(Unsupported) } else { unsupported() }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Unsupported, A::Error> {
        unsupported()
    }

    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<Unsupported, A::Error> {
        unsupported()
    }
}

/// Reads an object or a list by another visitor, and what is absent as its default.
pub(super) struct OrAbsent<V>(pub(super) V);

impl<'de, V: de::Visitor<'de, Value: Default>> de::Visitor<'de> for OrAbsent<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        Ok(V::Value::default())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<V::Value, E> {
        if value { Err(E::invalid_type(de::Unexpected::Bool(value), &self)) } else { Ok(V::Value::default()) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<V::Value, E> {
        if text.is_empty() { Ok(V::Value::default()) } else { Err(E::invalid_type(de::Unexpected::Str(text), &self)) }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(list)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(map)
    }
}
