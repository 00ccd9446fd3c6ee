//! Address fields of a mail, in the forms in which nodemailer takes them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::scalars::Text;

/// One address field. Each entry is `local@domain`, `Name <local@domain>`, or several of them with commas between.
///
/// In JSON: a string; an object `{name, address}`; or a list of those.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Recipients(pub Vec<String>);

impl Recipients {
    /// Returns whether there is no recipient.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Recipients {
    fn from(one: &str) -> Self {
        Self(if one.trim().is_empty() { Vec::new() } else { vec![one.to_owned()] })
    }
}

/// Shows how many: addresses do not belong in logs.
impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipients({})", self.0.len())
    }
}

impl Serialize for Recipients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecipientsVisitor)
    }
}

struct RecipientsVisitor;

/// An address as an object. A group (RFC 5322, section 3.4) stands for its members.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AddressObject {
    name: Text,
    address: Text,
    group: Recipients,
}

impl<'de> de::Visitor<'de> for RecipientsVisitor {
    type Value = Recipients;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address or a list of addresses")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Recipients, E> {
        Ok(Recipients::default())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Recipients, E> {
        if value { Err(E::invalid_type(de::Unexpected::Bool(value), &self)) } else { Ok(Recipients::default()) }
    }

    fn visit_str<E: de::Error>(self, one: &str) -> Result<Recipients, E> {
        Ok(one.into())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Recipients, A::Error> {
        let mut all = Vec::new();
        while let Some(Recipients(some)) = list.next_element()? {
            all.extend(some);
        }
        Ok(Recipients(all))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Recipients, A::Error> {
        let AddressObject { name, address, group } =
            Deserialize::deserialize(de::value::MapAccessDeserializer::new(map))?;
        match (name.0.as_str(), address.0.as_str()) {
            (_, "") if !group.is_empty() => Ok(group),
            (_, "") => Err(de::Error::custom("an object needs the field `address`")),
            ("", address) => Ok(Recipients(vec![format!("<{address}>")])),
            (name, address) => {
                let name = name.replace('\\', r"\\").replace('"', "\\\"");
                Ok(Recipients(vec![format!("\"{name}\" <{address}>")]))
            }
        }
    }
}
