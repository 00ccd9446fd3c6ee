use super::*;

fn mail_composer(public_url: &str) -> MailComposer {
    MailComposer::new(&"s".repeat(32).into(), public_url.parse().expect("a URL"))
}

fn waiting(mail_composer: &MailComposer, template: &MailTemplate) -> WaitingMail {
    let created_at = Timestamp::from_millis(0);
    let to = EmailAddress::parse("ada@example.com").expect("an address");
    WaitingMail { mail: mail_composer.envelope(to, template, created_at), created_at, claims: 1 }
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
    let other = MailComposer::new(&"o".repeat(32).into(), "http://localhost".parse().expect("a URL"));
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
        ("password-changed", MailTemplate::PasswordChanged { name: "Ada".into() }),
        ("result", MailTemplate::Result(news())),
    ] {
        shown(name, mail_composer.compose(&waiting(&mail_composer, &template)).expect("composed").0);
    }
    let mut published = waiting(&mail_composer, &MailTemplate::Result(news()));
    published.mail.template = RESULT_PUBLISHED.into();
    shown(RESULT_PUBLISHED, mail_composer.compose(&published).expect("composed").0);
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
    }
}
