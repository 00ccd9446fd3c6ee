//! A mail as Node programs write it: nodemailer's message fields, and the mailer's own.

use serde::Deserialize;

use super::{
    Attachment, EmailJob, MailClass, MailHeaders, Recipients,
    attachment::Attachments,
    calendar::CalendarEvent,
    content::Content,
    list_headers::ListHeaders,
    scalars::{Moment, Text, Unsupported},
};

/// The fields that are read. Fields that nodemailer does not know either are ignored, and so are those that concern only
/// its own encoding or access to files.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeMail {
    from: Recipients,
    sender: Recipients,
    reply_to: Recipients,
    to: Recipients,
    cc: Recipients,
    bcc: Recipients,
    subject: Text,
    html: Content,
    text: Content,
    watch_html: Content,
    amp: Content,
    ical_event: CalendarEvent,
    attachments: Attachments,
    alternatives: Attachments,
    headers: MailHeaders,
    list: ListHeaders,
    message_id: Text,
    in_reply_to: Text,
    references: References,
    date: Moment,
    priority: Text,
    x_mailer: Text,
    expires_at: Moment,
    class: Text,
    #[serde(rename = "raw")]
    _raw: Unsupported,
    #[serde(rename = "envelope")]
    _envelope: Unsupported,
    #[serde(rename = "dsn")]
    _dsn: Unsupported,
    #[serde(rename = "dkim")]
    _dkim: Unsupported,
    #[serde(rename = "auth")]
    _auth: Unsupported,
    #[serde(rename = "otp")]
    _otp: Unsupported,
    #[serde(rename = "attachDataUrls")]
    _attach_data_urls: Unsupported,
    #[serde(rename = "requireTLSExtensionEnabled")]
    _require_tls: Unsupported,
    #[serde(rename = "maxRecipients")]
    _max_recipients: Unsupported,
    #[serde(rename = "template")]
    _template: Unsupported,
}

impl From<NodeMail> for EmailJob {
    fn from(mut mail: NodeMail) -> Self {
        mail.set_headers();
        let body = |content: Content, media_type: &str| Attachment {
            content: content.decode("").unwrap_or_default(),
            content_type: Some(media_type.to_owned()),
            ..Attachment::default()
        };
        let mut alternatives = Vec::new();
        let others =
            [(mail.watch_html, "text/watch-html; charset=utf-8"), (mail.amp, "text/x-amp-html; charset=utf-8")];
        alternatives.extend(others.into_iter().filter(|(it, _)| !it.is_empty()).map(|(it, kind)| body(it, kind)));
        let mut attachments = mail.attachments.0;
        if let Some((event, file)) = mail.ical_event.into_parts() {
            alternatives.push(event);
            attachments.push(file);
        }
        alternatives.extend(mail.alternatives.0);
        Self {
            to: mail.to,
            subject: mail.subject.0,
            html: mail.html.into_text(),
            text: Some(mail.text.into_text()).filter(|text| !text.is_empty()),
            from: mail.from,
            sender: mail.sender,
            reply_to: mail.reply_to,
            cc: mail.cc,
            bcc: mail.bcc,
            headers: mail.headers,
            attachments,
            alternatives,
            message_id: mail.message_id.given(),
            date: mail.date.0,
            expires_at: mail.expires_at.0,
            class: MailClass::from_word(&mail.class.0),
        }
    }
}

impl NodeMail {
    /// Turns fields into headers, and headers into the fields that they are, as nodemailer does.
    fn set_headers(&mut self) {
        self.take_fields_from_headers();
        let headers = &mut self.headers;
        if let Some(id) = std::mem::take(&mut self.in_reply_to).given() {
            headers.set("In-Reply-To", bracketed(&id));
        }
        let References(references) = &self.references;
        if !references.is_empty() {
            let ids = references.iter().flat_map(|one| one.split_whitespace()).map(bracketed);
            headers.set("References", ids.collect::<Vec<_>>().join(" "));
        }
        if let Some(mailer) = std::mem::take(&mut self.x_mailer).given() {
            headers.set("X-Mailer", mailer);
        }
        let importance = match self.priority.0.to_ascii_lowercase().as_str() {
            "high" => Some(("1 (Highest)", "High")),
            "low" => Some(("5 (Lowest)", "Low")),
            _ => None,
        };
        if let Some((number, word)) = importance {
            headers.set("X-Priority", number.to_owned());
            headers.set("X-MSMail-Priority", word.to_owned());
            headers.set("Importance", word.to_owned());
        }
        headers.0.append(&mut self.list.0);
    }

    fn take_fields_from_headers(&mut self) {
        for (name, field) in [("sender", &mut self.sender), ("reply-to", &mut self.reply_to)] {
            if let Some(value) = self.headers.take(name)
                && field.is_empty()
            {
                *field = value.as_str().into();
            }
        }
        let texts = [
            ("subject", &mut self.subject),
            ("message-id", &mut self.message_id),
            ("in-reply-to", &mut self.in_reply_to),
        ];
        for (name, field) in texts {
            if let Some(value) = self.headers.take(name)
                && field.0.is_empty()
            {
                field.0 = value;
            }
        }
        if let Some(value) = self.headers.take("references")
            && self.references.0.is_empty()
        {
            self.references.0.push(value);
        }
        if let Some(value) = self.headers.take("date")
            && self.date.0.is_none()
        {
            match Moment::parse(value.trim()) {
                Some(date) => self.date.0 = Some(date),
                None => self.headers.set("Date", value), // refused when the mail is composed
            }
        }
    }
}

/// A message id in angle brackets.
fn bracketed(id: &str) -> String {
    let start = if id.starts_with('<') { "" } else { "<" };
    let end = if id.ends_with('>') { "" } else { ">" };
    format!("{start}{id}{end}")
}

/// `references`: a text of several ids, or a list.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct References(#[serde(deserialize_with = "texts")] Vec<String>);

fn texts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    // Both forms have the same items as an address field.
    let Recipients(texts) = Recipients::deserialize(deserializer)?;
    Ok(texts)
}
