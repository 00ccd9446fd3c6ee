//! SIGHUP reloads the mail servers, their certificates, the sender and the DKIM keys.

use std::{path::Path, process::Command};

use examhall_testkit::{Encryption, Process, SmtpOptions, SmtpServer, eventually};
use serde_json::json;

use crate::{Post, TIMEOUT};

/// A mailer whose secrets are in files of this folder.
fn mailer(post: &Post, folder: &Path) -> Process {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut settings: Vec<_> = post.world.settings().into_iter().filter(|(name, _)| name != "SMTP_URL").collect();
    settings.push(("SMTP_URL_FILE".to_owned(), file("smtp_url")));
    settings.push(("DKIM_KEY_FILE".to_owned(), file("dkim_key")));
    settings.push(("DKIM_SELECTOR".to_owned(), "mail".to_owned()));
    Process::spawn_binary("mailer", &[], settings)
}

fn hang_up(mailer: &Process) {
    let sent = Command::new("kill").args(["-HUP", &mailer.pid().to_string()]).status().expect("kill");
    assert!(sent.success());
}

fn write_key(folder: &Path, kind: &[&str]) {
    let key = Command::new("openssl").arg("genpkey").args(kind).arg("-out").arg(folder.join("dkim_key")).output();
    assert!(key.expect("openssl").status.success());
}

#[tokio::test]
async fn hangup_reloads_servers_certificates_and_keys() {
    let post = Post::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write_url = |url: &str| std::fs::write(folder.path().join("smtp_url"), url).expect("written");
    write_url(&post.world.smtp.url());
    write_key(folder.path(), &["-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let mailer = mailer(&post, folder.path());
    mailer.line("Mailer running").await;
    post.add(json!("ada@example.com")).await;
    let first = post.world.smtp.wait_for(1).await.remove(0);
    assert!(first.header("DKIM-Signature").is_some_and(|it| it.contains("a=rsa-sha256")), "{}", first.message);

    // The other server has another certificate and requires a login.
    let log_in = Some(("examhall".to_owned(), "correct-horse".to_owned()));
    let options = SmtpOptions { encryption: Encryption::StartTls, log_in, ..SmtpOptions::default() };
    let second = SmtpServer::start_with(options).await;
    write_url(&second.url());
    write_key(folder.path(), &["-algorithm", "ed25519"]);
    hang_up(&mailer);
    mailer.line("Settings reloaded").await;
    post.add(json!("ada@example.com")).await;
    let mail = second.wait_for(1).await.remove(0);
    assert!(mail.header("DKIM-Signature").is_some_and(|it| it.contains("a=ed25519-sha256")), "{}", mail.message);

    for (n, url) in ["smtp://h?ca=/nowhere.pem", second.url().as_str()].into_iter().enumerate() {
        write_url(url);
        if n == 1 {
            std::fs::write(folder.path().join("dkim_key"), "hunter2").expect("written");
        }
        hang_up(&mailer);
        let is_told = async || (mailer.output().matches("Settings not reloaded").count() == n + 1).then_some(());
        eventually("the error", TIMEOUT, is_told).await;
    }
    post.add(json!("ada@example.com")).await;
    second.wait_for(2).await;
    post.completed(3).await;
    assert_eq!((post.world.smtp.received().len(), post.counts().await.failed), (1, 0));
    assert!(!mailer.output().contains("hunter2") && !mailer.output().contains("correct-horse"));
}

#[tokio::test]
async fn changed_servers_are_reloaded_without_a_signal() {
    let post = Post::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write_url = |url: &str| std::fs::write(folder.path().join("smtp_url"), url).expect("written");
    write_url(&post.world.smtp.url());
    write_key(folder.path(), &["-algorithm", "ed25519"]);
    let mailer = mailer(&post, folder.path());
    mailer.line("Mailer running").await;
    let second = SmtpServer::start().await;
    write_url(&second.url());
    mailer.line("Settings reloaded").await;
    post.add(json!("ada@example.com")).await;
    second.wait_for(1).await;
    assert!(post.world.smtp.received().is_empty(), "the former server is left alone");
}
