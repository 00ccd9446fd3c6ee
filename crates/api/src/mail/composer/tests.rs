use examhall_boot::settings::Values;

use super::*;
use crate::{auth::SecretToken, mail::contents::YesNo};

fn mail_composer(public_url: &str) -> MailComposer {
    composer_with(&[("PUBLIC_URL", public_url)]).expect("good settings")
}

fn composer_with(pairs: &[(&str, &str)]) -> Result<MailComposer, BadReplyTo> {
    let secret = "s".repeat(32);
    let values = Values::from_pairs([("AUTH_SECRET", secret.as_str())].into_iter().chain(pairs.iter().copied()));
    let settings = ApiSettings::checked(&values.expect("settings")).expect("good settings");
    let templates = Templates::load(&settings.brand).expect("good templates");
    MailComposer::new(&settings.auth_secrets, &settings, Arc::new(templates))
}

fn waiting(mail_composer: &MailComposer, template: &MailTemplate) -> WaitingMail {
    let created_at = Timestamp::from_millis(0);
    let to = EmailAddress::parse("ada@example.com").expect("an address");
    WaitingMail { mail: mail_composer.envelope(to, template, None, created_at), created_at, claims: 1 }
}

fn verification() -> MailTemplate {
    MailTemplate::Verification { token: SecretToken::from_text("planted-token".into()) }
}

fn reset(name: Option<&str>) -> MailTemplate {
    let token = SecretToken::from_text("planted-token".into());
    MailTemplate::Reset { name: name.map(ToOwned::to_owned), token }
}

#[test]
fn a_row_holds_the_token_sealed_only() {
    let row = waiting(&mail_composer("http://localhost:8000"), &verification());
    assert!(!format!("{row:?}").contains("planted"));
    assert!(!row.mail.sealed.windows(7).any(|bytes| bytes == b"planted"));
}

#[test]
fn composing_twice_gives_the_same_mail() {
    let mail_composer = mail_composer("http://localhost:8000");
    let row = waiting(&mail_composer, &verification());
    assert_eq!(mail_composer.compose(&row).expect("composed"), mail_composer.compose(&row).expect("composed"));
}

#[test]
fn the_link_stands_under_the_public_url() {
    for (public, link) in [
        ("http://localhost:8000", "http://localhost:8000/verify?token=planted-token"),
        ("https://exams.example.com/hall/", "https://exams.example.com/hall/verify?token=planted-token"),
    ] {
        let mail_composer = mail_composer(public);
        let job = mail_composer.compose(&waiting(&mail_composer, &verification())).expect("composed").0;
        assert!(job.html.contains(link) && job.text.is_some_and(|text| text.contains(link)), "{link}");
    }
}

#[test]
fn a_name_cannot_write_html() {
    let mail_composer = mail_composer("http://localhost:8000");
    let job = mail_composer.compose(&waiting(&mail_composer, &reset(Some("<b>Ada</b> & co")))).expect("composed").0;
    assert!(!job.html.contains("<b>Ada"), "{}", job.html);
}

#[test]
fn a_mail_to_an_address_that_nobody_has_proven_holds_no_name() {
    let mail_composer = mail_composer("http://localhost:8000");
    for template in [verification(), reset(None)] {
        let mut row = waiting(&mail_composer, &template);
        if matches!(template, MailTemplate::Verification { .. }) {
            row.mail.params = json!({"name": "evil.example"}); // as former versions stored it
        }
        let job = mail_composer.compose(&row).expect("composed").0;
        let text = job.text.expect("a text");
        assert!(text.starts_with("Hello,\n") && job.html.contains("<p>Hello,</p>"), "{text}");
        assert!(!text.contains("evil") && !job.html.contains("evil"), "{text}");
    }
}

