//! Refused recipients: the class of each refusal, and what they make of the mail.

use super::{
    delivery::{DeliveryError, RejectedRecipient},
    dialogue::RcptRefusal,
    error::{ErrorKind, Phase, SmtpError},
    reply::Reply,
    retry_policy::{FailureClass, Suppression, classify, is_policy},
};
use crate::message::SenderOrigin;

/// The recipient that a refusal of the message concerns, if it is the only one.
pub(super) fn only_recipient(accepted: &[String], error: &DeliveryError) -> Option<RejectedRecipient> {
    match (accepted, error.class) {
        ([address], FailureClass::Permanent(suppression @ (Suppression::Now | Suppression::WhenRepeated))) => {
            Some(RejectedRecipient { address: address.clone(), reason: error.reason.clone(), suppression })
        }
        _ => None,
    }
}

/// A refused recipient and the class of its refusal.
struct ClassifiedRefusal {
    class: FailureClass,
    recipient: RejectedRecipient,
}

impl ClassifiedRefusal {
    fn of(RcptRefusal { address, reply }: RcptRefusal, sender: SenderOrigin) -> Self {
        count_refusal(Phase::Rcpt, &reply);
        let reason = reply.to_string();
        let class = classify(&SmtpError::new(Phase::Rcpt, ErrorKind::Refusal(reply)), sender);
        let suppression = match class {
            FailureClass::Permanent(suppression) => suppression,
            _ => Suppression::No,
        };
        Self { class, recipient: RejectedRecipient { address, reason, suppression } }
    }
}

/// A recipient that was refused while others were accepted.
pub(super) fn rejected_recipient(refusal: RcptRefusal, sender: SenderOrigin) -> RejectedRecipient {
    ClassifiedRefusal::of(refusal, sender).recipient
}

/// The refusal that decides if all recipients were refused: the least final one; and all of them.
pub(super) fn all_refused(refusals: Vec<RcptRefusal>, sender: SenderOrigin) -> (SmtpError, Vec<RejectedRecipient>) {
    let replies: Vec<_> = refusals.iter().map(|refusal| refusal.reply.clone()).collect();
    let refusals: Vec<_> = refusals.into_iter().map(|refusal| ClassifiedRefusal::of(refusal, sender)).collect();
    let decides = refusals.iter().zip(replies).min_by_key(|(one, _)| one.class.finality());
    let kind = match decides {
        Some((_, reply)) => ErrorKind::Refusal(reply),
        None => ErrorKind::NotOffered("to take a mail without recipients"),
    };
    (SmtpError::new(Phase::Rcpt, kind), refusals.into_iter().map(|one| one.recipient).collect())
}

pub(super) fn count_refusal(phase: Phase, reply: &Reply) {
    let code = reply.code.to_string();
    metrics::counter!("mailer_refusals_total", "phase" => phase.as_str(), "code" => code).increment(1);
    if is_policy(phase, reply) {
        metrics::counter!("mailer_policy_refusals_total").increment(1);
    }
}
