//! Demo data: an author, an open exam with questions of every kind, and students who can log in.

use std::net::Ipv4Addr;

use examhall_core::{
    Admission, Choice, EmailAddress, ExamId, ExamStatus, PaperPolicy, Question, QuestionId, QuestionKind, Role, UserId,
};
use examhall_store::{NewAccount, NewExam, Store};
use serde::Serialize;
use uuid::Uuid;

use crate::{auth::Passwords, state::now};

/// The password of every account that is made.
const PASSWORD: &str = "examhall-demo";

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seeded {
    pub(crate) exam_id: ExamId,
    pub(crate) author_id: UserId,
    pub(crate) author_email: String,
    pub(crate) student_ids: Vec<UserId>,
    pub(crate) student_emails: Vec<String>,
    pub(crate) password: &'static str,
}

/// Makes one author, `students` students and one open exam with `questions` questions.
pub(crate) async fn seed(store: &Store, questions: u32, students: u32) -> anyhow::Result<Seeded> {
    let batch = Uuid::now_v7().simple().to_string(); // so that it can be done again and again
    let password_hash = Passwords::new()?
        .hash(Ipv4Addr::LOCALHOST.into(), PASSWORD.to_owned())
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let account = |role: Role, name: String| -> anyhow::Result<NewAccount> {
        let email = EmailAddress::parse(&format!("{}-{batch}@example.com", name.to_lowercase().replace(' ', "-")))?;
        Ok(NewAccount { email, name, password_hash: password_hash.clone(), role, verified: true, locale: None })
    };
    let mut accounts = vec![account(Role::Author, "Author".to_owned())?];
    for n in 1..=students {
        accounts.push(account(Role::Student, format!("Student {n}"))?);
    }
    let ids = store.accounts.create(&accounts, now()).await?;
    let exam = NewExam {
        author_id: ids[0],
        title: "Demo exam".to_owned(),
        description: "Made by `api seed`".to_owned(),
        duration_minutes: 60,
        max_attempts: 1,
        pass_mark: 50,
        opens_at: None,
        closes_at: None,
        shuffle: false,
        paper: PaperPolicy::AfterStart,
        results: None,
        show_marks: false,
        review: false,
        access: Admission::Open,
        access_code: None,
        status: ExamStatus::Published,
        questions: (1..=questions).map(question).collect(),
    };
    let emails: Vec<String> = accounts.iter().map(|account| account.email.as_str().to_owned()).collect();
    Ok(Seeded {
        exam_id: store.exams.create(&exam, now()).await?.value.id,
        author_id: ids[0],
        author_email: emails[0].clone(),
        student_ids: ids[1..].to_vec(),
        student_emails: emails[1..].to_vec(),
        password: PASSWORD,
    })
}

fn question(n: u32) -> Question {
    let choice = |id: &str, value: u32, correct| Choice { id: id.to_owned(), text: value.to_string(), correct };
    let choices = vec![choice("a", n + n, true), choice("b", n + n + 2, false), choice("c", n + n + 1, false)];
    let (text, kind) = match n % 5 {
        1 => (format!("How much is {n} + {n}?"), QuestionKind::SingleChoice { choices }),
        2 => {
            (format!("Which of these are {n} + {n}?"), QuestionKind::MultipleChoice { choices, partial_credit: false })
        }
        3 => (format!("{n} is a prime number."), QuestionKind::TrueFalse { correct: is_prime(n) }),
        4 => (format!("How much is {n} / 2?"), QuestionKind::Numeric { answer: f64::from(n) / 2.0, tolerance: 0.01 }),
        _ => (format!("What stands after {n}?"), QuestionKind::ShortText { accepted: vec![(n + 1).to_string()] }),
    };
    Question { id: QuestionId(Uuid::now_v7()), text, points: 1.0, kind }
}

fn is_prime(n: u32) -> bool {
    n > 1 && (2..n).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}