#[test]
fn a_row_that_cannot_be_composed_says_why() {
    let mail_composer = mail_composer("http://localhost:8000");
    let mut row = waiting(&mail_composer, &verification());
    row.mail.template = "gone".into();
    assert!(matches!(mail_composer.compose(&row), Err(CannotCompose::NoSuchTemplate(_))));
    let other = composer_with(&[("AUTH_SECRET", &"o".repeat(32))]).expect("good settings");
    let row = waiting(&mail_composer, &verification());
    assert!(matches!(other.compose(&row), Err(CannotCompose::Sealed(_))));
}

#[test]
fn what_the_mails_say() {
    let mail_composer = mail_composer("https://exams.example.com");
    for (name, template) in [
        ("verification", verification()),
        ("already-registered", MailTemplate::AlreadyRegistered { name: "Ada".into() }),
        ("reset", reset(Some("Ada"))),
        ("new-email", MailTemplate::NewEmail { token: SecretToken::from_text("planted-token".into()) }),
        (
            "email-changed",
            MailTemplate::EmailChanged { name: "Ada".into(), token: SecretToken::from_text("planted-token".into()) },
        ),
        (
            "account-invitation",
            MailTemplate::AccountInvitation { token: SecretToken::from_text("planted-token".into()) },
        ),
        (EXAM_INVITATION, invitation()),
        ("account-deleted", MailTemplate::AccountDeleted { name: "Ada".into() }),
        ("password-changed", MailTemplate::PasswordChanged { name: "Ada".into() }),
        ("result", MailTemplate::Result(news())),
    ] {
        shown(name, mail_composer.compose(&waiting(&mail_composer, &template)).expect("composed").0);
    }
    let mut published = waiting(&mail_composer, &MailTemplate::Result(news()));
    published.mail.template = RESULT_PUBLISHED.into();
    shown(RESULT_PUBLISHED, mail_composer.compose(&published).expect("composed").0);
}

fn invitation() -> MailTemplate {
    let (token, until) = (SecretToken::from_text("planted-token".into()), Timestamp::from_millis(1_795_942_800_000));
    let [opens_at, closes_at] = [Some(1_795_342_800_000), None];
    let news = InvitationNews { name: "Ada".into(), exam: "Algebra <1>".into(), opens_at, closes_at };
    MailTemplate::ExamInvitation { token, news, until }
}

fn shown(name: &str, job: EmailJob) {
    let text = job.text.unwrap_or_default();
    insta::assert_snapshot!(name, format!("Subject: {}\n\n{text}\n-----\n{}", job.subject, job.html));
}

fn news() -> ResultNews {
    ResultNews {
        name: "Ada".into(),
        exam: "Algebra <1>".into(),
        score: 3.0,
        max_score: 4.5,
        percent: 66.67,
        passed: YesNo::Yes,
        graded_at: Some(1_795_942_800_000),
        user: Some(UserId(Uuid::from_u128(7))),
        before: None,
    }
}

/// Those of a mail, by name.
fn header<'a>(job: &'a EmailJob, name: &str) -> Vec<&'a str> {
    job.headers.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn each_mail_is_in_the_language_of_its_row() {
    let mail_composer = mail_composer("https://exams.example.com");
    let subject = |tag: &str| {
        let (at, to) = (Timestamp::from_millis(0), EmailAddress::parse("ada@example.com").expect("an address"));
        let locale = Locale::parse(tag).ok();
        let mail = mail_composer.envelope(to, &MailTemplate::Result(news()), locale.as_ref(), at);
        let job = mail_composer.compose(&WaitingMail { mail, created_at: at, claims: 1 }).expect("composed").0;
        let html = job.html.split("<p>").nth(3).unwrap_or_default().to_owned();
        (job.subject, html)
    };
    let (english, points) = subject("");
    assert!(english == "Your exam result" && points.contains("66.67%"), "{english} {points}");
    for tag in ["en-GB", "fr", "zh-Hant"] {
        assert_eq!(subject(tag).0, english, "{tag}");
    }
    for tag in ["de", "de-AT", "de-CH-1996"] {
        let (german, points) = subject(tag);
        assert_eq!(german, "Ihr Prüfungsergebnis", "{tag}");
        let percent = if tag.starts_with("de-CH") { "66.67&nbsp;%" } else { "66,67&nbsp;%" };
        assert!(points.contains(percent), "{tag}: {points}");
    }
}

