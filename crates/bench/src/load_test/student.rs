//! What a virtual student has: an access token, and an answer to each question.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_core::{Answer, AnswerValue, Question, QuestionKind, Timestamp, UserId};
use ring::hmac;
use serde_json::json;

/// An answer to each kind of question; most are right.
pub(crate) fn answer(question: &Question) -> Answer {
    let (choice_ids, value) = match &question.kind {
        QuestionKind::SingleChoice { choices } | QuestionKind::MultipleChoice { choices, .. } => {
            (choices.first().map(|choice| vec![choice.id.clone()]), None)
        }
        QuestionKind::TrueFalse { .. } => (None, Some(AnswerValue::Bool(true))),
        QuestionKind::Numeric { answer, .. } => (None, Some(AnswerValue::Number(*answer))),
        QuestionKind::ShortText { accepted } => (None, accepted.first().cloned().map(AnswerValue::Text)),
    };
    Answer { question_id: question.id, choice_ids, value }
}

/// What logging in would give: ten thousand passwords would take minutes to check.
pub(crate) fn access_token(secret: &str, student: UserId, now: Timestamp) -> String {
    let seconds = now.as_millis() / 1000;
    let claims = json!({"sub": student, "role": "student", "iat": seconds, "exp": seconds + 900, "gen": 0});
    let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    let signed = format!("{}.{}", part(r#"{"typ":"JWT","alg":"HS256"}"#), part(&claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag.as_ref()))
}
