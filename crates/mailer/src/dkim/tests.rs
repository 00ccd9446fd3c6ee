use std::process::Command;

use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;

#[test]
fn headers_and_body_are_relaxed_as_in_the_rfc() {
    let fields = unfolded("A: X\r\nB : Y\t\r\n\tZ  ");
    assert_eq!(fields, [("a".to_owned(), "X".to_owned()), ("b".to_owned(), "Y Z".to_owned())]);
    let body = |text: &str| String::from_utf8(relaxed_body(text.as_bytes())).expect("UTF-8");
    assert_eq!(body(" C \r\nD \t E\r\n\r\n\r\n"), " C\r\nD E\r\n");
    assert_eq!((body("\r\n\r\n").as_str(), body("").as_str(), body("x").as_str()), ("", "", "x\r\n"));
    assert_eq!(body(" \t \r\n\r\nx \r\n \t"), "\r\n\r\nx\r\n");
}

#[test]
fn invalid_keys_are_refused_without_being_shown() {
    let refused =
        |pem: &str, selectors| Signer::new(pem, "x.example".into(), selectors).expect_err("refused").to_string();
    assert!(refused("hunter2", "mail").contains("openssl genpkey -algorithm ed25519"));
    let (pem, _) = generated(&["genpkey", "-algorithm", "ed25519"]);
    assert!(refused(&pem, "a,b").contains("1 keys, 2 selectors"));
    assert!(refused(&(pem.clone() + &pem), "a").contains("2 keys, 1 selectors"));
    let (short, _) = generated(&["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let short = refused(&short, "mail");
    assert!(short.starts_with("it cannot be used"), "{short}");
}

/// Returns a private key in PEM and its public key as DNS has it.
fn generated(args: &[&str]) -> (String, Vec<u8>) {
    let run = |args: &[&str], input: &str| {
        use std::io::Write;
        let piped = std::process::Stdio::piped;
        let mut openssl =
            Command::new("openssl").args(args).stdin(piped()).stdout(piped()).stderr(piped()).spawn().expect("openssl");
        openssl.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
        openssl.wait_with_output().expect("ended").stdout
    };
    let pem = String::from_utf8(run(args, "")).expect("PEM");
    let public = run(&["pkey", "-pubout", "-outform", "DER"], &pem);
    (pem, public)
}

/// Both keys in one signer, and their public keys as ring takes them.
fn both() -> (Signer, Vec<u8>, Vec<u8>) {
    let (rsa, rsa_public) = generated(&["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (ed25519, ed25519_public) = generated(&["genpkey", "-algorithm", "ed25519"]);
    let signer = Signer::new(&(rsa + &ed25519), "x.example".into(), "mail, mail-ed").expect("two keys");
    // The algorithm comes first: 24 bytes of RSA's SubjectPublicKeyInfo, 12 of Ed25519's.
    (signer, rsa_public[24..].to_vec(), ed25519_public[12..].to_vec())
}

const MAIL: &str = "From: A <a@x.example>\r\nSubject: x\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\nTo: b@y.example\r\n\
                    X-Other: 1\r\nList-Unsubscribe: <https://x.example/u>\r\nList-Unsubscribe-Post: \
                    List-Unsubscribe=One-Click\r\nReferences: <a@x>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n\
                    Hi  there \r\n\r\n";

/// Verifies one signature as RFC 6376, section 6.1 says, from the bytes of the mail alone.
fn verifies(mail: &str, number: usize, rsa: &[u8], ed25519: &[u8]) -> bool {
    let (head, body) = mail.split_once("\r\n\r\n").expect("a mail");
    let fields: Vec<_> = unfolded(head).into_iter().filter(|(name, _)| name != "dkim-signature").collect();
    let signatures: Vec<_> = unfolded(head).into_iter().filter(|(name, _)| name == "dkim-signature").collect();
    let value = &signatures[number].1;
    let tag = |name: &str| {
        let tags = value.split(';').filter_map(|tag| tag.trim().split_once('='));
        tags.filter(|(tag, _)| *tag == name).map(|(_, value)| value.replace(' ', "")).next().expect("a tag")
    };
    let mut left = fields;
    let mut input = String::new();
    for name in tag("h").split(':') {
        if let Some(at) = left.iter().rposition(|(field, _)| field == name) {
            let (name, value) = left.remove(at);
            input += &[&name, ":", &value, "\r\n"].concat();
        }
    }
    let unsigned = value.rsplit_once("b=").expect("the last tag").0;
    input += &["dkim-signature:", unsigned, "b="].concat();
    let body_hash = BASE64_STANDARD.encode(digest(&SHA256, &relaxed_body(body.as_bytes())));
    let signature = BASE64_STANDARD.decode(tag("b")).expect("base64");
    let is_signed = match tag("a").as_str() {
        "rsa-sha256" => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa).verify(input.as_bytes(), &signature),
        _ => UnparsedPublicKey::new(&ED25519, ed25519).verify(digest(&SHA256, input.as_bytes()).as_ref(), &signature),
    };
    is_signed.is_ok() && tag("bh") == body_hash
}

#[test]
fn both_signatures_verify_and_nothing_can_be_added() {
    let (signer, rsa, ed25519) = both();
    let signatures = signer.sign(MAIL.as_bytes());
    assert_eq!(signatures, signer.sign(MAIL.as_bytes()), "the same at each attempt");
    assert!(signatures.contains("s=mail;") && signatures.contains("s=mail-ed;"));
    assert!(signatures.split("\r\n").all(|line| line.len() <= 78), "{signatures}");
    let good = format!("{signatures}{MAIL}");
    let check = |mail: &str| [0, 1].map(|number| verifies(mail, number, &rsa, &ed25519));
    assert_eq!(check(&good), [true; 2]);
    assert_eq!(check(&format!("X-New: 1\r\n{good}")), [true; 2], "relays add fields of their own");
    for name in [
        "From",
        "To",
        "Cc",
        "Subject",
        "Date",
        "Reply-To",
        "Content-Type",
        "Content-Transfer-Encoding",
        "Message-ID",
        "MIME-Version",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "References",
    ] {
        assert_eq!(check(&format!("{name}: forged\r\n{good}")), [false; 2], "{name} on top");
        let below = good.replacen("\r\n\r\n", &format!("\r\n{name}: forged\r\n\r\n"), 1);
        assert_eq!(check(&below), [false; 2], "{name} below");
    }
    for (old, new) in [("x.example/u", "y.example/u"), ("One-Click", "Two"), ("Hi", "Ho"), ("Subject: x", "Subject: y")]
    {
        assert_eq!(check(&good.replace(old, new)), [false; 2], "{new}");
    }
    for list in ["List-Id: x\r\n", "List-Post: x\r\n"] {
        assert_eq!(check(&format!("{list}{good}")), [true; 2], "a mailing list adds its own");
    }
}

/// The ratio of two sizes, since the machine is noisy.
#[test]
fn signing_takes_linear_time() {
    let (signer, ..) = both();
    let time = |lines: usize| {
        let mail = format!("From: a\r\n\r\n{}{}", " x \t y\r\n".repeat(lines), "\r\n".repeat(lines));
        let run = || {
            let started = std::time::Instant::now();
            signer.sign(mail.as_bytes());
            started.elapsed()
        };
        (0..3).map(|_| run()).min().expect("several runs")
    };
    let (short, long) = (time(20_000), time(160_000));
    assert!(long < short * 24, "8 times the lines took {long:?} instead of {short:?}");
}
