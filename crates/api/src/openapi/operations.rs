//! Every operation of the API.

/// One operation.
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) method: &'static str,
    /// Under `/api/v1`.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) who: Who,
    /// Parameters beside the one in the path.
    pub(super) takes: &'static [&'static str],
    /// The schema of the request's body.
    pub(super) body: Option<&'static str>,
    pub(super) status: u16,
    /// The schema of the answer; empty where there is none.
    pub(super) answer: &'static str,
    /// Whether it comes from the cache, with `ETag` and `Cache-Status`.
    pub(super) cached: bool,
}

/// Whom an operation is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    User,
    Student,
    Author,
    Admin,
}

impl Who {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::User => "whoever has logged in and may see it",
            Self::Student => "students",
            Self::Author => "the exam's author and administrators",
            Self::Admin => "administrators",
        }
    }
}

impl Operation {
    /// The statuses of its problems.
    pub(super) fn problems(&self) -> Vec<u16> {
        let mut statuses = vec![400, 404, 408, 429, 500, 503];
        if self.who != Who::Anyone || self.path.starts_with("/auth/") {
            statuses.extend([401, 403]);
        }
        if self.body.is_some() {
            statuses.extend([413, 415]);
        }
        if self.body.is_some() || !self.takes.is_empty() {
            statuses.push(422);
        }
        if self.takes.contains(&"If-Match") {
            statuses.push(412);
        }
        if self.method != "get" {
            statuses.push(409);
        }
        statuses.sort_unstable();
        statuses
    }

    const fn new(
        id: &'static str,
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        who: Who,
        status: u16,
        answer: &'static str,
    ) -> Self {
        Self { id, method, path, summary, who, takes: &[], body: None, status, answer, cached: false }
    }

    const fn body(self, schema: &'static str) -> Self {
        Self { body: Some(schema), ..self }
    }

    const fn takes(self, takes: &'static [&'static str]) -> Self {
        Self { takes, ..self }
    }

    const fn cached(self) -> Self {
        Self { cached: true, ..self }
    }
}

use Who::{Admin, Anyone, Author, Student, User};

const fn op(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    who: Who,
    status: u16,
    answer: &'static str,
) -> Operation {
    Operation::new(id, method, path, summary, who, status, answer)
}

const PAGE: &[&str] = &["limit", "cursor"];
const WRITE: &[&str] = &["If-Match"];
const EDIT: &[&str] = &["force", "If-Match"];
const READ_SHEET: &[&str] = &["include", "If-None-Match"];
const READ: &[&str] = &["If-None-Match"];

