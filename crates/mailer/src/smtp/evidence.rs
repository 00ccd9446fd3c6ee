//! Whose fault is a failure: the mail's or the provider's? A pure decision over what a provider did since it last accepted a
//! mail, with time as an argument.
//!
//! | what happened before the message was accepted or refused | the provider's fault if |
//! |---|---|
//! | silence, a cut or nonsense between MAIL and the end of data | a mail to somebody else met it too |
//! | no clear reply to a whole message | it is the second in a row |
//! | the server's words blame us: our host name, our quota, our address | always; but if it took mails of others right after such words within the last hour, a mail to somebody else must get them too |
//! | refusals with the same codes, of [`EQUAL_REFUSALS`] mails or [`EQUAL_ADDRESS_REFUSALS`] | always |
//!
//! In a row means: without an accepted mail in between. Otherwise the fault is the mail's.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use super::{
    error::Phase,
    reply::{Enhanced, Reply},
};
use crate::message::PreparedMail;

/// Refusals with the same codes, of distinct recipients in a row, that are the provider's fault: an operator has to look.
const EQUAL_REFUSALS: usize = 5;
/// The same if the codes say that the address does not exist or its mailbox is full, which is nearly always true.
const EQUAL_ADDRESS_REFUSALS: usize = 10;
/// Time for which the words of a server are doubted that once proved to concern one mail only.
const DOUBT: Duration = Duration::from_hours(1);
/// Number of suspects that are remembered.
const MOST_SUSPECTS: usize = 256;

/// Identifies mails to the same recipients: what hinders one of them may hinder the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MailKey(u64);

impl MailKey {
    pub(crate) fn of(mail: &PreparedMail) -> Self {
        let mut hasher = DefaultHasher::new();
        mail.to.iter().for_each(|to| AsRef::<str>::as_ref(to).hash(&mut hasher));
        Self(hasher.finish())
    }
}

/// What a provider did since it last accepted a mail.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Mails whose dialogue broke off.
    broken_off: Vec<MailKey>,
    /// Messages without a clear reply.
    unanswered: u32,
    /// Mails that were refused with words that blame us.
    accusers: Vec<MailKey>,
    doubted_since: Option<Instant>,
    refusals: Option<EqualRefusals>,
    /// Mails that may hinder others, the latest last.
    suspects: VecDeque<MailKey>,
}

/// Mails that were refused one after the other with the same codes.
#[derive(Debug)]
struct EqualRefusals {
    codes: (Phase, u16, Option<Enhanced>),
    mails: Vec<MailKey>,
}

impl Evidence {
    /// Records that the dialogue broke off during this mail.
    pub(crate) fn broke_off(&mut self, mail: MailKey) {
        note(&mut self.broken_off, mail);
        self.suspect(mail);
    }

    /// Returns whether the dialogue broke off during a mail to somebody else, too.
    pub(crate) fn others_broke_off(&self, mail: MailKey) -> bool {
        self.broken_off.iter().any(|other| *other != mail)
    }

    /// Records a message without a clear reply; returns whether the provider is at fault.
    pub(crate) fn left_unanswered(&mut self, mail: MailKey) -> bool {
        self.suspect(mail);
        self.unanswered = self.unanswered.saturating_add(1);
        self.unanswered >= 2
    }

    /// Records a refusal whose words blame us; returns whether they are believed.
    pub(crate) fn blamed_us(&mut self, mail: MailKey, now: Instant) -> bool {
        note(&mut self.accusers, mail);
        self.suspect(mail);
        let is_doubted = self.doubted_since.is_some_and(|since| now.saturating_duration_since(since) < DOUBT);
        !is_doubted || self.accusers.len() >= 2
    }

    /// Records any other refusal of a mail; returns whether the provider refuses all alike.
    pub(crate) fn refused(&mut self, mail: MailKey, phase: Phase, reply: &Reply) -> bool {
        let codes = (phase, reply.code, reply.enhanced);
        let streak = match &mut self.refusals {
            Some(streak) if streak.codes == codes => streak,
            other => other.insert(EqualRefusals { codes, mails: Vec::new() }),
        };
        note(&mut streak.mails, mail);
        let concerns_address = matches!(reply.detail(), Some((1 | 2, _)));
        streak.mails.len() >= if concerns_address { EQUAL_ADDRESS_REFUSALS } else { EQUAL_REFUSALS }
    }

    /// Records a clear reply to a whole message.
    pub(crate) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// Records a successful login after an outage.
    pub(crate) fn logged_in(&mut self) {
        self.broken_off.clear();
    }

    /// Records an accepted mail: what others met was their own fault.
    pub(crate) fn accepted(&mut self, mail: MailKey, now: Instant) {
        if self.accusers.iter().any(|other| *other != mail) {
            self.doubted_since = Some(now);
        }
        self.suspects.retain(|suspect| *suspect != mail);
        (self.unanswered, self.refusals) = (0, None);
        self.broken_off.clear();
        self.accusers.clear();
    }

