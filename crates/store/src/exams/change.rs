//! Changes of an exam: locked where they would be at the cost of students who sit it, recorded always.

use examhall_core::{Admission, Exam, ExamId, ExamStatus, Timestamp};
use sea_orm::{IntoActiveModel, TryIntoModel};
use serde_json::{Map, Value};

use super::{
    Exams,
    row::{ExamChange, apply, is_begun, lock, to_exam},
};
use crate::{Editor, Error, Versioned, audit::Entry, deadlines};

impl Exams {
    /// Changes an exam, if it is at the version that `editor` expects; returns it as it is then. Deadlines of open attempts
    /// follow its duration and its end.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::BadWindow`], [`Error::Unavailable`]; [`Error::ExamLocked`]
    /// once students have begun, for what only force changes then.
    pub async fn change(
        &self,
        id: ExamId,
        change: &ExamChange,
        editor: Editor,
        now: Timestamp,
    ) -> Result<Versioned<Exam>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = lock(&tx, id, editor.expected).await?;
                let Versioned { version, value: before } = to_exam(row.clone())?;
                let mut changed = row.into_active_model();
                apply(&mut changed, change);
                let (after, has_code) = (changed.clone().try_into_model()?, change.access_code.is_some());
                if after.access == Admission::Code.as_str() && after.access_code.is_none() {
                    return Err(Error::NoCode);
                }
                let after = to_exam(after)?.value;
                if !Exam::is_window(after.opens_at, after.closes_at) {
                    return Err(Error::BadWindow);
                }
                if is_locked(&before, &after) && !editor.force && is_begun(&tx, id).await? {
                    return Err(Error::ExamLocked);
                }
                if moves_deadlines(&before, &after) {
                    deadlines::follow(&tx, &after, now).await?;
                }
                let entry = with_code(differences(&before, &after), has_code);
                let entry =
                    entry.map(|(before, after)| Entry::of_exam(editor.user, "change exam", id).changing(before, after));
                self.save(tx, changed, version, entry, now).await
            })
            .await
    }
}

/// Adds to what is recorded that there is another code; what it is nobody reads anywhere.
fn with_code(differences: Option<(Value, Value)>, has_code: bool) -> Option<(Value, Value)> {
    if !has_code {
        return differences;
    }
    let (before, mut after) = differences.unwrap_or_else(|| (Value::Null, Value::Object(Map::new())));
    after["accessCode"] = "changed".into();
    Some((before, after))
}

/// Whether a change would be at the cost of students who have begun: another pass mark or order, or less time.
fn is_locked(before: &Exam, after: &Exam) -> bool {
    before.pass_mark != after.pass_mark
        || before.shuffle != after.shuffle
        || after.duration_minutes < before.duration_minutes
}

/// Whether open attempts end at other times. Those of a closed exam end in any case.
fn moves_deadlines(before: &Exam, after: &Exam) -> bool {
    let has_moved = before.duration_minutes != after.duration_minutes || before.closes_at != after.closes_at;
    has_moved && after.status != ExamStatus::Closed
}

/// The fields that differ, as they were and as they are; `None` if there is none.
pub(super) fn differences(before: &Exam, after: &Exam) -> Option<(Value, Value)> {
    let fields = |exam: &Exam| match serde_json::to_value(exam) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (mut before, mut after) = (fields(before), fields(after));
    let (old, new) = (before.clone(), after.clone());
    before.retain(|name, value| new.get(name) != Some(value));
    after.retain(|name, value| old.get(name) != Some(value));
    (!(before.is_empty() && after.is_empty())).then(|| (before.into(), after.into()))
}

#[cfg(test)]
mod tests {
    use examhall_core::{PaperPolicy, ResultPolicy, UserId};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn exam() -> Exam {
        let moment = Timestamp::from_millis(0);
        Exam {
            id: ExamId(Uuid::nil()),
            author_id: UserId(Uuid::nil()),
            title: "Algebra".into(),
            description: String::new(),
            duration_minutes: 90,
            max_attempts: 1,
            pass_mark: 50,
            opens_at: None,
            closes_at: Some(moment),
            shuffle: false,
            paper: PaperPolicy::AfterStart,
            results: ResultPolicy::OnSubmit,
            show_marks: false,
            review: false,
            access: Admission::Open,
            results_published_at: None,
            status: ExamStatus::Published,
            created_at: moment,
            updated_at: moment,
        }
    }

    #[test]
    fn what_costs_students_is_locked_and_more_time_is_not() {
        for (after, locked, moves) in [
            (exam(), false, false),
            (Exam { title: "Logic".into(), max_attempts: 2, ..exam() }, false, false),
            (Exam { duration_minutes: 120, ..exam() }, false, true),
            (Exam { duration_minutes: 89, ..exam() }, true, true),
            (Exam { closes_at: None, ..exam() }, false, true),
            (Exam { pass_mark: 49, ..exam() }, true, false),
            (Exam { shuffle: true, ..exam() }, true, false),
            (Exam { duration_minutes: 120, status: ExamStatus::Closed, ..exam() }, false, false),
        ] {
            assert_eq!((is_locked(&exam(), &after), moves_deadlines(&exam(), &after)), (locked, moves), "{after:?}");
        }
    }

    #[test]
    fn only_what_differs_is_recorded() {
        assert_eq!(differences(&exam(), &exam()), None);
        let after = Exam { title: "Logic".into(), closes_at: None, ..exam() };
        let closes_at = "1970-01-01T00:00:00.000Z";
        let expected = (json!({"title": "Algebra", "closesAt": closes_at}), json!({"title": "Logic"}));
        assert_eq!(differences(&exam(), &after), Some(expected));
    }
}