/// All of them.
pub(super) const OPERATIONS: &[Operation] = &[
    op("signUp", "post", "/auth/signup", "Sign up; a mail proves the address", Anyone, 202, "Message").body("SignUp"),
    op("verify", "post", "/auth/verify", "Prove the address", Anyone, 200, "Message").body("Verify"),
    op("resend", "post", "/auth/resend", "Send the verification mail again", Anyone, 202, "Message").body("Address"),
    op("forgot", "post", "/auth/forgot", "Ask for a new password", Anyone, 202, "Message").body("Address"),
    op("reset", "post", "/auth/reset", "Choose a new password", Anyone, 200, "Message").body("Reset"),
    op("logIn", "post", "/auth/login", "Log in", Anyone, 200, "Tokens").body("LogIn"),
    op("refresh", "post", "/auth/refresh", "Stay logged in", Anyone, 200, "Tokens").body("RefreshToken"),
    op("logOut", "post", "/auth/logout", "Log out", Anyone, 204, "").body("RefreshToken"),
    op("readMe", "get", "/users/me", "Read one's own account", User, 200, "Me"),
    op("changeMe", "patch", "/users/me", "Change one's own account", User, 200, "Me").body("MeChange").takes(WRITE),
    op("readProfile", "get", "/users/{id}/profile", "Read a public profile", User, 200, "Profile").takes(READ).cached(),
    op("createExam", "post", "/exams", "Draft an exam", Author, 201, "Exam")
        .body("NewExam")
        .takes(&["Idempotency-Key"]),
    op("listExams", "get", "/exams", "List exams, newest first", User, 200, "Exams").takes(PAGE),
    op("readExam", "get", "/exams/{id}", "Read an exam", User, 200, "Exam").takes(READ).cached(),
    op("changeExam", "patch", "/exams/{id}", "Change an exam", Author, 200, "Exam").body("ExamChange").takes(WRITE),
    op("deleteExam", "delete", "/exams/{id}", "Delete an exam that nobody began", Author, 204, "").takes(WRITE),
    op("publishExam", "post", "/exams/{id}/publish", "Publish a draft", Author, 200, "Exam").takes(WRITE),
    op("closeExam", "post", "/exams/{id}/close", "Close a published exam", Author, 200, "Exam").takes(WRITE),
    op("readSheet", "get", "/exams/{id}/questions", "Read an exam's questions", User, 200, "QuestionSheet")
        .takes(READ_SHEET)
        .cached(),
    op("replaceQuestions", "put", "/exams/{id}/questions", "Write all questions anew", Author, 200, "QuestionSet")
        .body("NewQuestionSet")
        .takes(EDIT),
    op("addQuestion", "post", "/exams/{id}/questions", "Add a question", Author, 201, "Question")
        .body("QuestionForm")
        .takes(&["force", "If-Match", "Idempotency-Key"]),
    op("readQuestion", "get", "/questions/{id}", "Read a question", User, 200, "StudentQuestion")
        .takes(READ_SHEET)
        .cached(),
    op("changeQuestion", "patch", "/questions/{id}", "Change a question", Author, 200, "Question")
        .body("QuestionForm")
        .takes(EDIT),
    op("removeQuestion", "delete", "/questions/{id}", "Remove a question", Author, 204, "").takes(EDIT),
    op("startAttempt", "post", "/exams/{id}/attempts", "Start an attempt", Student, 201, "Attempt"),
    op("listAttempts", "get", "/exams/{id}/attempts", "List one's own attempts", User, 200, "Attempts").takes(PAGE),
    op("readAttempt", "get", "/attempts/{id}", "Come back to an attempt", User, 200, "FullAttempt"),
    op("saveAnswers", "put", "/attempts/{id}/answers", "Save all answers", Student, 200, "Saved").body("Answers"),
    op("changeAnswers", "patch", "/attempts/{id}/answers", "Save what changed", Student, 200, "Saved").body("Answers"),
    op("submitAttempt", "post", "/attempts/{id}/submit", "Hand in, and get the result", Student, 200, "HandedIn"),
    op("readResult", "get", "/results/{id}", "Read a result", User, 200, "Result").takes(READ).cached(),
    op("listResults", "get", "/exams/{id}/results", "List results: all, or one's own", User, 200, "Results")
        .takes(PAGE),
    op("exportResults", "get", "/exams/{id}/results.csv", "Export all results", Author, 200, "csv"),
    op("publishResults", "post", "/exams/{id}/results/publish", "Mail each student", Author, 202, "Queued"),
    op("readStatistics", "get", "/exams/{id}/statistics", "See how an exam went", Author, 200, "Statistics"),
    op("sendEmail", "post", "/emails", "Send a mail", Admin, 202, "JobId").body("NewEmail").takes(&["Idempotency-Key"]),
    op("listEmails", "get", "/emails", "List mails in the queue", Admin, 200, "Emails")
        .takes(&["state", "limit", "cursor"]),
    op("retryFailedEmails", "post", "/emails/retry-failed", "Try failed mails again", Admin, 202, "Retried")
        .takes(&["reasonContains"]),
    op("readEmail", "get", "/emails/{id}", "See how far a mail has come", Admin, 200, "Email"),
    op("removeEmail", "delete", "/emails/{id}", "Take a mail out of the queue", Admin, 204, ""),
    op("retryEmail", "post", "/emails/{id}/retry", "Try a failed mail again", Admin, 202, "Retried"),
    op("promoteEmail", "post", "/emails/{id}/promote", "Send a delayed mail now", Admin, 202, "Promoted"),
    op("readQueue", "get", "/queue", "See how the queue is", Admin, 200, "Queue"),
    op("pauseQueue", "post", "/queue/pause", "Pause the queue", Admin, 204, ""),
    op("resumeQueue", "post", "/queue/resume", "Resume the queue", Admin, 204, ""),
];
