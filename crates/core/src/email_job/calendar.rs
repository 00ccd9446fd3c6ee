//! nodemailer's `icalEvent`: an invitation to a meeting (RFC 6047).

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::{
    Attachment,
    content::{Content, DataUrl},
    scalars::{Text, Unsupported},
};

/// The event: its text, a Buffer, or `{method, filename, content}`.
#[derive(Default)]
pub(super) struct CalendarEvent(Option<Event>);

struct Event {
    /// The method of iTIP (RFC 5546).
    method: String,
    filename: String,
    content: Vec<u8>,
}

impl CalendarEvent {
    /// The event as a body, which calendars read, and as a file, which everything else shows.
    pub(super) fn into_parts(self) -> Option<(Attachment, Attachment)> {
        let Event { method, filename, content } = self.0?;
        let body = Attachment {
            content: content.clone(),
            content_type: Some(format!("text/calendar; charset=utf-8; method={method}")),
            ..Attachment::default()
        };
        let file = Attachment {
            filename: Some(filename),
            content,
            content_type: Some("application/ics".to_owned()),
            content_disposition: Some("attachment".to_owned()),
            ..Attachment::default()
        };
        Some((body, file))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EventObject {
    method: Text,
    filename: Text,
    content: Content,
    encoding: Text,
    path: DataUrl,
    href: DataUrl,
    #[serde(rename = "raw")]
    _raw: Unsupported,
    /// The fields of a Buffer.
    data: Option<Vec<u8>>,
}

impl EventObject {
    fn into_event(self) -> Result<Event, String> {
        let or = |text: Text, default: &str| text.given().unwrap_or_else(|| default.to_owned());
        let content = match (self.data, self.path.0.or(self.href.0)) {
            (Some(bytes), _) => bytes,
            (None, Some(url)) => url.bytes,
            (None, None) => self.content.decode(&self.encoding.0)?,
        };
        let method = or(self.method, "PUBLISH").trim().to_ascii_uppercase();
        Ok(Event { method, filename: or(self.filename, "invite.ics"), content })
    }
}

impl<'de> Deserialize<'de> for CalendarEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EventVisitor)
    }
}

struct EventVisitor;

impl EventVisitor {
    fn event<E: de::Error>(object: EventObject) -> Result<CalendarEvent, E> {
        object.into_event().map(|event| CalendarEvent(Some(event))).map_err(E::custom)
    }
}

impl<'de> de::Visitor<'de> for EventVisitor {
    type Value = CalendarEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a calendar event")
    }

    fn visit_unit<E: de::Error>(self) -> Result<CalendarEvent, E> {
        Ok(CalendarEvent::default())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<CalendarEvent, E> {
        if value { Err(E::invalid_type(de::Unexpected::Bool(value), &self)) } else { Ok(CalendarEvent::default()) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<CalendarEvent, E> {
        if text.is_empty() {
            return Ok(CalendarEvent::default());
        }
        Self::event(EventObject { content: Content::Text(text.to_owned()), ..EventObject::default() })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<CalendarEvent, A::Error> {
        Self::event(EventObject::deserialize(de::value::MapAccessDeserializer::new(map))?)
    }
}
