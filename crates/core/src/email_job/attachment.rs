//! Files of a mail, in nodemailer's form.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Error as _},
    ser::SerializeStruct,
};

use super::{
    MailHeaders,
    content::{Content, DataUrl},
    scalars::{OrAbsent, Text, Unsupported},
};

/// A file that goes with a mail, or a body in another media type.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NodeAttachment")]
pub struct Attachment {
    /// Name that the reader sees; `None` if one is to be made up.
    pub filename: Option<String>,
    /// Whether it has no name at all (`filename: false`).
    pub is_nameless: bool,
    /// The file itself.
    pub content: Vec<u8>,
    /// Media type; by the name's ending where absent.
    pub content_type: Option<String>,
    /// `Content-ID` without angle brackets: the HTML shows the file as `cid:...`.
    pub cid: Option<String>,
    /// `Content-Disposition`, such as `inline`.
    pub content_disposition: Option<String>,
    /// Further header fields of this part.
    pub headers: MailHeaders,
}

/// Shows the size and not the file.
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({} bytes)", self.content.len())
    }
}

impl Serialize for Attachment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Attachment", 7)?;
        match &self.filename {
            Some(name) => object.serialize_field("filename", name)?,
            None if self.is_nameless => object.serialize_field("filename", &false)?,
            None => object.skip_field("filename")?,
        }
        object.serialize_field("content", &BASE64_STANDARD.encode(&self.content))?;
        object.serialize_field("encoding", "base64")?;
        let options = [
            ("contentType", &self.content_type),
            ("cid", &self.cid),
            ("contentDisposition", &self.content_disposition),
        ];
        for (name, option) in options {
            match option {
                Some(text) => object.serialize_field(name, text)?,
                None => object.skip_field(name)?,
            }
        }
        if self.headers.is_empty() {
            object.skip_field("headers")?;
        } else {
            object.serialize_field("headers", &self.headers)?;
        }
        object.end()
    }
}

/// As Node programs write it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeAttachment {
    filename: FileName,
    content: Content,
    encoding: Text,
    content_type: Text,
    cid: Text,
    content_disposition: Text,
    headers: MailHeaders,
    path: DataUrl,
    href: DataUrl,
    #[serde(rename = "raw")]
    _raw: Unsupported,
}

impl TryFrom<NodeAttachment> for Attachment {
    type Error = String;

    fn try_from(file: NodeAttachment) -> Result<Self, String> {
        let (content, media_type) = match file.path.0.or(file.href.0) {
            Some(url) => (url.bytes, Some(url.media_type)),
            None => (file.content.decode(&file.encoding.0)?, None),
        };
        Ok(Self {
            is_nameless: matches!(file.filename, FileName::None),
            filename: match file.filename {
                FileName::Given(name) => Some(name),
                FileName::None | FileName::Absent => None,
            },
            content,
            content_type: file.content_type.given().or(media_type),
            cid: file.cid.given(),
            content_disposition: file.content_disposition.given(),
            headers: file.headers,
        })
    }
}

/// `filename`: `false` means none, and nothing or `null` means that one is made up.
#[derive(Default)]
enum FileName {
    Given(String),
    None,
    #[default]
    Absent,
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value == serde_json::Value::Bool(false) {
            return Ok(Self::None);
        }
        let Text(name) = Text::deserialize(value).map_err(D::Error::custom)?;
        Ok(if name.is_empty() { Self::Absent } else { Self::Given(name) })
    }
}

/// One file or a list of files.
#[derive(Default)]
pub(super) struct Attachments(pub(super) Vec<Attachment>);

impl<'de> Deserialize<'de> for Attachments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrAbsent(AttachmentsVisitor))
    }
}

struct AttachmentsVisitor;

impl<'de> de::Visitor<'de> for AttachmentsVisitor {
    type Value = Attachments;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Attachments, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Attachments)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Attachments, A::Error> {
        let one = Attachment::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Attachments(vec![one]))
    }
}