    /// Returns whether this mail failed in a way that may hinder others: it is not the one that tries a provider out.
    pub(crate) fn is_suspect(&self, mail: &PreparedMail) -> bool {
        !self.suspects.is_empty() && self.suspects.contains(&MailKey::of(mail))
    }

    fn suspect(&mut self, mail: MailKey) {
        self.suspects.retain(|known| *known != mail);
        self.suspects.push_back(mail);
        if self.suspects.len() > MOST_SUSPECTS {
            self.suspects.pop_front();
        }
    }
}

/// Adds a mail once; as many as any decision needs.
fn note(mails: &mut Vec<MailKey>, mail: MailKey) {
    if mails.len() < EQUAL_ADDRESS_REFUSALS && !mails.contains(&mail) {
        mails.push(mail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MailKey = MailKey(1);
    const B: MailKey = MailKey(2);
    const C: MailKey = MailKey(3);

    fn unknown_user() -> Reply {
        Reply::new(550, "5.1.1 no such user")
    }

    fn refused(evidence: &mut Evidence, mails: std::ops::Range<u64>, reply: &Reply) -> Vec<bool> {
        mails.map(|mail| evidence.refused(MailKey(mail), Phase::Rcpt, reply)).collect()
    }

    #[test]
    fn break_off_is_the_providers_if_another_mail_meets_it_too() {
        let mut evidence = Evidence::default();
        for _ in 0..3 {
            evidence.broke_off(A);
            assert!(!evidence.others_broke_off(A), "however often the same mail meets it");
        }
        evidence.broke_off(B);
        assert!(evidence.others_broke_off(B) && evidence.others_broke_off(A));
        evidence.accepted(C, Instant::now());
        assert!(!evidence.others_broke_off(A));
        evidence.broke_off(A);
        evidence.logged_in();
        evidence.broke_off(B);
        assert!(!evidence.others_broke_off(B), "an outage has ended in between");
    }

    #[test]
    fn second_unanswered_message_in_a_row_is_the_providers() {
        let mut evidence = Evidence::default();
        assert!(!evidence.left_unanswered(A) && evidence.left_unanswered(A) && evidence.left_unanswered(B));
        evidence.answered();
        assert!(!evidence.left_unanswered(A));
        evidence.accepted(B, Instant::now());
        assert!(!evidence.left_unanswered(A), "an accepted mail was in between");
    }

    #[test]
    fn words_are_doubted_once_another_mail_was_accepted() {
        let (mut evidence, now) = (Evidence::default(), Instant::now());
        assert!(evidence.blamed_us(A, now) && evidence.blamed_us(A, now), "believed at first");
        evidence.accepted(A, now);
        assert!(evidence.blamed_us(A, now), "the quota was raised: the words were true");
        evidence.accepted(B, now);
        for _ in 0..3 {
            assert!(!evidence.blamed_us(A, now), "they concern this mail");
            evidence.accepted(C, now);
        }
        assert!(!evidence.blamed_us(A, now) && evidence.blamed_us(B, now), "two mails in a row");
        evidence.accepted(B, now);
        assert!(evidence.blamed_us(A, now + DOUBT), "believed again");
    }

    #[test]
    fn equal_refusals_of_many_are_the_providers() {
        let mut evidence = Evidence::default();
        let policy = Reply::new(554, "5.7.1 no");
        assert_eq!(refused(&mut evidence, 0..6, &policy), [false, false, false, false, true, true]);
        assert_eq!(refused(&mut evidence, 0..1, &Reply::new(554, "5.7.2 no")), [false], "other codes");
        assert_eq!(refused(&mut evidence, 0..4, &policy), [false; 4]);
        evidence.accepted(A, Instant::now());
        assert_eq!(refused(&mut evidence, 0..4, &policy), [false; 4]);
        assert!(refused(&mut evidence, 0..4, &policy).iter().all(|provider| !provider), "the same recipients");
        assert!(!evidence.refused(MailKey(9), Phase::EndOfData, &policy), "another phase");
    }

    #[test]
    fn equal_refusals_of_addresses_need_more() {
        let refusals = refused(&mut Evidence::default(), 0..11, &unknown_user());
        assert_eq!(refusals.iter().filter(|provider| **provider).count(), 2);
        assert!(refusals[9] && refusals[10]);
    }

    #[test]
    fn suspects_are_known_until_they_are_accepted() {
        let (mut evidence, now) = (Evidence::default(), Instant::now());
        evidence.broke_off(A);
        evidence.left_unanswered(B);
        evidence.accepted(C, now);
        assert_eq!(evidence.suspects, [A, B]);
        evidence.accepted(A, now);
        assert_eq!(evidence.suspects, [B]);
        (10..1_000).for_each(|mail| evidence.broke_off(MailKey(mail)));
        assert!(!evidence.suspects.contains(&B), "the latest are known");
        assert!(evidence.suspects.len() <= MOST_SUSPECTS && evidence.broken_off.len() <= 10);
    }
}
