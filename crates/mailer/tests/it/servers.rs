//! Servers that every SMTP client can use, each with a habit of its own.

use examhall_testkit::{Action, Encryption, Phase, Process, SmtpOptions, SmtpServer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::{Post, TIMEOUT, reply};

/// A server's answer to EHLO before it is encrypted, and after that.
type Hello = (&'static str, &'static str);

/// A server that answers EHLO with these texts.
async fn server(encryption: Encryption, challenges: [&'static str; 2], hello: Hello) -> SmtpServer {
    let log_in = (encryption != Encryption::None).then(|| ("examhall".to_owned(), "correct-horse".to_owned()));
    let server = SmtpServer::start_with(SmtpOptions { encryption, log_in, challenges, ..SmtpOptions::default() }).await;
    let seen = server.clone();
    server.behave(move |phase, line| match phase {
        Phase::Ehlo if line.starts_with("EHLO") => {
            let is_first = seen.seen().iter().filter(|line| line.starts_with("EHLO")).count() == 1;
            reply(if is_first { hello.0 } else { hello.1 })
        }
        _ => Action::Proceed,
    });
    server
}

#[tokio::test]
async fn servers_of_every_habit_get_the_mail() {
    const USUAL: [&str; 2] = ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"];
    let mut post = Post::start().await;
    let mut servers = Vec::new();
    for hello in [
        ("250-test\r\n250 pipelining", ""),
        ("250-test\r\n250-8bitmime\r\n250 smtpUtf8", ""),
        ("250", ""),
        ("250 ", ""),
        ("250-\r\n250 SMTPUTF8", ""),
        ("250-SMTPUTF8\r\n250 PIPELINING", ""),
        ("500 5.5.1 what?", ""),
        ("502 5.5.1 not implemented", ""),
        ("550 no ESMTP here", ""),
    ] {
        servers.push((server(Encryption::None, USUAL, hello).await, hello));
    }
    for hello in [
        ("250-test\r\n250 starttls", "250-test\r\n250 auth plain login"),
        ("250-test\r\n250 StartTLS", "250-test\r\n250 AUTH=LOGIN PLAIN"),
        ("250-test\r\n250 STARTTLS", "250-test\r\n250-AUTH=LOGIN\r\n250 AUTH NTLM LOGIN"),
        ("250 STARTTLS", "250 Auth Login"),
    ] {
        for challenges in [USUAL, ["dXNlciBuYW1lPw==", ""], ["UGFzc3dvcmQ6", "VXNlcm5hbWU6"], ["not base64!", "334"]] {
            servers.push((server(Encryption::StartTls, challenges, hello).await, hello));
        }
    }
    for (server, hello) in servers {
        post.world.smtp = server;
        post.add(json!("ada@example.com")).await;
        let drain = post.drain().await;
        assert_eq!((drain.sent, post.world.smtp.received().len()), (1, 1), "{hello:?}: {:?}", post.world.smtp.seen());
    }
}

#[tokio::test]
async fn address_beyond_ascii_is_sent_if_the_server_can() {
    let mut post = Post::start().await;
    post.world.smtp = server(Encryption::None, [""; 2], ("250-test\r\n250-8bitmime\r\n250 smtputf8", "")).await;
    post.add(json!("zoë@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
}

#[tokio::test]
async fn unicode_mail_from_is_sent_in_ascii() {
    let mut post = Post::start_set(&[("MAIL_FROM", "Prüfung <no-reply@prüfung.example>")]).await;
    post.world.smtp = SmtpServer::start_with(SmtpOptions { extensions: vec![], ..SmtpOptions::default() }).await;
    post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    assert_eq!(post.world.smtp.received()[0].from, "no-reply@xn--prfung-4ya.example");
}

#[tokio::test]
async fn ehlo_name_is_a_setting_and_shown_by_check() {
    let post = Post::start_set(&[("SMTP_EHLO_NAME", "mail.prüfung.example")]).await;
    post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    assert!(
        post.world.smtp.seen().contains(&"EHLO mail.xn--prfung-4ya.example".to_owned()),
        "{:?}",
        post.world.smtp.seen()
    );
    let mut check: Process = post.world.mailer(&["check"]);
    check.exit(TIMEOUT).await;
    assert!(check.output().contains("mail.xn--prfung-4ya.example (SMTP_EHLO_NAME)"), "{}", check.output());
}

#[tokio::test]
async fn server_at_an_ipv6_address_gets_the_mail() {
    let mut post = Post::start().await;
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return }; // a host without IPv6
    let (address, target) = (listener.local_addr().expect("bound"), post.world.smtp.port());
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut to = TcpStream::connect(("127.0.0.1", target)).await.expect("the server");
                tokio::io::copy_bidirectional(&mut from, &mut to).await
            });
        }
    });
    post.world.set("SMTP_URL", &format!("smtp://{address}?tls=none"));
    post.add(json!("ada@example.com")).await;
    assert_eq!(post.drain().await.sent, 1);
    let hello = post.world.smtp.seen().remove(0);
    let is_named = hello.contains('.') && !hello.contains('[');
    assert!(hello == "EHLO [IPv6:::1]" || is_named, "a host without a name says its address: {hello}");
}
