//! docs/quick-start.md, command by command.

use std::{fs, path::Path, time::Duration};

use examhall_testkit::{Process, World, binary, eventually, free_port};
use tokio::process::Command;

use crate::{
    TIMEOUT,
    commands::{Line, commands, shell},
};

/// What the reader puts in: the token of the mail, the id that `seed` prints, the token of the login.
#[derive(Default)]
struct Reader {
    mailed: String,
    exam: String,
    access: String,
}

impl Reader {
    fn fill_in(&self, command: &str) -> String {
        let command = command.replace("\"token\": \"...\"", &format!("\"token\": \"{}\"", self.mailed));
        command.replace("EXAM", &self.exam).replace("TOKEN", &self.access)
    }

    fn read(&mut self, answer: &str) {
        if let Some(token) = answer.split("\"accessToken\":\"").nth(1).and_then(|rest| rest.split('"').next()) {
            token.clone_into(&mut self.access);
        }
        let mut words = answer.lines().filter_map(|line| line.trim().strip_prefix("exam"));
        if let Some(id) = words.find_map(|rest| rest.split_whitespace().find(|word| word.len() == 36)) {
            id.clone_into(&mut self.exam);
        }
    }
}

#[tokio::test]
async fn the_quick_start_works_as_it_is_written() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (api_port, ops, mailer_ops) = (free_port(), free_port(), free_port());
    // The defaults of a reader, but for the ports, which are this test's own.
    let settings = [
        ("REDIS_URL", world.redis.url()),
        ("API_BIND", format!("127.0.0.1:{api_port}")),
        ("API_OPS_BIND", format!("127.0.0.1:{ops}")),
        ("MAILER_OPS_BIND", format!("127.0.0.1:{mailer_ops}")),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let programs = binary("api").parent().expect("a folder").display().to_string();

    let mut reader = Reader::default();
    let mut servers = Vec::new();
    for Line { command, .. } in commands("docs/quick-start.md") {
        if command.starts_with("cargo build") {
            continue; // what built this test
        }
        let line = reader.fill_in(&command).replace("target/debug", &programs);
        let line = line.replace("localhost:8000", &format!("localhost:{api_port}"));
        if line.starts_with("SMTP_URL=") {
            let line = line.replace("smtp://user:password@mail.example.com:587", &world.smtp.url());
            a_real_mail_goes_out(&line, folder.path(), &settings, &world).await;
        } else if ["/api", "/mailer"].iter().any(|program| line.ends_with(program)) {
            let server = Process::spawn(&command, &mut shell(&format!("exec {line}"), folder.path(), &settings));
            server.one_of_lines(&["Server running on port", "Mailer running"]).await;
            servers.push(server);
        } else {
            let answer = succeeds(
                &mut shell(&line.replace("curl ", "curl -sS --fail-with-body "), folder.path(), &settings),
                &line,
            )
            .await;
            reader.read(&answer);
            if line.contains("/auth/signup") {
                reader.mailed = mailed_token(folder.path()).await;
            }
            assert!(!line.contains("/questions") || answer.contains("Cache-Status: examhall; fwd=miss"), "{answer}");
        }
    }
    assert_eq!(servers.len(), 2);
}

async fn succeeds(command: &mut Command, line: &str) -> String {
    let output = command.output().await.expect("a shell");
    let answer = String::from_utf8_lossy(&output.stdout).replace("cache-status", "Cache-Status");
    assert!(output.status.success(), "{line}: {answer}{}", String::from_utf8_lossy(&output.stderr));
    answer
}

/// The token of the link in the mail that lies in `data/mail/`.
async fn mailed_token(folder: &Path) -> String {
    eventually("a mail in data/mail", TIMEOUT, async || {
        let mail = fs::read_dir(folder.join("data/mail")).ok()?.find_map(Result::ok)?;
        let text = fs::read_to_string(mail.path()).ok()?.replace("=\r\n", "").replace("=3D", "=");
        let token = text.split("/verify?token=").nth(1)?;
        Some(token.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next()?.to_owned())
    })
    .await
}

/// The last command sends by SMTP: `--once`, since the mailer before it goes on.
async fn a_real_mail_goes_out(line: &str, folder: &Path, settings: &[(String, String)], world: &World) {
    let line = format!("{line} send-test --to ada@example.com");
    succeeds(&mut shell(&line, folder, settings), &line).await;
    let mails = tokio::time::timeout(Duration::from_mins(1), world.smtp.wait_for(1)).await.expect("a mail");
    assert!(mails[0].message.contains("Exams <no-reply@example.com>"), "{}", mails[0].message);
}
