//! Limits of a provider as it states them: rates per second, minute, hour and day, and connections; from parameters of
//! `SMTP_URL` or a preset.

use std::{collections::BTreeSet, time::Duration};

use examhall_delivery::{Claim, Quota};

use crate::message::PreparedMail;

/// Largest count of a rate.
const MOST: u32 = 100_000_000;

/// What a provider allows all mailers together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Mails.
    rate: Option<Vec<Rate>>,
    /// Recipients: a mail to three counts thrice.
    recipient_rate: Option<Vec<Rate>>,
    /// Mails to each domain of recipients.
    domain_rate: Option<Vec<Rate>>,
    /// Connections at once.
    pub(super) connections: Option<u32>,
}

/// One rate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rate {
    count: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

/// Why a limit is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLimit {
    /// A rate cannot be read.
    #[error(
        "{name} must be a rate like 14, 14/s, 30/m, 500/h or 14/s,50000/d (each number from 1 to {MOST}), not {given:?}"
    )]
    Rate {
        /// The parameter.
        name: &'static str,
        /// Its value.
        given: String,
    },
    /// The number of connections cannot be read.
    #[error("connections must be a whole number from 1 to 10000, not {0:?}")]
    Connections(String),
    /// The preset is unknown.
    #[error("preset must be ses, microsoft365 or google, not {0:?}")]
    Preset(String),
}

impl Limits {
    /// Takes a parameter; returns whether it is one of these. A parameter that is given twice adds to its rates.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, BadLimit> {
        let (name, rates) = match name {
            "rate" => ("rate", &mut self.rate),
            "recipient_rate" => ("recipient_rate", &mut self.recipient_rate),
            "domain_rate" => ("domain_rate", &mut self.domain_rate),
            "connections" => {
                let count = value.parse().ok().filter(|count| (1..=10_000).contains(count));
                self.connections = Some(count.ok_or_else(|| BadLimit::Connections(value.to_owned()))?);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let parsed = parse(value).ok_or_else(|| BadLimit::Rate { name, given: value.to_owned() })?;
        rates.get_or_insert_default().extend(parsed);
        Ok(true)
    }

    /// What is not given is as the preset says.
    pub(super) fn or_preset(self, name: &str) -> Result<Self, BadLimit> {
        let preset = preset(name).ok_or_else(|| BadLimit::Preset(name.to_owned()))?;
        Ok(Self {
            rate: self.rate.or(preset.rate),
            recipient_rate: self.recipient_rate.or(preset.recipient_rate),
            domain_rate: self.domain_rate.or(preset.domain_rate),
            connections: self.connections.or(preset.connections),
        })
    }

    /// The limits of all mails and recipients together, by their names.
    pub(super) fn quotas(&self) -> Vec<(String, Quota)> {
        let mails = self.rate.iter().flatten().map(|rate| rate.claim("", 1, false));
        let recipients = self.recipient_rate.iter().flatten().map(|rate| rate.claim(" recipients", 1, false));
        mails.chain(recipients).map(|claim| (claim.key, claim.quota)).collect()
    }

    /// What this mail takes: of the provider's limits, and of those of its domains.
    pub(super) fn claims(&self, mail: &PreparedMail) -> (Vec<Claim>, Vec<Claim>) {
        let recipients = u32::try_from(mail.to.len()).unwrap_or(u32::MAX);
        let mails = self.rate.iter().flatten().map(|rate| rate.claim("", 1, false));
        let recipients = self.recipient_rate.iter().flatten().map(|rate| rate.claim(" recipients", recipients, false));
        (
            mails.chain(recipients).collect(),
            self.domain_rate.as_ref().map(|rates| of_domains(rates, mail)).unwrap_or_default(),
        )
    }
}

fn of_domains(rates: &[Rate], mail: &PreparedMail) -> Vec<Claim> {
    let domains: BTreeSet<_> = mail.to.iter().map(|to| to.domain().to_ascii_lowercase()).collect();
    let claims =
        |domain: &String| rates.iter().map(|rate| rate.claim(&format!(" to {domain}"), 1, true)).collect::<Vec<_>>();
    domains.iter().flat_map(claims).collect()
}

/// The limits that providers publish, or else chosen with care; docs/mailer.md has the sources.
fn preset(name: &str) -> Option<Limits> {
    let rates = |count, unit| Some(vec![Rate { count, unit }]);
    match name {
        // Amazon publishes only what the sandbox allows: outside of it each account has a quota of its own, of recipients.
        "ses" => Some(Limits {
            rate: None,
            recipient_rate: Some(vec![Rate { count: 14, unit: Unit::Second }, Rate { count: 50_000, unit: Unit::Day }]),
            domain_rate: None,
            connections: Some(10),
        }),
        "microsoft365" => Some(Limits {
            rate: rates(30, Unit::Minute),
            recipient_rate: rates(10_000, Unit::Day),
            domain_rate: None,
            connections: Some(3),
        }),
        "google" => Some(Limits {
            rate: rates(2_000, Unit::Day),
            recipient_rate: rates(10_000, Unit::Day),
            domain_rate: None,
            connections: Some(10),
        }),
        _ => None,
    }
}

impl Rate {
    fn claim(&self, of: &str, cost: u32, queues: bool) -> Claim {
        let (unit, period) = match self.unit {
            Unit::Second => ("s", Duration::from_secs(1)),
            Unit::Minute => ("m", Duration::from_mins(1)),
            Unit::Hour => ("h", Duration::from_hours(1)),
            Unit::Day => ("d", Duration::from_hours(24)),
        };
        // Evenly within a second, with a burst of two: a full burst would double the rate in the first second, and a burst of
        // one would lose a permit whenever a mailer wakes late. What is allowed in a longer time may come at once.
        let burst = (self.unit == Unit::Second).then(|| self.count.min(2));
        let key = format!("{}/{unit}{of}", self.count);
        Claim { key, quota: Quota { count: self.count, period, burst }, cost, queues }
    }
}

/// Parses a list such as `14/s,50000/d`; mails per second without a unit.
fn parse(list: &str) -> Option<Vec<Rate>> {
    list.split(',').map(|text| rate(text.trim())).collect()
}

fn rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
    let unit = match unit.trim() {
        "s" | "second" => Unit::Second,
        "m" | "min" | "minute" => Unit::Minute,
        "h" | "hour" => Unit::Hour,
        "d" | "day" => Unit::Day,
        _ => return None,
    };
    let count = count.trim().parse().ok().filter(|count| (1..=MOST).contains(count))?;
    Some(Rate { count, unit })
}

