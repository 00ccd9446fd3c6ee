//! Further header fields of a mail, in the forms in which nodemailer takes them.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::scalars::{OrAbsent, Text};

/// Header fields in their order, name and value; a name may occur several times.
///
/// In JSON: an object of name to value or list of values, or a list of `{key, value}`. An empty value is no field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailHeaders(pub Vec<(String, String)>);

impl MailHeaders {
    /// Returns whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes all fields of this name, and returns the last value.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.extract_if(.., |(one, _)| one.trim().eq_ignore_ascii_case(name)).last().map(|(_, value)| value)
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.take(name);
        self.0.push((name.to_owned(), value));
    }

    fn add(&mut self, name: &str, Values(values): Values) {
        self.0.extend(values.into_iter().filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value)));
    }
}

/// A list of one field.
impl From<(&str, &str)> for MailHeaders {
    fn from((name, value): (&str, &str)) -> Self {
        Self(vec![(name.to_owned(), value.to_owned())])
    }
}

impl Serialize for MailHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names = HashSet::new();
        if self.0.iter().all(|(name, _)| names.insert(name)) {
            return serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)));
        }
        serializer.collect_seq(self.0.iter().map(|(key, value)| KeyAndValue { key, value }))
    }
}

#[derive(Serialize)]
struct KeyAndValue<'a> {
    key: &'a str,
    value: &'a str,
}

impl<'de> Deserialize<'de> for MailHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrAbsent(HeadersVisitor))
    }
}

struct HeadersVisitor;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    key: Text,
    value: Values,
}

impl<'de> de::Visitor<'de> for HeadersVisitor {
    type Value = MailHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of header fields, or a list of {key, value}")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<MailHeaders, A::Error> {
        let mut headers = MailHeaders::default();
        while let Some((name, values)) = map.next_entry::<String, Values>()? {
            headers.add(&name, values);
        }
        // `{key, value}` alone is one field in nodemailer.
        if let [(key, name), (value_key, value)] = headers.0.as_slice()
            && (key.as_str(), value_key.as_str()) == ("key", "value")
        {
            return Ok(MailHeaders::from((name.as_str(), value.as_str())));
        }
        Ok(headers)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<MailHeaders, A::Error> {
        let mut headers = MailHeaders::default();
        while let Some(Entry { key, value }) = list.next_element()? {
            headers.add(&key.0, value);
        }
        Ok(headers)
    }
}

/// The values of one name: one, a list, or `{prepared, value}`.
#[derive(Default)]
struct Values(Vec<String>);

#[derive(Default, Deserialize)]
#[serde(default)]
struct PreparedValue {
    value: Values,
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl ValuesVisitor {
    /// A single value, as [`Text`] reads it.
    fn one<'de, E: de::Error>(value: impl de::IntoDeserializer<'de, E>) -> Result<Values, E> {
        Text::deserialize(value.into_deserializer()).map(|Text(text)| Values(vec![text]))
    }
}

impl<'de> de::Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a list of them")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Values, E> {
        Ok(Values::default())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Values, E> {
        Self::one(value)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Values, E> {
        Self::one(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Values, E> {
        Self::one(number)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Values, E> {
        Self::one(number)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Values, E> {
        Ok(Values(vec![text.to_owned()]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Values, A::Error> {
        let mut all = Vec::new();
        while let Some(Values(some)) = list.next_element()? {
            all.extend(some);
        }
        Ok(Values(all))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Values, A::Error> {
        PreparedValue::deserialize(de::value::MapAccessDeserializer::new(map)).map(|PreparedValue { value }| value)
    }
}
