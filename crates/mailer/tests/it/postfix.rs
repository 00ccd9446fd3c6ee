//! Delivery through a real Postfix into mailboxes.

use std::process::Command;

use examhall_testkit::{Postfix, eventually};
use serde_json::json;

use crate::{Post, TIMEOUT, count};

/// Verifies a signature with dkimpy, given the mail's file and the public key's DNS record.
const VERIFY: &str = "import dkim, sys; mail = open(sys.argv[1], 'rb').read(); \
                      sys.exit(0 if dkim.verify(mail, dnsfunc=lambda name, timeout=5: sys.argv[2].encode()) else 1)";

fn openssl(args: &[&str]) -> Vec<u8> {
    let made = Command::new("openssl").args(args).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

#[tokio::test]
async fn postfix_delivers_mails_whole_signed_and_once() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mails = count(1_000, 200);
    let (mut post, postfix) = (Post::start().await, Postfix::start().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("key.pem").display().to_string();
    openssl(&["genrsa", "-traditional", "-out", &key, "2048"]);
    let published = openssl(&["rsa", "-in", &key, "-pubout", "-outform", "DER"]);
    let published = format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode(published));
    post.world.set("SMTP_URL", &postfix.url());
    post.world.set("MAIL_FROM", "Prüfungsamt <no-reply@exams.test>");
    post.world.set("DKIM_KEY_FILE", &key);
    let file = "QUJD".repeat(2_000);
    for n in 0..mails {
        let data = json!({
            "to": format!("Zoë <s{n}@sink.test>"), "subject": format!("Prüfung {n} ✓ bestanden"), "text": "Grüße\n.\n..\nEnde",
            "html": "<p>Grüße</p>", "attachments": [{"filename": "a.bin", "content": file, "encoding": "base64"}],
        });
        post.add_data(data).await;
    }
    let drain = post.drain().await;
    assert_eq!((drain.sent, drain.failed), (mails as u64, 0), "{}", postfix.log());
    let delivered = eventually("all mails in their mailboxes", TIMEOUT, async || {
        Some(postfix.delivered()).filter(|delivered| delivered.len() >= mails)
    })
    .await;
    assert_eq!(delivered.len(), mails);
    for mail in &delivered {
        assert!(mail.replace('\n', "").contains(&file), "the attachment is whole");
        assert!(mail.contains("Gr=C3=BC=C3=9Fe\n.\n..\nEnde"), "umlauts and dots: {mail}");
        assert!(mail.contains("with ESMTPSA"), "encrypted and logged in");
    }
    for (n, mail) in delivered.iter().take(3).enumerate() {
        // Postfix writes the system's line ends, and adds its own fields before the signed ones.
        let path = folder.path().join(format!("{n}.eml"));
        std::fs::write(&path, mail.replace('\n', "\r\n")).expect("written");
        let verified =
            Command::new("python3").args(["-c", VERIFY]).arg(&path).arg(&published).output().expect("python3");
        assert!(verified.status.success(), "{}\n{mail}", String::from_utf8_lossy(&verified.stderr));
    }
}