/// Splits `SMTP_URL` at the commas between URLs; those within a list of rates are followed by a number.
pub(super) fn urls(text: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',') {
        let is_rate = part.trim_start().starts_with(|c: char| c.is_ascii_digit());
        match urls.last_mut() {
            Some(url) if is_rate && url.contains('?') => {
                url.push(',');
                url.push_str(part.trim());
            }
            _ => urls.push(part.trim().to_owned()),
        }
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[(&str, &str)]) -> Result<Limits, String> {
        let mut limits = Limits::default();
        for (name, value) in pairs {
            assert!(limits.take(name, value).map_err(|error| error.to_string())?, "{name}");
        }
        Ok(limits)
    }

    fn keys(rates: Option<&Vec<Rate>>) -> String {
        let keys: Vec<_> = rates.into_iter().flatten().map(|rate| rate.claim("", 1, false).key).collect();
        keys.join(" ")
    }

    #[test]
    fn rates_are_read_as_providers_state_them() {
        for (given, expected) in [
            ("14", "14/s"),
            ("14/s", "14/s"),
            ("30/m", "30/m"),
            ("30/minute", "30/m"),
            ("500/h, 2000/day", "500/h 2000/d"),
            ("14/s,500/hour,2000/d", "14/s 500/h 2000/d"),
        ] {
            assert_eq!(keys(parsed(&[("rate", given)]).expect("a rate").rate.as_ref()), expected);
        }
        let twice = parsed(&[("rate", "14/s"), ("rate", "9/d"), ("domain_rate", "1/s")]).expect("rates");
        assert_eq!((keys(twice.rate.as_ref()), keys(twice.domain_rate.as_ref())), ("14/s 9/d".into(), "1/s".into()));
        for given in ["0", "-1", "x", "", "14/w", "14/", "/s", "1.5/s", "14/s,", "14 s", "100000001/d", "14/s/m"] {
            let refused = parsed(&[("domain_rate", given)]).expect_err(given);
            assert!(refused.starts_with("domain_rate must be") && refused.contains(&format!("{given:?}")), "{refused}");
        }
        for given in ["0", "x", "10001"] {
            assert!(parsed(&[("connections", given)]).expect_err(given).starts_with("connections must be"));
        }
        assert_eq!(Limits::default().take("ca", "x"), Ok(false));
    }

    #[test]
    fn parameters_override_the_preset() {
        let own = parsed(&[("rate", "100/s")]).expect("a rate").or_preset("microsoft365").expect("a preset");
        assert_eq!((keys(own.rate.as_ref()), own.connections), ("100/s".into(), Some(3)));
        assert_eq!(keys(own.recipient_rate.as_ref()), "10000/d");
        for (name, rate, recipients) in
            [("ses", "", "14/s 50000/d"), ("microsoft365", "30/m", "10000/d"), ("google", "2000/d", "10000/d")]
        {
            let limits = Limits::default().or_preset(name).expect("a preset");
            assert_eq!(
                (keys(limits.rate.as_ref()), keys(limits.recipient_rate.as_ref())),
                (rate.into(), recipients.into())
            );
            assert!(limits.connections.is_some());
        }
        let refused = Limits::default().or_preset("exchange").expect_err("unknown").to_string();
        assert!(refused.contains("ses, microsoft365 or google"), "{refused}");
    }

    #[test]
    fn commas_of_rates_do_not_end_a_url() {
        assert_eq!(
            urls("smtp://a?rate=14/s, 500/h,2000/d&tls=none, smtps://b , smtp://c?rate=1"),
            ["smtp://a?rate=14/s,500/h,2000/d&tls=none", "smtps://b", "smtp://c?rate=1"]
        );
        assert_eq!(urls("smtp://a,"), ["smtp://a", ""], "an empty URL is an error, as before");
        assert_eq!(urls("file:data/mail"), ["file:data/mail"]);
    }
}
