//! The texts, compiled in: subject, plain and HTML of each mail. Another language is another folder alongside `en`.

use askama::Template;

/// A mail's texts.
pub(super) struct Texts {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

macro_rules! template {
    ($name:ident: $subject:literal, $text:literal, $html:literal; $($field:ident),*) => {
        pub(super) mod $name {
            use super::{Template, Texts};

            #[derive(Template)]
            #[template(path = $text)]
            struct Text<'a> { $($field: &'a str),* }

            #[derive(Template)]
            #[template(path = $html)]
            struct Html<'a> { $($field: &'a str),* }

            pub(in crate::mail) fn render($($field: &str),*) -> Result<Texts, askama::Error> {
                Ok(Texts {
                    subject: include_str!(concat!("../../templates/", $subject)).trim_end().to_owned(),
                    text: Text { $($field),* }.render()?,
                    html: Html { $($field),* }.render()?,
                })
            }
        }
    };
}

template!(verification: "en/verification.subject.txt", "en/verification.txt", "en/verification.html"; link);
template!(
    already_registered: "en/already-registered.subject.txt", "en/already-registered.txt", "en/already-registered.html";
    name, link
);
template!(reset: "en/reset.subject.txt", "en/reset.txt", "en/reset.html"; name, link);
template!(
    password_changed: "en/password-changed.subject.txt", "en/password-changed.txt", "en/password-changed.html";
    name, link
);
template!(
    result: "en/result.subject.txt", "en/result.txt", "en/result.html";
    name, exam, score, max_score, percent, passed, link
);
template!(
    result_published: "en/result-published.subject.txt", "en/result-published.txt", "en/result-published.html";
    name, exam, score, max_score, percent, passed, link
);