#[test]
fn only_mails_about_results_can_be_unsubscribed_from() {
    let mail_composer = mail_composer("https://exams.example.com/hall");
    for template in [verification(), reset(Some("Ada")), MailTemplate::PasswordChanged { name: "Ada".into() }] {
        let job = mail_composer.compose(&waiting(&mail_composer, &template)).expect("composed").0;
        assert_eq!(header(&job, "Auto-Submitted"), ["auto-generated"]);
        assert_eq!(job.headers.0.len(), 1, "{:?}", job.headers);
        assert!(!job.html.contains("nsubscribe"), "{}", job.html);
    }
    let mut row = waiting(&mail_composer, &MailTemplate::Result(news()));
    let job = mail_composer.compose(&row).expect("composed").0;
    let link = header(&job, "List-Unsubscribe")[0].trim_matches(['<', '>']);
    let token = link.strip_prefix("https://exams.example.com/hall/unsubscribe?token=").expect("our link");
    assert_eq!(mail_composer.unsubscriber(token), Some(UserId(Uuid::from_u128(7))));
    assert_eq!(header(&job, "List-Unsubscribe-Post"), ["List-Unsubscribe=One-Click"]);
    assert!(
        job.html.contains(&format!("href=\"{link}\"")) && job.text.as_deref().is_some_and(|text| text.contains(link))
    );
    // As former versions stored it.
    for field in ["user", "gradedAt", "locale"] {
        row.mail.params.as_object_mut().expect("an object").remove(field);
    }
    let job = mail_composer.compose(&row).expect("composed").0;
    assert_eq!(job.headers.0.len(), 1, "{:?}", job.headers);
}

#[test]
fn replies_go_where_the_setting_says() {
    for (setting, written) in [
        ("help@school.example", "help@school.example"),
        ("Help, please <help@school.example>", "\"Help, please\" <help@school.example>"),
        ("\"Help\" <help@school.example>", "\"Help\" <help@school.example>"),
        ("<help@school.example>", "help@school.example"),
    ] {
        let mail_composer = composer_with(&[("MAIL_REPLY_TO", setting)]).expect("a mailbox");
        let job = mail_composer.compose(&waiting(&mail_composer, &verification())).expect("composed").0;
        assert_eq!(job.reply_to.0, [written], "{setting}");
    }
    for bad in ["help", "Help <help>", "a@b.example, c@d.example", "two\nlines <a@b.example>"] {
        let error = composer_with(&[("MAIL_REPLY_TO", bad)]).err().expect("refused").to_string();
        assert!(error.starts_with("MAIL_REPLY_TO: "), "{error}");
    }
}

#[test]
fn the_brand_is_in_every_mail() {
    let mail_composer = composer_with(&[
        ("BRAND_NAME", "Gauß & Söhne"),
        ("BRAND_COLOR", "#ffe000"),
        ("BRAND_LOGO_URL", "https://school.example/logo.png?a=1&b=2"),
        ("SUPPORT_EMAIL", "help@school.example"),
    ])
    .expect("good settings");
    for template in [verification(), reset(Some("Ada")), MailTemplate::Result(news())] {
        let job = mail_composer.compose(&waiting(&mail_composer, &template)).expect("composed").0;
        let text = job.text.unwrap_or_default();
        assert!(text.contains("Gauß & Söhne") && text.contains("help@school.example"), "{text}");
        assert!(job.html.contains("src=\"https://school.example/logo.png?a=1&amp;b=2\" alt=\"Gauß &amp; Söhne\""));
        assert!(job.html.contains("mailto:help@school.example") && !job.html.contains("Examhall"), "{}", job.html);
        assert!(!job.html.contains("color:#ffe000;word"), "yellow links cannot be read on white: {}", job.html);
        let is_button = job.html.contains("background:#ffe000;color:#000000");
        assert_eq!(is_button, !matches!(template, MailTemplate::Result(_)), "{}", job.html);
    }
}
