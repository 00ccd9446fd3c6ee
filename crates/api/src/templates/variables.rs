//! What templates show, and samples of it that try each of their branches.

use minijinja::{Value, context};

/// Every mail there is, by the name of its templates.
pub(crate) const MAILS: [&str; 12] = [
    "verification",
    "already-registered",
    "reset",
    "password-changed",
    "new-email",
    "email-changed",
    "account-invitation",
    "account-deleted",
    "exam-invitation",
    "result",
    "result-published",
    "result-changed",
];
/// Pages for everybody, with the steps that each of them has.
const PAGES: [(&str, &[&str]); 7] = [
    ("page-verify.html", &["ask", "done", "refused"]),
    ("page-reset.html", &["ask", "done", "refused"]),
    ("page-invitation.html", &["ask", "known", "done", "refused"]),
    ("page-undo-email.html", &["ask", "done", "refused"]),
    ("page-unsubscribe.html", &["ask", "done", "refused"]),
    ("page-trouble.html", &["trouble"]),
    ("page-welcome.html", &["ask"]),
];
/// What may be wrong with a password, or with a name, as pages name it.
const COMPLAINTS: [&str; 6] = ["", "tooShort", "tooLong", "common", "personal", "name"];

/// What a mail shows. An absent text is empty.
#[derive(Clone, Copy, Default)]
pub(crate) struct MailVariables<'a> {
    /// Name of the reader; empty where nobody has proven that the address is theirs.
    pub(crate) name: &'a str,
    /// Where the mail leads to.
    pub(crate) link: &'a str,
    /// Ends mails about results; empty in other mails.
    pub(crate) unsubscribe_link: &'a str,
    /// Of mails about results only.
    pub(crate) result: Option<ResultVariables<'a>>,
    /// Of invitations to exams only.
    pub(crate) invitation: Option<InvitationVariables<'a>>,
}

/// What an invitation to an exam shows. Moments are in ms since 1970; 0 where there is none.
#[derive(Clone, Copy, Default)]
pub(crate) struct InvitationVariables<'a> {
    pub(crate) exam: &'a str,
    pub(crate) opens_at: i64,
    pub(crate) closes_at: i64,
    /// Until when the link works.
    pub(crate) until: i64,
}

/// What a mail about a result shows.
#[derive(Clone, Copy, Default)]
pub(crate) struct ResultVariables<'a> {
    pub(crate) exam: &'a str,
    pub(crate) score: f64,
    pub(crate) max_score: f64,
    pub(crate) percent: f64,
    pub(crate) passed: bool,
    /// When it was graded, in ms since 1970; 0 where that is not known.
    pub(crate) graded_at: i64,
    /// Score and maximum before it was graded again; in mails about that only.
    pub(crate) before: (f64, f64),
}

/// What a page shows.
#[derive(Clone, Copy)]
pub(crate) struct PageVariables<'a> {
    /// `ask`, `known`, `done`, `refused` or `trouble`.
    pub(crate) step: &'a str,
    pub(crate) token: &'a str,
    pub(crate) asks_password: bool,
    /// What was wrong with the password that was sent: `tooShort`, `tooLong`, `common`, `personal`; with the name: `name`.
    /// Empty at first.
    pub(crate) complaint: &'a str,
    /// Name of the reader, where a form asks for it.
    pub(crate) name: &'a str,
    /// Title of the exam that an invitation is for.
    pub(crate) exam: &'a str,
    /// HTTP status of the trouble.
    pub(crate) status: u16,
    /// What the trouble is, in English.
    pub(crate) detail: &'a str,
    /// Whether there is a console.
    pub(crate) console: bool,
    /// Whether there is a page about the API.
    pub(crate) docs: bool,
}

/// Addresses of what a page loads, relative to its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageAssets {
    pub(crate) style: String,
    /// Shows the rules of passwords while one is typed.
    pub(crate) script: String,
    pub(crate) icon: String,
}

