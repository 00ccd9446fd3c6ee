//! Messages of Amazon SNS, and their signatures.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_core::Timestamp;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, alg_id, pem::PemObject,
};
use serde::Deserialize;
use url::{Host, Url};
use webpki::EndEntityCert;

use super::provider::{Refusal, WINDOW};

/// How long SNS may try to deliver a message, in ms: its longest policy. A message keeps its time over all attempts.
const LONGEST_DELIVERY: i64 = 3_600_000;

/// A message.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    #[serde(rename = "Type")]
    pub(super) kind: Kind,
    #[serde(rename = "MessageId")]
    id: String,
    #[serde(rename = "TopicArn")]
    pub(super) topic: String,
    #[serde(rename = "Message")]
    pub(super) text: String,
    subject: Option<String>,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL", alias = "SigningCertUrl")]
    certificate: String,
    #[serde(rename = "SubscribeURL", alias = "SubscribeUrl", default)]
    subscribe: String,
    #[serde(default)]
    token: String,
}

/// Kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
}

impl Message {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body).map_err(|_| Refusal::Forbidden("it is no signed message of SNS"))
    }

    /// Checks topic and time. Everybody who has a topic can have messages signed.
    pub(super) fn check(&self, topics: &[String], now: Timestamp) -> Result<(), Refusal> {
        if !topics.contains(&self.topic) {
            return Err(Refusal::Forbidden("its topic is not in MAIL_HOOK_SES_TOPICS"));
        }
        let time: Timestamp = self.timestamp.parse().map_err(|_| Refusal::Forbidden("its timestamp is no time"))?;
        let age = now.as_millis() - time.as_millis();
        let ahead = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
        if (-ahead..=LONGEST_DELIVERY).contains(&age) {
            Ok(())
        } else {
            Err(Refusal::Forbidden("its timestamp is not recent"))
        }
    }

    /// Where the certificate is.
    pub(super) fn certificate_url(&self) -> Result<Url, Refusal> {
        let url = of_amazon(&self.certificate).filter(|url| is_pem(url) && url.query().is_none());
        url.ok_or(Refusal::Forbidden("its certificate is not Amazon's"))
    }

    /// What confirms the subscription.
    pub(super) fn subscribe_url(&self) -> Result<Url, Refusal> {
        of_amazon(&self.subscribe).ok_or(Refusal::Forbidden("its SubscribeURL is not Amazon's"))
    }

    /// Checks the signature by a certificate in PEM.
    pub(super) fn verify(&self, certificate: &[u8]) -> Result<(), Refusal> {
        let algorithm = match self.signature_version.as_str() {
            "1" => Rsa(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            "2" => Rsa(&RSA_PKCS1_2048_8192_SHA256),
            _ => return Err(Refusal::Forbidden("its signature has an unknown version")),
        };
        let unreadable = || Refusal::Forbidden("its certificate cannot be read");
        let wrong = || Refusal::Forbidden("its signature is wrong");
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(|_| unreadable())?;
        let certificate = EndEntityCert::try_from(&certificate).map_err(|_| unreadable())?;
        let signature = BASE64_STANDARD.decode(&self.signature).map_err(|_| wrong())?;
        certificate.verify_signature(&algorithm, self.signed_text().as_bytes(), &signature).map_err(|_| wrong())
    }

    fn signed_text(&self) -> String {
        let kind = match self.kind {
            Kind::Notification => "Notification",
            Kind::SubscriptionConfirmation => "SubscriptionConfirmation",
            Kind::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        };
        let (subscribe, token) = (Some(self.subscribe.as_str()), Some(self.token.as_str()));
        let (subject, subscribe, token) = match self.kind {
            Kind::Notification => (self.subject.as_deref(), None, None),
            _ => (None, subscribe, token),
        };
        let fields = [
            ("Message", Some(self.text.as_str())),
            ("MessageId", Some(&self.id)),
            ("Subject", subject),
            ("SubscribeURL", subscribe),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", token),
            ("TopicArn", Some(&self.topic)),
            ("Type", Some(kind)),
        ];
        fields.iter().filter_map(|(name, value)| Some(format!("{name}\n{}\n", (*value)?))).collect()
    }
}

/// Parses an https URL of a host of SNS: `sns.REGION.amazonaws.com`, in China with `.cn`.
fn of_amazon(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let is_region = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_plain =
        url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.password().is_none();
    (is_region && is_plain).then_some(url)
}

