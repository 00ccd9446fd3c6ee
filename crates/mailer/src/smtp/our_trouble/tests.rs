//! Replies of real servers, each with its source.

use super::*;
use crate::{
    message::SenderOrigin,
    smtp::{
        error::{ErrorKind, SmtpError},
        retry_policy::{FailureClass, classify},
    },
};

use ProviderFailure::{Blocked, LoginRefused, SenderRefused, Throttled};

/// Server, its reply, what it means, and where it stands.
type Row = (&'static str, u16, &'static str, ProviderFailure, &'static str);

const TROUBLE: &[Row] = &[
    (
        "Postfix",
        504,
        "5.5.2 <vm>: Helo command rejected: need fully-qualified hostname",
        Blocked,
        "postconf(5): reject_non_fqdn_helo_hostname",
    ),
    (
        "Postfix",
        550,
        "5.7.1 <vm>: Helo command rejected: Host not found",
        Blocked,
        "postconf(5): reject_unknown_helo_hostname",
    ),
    (
        "Postfix",
        450,
        "4.7.1 <vm>: Helo command rejected: Host not found",
        Blocked,
        "postconf(5): unknown_hostname_reject_code",
    ),
    ("Postfix", 503, "5.5.1 Error: send HELO/EHLO first", Blocked, "postconf(5): smtpd_helo_required"),
    (
        "Postfix",
        450,
        "4.7.25 Client host rejected: cannot find your hostname, [192.0.2.2]",
        Blocked,
        "github.com/sisimai/p5-sisimai/issues/253",
    ),
    (
        "Postfix",
        554,
        "5.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.2]",
        Blocked,
        "github.com/anonaddy/anonaddy/issues/713",
    ),
    (
        "Postfix",
        450,
        "4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.2]",
        Blocked,
        "github.com/mailcow/mailcow-dockerized/issues/85",
    ),
    (
        "Postfix",
        554,
        "5.7.1 Service unavailable; Client host [192.0.2.2] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.2",
        Blocked,
        "postconf(5): reject_rbl_client",
    ),
    ("Postfix", 554, "5.7.1 <x[192.0.2.2]>: Client host rejected: Access denied", Blocked, "access(5)"),
    ("Postfix", 554, "5.7.1 <ada@example.com>: Relay access denied", Blocked, "postconf(5): reject_unauth_destination"),
    ("Postfix", 454, "4.7.1 <ada@example.com>: Relay access denied", Blocked, "postconf(5): defer_unauth_destination"),
    (
        "Postfix",
        554,
        "<ada@example.com>: Recipient address rejected: Relay access denied",
        Blocked,
        "antionline.com/showthread.php?p=692064",
    ),
    (
        "Postfix",
        553,
        "5.7.1 <x@example.com>: Sender address rejected: not owned by user ada",
        SenderRefused,
        "postconf(5): reject_sender_login_mismatch",
    ),
    (
        "Postfix",
        553,
        "5.7.1 <x@example.com>: Sender address rejected: not logged in",
        SenderRefused,
        "github.com/hardware/mailserver/issues/329",
    ),
    (
        "Postfix",
        550,
        "5.1.8 <x@example.com>: Sender address rejected: Domain not found",
        SenderRefused,
        "postconf(5): reject_unknown_sender_domain",
    ),
    (
        "Postfix",
        504,
        "5.5.2 <x@vm>: Sender address rejected: need fully-qualified address",
        SenderRefused,
        "postconf(5): reject_non_fqdn_sender",
    ),
    ("Postfix", 421, "4.7.0 mail.example.com Error: too many errors", Throttled, "postconf(5): smtpd_hard_error_limit"),
    (
        "Postfix",
        450,
        "4.7.1 Error: too much mail from 192.0.2.2",
        Throttled,
        "postconf(5): smtpd_client_message_rate_limit",
    ),
    ("Postfix", 452, "4.3.1 Insufficient system storage", Throttled, "postconf(5): queue_minfree"),
    ("Postfix", 451, "4.3.0 Error: queue file write error", Throttled, "cleanup(8)"),
    ("Postfix", 451, "4.7.1 Service unavailable - try again later", Throttled, "postconf(5): milter_default_action"),
    ("Exim", 550, "relay not permitted", Blocked, "Exim specification, 7.2 and the default ACL"),
    ("Exim", 550, "Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", Blocked, "cPanel's Exim ACL"),
    ("Exim", 550, "Sender verify failed", SenderRefused, "Exim specification, verify = sender"),
    (
        "Postfix",
        554,
        "5.7.1 <ada@example.com>: Recipient address rejected: Policy Rejection- Quota Exceeded.",
        Throttled,
        "policyd: the Quotas module",
    ),
    (
        "Microsoft 365",
        550,
        "5.7.1 Unfortunately, messages from [192.0.2.2] weren't sent. Please contact your Internet service provider since \
         part of their network is on our block list (S3140).",
        Blocked,
        "learn.microsoft.com: fix NDR 5.7.1 in Outlook.com",
    ),
    (
        "Exim",
        550,
        "Domain example.com has exceeded the max emails per hour (3/2 (150%)) allowed. Message discarded.",
        Throttled,
        "forums.cpanel.net/threads/email-quota.697029",
    ),
    (
        "Exim",
        550,
        "Domain example.com has exceeded the max defers and failures per hour (5/5 (100%)) allowed. Message discarded.",
        Throttled,
        "ndchost.com/wiki/cpanel/exim",
    ),
    ("Exim", 550, "Authentication required", LoginRefused, "Exim specification, the default ACL"),
    (
        "Exchange",
        530,
        "5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
        LoginRefused,
        "learn.microsoft.com: smtp-submission-improvements",
    ),
    (
        "Exchange",
        550,
        "5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
        Blocked,
        "learn.microsoft.com: allow anonymous relay",
    ),
    (
        "Exchange",
        550,
        "5.7.60 SMTP; Client does not have permissions to send as this sender",
        SenderRefused,
        "pastebin.com/wtU9XT6T",
    ),
    (
        "Exchange",
        550,
        "5.7.1 Client does not have permission to send as this sender",
        SenderRefused,
        "learn.microsoft.com: SmtpResponse.SendAsDenied",
    ),
    (
        "Microsoft 365",
        554,
        "5.2.252 SendAsDenied; x@example.com not allowed to send as y@example.com; STOREDRV.Submission.Exception:SendAsDeniedException",
        SenderRefused,
        "learn.microsoft.com: NDR 5.2.252",
    ),
    (
        "Microsoft 365",
        432,
        "4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        Throttled,
        "learn.microsoft.com: smtp-submission-improvements",
    ),
    (
        "Yahoo",
        421,
        "4.7.0 [TSS04] Messages from 192.0.2.2 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1",
        Throttled,
        "secuserve.zammad.com: deferred-yahoo-said-421-4-7-0-tss04",
    ),
    (
        "Microsoft 365",
        554,
        "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; the user's submission quota was exceeded",
        Throttled,
        "learn.microsoft.com: Exchange Online limits",
    ),
    (
        "Microsoft 365",
        550,
        "5.1.8 Access denied, bad outbound sender AS(42004)",
        SenderRefused,
        "learn.microsoft.com: NDR 5.1.8",
    ),
    (
        "Microsoft 365",
        550,
        "5.7.606 Access denied, banned sending IP [192.0.2.2]",
        Blocked,
        "learn.microsoft.com: NDR 5.7.606-649",
    ),
    (
        "Microsoft 365",
        550,
        "5.7.705 Access denied, tenant has exceeded threshold",
        Throttled,
        "learn.microsoft.com: NDR 5.7.705",
    ),
    (
        "Microsoft 365",
        550,
        "5.7.708 Access denied, traffic not accepted from this IP",
        Blocked,
        "learn.microsoft.com: NDR 5.7.708",
    ),
    (
        "Microsoft 365",
        550,
        "5.7.750 Service unavailable. Client blocked from sending from unregistered domain",
        Blocked,
        "learn.microsoft.com: NDR 5.7.750",
    ),
    (
        "Google",
        550,
        "5.4.5 Daily user sending limit exceeded. For more information see https://support.google.com/a/answer/166852 - gsmtp",
        Throttled,
        "support.google.com/a/answer/3726730",
    ),
    ("Google", 550, "5.4.5 Daily SMTP relay limit exceeded for user", Throttled, "support.google.com/a/answer/6140680"),
    (
        "Google",
        450,
        "4.2.1 Peak SMTP relay limit exceeded for customer",
        Throttled,
        "support.google.com/a/answer/6140680",
    ),
    (
        "Google",
        421,
        "4.7.0 Try again later, closing connection. (EHLO)",
        Blocked,
        "support.google.com/a/answer/3726730",
    ),
    (
        "Google",
        421,
        "4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address",
        Throttled,
        "smtpfieldmanual.com/provider/google",
    ),
    ("Google", 550, "5.7.0 Mail relay denied", Blocked, "support.google.com/a/answer/6140680"),
    ("Google", 530, "5.7.0 Authentication Required", LoginRefused, "support.google.com/a/answer/3726730"),
    (
        "Amazon SES",
        454,
        "Throttling failure: Maximum sending rate exceeded.",
        Throttled,
        "docs.aws.amazon.com/ses: manage-sending-quotas-errors",
    ),
    (
        "Amazon SES",
        454,
        "Throttling failure: Daily message quota exceeded.",
        Throttled,
        "docs.aws.amazon.com/ses: manage-sending-quotas-errors",
    ),
    (
        "Amazon SES",
        554,
        "Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: x@example.com",
        SenderRefused,
        "repost.aws: ses-554-400-message-rejected-error",
    ),
    (
        "Amazon SES",
        554,
        "Message rejected: Sending paused for this account.",
        SenderRefused,
        "docs.aws.amazon.com/ses: troubleshoot-error-messages",
    ),
    ("Amazon SES", 530, "Authentication required", LoginRefused, "docs.aws.amazon.com/ses: troubleshoot-smtp"),
    (
        "Mailgun",
        421,
        "Domain x.mailgun.org is not allowed to send: Please activate your Mailgun account.",
        SenderRefused,
        "github.com/Monstarrrr/rebutify/issues/162",
    ),
    (
        "Mailgun",
        421,
        "Domain x.mailgun.org is not allowed to send: Sandbox subdomains are for test purposes only.",
        SenderRefused,
        "github.com/baserow/baserow/issues/1776",
    ),
    (
        "Mailgun",
        554,
        "Sandbox subdomains are for test purposes only. Please add your own domain",
        SenderRefused,
        "github.com/zonque/AlRide/issues/7",
    ),
    (
        "Mailgun",
        420,
        "Domain mail.example.com is not allowed to send: recipient limit exceeded, try again after Mon",
        SenderRefused,
        "github.com/mailgun/mailgun-java/issues/50",
    ),
    (
        "Postmark",
        550,
        "5.0.0 The 'From' address you supplied is not a Sender Signature on your account",
        SenderRefused,
        "postmarkapp.com/developer/api: error 400",
    ),
    (
        "Postmark",
        550,
        "5.0.0 While your account is pending approval, all recipient addresses must share the same domain",
        SenderRefused,
        "postmarkapp.com/developer/api: error 412",
    ),
    ("Postal", 530, "From/Sender name is not valid", SenderRefused, "github.com/postalserver/postal/issues/1917"),
    (
        "OVH",
        550,
        "sorry, too many emails (#5.7.1)",
        Throttled,
        "github.com/aschroder/Magento-SMTP-Pro-Email-Extension/issues/94",
    ),
    (
        "OVH",
        421,
        "4.7.0 player771.ha.ovh.net Error: too many errors",
        Throttled,
        "github.com/claroline/Distribution/issues/2267",
    ),
    (
        "free.fr",
        421,
        "Refused. Your reverse DNS entry does not resolve to an IP.",
        Blocked,
        "github.com/iredmail/iRedMail/issues/156",
    ),
    (
        "generic",
        421,
        "Too many concurrent SMTP connections; please try again later.",
        Throttled,
        "github.com/PHPMailer/PHPMailer/issues/2070",
    ),
];

/// Refusals of one recipient or one message, which must not stop all mail.
const OTHERS: &[(&str, u16, &str)] = &[
    ("Postfix", 550, "5.1.1 <ada@example.com>: Recipient address rejected: User unknown in local recipient table"),
    (
        "Postfix",
        450,
        "4.1.1 <ada@example.com>: Recipient address rejected: unverified address: Host or domain name not found",
    ),
    ("Postfix", 504, "5.5.2 <ada@vm>: Recipient address rejected: need fully-qualified address"),
    (
        "Postfix",
        450,
        "4.2.0 <ada@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/",
    ),
    ("Postgrey", 451, "4.7.1 Greylisting in action, please come back later"),
    ("Exchange", 550, "5.4.1 Recipient address rejected: Access denied"),
    ("Exchange", 550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
    ("Google", 550, "5.1.1 The email account that you tried to reach does not exist"),
    ("Google", 550, "5.2.1 The email account that you tried to reach is disabled"),
    ("Google", 452, "4.2.2 The email account that you tried to reach is over quota"),
    (
        "Google",
        450,
        "4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered",
    ),
    ("Google", 550, "5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy"),
    ("Yahoo", 554, "delivery error: dd This user doesn't have a yahoo.com account"),
    ("any", 550, "5.7.1 spam"),
    ("any", 554, "5.7.1 Message contains a URL that is on a blocklist"),
    ("any", 552, "5.2.2 mailbox full, quota exceeded"),
    ("any", 552, "5.3.4 message too big"),
    ("any", 550, "no such user here"),
    ("any", 571, "5.7.1 delivery not authorized"),
    ("any", 452, "later"),
];

#[test]
fn trouble_with_us_is_recognized_by_its_words() {
    for (server, code, text, expected, source) in TROUBLE {
        for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::EndOfData] {
            let found = our_trouble(phase, &Reply::new(*code, text));
            assert_eq!(found, Some(*expected), "{server} at {phase:?}: {code} {text} ({source})");
        }
    }
}

#[test]
fn refusals_of_one_mail_are_not_taken_for_trouble_with_us() {
    for (server, code, text) in OTHERS {
        for phase in [Phase::Rcpt, Phase::EndOfData] {
            let found = our_trouble(phase, &Reply::new(*code, text));
            assert_eq!(found, None, "{server} at {phase:?}: {code} {text}");
        }
    }
}

#[test]
fn sender_of_a_job_is_the_jobs_own_trouble() {
    for (server, code, text, expected, _) in TROUBLE {
        let reply = Reply::new(*code, text);
        let class = classify(&SmtpError::new(Phase::Rcpt, ErrorKind::Refusal(reply)), SenderOrigin::Job);
        let is_providers = matches!(class, FailureClass::Provider(_));
        assert_eq!(is_providers, *expected != SenderRefused, "{server}: {code} {text}");
    }
}