impl MailVariables<'_> {
    /// As templates see it; `subject` is empty in that of the subject itself.
    pub(crate) fn to_value(self, subject: &str) -> Value {
        let Self { name, link, unsubscribe_link, result, invitation } = self;
        let general = context! { name, link, unsubscribe_link, subject };
        if let Some(InvitationVariables { exam, opens_at, closes_at, until }) = invitation {
            return context! { exam, opens_at, closes_at, until, ..general };
        }
        let Some(ResultVariables { exam, score, max_score, percent, passed, graded_at, before }) = result else {
            return general;
        };
        let (score_before, max_score_before) = before;
        context! { exam, score, max_score, percent, passed, graded_at, score_before, max_score_before, ..general }
    }
}

impl PageVariables<'_> {
    /// Those of a page that shows nothing.
    pub(crate) const NONE: Self = Self {
        step: "",
        token: "",
        asks_password: false,
        complaint: "",
        name: "",
        exam: "",
        status: 0,
        detail: "",
        console: false,
        docs: false,
    };

    /// As templates see it.
    pub(crate) fn to_value(self, assets: &PageAssets) -> Value {
        let PageAssets { style, script, icon } = assets;
        let assets = context! { style, script, icon };
        let Self { step, token, asks_password, complaint, name, exam, status, detail, console, docs } = self;
        let form = context! { token, asks_password, complaint, name, exam };
        context! { assets, step, status, detail, console, docs, ..form }
    }
}

/// Every template with samples of what it may be given.
pub(super) fn samples() -> impl Iterator<Item = (String, Value)> {
    let mails = MAILS.into_iter().flat_map(|mail| {
        mail_samples(mail).into_iter().flat_map(move |variables| {
            [".subject.txt", ".txt", ".html"].map(|ending| (format!("{mail}{ending}"), variables.to_value("Subject")))
        })
    });
    let pages = PAGES.into_iter().flat_map(|(page, steps)| {
        let samples = steps.iter().flat_map(|step| page_samples(step));
        samples.map(move |variables| (page.to_owned(), variables.to_value(&PageAssets::default())))
    });
    mails.chain(pages)
}

fn mail_samples(mail: &str) -> [MailVariables<'static>; 3] {
    let result = ResultVariables { exam: "Algebra <1>", max_score: 40.0, ..ResultVariables::default() };
    let passed = ResultVariables { score: 33.5, percent: 83.75, passed: true, graded_at: 1_795_942_800_000, ..result };
    let is_result = mail.starts_with("result");
    let invitation = InvitationVariables { exam: "Algebra <1>", until: 1_795_942_800_000, ..Default::default() };
    let timed = InvitationVariables { opens_at: 1_795_342_800_000, closes_at: 1_795_942_800_000, ..invitation };
    let is_invitation = mail == "exam-invitation";
    let link = "https://exams.example.com/verify?token=sample";
    let of = |name, unsubscribe_link, result, invitation| MailVariables {
        name,
        link,
        unsubscribe_link: if is_result { unsubscribe_link } else { "" },
        result: Some(result).filter(|_| is_result),
        invitation: Some(invitation).filter(|_| is_invitation),
    };
    let unsubscribe = "https://exams.example.com/unsubscribe?token=sample";
    [
        of("", "", result, invitation),
        of("Ada Lovelace", unsubscribe, passed, timed),
        of("<b>\"Ada\"</b> & co", unsubscribe, result, invitation),
    ]
}

fn page_samples(step: &'static str) -> impl Iterator<Item = PageVariables<'static>> {
    COMPLAINTS.into_iter().flat_map(move |complaint| {
        [(false, 400), (true, 404), (false, 429), (true, 503)].map(|(asks_password, status)| PageVariables {
            step,
            token: "sample",
            asks_password,
            complaint,
            name: "<b>\"Ada\"</b>",
            exam: "Algebra <1>",
            status,
            detail: "something \"went\" <wrong>",
            console: asks_password,
            docs: !asks_password,
        })
    })
}