fn is_pem(url: &Url) -> bool {
    std::path::Path::new(url.path()).extension().is_some_and(|extension| extension == "pem")
}

/// RSA with PKCS #1 padding, as webpki asks for an algorithm: it has none with SHA-1, which version 1 uses.
#[derive(Debug)]
struct Rsa(&'static RsaParameters);

impl SignatureVerificationAlgorithm for Rsa {
    fn verify_signature(&self, key: &[u8], text: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(self.0, key).verify(text, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    /// Read of certificates only, and none is verified.
    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_PKCS1_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages as Amazon documents them, signed with a key of our own.
    const MESSAGES: [&[u8]; 3] = [
        include_bytes!("testdata/notification_v1.json"),
        include_bytes!("testdata/notification_v2.json"),
        include_bytes!("testdata/confirmation_v2.json"),
    ];
    const CERTIFICATE: &[u8] = include_bytes!("testdata/sns.pem");

    fn at(seconds: i64) -> Timestamp {
        let signed: Timestamp = "2026-11-23T09:00:02.000Z".parse().expect("a time");
        Timestamp::from_millis(signed.as_millis() + seconds * 1000)
    }

    #[test]
    fn signatures_of_both_versions_are_verified() {
        for body in MESSAGES {
            let message = Message::parse(body).expect("a message");
            assert!(message.verify(CERTIFICATE).is_ok(), "{}", message.signed_text());
            let text = String::from_utf8(body.to_vec()).expect("UTF-8");
            for (from, to) in [
                ("22b80b92", "22b80b93"),
                ("165545c9", "165545c8"),
                ("123456789012:mail\"", "123456789012:other\""),
                ("09:00:02", "09:00:03"),
                ("ada@", "eve@"),
                ("Amazon SES", "Amazon"),
                ("\"2336412f37\"", "\"2336412f38\""),
            ] {
                let changed = text.replacen(from, to, 1);
                let message = Message::parse(changed.as_bytes()).expect("a message");
                assert_eq!(message.verify(CERTIFICATE).is_err(), changed != text, "{from}");
            }
            assert!(message.verify(b"no certificate").is_err() && message.verify(b"").is_err());
            let mut other = Message::parse(body).expect("a message");
            "3".clone_into(&mut other.signature_version);
            assert!(other.verify(CERTIFICATE).is_err());
            "?".clone_into(&mut other.signature);
            assert!(other.verify(CERTIFICATE).is_err());
        }
        for bad in [&b"{}"[..], b"", b"[]", b"{\"Type\":\"Notification\"}"] {
            assert!(matches!(Message::parse(bad), Err(Refusal::Forbidden(_))));
        }
    }

    #[test]
    fn only_recent_messages_of_our_topics_are_taken() {
        let message = Message::parse(MESSAGES[0]).expect("a message");
        let topics = ["arn:aws:sns:eu-west-1:123456789012:mail".to_owned()];
        for (seconds, is_taken) in
            [(0, true), (3600, true), (3601, false), (-300, true), (-301, false), (86_400, false)]
        {
            assert_eq!(message.check(&topics, at(seconds)).is_ok(), is_taken, "{seconds}");
        }
        assert!(message.check(&[], at(0)).is_err());
        assert!(message.check(&["arn:aws:sns:eu-west-1:123456789012:other".to_owned()], at(0)).is_err());
    }

    #[test]
    fn certificates_come_from_hosts_of_sns_alone() {
        let is_taken = |url: &str| {
            let mut message = Message::parse(MESSAGES[0]).expect("a message");
            url.clone_into(&mut message.certificate);
            message.certificate_url().is_ok()
        };
        for good in [
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem",
            "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0123.pem",
            "https://SNS.us-gov-west-1.AmazonAWS.com:443/x.pem",
        ] {
            assert!(is_taken(good), "{good}");
        }
        for bad in [
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
            "https://user@sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
            "https://sns.evil.sns.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://s3.eu-west-1.amazonaws.com/x.pem",
            "https://evil-sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com/x.txt",
            "https://sns.eu-west-1.amazonaws.com/?x.pem",
            "https://sns.eu-west-1.amazonaws.com./x.pem",
            "https://127.0.0.1/x.pem",
            "file:///etc/x.pem",
            "",
        ] {
            assert!(!is_taken(bad), "{bad}");
        }
    }
}
